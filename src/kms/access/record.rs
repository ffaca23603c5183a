//! What a key's record says of who may use it. It is kept also by a build that
//! cannot judge by it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kms::time::Timestamp;

/// The policy and the grants of a key.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(in crate::kms) struct AccessRecord {
    /// The key policy as it was given; none is AWS's default.
    pub(in crate::kms) policy: Option<String>,
    /// By age.
    pub(in crate::kms) grants: Vec<GrantRecord>,
}

/// A grant.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::kms) struct GrantRecord {
    /// 64 hexadecimal digits.
    pub(in crate::kms) id: String,
    pub(in crate::kms) name: Option<String>,
    pub(in crate::kms) created: Timestamp,
    /// The ARN of who made it.
    pub(in crate::kms) issuer: String,
    /// The ARN of who may do what it allows.
    pub(in crate::kms) grantee: String,
    /// The ARN of who may retire it.
    pub(in crate::kms) retiring: Option<String>,
    /// Which operations, by AWS KMS's names.
    pub(in crate::kms) operations: Vec<String>,
    /// The whole encryption context that a call must have.
    pub(in crate::kms) context_equals: Option<BTreeMap<String, String>>,
    /// What the encryption context of a call must contain.
    pub(in crate::kms) context_subset: Option<BTreeMap<String, String>>,
}

impl AccessRecord {
    /// Whether it says what a new key has.
    pub(in crate::kms) fn is_default(&self) -> bool {
        self.policy.is_none() && self.grants.is_empty()
    }
}
