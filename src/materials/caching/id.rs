//! What an entry is found by.
//!
//! Specification: framework/caching-cmm.md, "Appendix A: Cache Entry Identifier
//! Formulas". The identifier never leaves the process, so that three things are
//! done otherwise: each part has its length before it (there: a zero byte after
//! it, which a partition's name may hold too); the commitment policy, the
//! provider, the required context keys and, for decryption, the pairs that the
//! caller gave are parts of it; and the hash is SHA-256.

use std::collections::BTreeSet;

use crate::context::EncryptionContext;
use crate::crypto::Fingerprint;
use crate::error::Result;
use crate::materials::{DecryptionRequest, EncryptionRequest};
use crate::message::EncryptedDataKey;
use crate::provider::ProviderIdentity;
use crate::sort;
use crate::suite::CommitmentPolicy;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryId([u8; Fingerprint::LENGTH]);

/// The parts that all of a manager's identifiers begin with.
pub(super) struct IdPrefix {
    encryption: Fingerprint,
    decryption: Fingerprint,
}

impl IdPrefix {
    pub(super) fn new(partition: &str, provider: &ProviderIdentity) -> Self {
        const CACHING_CMM: u8 = 1;
        let prefix = |scope: u8| {
            let mut prefix = Fingerprint::new();
            prefix.part(&[CACHING_CMM, scope]);
            prefix.part(partition.as_bytes());
            prefix.part(provider.as_bytes());
            prefix
        };
        IdPrefix {
            encryption: prefix(1),
            decryption: prefix(2),
        }
    }

    pub(super) fn of_encryption(&self, request: &EncryptionRequest<'_>) -> Result<EntryId> {
        let mut id = self.encryption.clone();
        let [high, low] = request.suite.id().to_be_bytes();
        // A suite that was named and the same one by default are told apart, as
        // the specification has it.
        let named = u8::from(request.suite_is_named);
        id.part(&[policy(request.policy), named, high, low]);
        required(&mut id, request.required);
        id.part(request.context.canonical()?);
        Ok(EntryId(id.finish()))
    }

    pub(super) fn of_decryption(&self, request: &DecryptionRequest<'_>) -> Result<EntryId> {
        let mut id = self.decryption.clone();
        let [high, low] = request.suite.id().to_be_bytes();
        id.part(&[policy(request.policy), high, low]);
        // What follows decides them, once `bound_only` has passed; they stand
        // here all the same, so that nothing hangs on that.
        required(&mut id, request.required);
        encrypted_data_keys(&mut id, request.edks);
        id.part(request.stored.canonical()?);
        expected(&mut id, request.expected);
        Ok(EntryId(id.finish()))
    }
}

fn policy(policy: CommitmentPolicy) -> u8 {
    match policy {
        CommitmentPolicy::ForbidEncryptAllowDecrypt => 0,
        CommitmentPolicy::RequireEncryptAllowDecrypt => 1,
        CommitmentPolicy::RequireEncryptRequireDecrypt => 2,
    }
}

fn count(id: &mut Fingerprint, number: usize) {
    id.part(&(number as u64).to_be_bytes());
}

fn required(id: &mut Fingerprint, keys: &BTreeSet<String>) {
    count(id, keys.len());
    for key in keys {
        id.part(key.as_bytes());
    }
}

/// Sorted: which of them opens the message does not depend on their order.
fn encrypted_data_keys(id: &mut Fingerprint, edks: &[EncryptedDataKey]) {
    count(id, edks.len());
    let compare = |a: usize, b: usize| edks[a].wire().cmp(edks[b].wire());
    for index in sort::order(edks.len(), &compare) {
        id.part(edks[index].wire());
    }
}

/// What the caller gives has no limit of length, unlike what a message stores.
fn expected(id: &mut Fingerprint, context: &EncryptionContext) {
    count(id, context.len());
    for (key, value) in context {
        id.part(key.as_bytes());
        id.part(value.as_bytes());
    }
}
