//! Whether everything that can be seen of a KMS is what the model has.

use std::collections::BTreeMap;

use waxseal::blocking::wait;
use waxseal::kms::store::BlobStore;
use waxseal::kms::{BackingKeyInfo, Keyring, Owner};

use crate::fault::{Checked, agree, ensure, same};
use crate::harness::{World, time};
use crate::model::{Class, Material, Named, Uses};
use crate::operation::{Form, Given, Sealed};

impl World<'_> {
    /// A key, as both handles show it.
    pub(crate) fn check_key(&mut self, key: usize) -> Checked {
        for handle in [0, 1] {
            let found = wait(self.handles[handle].describe_key(&self.ids[key]));
            let expected = self.model.admit(Class::Show, &Named::Key(key), handle);
            if let Ok((keyring, _)) = agree(found, expected)? {
                self.compare(key, &keyring, handle)?;
            }
        }
        Ok(())
    }

    /// A key, as this handle has shown it.
    pub(crate) fn compare(&mut self, key: usize, found: &Keyring, handle: usize) -> Checked {
        let model = &self.model.keys[key];
        same("the id", &found.id, &self.ids[key])?;
        same("the ARN", found.arn.clone(), self.arn(key))?;
        same("the state", found.state, self.model.state(key, handle))?;
        same("the owner", &found.owner, &model.owner)?;
        same("the origin", found.origin, model.origin)?;
        same("the description", &found.description, &model.description)?;
        same("the tags", &found.tags, &model.tags)?;
        same("the creation", time(found.created), model.created)?;
        same("the deletion", found.deletion.map(time), model.deletion)?;
        let rotation = found.rotation.map(|to| (to.days, time(to.due)));
        same("the rotation", rotation, model.rotation)?;
        same("the minimum", found.minimum_version, model.minimum)?;
        same("the version", found.current_version(), model.current())?;
        same(
            "the backing keys",
            found.backing_keys.len(),
            model.versions.len(),
        )?;
        same("what waits", found.next.is_some(), model.next.is_some())?;
        let now = self.model.now;
        let all = model.versions.iter().chain(&model.next);
        let found = found.backing_keys.iter().chain(&found.next);
        let mut seen = Vec::new();
        for (version, (found, material)) in (1..).zip(found.zip(all)) {
            let shown = |info: &BackingKeyInfo| {
                let expires = info.expires.map(time);
                (
                    info.version,
                    time(info.created),
                    info.cause,
                    info.is_present,
                    expires,
                )
            };
            let expected = |material: &Material| {
                let is_present = material.is_usable(now);
                let Material {
                    created,
                    cause,
                    expires,
                    ..
                } = *material;
                (version, created, cause, is_present, expires)
            };
            same("a backing key", shown(found), expected(material))?;
            let which = material.imported.ok_or(version);
            let which = match which {
                Ok(imported) => Err(imported),
                Err(version) => Ok(version),
            };
            let ids = &mut self.material_ids;
            let id = ids
                .entry((key, which))
                .or_insert_with(|| found.material_id.clone());
            same("a material's id", &found.material_id, id)?;
            ensure!(!seen.contains(id), "two materials of one id");
            seen.push(id.clone());
        }
        Ok(())
    }

    pub(crate) fn check_aliases(&self, handle: usize) -> Checked {
        let found = wait(self.handles[handle].list_aliases(None));
        let found = found.map_err(|error| format!("{error:?}"))?;
        ensure!(found.damaged.is_empty(), "{:?}", found.damaged);
        let found: Vec<_> = found
            .aliases
            .into_iter()
            .map(|alias| {
                let (created, updated) = (time(alias.created), time(alias.updated));
                (alias.name, alias.key_arn, created, updated)
            })
            .collect();
        let living = self.model.aliases.iter();
        let living = living.filter(|(_, entry)| self.model.is_alive(entry.key));
        let expected: Vec<_> = living
            .map(|(name, entry)| {
                let arn = self.arn(entry.key);
                (name.clone(), arn, entry.created, entry.updated)
            })
            .collect();
        same("the aliases", found, expected)
    }

    /// Everything, through one handle.
    pub(crate) fn check_all(&mut self, handle: usize) -> Checked {
        for key in 0..self.ids.len() {
            self.check_key(key)?;
        }
        self.check_aliases(handle)?;
        self.check_list(handle)?;
        self.check_secrets(handle)?;
        self.check_usage(handle)?;
        self.check_deleted(handle)
    }

    fn check_list(&self, handle: usize) -> Checked {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = wait(self.handles[handle].list_keys(next.as_deref(), 3));
            let page = page.map_err(|error| format!("{error:?}"))?;
            ensure!(page.damaged.is_empty(), "{:?}", page.damaged);
            ensure!(
                page.keyrings.len() <= 3,
                "a page of {}",
                page.keyrings.len()
            );
            found.extend(page.keyrings.into_iter().map(|key| key.id));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let shown = |key: &usize| {
            let owner = &self.model.keys[*key].owner;
            self.model.is_alive(*key) && !matches!(owner, Owner::Owned(_))
        };
        let keys = (0..self.ids.len()).filter(shown);
        let mut expected: Vec<_> = keys.map(|key| self.ids[key].clone()).collect();
        expected.sort_unstable();
        same("the keys", found, expected)
    }

    /// Every ciphertext and message there ever was.
    fn check_secrets(&mut self, handle: usize) -> Checked {
        let (mut opened, mut refused) = (0, 0);
        for which in 0..self.blobs.len() {
            let fault = self.decrypt(Sealed {
                handle,
                which: which as u16,
                given: Given::None,
                wrong_context: false,
                damage: false,
            })?;
            *if fault.is_none() {
                &mut opened
            } else {
                &mut refused
            } += 1;
        }
        for place in 0..self.messages.len() {
            let message = &self.messages[place];
            let (named, text) = self.named(message.key, Form::Arn, 0);
            let context = message.context.clone();
            let fault = self.try_message(place, &named, &text, true, &context, handle)?;
            *if fault.is_none() {
                &mut opened
            } else {
                &mut refused
            } += 1;
        }
        let mut statistics = self.statistics.borrow_mut();
        statistics.opened += opened;
        statistics.refused += refused;
        Ok(())
    }

    fn check_usage(&self, handle: usize) -> Checked {
        self.flush()?;
        for key in 0..self.ids.len() {
            let found = wait(self.handles[handle].usage(&self.ids[key]));
            let expected = self.model.admit(Class::Show, &Named::Key(key), handle);
            let Ok((found, _)) = agree(found, expected)? else {
                continue;
            };
            let last_used = found.last_used().map(time);
            let found: BTreeMap<_, _> = found
                .versions
                .into_iter()
                .map(|(version, usage)| {
                    let uses = Uses {
                        wraps: usage.wraps,
                        last_wrap: usage.last_wrap.map(time),
                        unwraps: usage.unwraps,
                        last_unwrap: usage.last_unwrap.map(time),
                    };
                    (version, uses)
                })
                .collect();
            let model = &self.model.keys[key];
            same("the usage", &found, &model.uses)?;
            same("the last use", last_used, model.last_used())?;
        }
        Ok(())
    }

    /// What is left of keys that are gone, and what is not.
    fn check_deleted(&self, handle: usize) -> Checked {
        for (key, id) in self.ids.iter().enumerate() {
            let found = wait(self.handles[handle].deleted_key(id));
            let found = found.map_err(|error| format!("{error:?}"))?;
            let found = found.map(|gone| (gone.arn, time(gone.created), time(gone.deleted)));
            let model = &self.model.keys[key];
            let date = model.deletion.filter(|_| !self.model.is_alive(key));
            let expected = date.map(|date| (self.arn(key), model.created, date));
            same("what is left of a key", found, expected)?;
            if model.is_purged {
                let usage = wait(self.store.read(&format!("usage/{id}")));
                let usage = usage.map_err(|error| format!("{error:?}"))?;
                ensure!(usage.is_none(), "the usage of a deleted key is kept");
            }
        }
        Ok(())
    }
}
