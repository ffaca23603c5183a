//! Does each operation to the KMS and to the model, and compares.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use waxseal::blocking::wait;
use waxseal::kms::store::MemoryStore;
use waxseal::kms::{
    CreateKey, ImportOptions, ImportType, KmsResult, LocalKms, Origin, Owner, RootKey,
};
use waxseal::test_util::ManualClock;
use waxseal::{Clock, EncryptionContext, SecretBytes};

use crate::Statistics;
use crate::fault::{Checked, Fault, Outcome, agree, ensure, same};
use crate::model::{Class, DAY, Model, Named, RESERVED, Time};
use crate::operation::{Form, Given, Op, Target};

const ALIASES: [&str; 7] = [
    "alias/a",
    "alias/b",
    "alias/c/c",
    "alias/d-d",
    "alias/e_e",
    "alias/aws/s3",
    "alias/not one",
];
const NAMES: [&str; 2] = ["s3", "rds"];
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";
/// Checks of everything are many times an operation's work.
const CHECK_EVERY: usize = 40;

/// What was encrypted, once.
pub(crate) struct Secret {
    pub(crate) key: usize,
    pub(crate) version: u32,
    pub(crate) context: EncryptionContext,
    pub(crate) bytes: Vec<u8>,
    pub(crate) plaintext: Vec<u8>,
}

pub(crate) struct World<'a> {
    pub(crate) model: Model,
    pub(crate) clock: ManualClock,
    pub(crate) store: MemoryStore,
    pub(crate) root: u8,
    pub(crate) handles: [LocalKms; 2],
    /// The keys' ids, by the model's numbers.
    pub(crate) ids: Vec<String>,
    /// By the names' numbers.
    pub(crate) service_keys: BTreeMap<usize, usize>,
    pub(crate) owned_keys: BTreeMap<usize, usize>,
    /// The ids of a key's materials: of version, or of what was imported.
    pub(crate) material_ids: BTreeMap<(usize, Result<u32, u8>), String>,
    pub(crate) blobs: Vec<Secret>,
    pub(crate) messages: Vec<Secret>,
    pub(crate) drawn: u8,
    pub(crate) done: usize,
    pub(crate) statistics: &'a RefCell<Statistics>,
}

pub(crate) fn time(time: SystemTime) -> Time {
    time.duration_since(UNIX_EPOCH).unwrap().as_millis() as Time
}

fn date(time: Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(time)
}

pub(crate) fn root_key(number: u8) -> RootKey {
    RootKey::bytes(SecretBytes::from(vec![number; 32]))
}

pub(crate) fn context(which: u8) -> EncryptionContext {
    match which % 4 {
        0 => EncryptionContext::new(),
        1 => EncryptionContext::from([("tenant", "1")]),
        2 => EncryptionContext::from([("tenant", "2")]),
        _ => EncryptionContext::from([("tenant", "1"), ("table", "x")]),
    }
}

pub(crate) fn open(store: &MemoryStore, clock: &ManualClock, root: u8) -> LocalKms {
    let builder = LocalKms::builder(store.clone(), root_key(root))
        .clock(clock.clone())
        .max_staleness(Duration::ZERO);
    wait(builder.open()).unwrap()
}

impl<'a> World<'a> {
    pub(crate) fn new(statistics: &'a RefCell<Statistics>) -> Self {
        let (clock, store) = (ManualClock::default(), MemoryStore::new());
        let handles = [0, 1].map(|_| open(&store, &clock, 0));
        let mut world = World {
            model: Model::new(time(clock.now())),
            clock,
            store,
            root: 0,
            handles,
            ids: Vec::new(),
            service_keys: BTreeMap::new(),
            owned_keys: BTreeMap::new(),
            material_ids: BTreeMap::new(),
            blobs: Vec::new(),
            messages: Vec::new(),
            drawn: 0,
            done: 0,
            statistics,
        };
        // Something to begin with.
        for is_external in [false, true] {
            let request = CreateKey::new();
            let request = match is_external {
                true => request.external(),
                false => request,
            };
            let key = wait(world.handles[0].create_key(request)).unwrap();
            world.ids.push(key.id);
            world.model.create(is_external, None, None).unwrap();
        }
        world
    }

