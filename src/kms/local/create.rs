//! Making keys.

use std::collections::BTreeMap;

use super::authorise::Guard;
use super::gate::{By, Call, Outcome};
use super::manage::as_pairs;
use super::{Inner, LocalKms, key_name};
use crate::kms::access::AccessRecord;
use crate::kms::alias;
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::key::{
    BackingKey, BackingKeyCause, DEFAULT_ROTATION_DAYS, KeyEntry, KeyRecord, Material, Origin,
    Owner,
};
use crate::kms::keyring::Keyring;
use crate::kms::parameter::Parameter;
use crate::kms::state::Operation;
use crate::kms::store::StoreError;
use crate::kms::time::Timestamp;

/// What a new key is to be.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct CreateKey {
    alias: Option<String>,
    description: String,
    tags: BTreeMap<String, String>,
    rotation_days: Option<u16>,
    is_external: bool,
    #[cfg(feature = "kms-policy")]
    policy: Option<String>,
    #[cfg(feature = "kms-policy")]
    bypass_lockout_check: bool,
}

impl CreateKey {
    /// A customer key with material of the KMS's own, without alias,
    /// description, tags and automatic rotation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives it an alias, which must be free.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.alias = Some(alias.into());
        self
    }

    /// At most 8,192 characters.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Adds a tag: a key of 1 to 128 characters, a value of at most 256; at
    /// most 1,000 of them.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }

    /// Rotates it automatically, after so many days each: 90 to 2,560.
    pub fn rotate_every(mut self, days: u16) -> Self {
        self.rotation_days = Some(days);
        self
    }

    /// A key whose material is [imported](LocalKms::import_key_material). It is
    /// [`PendingImport`](crate::kms::KeyState::PendingImport) until then.
    pub fn external(mut self) -> Self {
        self.is_external = true;
        self
    }

    /// The key's policy, in AWS's JSON, of at most 256 KiB. It must let whoever
    /// calls change it again.
    #[cfg(feature = "kms-policy")]
    #[cfg_attr(docsrs, doc(cfg(feature = "kms-policy")))]
    pub fn policy(mut self, policy: impl Into<String>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// Takes the [`policy`](Self::policy) without looking whether whoever calls
    /// could change it again (AWS KMS: `BypassPolicyLockoutSafetyCheck`).
    #[cfg(feature = "kms-policy")]
    #[cfg_attr(docsrs, doc(cfg(feature = "kms-policy")))]
    pub fn bypass_lockout_check(mut self, bypass: bool) -> Self {
        self.bypass_lockout_check = bypass;
        self
    }
}

impl LocalKms {
    /// Makes a customer key.
    ///
    /// # Errors
    /// [`KmsError::AlreadyExists`] and [`KmsError::InvalidAlias`] for the
    /// alias; [`KmsError::InvalidArgument`] and [`KmsError::LimitExceeded`] for
    /// the rest; the store's errors. There is no new key then, unless the
    /// error says that this is uncertain.
    pub async fn create_key(&self, request: CreateKey) -> KmsResult<Keyring> {
        let tags = as_pairs(&request.tags);
        let origin = if request.is_external {
            "EXTERNAL"
        } else {
            "AWS_KMS"
        };
        let details = [
            ("description", Parameter::Text(&request.description)),
            ("origin", Parameter::Text(origin)),
            ("tags", Parameter::Tags(&tags)),
        ];
        #[cfg(feature = "kms-policy")]
        let details = {
            let [description, origin, tags] = details;
            let bypass = Parameter::Bool(request.bypass_lockout_check);
            let policy = Parameter::Text(request.policy.as_deref().unwrap_or_default());
            [
                description,
                origin,
                tags,
                ("bypassPolicyLockoutSafetyCheck", bypass),
                ("policy", policy),
            ]
        };
        #[cfg(feature = "kms-policy")]
        let asked = &details[..4 + usize::from(request.policy.is_some())];
        #[cfg(not(feature = "kms-policy"))]
        let asked = &details;
        let call = self.call(Operation::CreateKey, "").with_details(asked);
        let create = async {
            self.0.enter(&call)?;
            self.0.authorise_keyless(&call)?;
            if !tags.is_empty() {
                let tag = self
                    .call(Operation::TagResource, "")
                    .with_details(&details[2..3]);
                self.0.authorise_keyless(&tag)?;
            }
            if let Some(alias) = &request.alias {
                let name = self.call(Operation::CreateAlias, "");
                self.0.authorise_alias(&name, alias)?;
            }
            self.0.create_key(&request, &call).await
        };
        let result = create.await;
        if self.0.takes_note() {
            let created = result.as_ref().ok().map(|key| {
                let metadata = [
                    ("keyId", Parameter::Text(&key.id)),
                    ("arn", Parameter::Text(&key.arn)),
                    ("creationDate", Parameter::Time(key.created)),
                    ("description", Parameter::Text(&key.description)),
                    ("origin", Parameter::Text(origin)),
                ];
                (key, metadata)
            });
            let response = created
                .as_ref()
                .map(|(_, metadata)| ("keyMetadata", Parameter::Group(metadata)));
            let key = created.as_ref().map(|(key, _)| key.arn.as_str());
            self.0.note(
                &call,
                Outcome {
                    keys: key.as_slice(),
                    response: response.as_slice(),
                    ..Outcome::of(&result)
                },
            )?;
        }
        result
    }

