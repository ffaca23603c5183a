//! Grants: made, listed, retired, revoked.

use super::gate::{Change, Outcome};
use super::{Inner, LocalKms, not_found};
use crate::context::EncryptionContext;
use crate::kms::access::{
    CreateGrant, CreatedGrant, Grant, GrantRecord, Principal, parse_token, token_of,
};
use crate::kms::digest::hex;
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::key::KeyEntry;
use crate::kms::parameter::Parameter;
use crate::kms::state::Operation;

/// So many grants fit a record of the default size.
const MAX_GRANTS: usize = 10_000;

impl LocalKms {
    /// Makes a grant: lets a principal do some operations with a key, without
    /// the key's policy saying so. A [`Deny`](super::super::policy) still wins.
    /// With the same name and the same content again, it is the same grant.
    ///
    /// Who makes one by right of a grant can give on no more than that grant
    /// allows.
    ///
    /// # Errors
    /// [`KmsError::InvalidArgument`], [`KmsError::LimitExceeded`] over 10,000
    /// of one key; [`KmsError::NotFound`], [`KmsError::AccessDenied`],
    /// [`KmsError::Disabled`], [`KmsError::InvalidState`]; the store's errors.
    pub async fn create_grant(&self, key: &str, request: CreateGrant) -> KmsResult<CreatedGrant> {
        let names: Vec<&str> = request.operations.iter().map(|op| op.name()).collect();
        let context = |pairs: &std::collections::BTreeMap<String, String>| {
            EncryptionContext::from_iter(pairs.clone())
        };
        let equals = request.context_equals.as_ref().map(context);
        let subset = request.context_subset.as_ref().map(context);
        let constraints: Vec<(&'static str, Parameter<'_>)> = [
            ("encryptionContextEquals", &equals),
            ("encryptionContextSubset", &subset),
        ]
        .into_iter()
        .filter_map(|(name, pairs)| Some((name, Parameter::Context(pairs.as_ref()?))))
        .collect();
        let mut details = vec![
            ("granteePrincipal", Parameter::Text(request.grantee.arn())),
            ("operations", Parameter::Texts(&names)),
        ];
        if !constraints.is_empty() {
            details.push(("constraints", Parameter::Group(&constraints)));
        }
        if let Some(retiring) = &request.retiring {
            details.push(("retiringPrincipal", Parameter::Text(retiring.arn())));
        }
        if let Some(name) = &request.name {
            details.push(("name", Parameter::Text(name)));
        }
        let call = self
            .call(Operation::CreateGrant, key)
            .with_details(&details);
        let issuer = self.principal();
        let make = async {
            request.check()?;
            let mut bytes = [0; 32];
            self.0.backend.random().fill(&mut bytes)?;
            let id = hex(&bytes);
            self.0.enter(&call)?;
            let change = self.0.write_changed(call, |record, now| {
                let grant = GrantRecord::new(id.clone(), issuer, &request, now);
                let grants = &record.access.grants;
                if let Some(same) = grants.iter().find(|made| made.is_same(&grant)) {
                    return Ok(Change::Keep((record.id.clone(), same.id.clone())));
                }
                if grants.len() >= MAX_GRANTS {
                    return Err(KmsError::LimitExceeded {
                        what: "grants of one key",
                        limit: MAX_GRANTS as u64,
                    });
                }
                self.0.check_parent(&call, record, &grant)?;
                record.access.grants.push(grant);
                Ok(Change::Write((record.id.clone(), id.clone())))
            });
            let (key_id, id) = change.await?;
            let token = token_of(&key_id, &id);
            Ok((self.0.arn_of(&key_id), CreatedGrant { id, token }))
        };
        let made: KmsResult<_> = make.await;
        if self.0.takes_note() {
            let named = match &made {
                Ok((arn, _)) => Some(arn.clone()),
                Err(_) => self.0.named_arn(key).await,
            };
            let response = made.as_ref().ok().map(|(arn, grant)| {
                [
                    ("grantId", Parameter::Text(&grant.id)),
                    ("keyId", Parameter::Text(arn)),
                ]
            });
            self.0.note(
                &call,
                Outcome {
                    keys: named.as_deref().as_slice(),
                    response: response.as_ref().map_or(&[], |response| response),
                    ..Outcome::of(&made)
                },
            )?;
        }
        Ok(made?.1)
    }

