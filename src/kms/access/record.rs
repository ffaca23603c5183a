//! What a key's record says of who may use it. It is kept also by a build that
//! cannot judge by it.

use std::collections::BTreeMap;

use crate::kms::codec::{Codec, Reader, Writer};
use crate::kms::time::Timestamp;

/// The policy and the grants of a key.
#[derive(Clone, Default)]
pub(in crate::kms) struct AccessRecord {
    /// The key policy as it was given; none is AWS's default.
    pub(in crate::kms) policy: Option<String>,
    /// By age.
    pub(in crate::kms) grants: Vec<GrantRecord>,
}

/// A grant.
#[derive(Clone, PartialEq, Eq)]
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

impl Codec<'_> for AccessRecord {
    fn write(&self, writer: &mut Writer) {
        writer.option(&self.policy);
        writer.list(&self.grants);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(AccessRecord {
            policy: reader.option()?,
            grants: reader.list()?,
        })
    }
}

impl Codec<'_> for GrantRecord {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.id);
        writer.option(&self.name);
        self.created.write(writer);
        writer.text(&self.issuer);
        writer.text(&self.grantee);
        writer.option(&self.retiring);
        writer.list(&self.operations);
        writer.option(&self.context_equals);
        writer.option(&self.context_subset);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(GrantRecord {
            id: reader.string()?,
            name: reader.option()?,
            created: Timestamp::read(reader)?,
            issuer: reader.string()?,
            grantee: reader.string()?,
            retiring: reader.option()?,
            operations: reader.list()?,
            context_equals: reader.option()?,
            context_subset: reader.option()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kms::codec::tests::assert_stored;

    #[test]
    fn grants() {
        let map = |pairs: &[(&str, &str)]| {
            let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
            Some(pairs.iter().map(owned).collect())
        };
        let least = GrantRecord {
            id: "g0".to_owned(),
            name: None,
            created: Timestamp::FIRST.plus(Duration::from_millis(1)),
            issuer: "i".to_owned(),
            grantee: "e".to_owned(),
            retiring: None,
            operations: Vec::new(),
            context_equals: None,
            context_subset: None,
        };
        let most = GrantRecord {
            id: "g1".to_owned(),
            name: Some("n".to_owned()),
            retiring: Some("r".to_owned()),
            operations: vec!["Encrypt".to_owned(), "Decrypt".to_owned()],
            context_equals: map(&[("k", "v"), ("a", "")]),
            context_subset: map(&[]),
            ..least.clone()
        };
        let access = AccessRecord {
            policy: None,
            grants: vec![least, most],
        };
        assert_stored(
            &access,
            &[
                b"\x00",
                b"\x02",
                b"\x02g0\x00\x01\x01i\x01e\x00",
                b"\x00",
                b"\x00\x00",
                b"\x02g1\x01\x01n\x01\x01i\x01e\x01\x01r",
                b"\x02\x07Encrypt\x07Decrypt",
                b"\x01\x02\x01a\x00\x01k\x01v",
                b"\x01\x00",
            ],
        );
    }
}