    /// The key of a service of the application's, made on first use. It can be
    /// looked at and used (as `alias/aws/` and the name), it is rotated each
    /// year, and it cannot be managed.
    ///
    /// # Errors
    /// [`KmsError::InvalidAlias`] for a name that is no part of an alias; the
    /// store's errors.
    pub async fn service_key(&self, service: &str) -> KmsResult<Keyring> {
        let alias = alias::service_alias(service)?;
        let owner = Owner::Service(service.to_owned());
        let id = self.named_key(&alias, owner).await?;
        self.describe_key(&id).await
    }

    /// A key of the application's own under a name, made on first use: its ARN,
    /// for [`provider`](Self::provider) and the other calls that use a key. It
    /// is rotated each year, and can be neither looked at nor managed.
    ///
    /// # Errors
    /// [`KmsError::InvalidAlias`] for a name that is no part of an alias; the
    /// store's errors.
    pub async fn owned_key(&self, name: &str) -> KmsResult<String> {
        alias::service_alias(name)?;
        let owner = Owner::Owned(name.to_owned());
        let call = self.call(Operation::CreateKey, "");
        if let Err(denied) = self.0.authorise_root(&call) {
            return self.0.settle(call, Err(denied)).await;
        }
        // No caller's text is taken for an alias of this kind.
        let id = self.named_key(&format!("owned/{name}"), owner).await?;
        Ok(self.0.arn_of(&id))
    }

    /// The id of a key that is found by its name, made on first use by the
    /// application.
    async fn named_key(&self, name: &str, owner: Owner) -> KmsResult<String> {
        if let Some(loaded) = self.0.load_alias(name).await?
            && let Some(target) = &loaded.record.target
        {
            return Ok(target.clone());
        }
        let call = self.call(Operation::CreateKey, "");
        self.0
            .pass_root(call, self.0.make_named_key(name, owner))
            .await
    }
}