    /// One operation, and what it came to in the statistics.
    pub(crate) fn run(&mut self, operation: &Op) -> Checked {
        let fault = self.apply(operation)?;
        let name = fault.map_or_else(|| "Ok".to_owned(), Fault::name);
        self.statistics.borrow_mut().count(operation.name(), name);
        self.done += 1;
        if self.done.is_multiple_of(CHECK_EVERY) {
            self.check_all(self.done / CHECK_EVERY % 2)?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Checked {
        for handle in [0, 1] {
            self.check_all(handle)?;
        }
        let started = Model::new(time(ManualClock::default().now())).now;
        let mut statistics = self.statistics.borrow_mut();
        statistics.keys += self.ids.len() as u64;
        statistics.sealed += (self.blobs.len() + self.messages.len()) as u64;
        statistics.milliseconds += u128::from(self.model.now - started);
        Ok(())
    }

    pub(crate) fn arn(&self, key: usize) -> String {
        format!("arn:waxseal:kms:local:000000000000:key/{}", self.ids[key])
    }

    /// A key as the model and as the KMS know it.
    pub(crate) fn named(&self, key: usize, form: Form, alias: u8) -> (Named, String) {
        match form {
            Form::Id => (Named::Key(key), self.ids[key].clone()),
            Form::Arn => (Named::Key(key), self.arn(key)),
            Form::Alias => {
                // Mostly one that the key has, if it has one.
                let is_own = !alias.is_multiple_of(4);
                let mut own = self.model.aliases.iter();
                let name = match own.find(|(_, entry)| entry.key == key) {
                    Some((name, _)) if is_own => name.clone(),
                    None if is_own => return self.named(key, Form::Id, alias),
                    _ => ALIASES[usize::from(alias / 4) % ALIASES.len()].to_owned(),
                };
                (Named::Alias(name.clone()), name)
            }
            Form::Unknown => (Named::Nothing, UNKNOWN.to_owned()),
        }
    }

    /// Mostly a key that is there, and often one that allows the operation.
    pub(crate) fn target(&self, target: Target, class: Class) -> (Named, String) {
        let mut keys: Vec<usize> = (0..self.ids.len()).collect();
        let mut prefer = |fits: &dyn Fn(usize) -> bool| {
            if keys.iter().any(|key| fits(*key)) {
                keys.retain(|key| fits(*key));
            }
        };
        if !target.key.is_multiple_of(8) {
            prefer(&|key| self.model.is_alive(key));
        }
        if !target.key.is_multiple_of(2) {
            let handle = target.handle;
            prefer(&|key| self.model.admit(class, &Named::Key(key), handle).is_ok());
        }
        let key = keys[usize::from(target.key / 2) % keys.len()];
        self.named(key, target.form, target.key)
    }

    pub(crate) fn given(&self, given: Given, key: usize) -> Option<(Named, String)> {
        match given {
            Given::None => None,
            Given::Own(form) => Some(self.named(key, form, 1)),
            Given::Any(target) => Some(self.target(target, Class::Use)),
        }
    }

    pub(crate) fn draw(&mut self) -> Vec<u8> {
        self.drawn = self.drawn.wrapping_add(1);
        vec![self.drawn; usize::from(self.drawn % 40)]
    }

    /// A call that changes a key: both agree, and the key is the same after.
    fn manage(
        &mut self,
        on: Target,
        class: Class,
        call: impl FnOnce(&LocalKms, &str) -> KmsResult<()>,
        model: impl FnOnce(&mut Model, &Named) -> Outcome<()>,
    ) -> Checked<Option<Fault>> {
        let (named, text) = self.target(on, class);
        let found = call(&self.handles[on.handle], &text);
        let expected = model(&mut self.model, &named);
        let agreed = agree(found, expected)?;
        if let Ok(key) = self.model.find(&named) {
            self.check_key(key)?;
        }
        Ok(agreed.err())
    }

    fn apply(&mut self, operation: &Op) -> Checked<Option<Fault>> {
        match *operation {
            Op::Create {
                handle,
                external,
                alias,
                rotation,
            } => self.create(handle, external, alias, rotation),
            Op::ServiceKey { handle, name } => self.service_key(handle, name),
            Op::OwnedKey { handle, name } => self.owned_key(handle, name),
            Op::CreateAlias { alias, on } => {
                let alias = ALIASES[usize::from(alias) % ALIASES.len()];
                let checked = self.manage(
                    on,
                    Class::Manage,
                    |kms, key| wait(kms.create_alias(alias, key)),
                    |model, key| model.create_alias(alias, key, on.handle),
                )?;
                self.check_aliases(on.handle)?;
                Ok(checked)
            }
            Op::UpdateAlias { alias, on } => {
                let alias = ALIASES[usize::from(alias) % ALIASES.len()];
                let checked = self.manage(
                    on,
                    Class::Manage,
                    |kms, key| wait(kms.update_alias(alias, key)),
                    |model, key| model.update_alias(alias, key, on.handle),
                )?;
                self.check_aliases(on.handle)?;
                Ok(checked)
            }
            Op::DeleteAlias { handle, alias } => {
                let alias = ALIASES[usize::from(alias) % ALIASES.len()];
                let found = wait(self.handles[handle].delete_alias(alias));
                let agreed = agree(found, self.model.delete_alias(alias))?;
                self.check_aliases(handle)?;
                Ok(agreed.err())
            }
            Op::Describe { on, text } => {
                let text = format!("description {text}");
                self.manage(
                    on,
                    Class::Manage,
                    |kms, key| wait(kms.update_description(key, &text)),
                    |model, named| {
                        let key = model.admit(Class::Manage, named, on.handle)?;
                        model.keys[key].description = text.clone();
                        Ok(())
                    },
                )
            }
            Op::Tag { on, tag } => {
                let tags = BTreeMap::from([(format!("tag {}", tag % 4), tag.to_string())]);
                self.manage(
                    on,
                    Class::Manage,
                    |kms, key| wait(kms.tag(key, &tags)),
                    |model, named| {
                        let key = model.admit(Class::Manage, named, on.handle)?;
                        model.keys[key].tags.extend(tags.clone());
                        Ok(())
                    },
                )
            }
            Op::Untag { on, tag } => {
                let tag = format!("tag {}", tag % 4);
                self.manage(
                    on,
                    Class::Manage,
                    |kms, key| wait(kms.untag(key, &[&tag])),
                    |model, named| {
                        let key = model.admit(Class::Manage, named, on.handle)?;
                        model.keys[key].tags.remove(&tag);
                        Ok(())
                    },
                )
            }
            Op::Encrypt { on, context: which } => {
                let (named, text) = self.target(on, Class::Use);
                let (plaintext, context) = (self.draw(), context(which));
                let found = wait(self.handles[on.handle].encrypt(&text, &plaintext, &context));
                let expected = self.model.wrap(&named, on.handle);
                let agreed = agree(found, expected)?;
                self.keep(agreed.map(|(found, at)| (found, plaintext, at)), context)
            }
            Op::GenerateDataKey {
                on,
                context: which,
                shown,
            } => self.generate_data_key(on, context(which), shown),
            Op::Decrypt(from) => self.decrypt(from),
            Op::ReEncrypt { from, to, context } => self.re_encrypt(from, to, context),
            Op::EncryptMessage { on, context: which } => self.encrypt_message(on, context(which)),
            Op::DecryptMessage {
                on,
                which,
                own,
                any,
                context,
            } => self.decrypt_message(on, which, own, any, context),
            Op::Rotate(on) => {
                let (named, text) = self.target(on, Class::Rotate);
                let found = wait(self.handles[on.handle].rotate(&text));
                let agreed = agree(found, self.model.rotate(&named, on.handle))?;
                if let Ok((found, expected)) = agreed {
                    same("the new version", found, expected)?;
                    self.check_key(self.model.find(&named).unwrap())?;
                }
                Ok(agreed.err())
            }
            Op::EnableRotation { on, days } => self.manage(
                on,
                Class::SetRotation,
                |kms, key| wait(kms.enable_rotation(key, days)),
                |model, key| model.enable_rotation(key, days, on.handle),
            ),
            Op::DisableRotation(on) => self.manage(
                on,
                Class::SetRotation,
                |kms, key| wait(kms.disable_rotation(key)),
                |model, named| {
                    let key = model.admit(Class::SetRotation, named, on.handle)?;
                    model.keys[key].rotation = None;
                    Ok(())
                },
            ),
            Op::Enable(on) => self.manage(
                on,
                Class::Toggle,
                |kms, key| wait(kms.enable_key(key)),
                |model, named| {
                    let key = model.admit(Class::Toggle, named, on.handle)?;
                    model.keys[key].is_enabled = true;
                    Ok(())
                },
            ),
            Op::Disable(on) => self.manage(
                on,
                Class::Toggle,
                |kms, key| wait(kms.disable_key(key)),
                |model, named| {
                    let key = model.admit(Class::Toggle, named, on.handle)?;
                    model.keys[key].is_enabled = false;
                    Ok(())
                },
            ),
            Op::Schedule { on, days } => self.schedule(on, days),
            Op::Cancel(on) => self.manage(
                on,
                Class::Cancel,
                |kms, key| wait(kms.cancel_deletion(key)),
                |model, key| model.cancel(key, on.handle),
            ),
            Op::SetMinimum { on, minimum } => self.manage(
                on,
                Class::Manage,
                |kms, key| wait(kms.set_minimum_version(key, minimum)),
                |model, key| model.set_minimum(key, minimum, on.handle),
            ),
            Op::Import {
                on,
                material,
                is_new,
                days,
                length,
            } => self.import(on, material, is_new, days, length),
            Op::DeleteMaterial { on, which } => self.delete_material(on, which),
            Op::Pass(pass) => {
                self.pass(pass);
                Ok(None)
            }
            Op::RunDue { handle } => self.run_due(handle),
            Op::Disconnect { handle } => {
                self.handles[handle].disconnect().unwrap();
                self.model.is_connected[handle] = false;
                Ok(None)
            }
            Op::Connect { handle } => {
                let agreed = agree(wait(self.handles[handle].connect()), Ok(()))?;
                self.model.is_connected[handle] = true;
                Ok(agreed.err())
            }
            Op::Reopen { handle } => {
                self.reopen(handle);
                Ok(None)
            }
            Op::RotateStoreKey { handle } => {
                let agreed = agree(wait(self.handles[handle].rotate_store_key()), Ok(()))?;
                Ok(agreed.err())
            }
            Op::ChangeRoot { handle } => self.change_root(handle),
            Op::Backup { handle } => self.backup(handle),
            Op::CheckAll { handle } => {
                self.check_all(handle)?;
                Ok(None)
            }
        }
    }

    fn create(
        &mut self,
        handle: usize,
        external: bool,
        alias: Option<u8>,
        rotation: Option<u16>,
    ) -> Checked<Option<Fault>> {
        let alias = alias.map(|alias| ALIASES[usize::from(alias) % ALIASES.len()]);
        let mut request = CreateKey::new();
        if external {
            request = request.external();
        }
        if let Some(alias) = alias {
            request = request.alias(alias);
        }
        if let Some(days) = rotation {
            request = request.rotate_every(days);
        }
        let found = wait(self.handles[handle].create_key(request));
        let expected = self.model.create(external, alias, rotation);
        let agreed = agree(found, expected)?;
        if let Ok((keyring, key)) = &agreed {
            ensure!(!self.ids.contains(&keyring.id), "an id that there was");
            self.ids.push(keyring.id.clone());
            self.compare(*key, keyring, handle)?;
            self.check_key(*key)?;
            self.check_aliases(handle)?;
        }
        Ok(agreed.err())
    }

    fn service_key(&mut self, handle: usize, name: u8) -> Checked<Option<Fault>> {
        let place = usize::from(name) % NAMES.len();
        let name = NAMES[place];
        let found = wait(self.handles[handle].service_key(name));
        let agreed = agree(found, Ok(()))?;
        if let Ok((keyring, ())) = &agreed {
            let key = match self.service_keys.get(&place) {
                Some(key) => *key,
                None => {
                    let owner = Owner::Service(name.to_owned());
                    let key = self.model.add_key(owner, Origin::Local, Some(365));
                    self.model.name(&format!("{RESERVED}{name}"), key);
                    self.ids.push(keyring.id.clone());
                    self.service_keys.insert(place, key);
                    key
                }
            };
            self.compare(key, keyring, handle)?;
            self.check_aliases(handle)?;
        }
        Ok(agreed.err())
    }

    fn owned_key(&mut self, handle: usize, name: u8) -> Checked<Option<Fault>> {
        let place = usize::from(name) % NAMES.len();
        let name = NAMES[place];
        let found = wait(self.handles[handle].owned_key(name));
        let agreed = agree(found, Ok(()))?;
        if let Ok((arn, ())) = &agreed {
            let key = match self.owned_keys.get(&place) {
                Some(key) => *key,
                None => {
                    let owner = Owner::Owned(name.to_owned());
                    let key = self.model.add_key(owner, Origin::Local, Some(365));
                    let id = arn.rsplit('/').next().unwrap_or_default();
                    self.ids.push(id.to_owned());
                    self.owned_keys.insert(place, key);
                    key
                }
            };
            same("an owned key's ARN", arn.clone(), self.arn(key))?;
        }
        Ok(agreed.err())
    }

    fn schedule(&mut self, on: Target, days: Option<u16>) -> Checked<Option<Fault>> {
        let (named, text) = self.target(on, Class::Manage);
        // What the other handle has counted is known once it is written.
        let is_flushed = on.key.is_multiple_of(3);
        if is_flushed {
            self.flush()?;
        }
        let found = wait(self.handles[on.handle].schedule_deletion(&text, days));
        let agreed = agree(found, self.model.schedule(&named, days, on.handle))?;
        if let Ok((found, expected)) = &agreed {
            let key = self.model.find(&named).unwrap();
            same("the key", found.key_arn.clone(), self.arn(key))?;
            same("the date", time(found.date), expected.0)?;
            if is_flushed {
                let found = (found.last_used.map(time), found.is_in_recent_use);
                same("the last use", found, (expected.1, expected.2))?;
            }
            self.check_key(key)?;
        }
        Ok(agreed.err())
    }

    fn import(
        &mut self,
        on: Target,
        material: u8,
        is_new: Option<bool>,
        days: Option<u16>,
        length: usize,
    ) -> Checked<Option<Fault>> {
        let mut options = ImportOptions::new();
        if let Some(is_new) = is_new {
            options = options.import_type(match is_new {
                true => ImportType::New,
                false => ImportType::Existing,
            });
        }
        let expires = days.map(|days| self.model.now + Time::from(days) * DAY);
        if let Some(expires) = expires {
            options = options.expires(date(expires));
        }
        let secret = SecretBytes::from(vec![material; length]);
        self.manage(
            on,
            Class::Import,
            |kms, key| wait(kms.import_key_material(key, &secret, options)),
            |model, key| {
                if length != 32 {
                    model.admit(Class::Import, key, on.handle)?;
                    return Err(Fault::InvalidArgument);
                }
                model.import(key, material, is_new, expires, on.handle)
            },
        )
    }

    fn delete_material(&mut self, on: Target, which: Option<u8>) -> Checked<Option<Fault>> {
        let (named, _) = self.target(on, Class::DeleteMaterial);
        let key = self.model.find(&named).ok();
        let count = key.map_or(0, |key| {
            let key = &self.model.keys[key];
            key.versions.len() + usize::from(key.next.is_some())
        });
        let which = which.map(|which| usize::from(which) % (count + 1));
        let mut id = "0".repeat(64);
        if let (Some(which), Some(key)) = (which, key)
            && let Ok(keyring) = wait(self.handles[on.handle].describe_key(&self.ids[key]))
            && let Some(info) = keyring.backing_keys.iter().chain(&keyring.next).nth(which)
        {
            id = info.material_id.clone();
        }
        let id = which.map(|_| id.as_str());
        self.manage(
            on,
            Class::DeleteMaterial,
            |kms, key| wait(kms.delete_imported_key_material(key, id)),
            |model, key| model.delete_material(key, which, on.handle),
        )
    }

    pub(crate) fn flush(&self) -> Checked {
        for kms in &self.handles {
            wait(kms.flush_usage()).map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    }
}