    /// The grants of a key, by age.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::AccessDenied`]; the store's errors.
    pub async fn list_grants(&self, key: &str) -> KmsResult<Vec<Grant>> {
        let call = self.call(Operation::ListGrants, key);
        let grants = self.0.read_key(call, |record, _, _| {
            let grants = record.access.grants.iter();
            grants.map(|grant| grant.shown(&record.arn)).collect()
        });
        grants.await
    }

    /// The grants of all keys that a principal may retire. It reads every key.
    ///
    /// # Errors
    /// [`KmsError::AccessDenied`], also of every caller of another account; the
    /// store's errors.
    pub async fn list_retirable_grants(&self, retiring: &Principal) -> KmsResult<Vec<Grant>> {
        let details = [("retiringPrincipal", Parameter::Text(retiring.arn()))];
        let call = self
            .call(Operation::ListRetirableGrants, "")
            .with_details(&details);
        let list = async {
            let mut grants = Vec::new();
            for name in &self.0.vault.names("keys/").await? {
                let Some(id) = super::key_id(name) else {
                    continue;
                };
                // What cannot be read is told of by list_keys.
                let Ok(Some(key)) = self.0.load(id).await else {
                    continue;
                };
                let KeyEntry::Live(record) = &key.entry else {
                    continue;
                };
                let own = record.access.grants.iter();
                let own = own.filter(|grant| grant.retiring.as_deref() == Some(retiring.arn()));
                grants.extend(own.map(|grant| grant.shown(&record.arn)));
            }
            Ok(grants)
        };
        self.0.pass_keyless(call, list).await
    }

    /// Ends a grant, by those whom it concerns: its retiring principal, its
    /// grantee if it allows [`RetireGrant`](super::super::GrantOperation), the
    /// root of the key's account, or whoever a policy lets.
    ///
    /// # Errors
    /// [`KmsError::NotFound`] for the key and the grant,
    /// [`KmsError::AccessDenied`]; the store's errors.
    pub async fn retire_grant(&self, key: &str, grant_id: &str) -> KmsResult<()> {
        self.end_grant(Operation::RetireGrant, key, grant_id).await
    }

    /// The same by the grant's token.
    ///
    /// # Errors
    /// [`KmsError::InvalidGrantToken`]; else as
    /// [`retire_grant`](Self::retire_grant).
    pub async fn retire_grant_by_token(&self, token: &str) -> KmsResult<()> {
        match parse_token(token) {
            Ok((key, grant)) => self.retire_grant(&key, &grant).await,
            Err(error) => {
                let call = self.call(Operation::RetireGrant, "");
                self.0.pass(call, async { Err(error) }).await
            }
        }
    }

    /// Ends a grant, by those who manage the key.
    ///
    /// # Errors
    /// [`KmsError::NotFound`] for the key and the grant,
    /// [`KmsError::AccessDenied`]; the store's errors.
    pub async fn revoke_grant(&self, key: &str, grant_id: &str) -> KmsResult<()> {
        self.end_grant(Operation::RevokeGrant, key, grant_id).await
    }

    async fn end_grant(&self, operation: Operation, key: &str, grant_id: &str) -> KmsResult<()> {
        let details = [("grantId", Parameter::Text(grant_id))];
        let call = self.call(operation, key).with_details(&details);
        self.0
            .change_key(call, |record, _| {
                let grants = &mut record.access.grants;
                let place = grants.iter().position(|grant| grant.id == grant_id);
                let place = place.ok_or_else(|| not_found(grant_id))?;
                grants.remove(place);
                Ok(Change::Write(()))
            })
            .await
    }

    fn principal(&self) -> &Principal {
        match &self.1 {
            Some(caller) => caller.principal(),
            None => &self.0.access.root,
        }
    }
}

impl Inner {
    /// Whether a new grant allows no more than the one by whose right it is
    /// made, where only a grant lets its author make it.
    fn check_parent(
        &self,
        call: &super::Call<'_>,
        record: &crate::kms::key::KeyRecord,
        grant: &GrantRecord,
    ) -> KmsResult<()> {
        let Some(parents) = self.parents_of(call, record) else {
            return Ok(());
        };
        if parents.iter().any(|parent| parent.covers(grant)) {
            return Ok(());
        }
        let reason = "a grant can be given on with no more than it allows itself";
        Err(KmsError::denied(
            &grant.issuer,
            call.action(),
            &record.arn,
            reason,
        ))
    }
}