impl Inner {
    async fn create_key(&self, request: &CreateKey, call: &Call<'_>) -> KmsResult<Keyring> {
        if let Some(alias) = &request.alias {
            alias::check(alias)?;
            self.check_free(alias).await?;
        }
        let mut bytes = [0; 16];
        self.backend.random().fill(&mut bytes)?;
        let id = alias::id_from(bytes, 4);
        let origin = match request.is_external {
            true => Origin::External,
            false => Origin::Local,
        };
        let now = self.now();
        let mut record = self.new_record(id, Owner::Customer, origin, now)?;
        record.set_description(request.description.clone())?;
        record.add_tags(&request.tags)?;
        if let Some(days) = request.rotation_days {
            if origin == Origin::External {
                return Err(KmsError::invalid(
                    "a key with imported material is rotated on demand only",
                ));
            }
            record.enable_rotation(days, now)?;
        }
        #[cfg(feature = "kms-policy")]
        if let Some(policy) = &request.policy {
            let bypass = request.bypass_lockout_check;
            record.access.policy = Some(self.checked_policy(call, &record, policy, bypass)?);
        }
        self.authorise_additions(request, call, &record)?;
        call.end_dry_run()?;
        let (keyring, id) = (self.keyring(&record)?, record.id.clone());
        let entry = KeyEntry::Live(Box::new(record));
        let stamp = self.vault.write(&key_name(&id), &entry, None).await?;
        if let Some(alias) = &request.alias
            && let Err(error) = self.claim_alias(alias, &id).await
        {
            // Where the alias may be there all the same, others may use it, and
            // the key stays. Else nobody has seen it; if it cannot be deleted
            // now, it stays, whole and without an alias.
            if !matches!(error, KmsError::Store(StoreError::Uncertain { .. })) {
                let _ = self.vault.delete(&key_name(&id), &stamp).await;
            }
            return Err(error);
        }
        Ok(keyring)
    }

    /// Whether whoever calls may do with the new key what is done in the same
    /// call.
    fn authorise_additions(
        &self,
        request: &CreateKey,
        call: &Call<'_>,
        record: &KeyRecord,
    ) -> KmsResult<()> {
        // The application does what it likes with what it makes.
        if !matches!(call.by, By::Caller(_)) {
            return Ok(());
        }
        let guard = Guard::new(record);
        if request.alias.is_some() {
            let operation = Operation::CreateAlias;
            let name = Call { operation, ..*call };
            self.authorise(&name, record, &guard, record.created)?;
        }
        if let Some(days) = request.rotation_days {
            let operation = Operation::EnableKeyRotation;
            let details = [("rotationPeriodInDays", Parameter::Number(days.into()))];
            let rotate = Call { operation, ..*call }.with_details(&details);
            self.authorise(&rotate, record, &guard, record.created)?;
        }
        Ok(())
    }

    fn keyring(&self, record: &KeyRecord) -> KmsResult<Keyring> {
        let now = self.now();
        let state = record.state(now, self.is_connected());
        let state = state.ok_or_else(|| record.not_found())?;
        Ok(Keyring::new(record, state, now))
    }

    /// A new key, not stored yet.
    fn new_record(
        &self,
        id: String,
        owner: Owner,
        origin: Origin,
        now: Timestamp,
    ) -> KmsResult<KeyRecord> {
        let mut backing_keys = Vec::new();
        if origin == Origin::Local {
            let material = Material::generate(&self.backend)?;
            let cause = BackingKeyCause::Creation;
            backing_keys.push(BackingKey::new(&self.backend, &id, material, cause, now));
        }
        Ok(KeyRecord {
            arn: self.arn_of(&id),
            id,
            owner,
            origin,
            description: String::new(),
            tags: BTreeMap::new(),
            created: now,
            enabled: true,
            deletion: None,
            rotation: None,
            minimum_version: 1,
            backing_keys,
            next: None,
            access: AccessRecord::default(),
        })
    }

    /// Makes a key that is found by its name. Its id follows from the name, so
    /// that of several who make it at once all make the same one, and it has
    /// material as soon as it is there.
    async fn make_named_key(&self, alias: &str, owner: Owner) -> KmsResult<String> {
        let id = alias::named_id(self.store_id(), alias);
        let now = self.now();
        let mut record = self.new_record(id.clone(), owner, Origin::Local, now)?;
        record.enable_rotation(DEFAULT_ROTATION_DAYS, now)?;
        let entry = KeyEntry::Live(Box::new(record));
        match self.vault.write(&key_name(&id), &entry, None).await {
            Err(error) if !error.is_conflict() => return Err(error),
            _ => {}
        }
        match self.claim_alias(alias, &id).await {
            Ok(()) => Ok(id),
            // A neighbour's, or a backup's: it was first.
            Err(KmsError::AlreadyExists { .. }) => self.resolve_alias_afresh(alias).await,
            Err(error) => Err(error),
        }
    }
}
