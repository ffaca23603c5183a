//! Grants: who may use a key without its policy saying so.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use base64ct::{Base64, Encoding as _};

use super::{GrantRecord, Principal};
use crate::context::EncryptionContext;
use crate::kms::alias::is_id;
use crate::kms::error::{KmsError, KmsResult};

const MAX_NAME_LENGTH: usize = 256;
/// The most pairs of a constraint.
const MAX_CONSTRAINT_PAIRS: usize = 8;
const ID_LENGTH: usize = 64;

macro_rules! grant_operations {
    ($($name:ident: $doc:literal,)*) => {
        /// What a grant can allow, by AWS KMS's names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum GrantOperation {
            $(#[doc = $doc] $name,)*
        }

        impl GrantOperation {
            /// All of them.
            pub const ALL: &'static [GrantOperation] = &[$(Self::$name,)*];

            /// Its name, as AWS KMS's.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

grant_operations! {
    CreateGrant: "Make grants that allow no more than this one.",
    Decrypt: "Decrypt, and unwrap data keys.",
    DescribeKey: "Look at the key.",
    Encrypt: "Encrypt, and wrap given data keys.",
    GenerateDataKey: "Make data keys, in the clear and wrapped.",
    GenerateDataKeyWithoutPlaintext: "Make data keys, wrapped only.",
    ReEncryptFrom: "Re-encrypt what is under this key.",
    ReEncryptTo: "Re-encrypt under this key.",
    RetireGrant: "End the grant.",
}

impl GrantOperation {
    /// By AWS KMS's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|op| op.name() == name)
    }

    /// Whether a constraint on the encryption context says something about it:
    /// looking at a key and retiring a grant have no context, and a grant that
    /// is made has constraints of its own.
    fn has_context(self) -> bool {
        !matches!(
            self,
            Self::CreateGrant | Self::DescribeKey | Self::RetireGrant
        )
    }
}

impl fmt::Display for GrantOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a new grant is to be: see
/// [`LocalKms::create_grant`](crate::kms::LocalKms::create_grant).
#[derive(Clone, Debug)]
#[must_use]
pub struct CreateGrant {
    pub(in crate::kms) grantee: Principal,
    pub(in crate::kms) operations: Vec<GrantOperation>,
    pub(in crate::kms) retiring: Option<Principal>,
    pub(in crate::kms) name: Option<String>,
    pub(in crate::kms) context_equals: Option<BTreeMap<String, String>>,
    pub(in crate::kms) context_subset: Option<BTreeMap<String, String>>,
}

impl CreateGrant {
    /// Lets a principal do these operations: at least one.
    pub fn new(grantee: Principal, operations: impl IntoIterator<Item = GrantOperation>) -> Self {
        let mut operations: Vec<_> = operations.into_iter().collect();
        operations.sort_unstable();
        operations.dedup();
        CreateGrant {
            grantee,
            operations,
            retiring: None,
            name: None,
            context_equals: None,
            context_subset: None,
        }
    }

    /// Who may retire it.
    pub fn retiring_principal(mut self, principal: Principal) -> Self {
        self.retiring = Some(principal);
        self
    }

    /// A name: 1 to 256 letters, digits and `:/_-`. Asking again for the same
    /// grant with the same name makes no second one.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only in just this encryption context: of at most 8 pairs.
    pub fn context_equals(mut self, context: &EncryptionContext) -> Self {
        self.context_equals = Some(pairs_of(context));
        self
    }

    /// Only in encryption contexts that contain these pairs: at most 8.
    pub fn context_subset(mut self, context: &EncryptionContext) -> Self {
        self.context_subset = Some(pairs_of(context));
        self
    }

    pub(in crate::kms) fn check(&self) -> KmsResult<()> {
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b":/_-".contains(&byte);
        if let Some(name) = &self.name
            && !((1..=MAX_NAME_LENGTH).contains(&name.len()) && name.bytes().all(in_name))
        {
            return Err(KmsError::invalid(
                "a grant's name has 1 to 256 letters, digits and ':/_-'",
            ));
        }
        if self.operations.is_empty() {
            return Err(KmsError::invalid("a grant allows at least one operation"));
        }
        for pairs in self.context_equals.iter().chain(&self.context_subset) {
            if !(1..=MAX_CONSTRAINT_PAIRS).contains(&pairs.len()) {
                return Err(KmsError::invalid(
                    "a grant's constraint has 1 to 8 pairs of the encryption context",
                ));
            }
        }
        let constrained = self.context_equals.is_some() || self.context_subset.is_some();
        if constrained && !self.operations.iter().any(|op| op.has_context()) {
            return Err(KmsError::invalid(
                "none of the operations has an encryption context to constrain",
            ));
        }
        Ok(())
    }
}

fn is_same_name(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

fn pairs_of(context: &EncryptionContext) -> BTreeMap<String, String> {
    context
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// A grant that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreatedGrant {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// Makes it hold at once everywhere: see
    /// [`Caller::grant_token`](super::Caller::grant_token). It is no secret:
    /// the grant allows what it allows to its grantee alone.
    pub token: String,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// The key's ARN.
    pub key_arn: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// When it was made.
    pub created: SystemTime,
    /// The ARN of who made it.
    pub issuer: String,
    /// The ARN of who may do what it allows.
    pub grantee: String,
    /// The ARN of who may retire it.
    pub retiring: Option<String>,
    /// What it allows.
    pub operations: Vec<GrantOperation>,
    /// The whole encryption context that a call must have.
    pub context_equals: Option<BTreeMap<String, String>>,
    /// What the encryption context of a call must contain.
    pub context_subset: Option<BTreeMap<String, String>>,
}

impl GrantRecord {
    pub(in crate::kms) fn new(
        id: String,
        issuer: &Principal,
        request: &CreateGrant,
        now: crate::kms::time::Timestamp,
    ) -> Self {
        let names = request.operations.iter().map(|op| op.name().to_owned());
        GrantRecord {
            id,
            name: request.name.clone(),
            created: now,
            issuer: issuer.arn().to_owned(),
            grantee: request.grantee.arn().to_owned(),
            retiring: request.retiring.as_ref().map(|who| who.arn().to_owned()),
            operations: names.collect(),
            context_equals: request.context_equals.clone(),
            context_subset: request.context_subset.clone(),
        }
    }

    /// Whether it is what is asked for again.
    pub(in crate::kms) fn is_same(&self, other: &GrantRecord) -> bool {
        let with = |record: &GrantRecord| GrantRecord {
            id: String::new(),
            created: other.created,
            ..record.clone()
        };
        self.name.is_some() && with(self) == with(other)
    }

    /// Whether it allows this operation in this encryption context, to whom it
    /// was given.
    pub(in crate::kms) fn allows(
        &self,
        operation: GrantOperation,
        context: Option<&EncryptionContext>,
    ) -> bool {
        let is_listed = self.operations.iter().any(|name| name == operation.name());
        is_listed && (!operation.has_context() || self.holds_in(context))
    }

    fn holds_in(&self, context: Option<&EncryptionContext>) -> bool {
        // "The key in each key-value pair is not case sensitive, but the value is."
        // (AWS KMS API reference, GrantConstraints.)
        let has = |(key, value): (&String, &String)| {
            let mut named = context
                .into_iter()
                .flat_map(EncryptionContext::iter)
                .filter(|(name, _)| is_same_name(name, key))
                .peekable();
            named.peek().is_some() && named.all(|(_, found)| found == value)
        };
        let length = context.map_or(0, EncryptionContext::len);
        let equals = self.context_equals.as_ref();
        let subset = self.context_subset.as_ref();
        equals.is_none_or(|pairs| pairs.len() == length && pairs.iter().all(has))
            && subset.is_none_or(|pairs| pairs.iter().all(has))
    }

    /// Whether a grant that is made by right of this one allows no more: fewer
    /// operations, and constraints at least as narrow.
    pub(in crate::kms) fn covers(&self, child: &GrantRecord) -> bool {
        let contains = |all: &BTreeMap<String, String>, some: &BTreeMap<String, String>| {
            some.iter().all(|(key, value)| all.get(key) == Some(value))
        };
        let equals = match &self.context_equals {
            Some(pairs) => child.context_equals.as_ref() == Some(pairs),
            None => true,
        };
        let subset = match &self.context_subset {
            Some(pairs) => child
                .context_equals
                .iter()
                .chain(&child.context_subset)
                .any(|narrower| contains(narrower, pairs)),
            None => true,
        };
        equals
            && subset
            && child
                .operations
                .iter()
                .all(|op| self.operations.contains(op))
    }

    pub(in crate::kms) fn shown(&self, key_arn: &str) -> Grant {
        Grant {
            id: self.id.clone(),
            key_arn: key_arn.to_owned(),
            name: self.name.clone(),
            created: self.created.into(),
            issuer: self.issuer.clone(),
            grantee: self.grantee.clone(),
            retiring: self.retiring.clone(),
            // A newer version's operations allow nothing here.
            operations: (self.operations.iter())
                .filter_map(|name| GrantOperation::from_name(name))
                .collect(),
            context_equals: self.context_equals.clone(),
            context_subset: self.context_subset.clone(),
        }
    }
}

/// The token of a grant: it names the key and the grant.
pub(in crate::kms) fn token_of(key_id: &str, grant_id: &str) -> String {
    Base64::encode_string(format!("{key_id}:{grant_id}").as_bytes())
}

/// The key's id and the grant's id that a token names.
pub(in crate::kms) fn parse_token(token: &str) -> KmsResult<(String, String)> {
    let named = || {
        // A token has 136 characters.
        let token = Some(token).filter(|token| token.len() <= 200)?;
        let bytes = Base64::decode_vec(token).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (key, grant) = text.split_once(':')?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_right = is_id(key) && grant.len() == ID_LENGTH && grant.bytes().all(is_hex);
        is_right.then(|| (key.to_owned(), grant.to_owned()))
    };
    named().ok_or(KmsError::InvalidGrantToken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::time::Timestamp;

    fn principal(name: &str) -> Principal {
        Principal::user("111122223333", name).unwrap()
    }

    fn record(request: CreateGrant) -> GrantRecord {
        GrantRecord::new("g".into(), &principal("admin"), &request, Timestamp::FIRST)
    }

    fn grant(operations: &[GrantOperation]) -> CreateGrant {
        CreateGrant::new(principal("alice"), operations.iter().copied())
    }

    use GrantOperation::{CreateGrant as MakeGrant, Decrypt, DescribeKey, Encrypt};

    #[test]
    fn constraints_decide_by_the_context() {
        let [a, ab, abc] = [1, 2, 3].map(|count| {
            let pairs = [("a", "1"), ("b", "2"), ("c", "3")];
            EncryptionContext::from_iter(pairs.into_iter().take(count))
        });
        let other = EncryptionContext::from([("a", "2"), ("b", "2")]);
        let equals = record(grant(&[Decrypt, DescribeKey]).context_equals(&ab));
        let subset = record(grant(&[Decrypt]).context_subset(&ab));
        for (context, is_equal, contains) in [
            (Some(&a), false, false),
            (Some(&ab), true, true),
            (Some(&abc), false, true),
            (Some(&other), false, false),
            (None, false, false),
        ] {
            assert_eq!(equals.allows(Decrypt, context), is_equal);
            assert_eq!(subset.allows(Decrypt, context), contains);
        }
        assert!(equals.allows(DescribeKey, None));
        assert!(!subset.allows(Encrypt, Some(&ab)) && !subset.allows(DescribeKey, None));
    }

    #[test]
    fn a_child_allows_no_more() {
        let a = EncryptionContext::from([("a", "1")]);
        let ab = EncryptionContext::from([("a", "1"), ("b", "2")]);
        let parent = record(grant(&[Decrypt, Encrypt, MakeGrant]));
        assert!(parent.covers(&record(grant(&[Decrypt]))));
        assert!(!parent.covers(&record(grant(&[Decrypt, DescribeKey]))));
        let subset = record(grant(&[Decrypt, MakeGrant]).context_subset(&a));
        assert!(!subset.covers(&record(grant(&[Decrypt]))));
        assert!(subset.covers(&record(grant(&[Decrypt]).context_subset(&ab))));
        assert!(subset.covers(&record(grant(&[Decrypt]).context_equals(&ab))));
        let equals = record(grant(&[Decrypt, MakeGrant]).context_equals(&ab));
        assert!(equals.covers(&record(grant(&[Decrypt]).context_equals(&ab))));
        assert!(!equals.covers(&record(grant(&[Decrypt]).context_equals(&a))));
        assert!(!equals.covers(&record(grant(&[Decrypt]).context_subset(&ab))));
    }

    #[test]
    fn tokens_name_key_and_grant() {
        let key = "01234567-89ab-4def-8123-456789abcdef";
        let id = "0a".repeat(32);
        let token = token_of(key, &id);
        assert_eq!(parse_token(&token).unwrap(), (key.to_owned(), id.clone()));
        let long = "A".repeat(201);
        for wrong in [
            "",
            "x",
            &token[1..],
            &token_of(key, "x"),
            &token_of("x", &id),
            &long,
        ] {
            assert!(parse_token(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_no_grant_can_be() {
        let context = EncryptionContext::from([("a", "1")]);
        let nine = EncryptionContext::from_iter((0..9).map(|n| (n.to_string(), "x")));
        grant(&[Decrypt])
            .context_subset(&context)
            .name("a/b:c_d-e")
            .check()
            .unwrap();
        for wrong in [
            grant(&[]),
            grant(&[Decrypt]).name(""),
            grant(&[Decrypt]).name("a b"),
            grant(&[Decrypt]).name("x".repeat(257)),
            grant(&[Decrypt]).context_equals(&EncryptionContext::new()),
            grant(&[Decrypt]).context_subset(&nine),
            grant(&[DescribeKey]).context_equals(&context),
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
