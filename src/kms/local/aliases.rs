//! Names of keys: made, moved, deleted, listed, resolved.

use std::sync::Arc;
use std::time::SystemTime;

use super::gate::{Call, Outcome};
use super::{Inner, Loaded, LoadedAlias, LocalKms, MAX_ATTEMPTS, not_found};
use crate::kms::alias::{self, AliasRecord};
use crate::kms::error::{KmsError, KmsResult, RecordProblem};
use crate::kms::parameter::Parameter;
use crate::kms::state::Operation;
use crate::kms::vault::Stamp;

/// A name of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alias {
    /// The name: `alias/…`, at most 256 characters.
    pub name: String,
    /// The ARN of the key that it names.
    pub key_arn: String,
    /// When the name was first given.
    pub created: SystemTime,
    /// When it was last moved.
    pub updated: SystemTime,
}

/// The names of keys.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct AliasList {
    /// The names, sorted.
    pub aliases: Vec<Alias>,
    /// The errors of records that cannot be read, each naming its record. The
    /// other names are not concerned.
    pub damaged: Vec<KmsError>,
}

impl LocalKms {
    /// Gives a key a name: `alias/` and letters, digits, `/`, `_`, `-`; at most
    /// 256 characters.
    ///
    /// # Errors
    /// [`KmsError::AlreadyExists`]; [`KmsError::InvalidAlias`], also for
    /// `alias/aws/…`, which is kept for services' keys; [`KmsError::NotFound`],
    /// [`KmsError::InvalidState`], [`KmsError::Unsupported`] for the key; the
    /// store's errors.
    pub async fn create_alias(&self, alias: &str, key: &str) -> KmsResult<()> {
        let details = [("aliasName", Parameter::Text(alias))];
        let call = self
            .call(Operation::CreateAlias, key)
            .with_details(&details);
        let create = async {
            alias::check(alias)?;
            self.0.authorise_alias(&call, alias)?;
            let id = self.0.admit_afresh(call).await?;
            self.0.claim_alias(alias, &id).await
        };
        self.0.pass(call, create).await
    }

    /// Moves a name to another key.
    ///
    /// # Errors
    /// [`KmsError::NotFound`] if there is no such alias or key; else as
    /// [`create_alias`](Self::create_alias).
    pub async fn update_alias(&self, alias: &str, key: &str) -> KmsResult<()> {
        let details = [("aliasName", Parameter::Text(alias))];
        let call = self
            .call(Operation::UpdateAlias, key)
            .with_details(&details);
        let update = async {
            alias::check(alias)?;
            self.0.authorise_alias(&call, alias)?;
            let before = self.0.authorise_target(&call, alias).await?;
            let id = self.0.admit_afresh(call).await?;
            let decide = |target: Option<&str>| match target {
                Some(_) if target != before.as_deref() => Err(KmsError::busy(alias, 1)),
                Some(_) => Ok(Some(id.clone())),
                None => Err(not_found(alias)),
            };
            self.0.write_alias(alias, decide).await
        };
        self.0.pass(call, update).await
    }

    /// Takes a name away. The key is not concerned.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::InvalidAlias`]; the store's errors.
    pub async fn delete_alias(&self, alias: &str) -> KmsResult<()> {
        let details = [("aliasName", Parameter::Text(alias))];
        let call = self
            .call(Operation::DeleteAlias, alias)
            .with_details(&details);
        // It means nothing any more once it is deleted.
        let named = match self.0.takes_note() {
            true => self.0.named_arn(alias).await,
            false => None,
        };
        let delete = async {
            self.0.enter(&call)?;
            alias::check(alias)?;
            self.0.authorise_alias(&call, alias)?;
            let before = self.0.authorise_target(&call, alias).await?;
            call.end_dry_run()?;
            let decide = |target: Option<&str>| match target {
                Some(_) if target != before.as_deref() => Err(KmsError::busy(alias, 1)),
                Some(_) => Ok(None),
                None => Err(not_found(alias)),
            };
            self.0.write_alias(alias, decide).await
        };
        let deleted: KmsResult<()> = delete.await;
        let named = named.as_deref();
        let outcome = Outcome {
            keys: named.as_slice(),
            ..Outcome::of(&deleted)
        };
        self.0.note(&call, outcome)?;
        deleted
    }

    /// All names, or those of one key, sorted. Names of deleted keys are gone
    /// with them.
    ///
    /// # Errors
    /// [`KmsError::NotFound`] for the key; the store's errors. What a record
    /// cannot be read for is part of the list.
    pub async fn list_aliases(&self, key: Option<&str>) -> KmsResult<AliasList> {
        let call = self.call(Operation::ListAliases, key.unwrap_or_default());
        let list = async {
            let wanted = match key {
                Some(key) => {
                    let call = Call::automatic(Operation::ListAliases, key);
                    let id = self.0.admit_key(call, |record, _, _| record.id.clone());
                    Some(id.await?)
                }
                None => None,
            };
            self.0.list_aliases(wanted.as_deref()).await
        };
        self.0.pass_keyless(call, list).await
    }

    /// The ARN of the key that an id, ARN or alias means.
    ///
    /// # Errors
    /// [`KmsError::NotFound`]; the store's errors.
    pub async fn resolve(&self, key: &str) -> KmsResult<String> {
        let call = self.call(Operation::DescribeKey, key);
        self.0
            .read_key(call, |record, _, _| record.arn.clone())
            .await
    }
}

impl Inner {
    pub(super) async fn list_aliases(&self, wanted: Option<&str>) -> KmsResult<AliasList> {
        let mut list = AliasList::default();
        for name in &self.vault.names("aliases/").await? {
            let stored = match self.vault.read::<AliasRecord>(name).await {
                Ok(Some(stored)) => stored,
                Ok(None) => continue,
                Err(error @ KmsError::Record { .. }) => {
                    list.damaged.push(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let record = stored.value;
            if alias::record_name(&self.backend, &record.name) != *name {
                list.damaged
                    .push(KmsError::record(name, RecordProblem::Damaged));
                continue;
            }
            // Owned keys' names are nobody's business.
            if !record.name.starts_with("alias/") {
                continue;
            }
            if let Some(target) = &record.target
                && wanted.is_none_or(|wanted| wanted == target)
                && self.is_alive(self.load(target).await)?
            {
                list.aliases.push(Alias {
                    key_arn: self.arn_of(target),
                    created: record.created.into(),
                    updated: record.updated.into(),
                    name: record.name,
                });
            }
        }
        let names = |a: &Alias, b: &Alias| a.name.cmp(&b.name);
        list.aliases.sort_unstable_by(names);
        Ok(list)
    }

    /// Admits a call by what the store says now, and gives the key's id.
    async fn admit_afresh(&self, call: Call<'_>) -> KmsResult<String> {
        let id = self.resolve_afresh(call.key).await?;
        let key = self.load_afresh(&id).await?;
        let key = key.ok_or_else(|| not_found(call.key))?;
        self.admit_loaded(call, key, |record, _, _| record.id.clone())
            .await
    }

    /// Whether a call may be made of the key that an alias means now, besides of
    /// the alias: its id. A missing one is for others to tell.
    async fn authorise_target(&self, call: &Call<'_>, alias: &str) -> KmsResult<Option<String>> {
        let loaded = self.load_alias_afresh(alias).await?;
        let Some(id) = loaded.and_then(|alias| alias.record.target.clone()) else {
            return Ok(None);
        };
        match self.load_afresh(&id).await {
            Ok(Some(key)) if key.live().is_ok() => {
                self.allow(*call, key).await?;
            }
            Ok(_) => {}
            // What its policy says cannot be read.
            Err(_) => self.authorise_root(call)?,
        }
        Ok(Some(id))
    }

    /// Whether there is such a key, and its deletion is not due.
    fn is_alive(&self, key: KmsResult<Option<Arc<Loaded>>>) -> KmsResult<bool> {
        let key = match key {
            Ok(key) => key,
            // It is there, and nobody may take its name.
            Err(KmsError::Record { .. }) => return Ok(true),
            Err(error) => return Err(error),
        };
        Ok(key.is_some_and(|key| key.living(self.now()).is_ok()))
    }

    pub(super) async fn check_free(&self, alias: &str) -> KmsResult<()> {
        let loaded = self.load_alias_afresh(alias).await?;
        match self.living_target(loaded.as_deref()).await? {
            Some(_) => Err(KmsError::AlreadyExists {
                alias: alias.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Takes a name that is free: that nobody has given, that was deleted, or
    /// whose key was.
    pub(super) async fn claim_alias(&self, alias: &str, id: &str) -> KmsResult<()> {
        self.write_alias(alias, |target| match target {
            Some(_) => Err(KmsError::AlreadyExists {
                alias: alias.to_owned(),
            }),
            None => Ok(Some(id.to_owned())),
        })
        .await
    }

    async fn living_target<'a>(
        &self,
        loaded: Option<&'a LoadedAlias>,
    ) -> KmsResult<Option<&'a str>> {
        match loaded.and_then(|loaded| loaded.record.target.as_deref()) {
            Some(target) if self.is_alive(self.load_afresh(target).await)? => Ok(Some(target)),
            _ => Ok(None),
        }
    }

    /// Changes what a name means, from what it means now. Of several at once
    /// one is first, and the others see what it wrote.
    async fn write_alias(
        &self,
        alias: &str,
        decide: impl Fn(Option<&str>) -> KmsResult<Option<String>>,
    ) -> KmsResult<()> {
        let name = alias::record_name(&self.backend, alias);
        for _ in 0..MAX_ATTEMPTS {
            let age = self.clock.elapsed();
            let epoch = self.aliases.epoch(&self.vault, age).await?;
            let loaded = self.load_alias_afresh(alias).await?;
            let living = self.living_target(loaded.as_deref()).await?;
            let target = decide(living)?;
            let now = self.now();
            // A name that went with its key is given anew.
            let created = match loaded.as_deref().filter(|_| living.is_some()) {
                Some(loaded) => loaded.record.created,
                None => now,
            };
            let record = AliasRecord {
                name: alias.to_owned(),
                target,
                created,
                updated: now,
            };
            let before = self.target_arn(loaded.as_deref());
            let _tell = before.map(|arn| self.listeners.tell_at_end(arn));
            let stamp: Option<&Stamp> = loaded.as_deref().map(|loaded| &loaded.stamp);
            let written = self
                .aliases
                .write(&self.vault, (alias, &name), &record, stamp);
            match written.await {
                Ok(stamp) => {
                    let written = Arc::new(LoadedAlias { record, stamp });
                    self.aliases.put(alias, epoch, written);
                    return Ok(());
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Err(KmsError::busy(&name, MAX_ATTEMPTS))
    }
}
