//! What is asked, and the condition keys that tell of it.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use super::date;
use super::work;
use crate::context::EncryptionContext;
use crate::kms::access::{Principal, PrincipalKind};

/// A call, as policies see it.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) principal: &'a Principal,
    /// IAM's name of the action, with or without `kms:`: `ReEncryptFrom`.
    pub(crate) action: &'a str,
    /// The ARN of the key or alias, or `*`.
    pub(crate) resource: &'a str,
    /// The account that it belongs to: 12 digits.
    pub(crate) resource_account: &'a str,
    pub(crate) context: ConditionContext<'a>,
}

/// What conditions can ask for, besides who calls: `None` or empty is absent.
#[derive(Clone, Copy, Default)]
pub(crate) struct ConditionContext<'a> {
    pub(crate) now: Option<SystemTime>,
    pub(crate) encryption_context: Option<&'a EncryptionContext>,
    pub(crate) via_service: Option<&'a str>,
    pub(crate) grant_operations: &'a [&'a str],
    /// `EncryptionContextEquals` or `EncryptionContextSubset`.
    pub(crate) grant_constraint_type: Option<&'a str>,
    pub(crate) grant_is_for_aws_resource: Option<bool>,
    pub(crate) grantee_principal: Option<&'a str>,
    pub(crate) retiring_principal: Option<&'a str>,
    pub(crate) pending_window_days: Option<u32>,
    pub(crate) rotation_period_days: Option<u32>,
    pub(crate) bypass_lockout_check: Option<bool>,
    pub(crate) encryption_algorithm: Option<&'a str>,
    pub(crate) reencrypt_on_same_key: Option<bool>,
    pub(crate) key_spec: Option<&'a str>,
    pub(crate) key_usage: Option<&'a str>,
    pub(crate) key_origin: Option<&'a str>,
    /// The alias by which the key was named, `alias/…`.
    pub(crate) request_alias: Option<&'a str>,
    /// All aliases of the key, `alias/…`. See `KeyPolicy::asks_for_aliases`.
    pub(crate) resource_aliases: &'a [&'a str],
}

/// A key of a condition, or of a policy variable. Names are not case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConditionKey {
    /// `kms:EncryptionContext:` and a key of the context, whose case does not
    /// matter either (AWS KMS developer guide, "kms:EncryptionContext:context-key",
    /// "Case sensitivity of the encryption context condition").
    EncryptionContext(Box<str>),
    Known(Known),
}

macro_rules! known_keys {
    ($($key:ident: $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Known {
            $($key,)*
        }

        impl Known {
            pub(super) const ALL: &'static [Known] = &[$(Known::$key,)*];

            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Known::$key => $name,)*
                }
            }
        }
    };
}

known_keys! {
    CurrentTime: "aws:CurrentTime",
    EpochTime: "aws:EpochTime",
    PrincipalAccount: "aws:PrincipalAccount",
    PrincipalArn: "aws:PrincipalArn",
    PrincipalType: "aws:PrincipalType",
    Username: "aws:username",
    BypassLockoutCheck: "kms:BypassPolicyLockoutSafetyCheck",
    CallerAccount: "kms:CallerAccount",
    EncryptionAlgorithm: "kms:EncryptionAlgorithm",
    EncryptionContextKeys: "kms:EncryptionContextKeys",
    GrantConstraintType: "kms:GrantConstraintType",
    GrantIsForAwsResource: "kms:GrantIsForAWSResource",
    GrantOperations: "kms:GrantOperations",
    GranteePrincipal: "kms:GranteePrincipal",
    KeyOrigin: "kms:KeyOrigin",
    KeySpec: "kms:KeySpec",
    KeyUsage: "kms:KeyUsage",
    ReEncryptOnSameKey: "kms:ReEncryptOnSameKey",
    RequestAlias: "kms:RequestAlias",
    ResourceAliases: "kms:ResourceAliases",
    RetiringPrincipal: "kms:RetiringPrincipal",
    RotationPeriodDays: "kms:RotationPeriodInDays",
    PendingWindowDays: "kms:ScheduleKeyDeletionPendingWindowInDays",
    ViaService: "kms:ViaService",
}

const ENCRYPTION_CONTEXT: &str = "kms:EncryptionContext:";

impl ConditionKey {
    /// `None` of a key that this library does not know.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if let Some((prefix, key)) = name.split_at_checked(ENCRYPTION_CONTEXT.len())
            && prefix.eq_ignore_ascii_case(ENCRYPTION_CONTEXT)
        {
            return (!key.is_empty()).then(|| Self::EncryptionContext(key.into()));
        }
        Known::ALL
            .iter()
            .find(|known| known.name().eq_ignore_ascii_case(name))
            .map(|known| Self::Known(*known))
    }

    /// Whether a request may have several values of it.
    pub(super) fn is_multivalued(&self) -> bool {
        matches!(
            self,
            Self::Known(
                Known::EncryptionContextKeys | Known::GrantOperations | Known::ResourceAliases
            )
        )
    }

    pub(super) fn is_encryption_context(&self) -> bool {
        matches!(self, Self::EncryptionContext(_))
    }
}

/// What a request has of a condition key.
#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    Absent,
    One(Scalar<'a>),
    /// Of a key with several values; never empty.
    Many(&'a [&'a str]),
    /// The encryption context's keys; never empty.
    ContextKeys(&'a EncryptionContext),
    /// Pairs of the encryption context whose keys differ only in case.
    ContextPairs(&'a EncryptionContext, &'a str),
}

/// One value.
#[derive(Clone, Copy)]
pub(super) enum Scalar<'a> {
    Text(&'a str),
    Bool(bool),
    Number(i64),
    /// A date in seconds since 1970, as text `2026-01-31T23:59:59Z`.
    Date(i64),
}

impl<'a> Request<'a> {
    /// The action's name without `kms:`.
    pub(super) fn operation(&self) -> &'a str {
        match self.action.split_at_checked(4) {
            Some((prefix, name)) if prefix.eq_ignore_ascii_case("kms:") => name,
            _ => self.action,
        }
    }

    pub(super) fn values(&self, key: &'a ConditionKey) -> Values<'a> {
        match key {
            ConditionKey::EncryptionContext(key) => self.context_values(key),
            ConditionKey::Known(Known::EncryptionContextKeys) => {
                match self.context.encryption_context {
                    Some(context) if !context.is_empty() => Values::ContextKeys(context),
                    _ => Values::Absent,
                }
            }
            ConditionKey::Known(Known::GrantOperations) => many(self.context.grant_operations),
            ConditionKey::Known(Known::ResourceAliases) => many(self.context.resource_aliases),
            ConditionKey::Known(known) => self.value(*known).map_or(Values::Absent, Values::One),
        }
    }

    fn context_values(&self, key: &'a str) -> Values<'a> {
        let Some(context) = self.context.encryption_context else {
            return Values::Absent;
        };
        if !work::spend(context.len()) {
            return Values::Absent;
        }
        let mut values = pairs(context, key);
        match (values.next(), values.next()) {
            (None, _) => Values::Absent,
            (Some(value), None) => Values::One(Scalar::Text(value)),
            (Some(_), Some(_)) => Values::ContextPairs(context, key),
        }
    }

    /// Of a key with one value.
    pub(super) fn value(&self, key: Known) -> Option<Scalar<'a>> {
        let ConditionContext {
            now,
            via_service,
            grant_constraint_type,
            grant_is_for_aws_resource,
            grantee_principal,
            retiring_principal,
            pending_window_days,
            rotation_period_days,
            bypass_lockout_check,
            encryption_algorithm,
            reencrypt_on_same_key,
            key_spec,
            key_usage,
            key_origin,
            request_alias,
            ..
        } = self.context;
        let days = |days: u32| Scalar::Number(i64::from(days));
        match key {
            Known::CurrentTime => now.map(|now| Scalar::Date(date::seconds(now))),
            Known::EpochTime => now.map(|now| Scalar::Number(date::seconds(now))),
            Known::PrincipalAccount | Known::CallerAccount => {
                Some(Scalar::Text(self.principal.account()))
            }
            Known::PrincipalArn => Some(Scalar::Text(self.principal.arn())),
            Known::PrincipalType => Some(Scalar::Text(match self.principal.kind() {
                PrincipalKind::Root => "Account",
                PrincipalKind::User => "User",
                PrincipalKind::Role => "AssumedRole",
            })),
            Known::Username => match self.principal.kind() {
                PrincipalKind::User => self.principal.name().map(Scalar::Text),
                PrincipalKind::Root | PrincipalKind::Role => None,
            },
            Known::BypassLockoutCheck => bypass_lockout_check.map(Scalar::Bool),
            Known::EncryptionAlgorithm => encryption_algorithm.map(Scalar::Text),
            Known::GrantConstraintType => grant_constraint_type.map(Scalar::Text),
            Known::GrantIsForAwsResource => grant_is_for_aws_resource.map(Scalar::Bool),
            Known::GranteePrincipal => grantee_principal.map(Scalar::Text),
            Known::KeyOrigin => key_origin.map(Scalar::Text),
            Known::KeySpec => key_spec.map(Scalar::Text),
            Known::KeyUsage => key_usage.map(Scalar::Text),
            Known::ReEncryptOnSameKey => reencrypt_on_same_key.map(Scalar::Bool),
            Known::RequestAlias => request_alias.map(Scalar::Text),
            Known::RetiringPrincipal => retiring_principal.map(Scalar::Text),
            Known::RotationPeriodDays => rotation_period_days.map(days),
            Known::PendingWindowDays => pending_window_days.map(days),
            Known::ViaService => via_service.map(Scalar::Text),
            // Of several values: see `values`.
            Known::EncryptionContextKeys | Known::GrantOperations | Known::ResourceAliases => None,
        }
    }
}

fn many<'a>(values: &'a [&'a str]) -> Values<'a> {
    if values.is_empty() {
        Values::Absent
    } else {
        Values::Many(values)
    }
}

/// The values of the context's pairs with this key, in any case.
pub(super) fn pairs<'a>(
    context: &'a EncryptionContext,
    key: &'a str,
) -> impl Iterator<Item = &'a str> {
    let pairs = context.iter().filter(move |(name, _)| same_name(name, key));
    pairs.map(|(_, value)| value)
}

/// Whether two texts are the same in any case.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    if one.eq_ignore_ascii_case(other) {
        return true;
    }
    if one.is_ascii() && other.is_ascii() {
        return false;
    }
    if !work::spend(one.len() + other.len()) {
        return false;
    }
    let lower = |text: &str| -> Vec<char> { text.chars().flat_map(char::to_lowercase).collect() };
    lower(one) == lower(other)
}

impl fmt::Display for ConditionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EncryptionContext(key) => write!(f, "{ENCRYPTION_CONTEXT}{key}"),
            Self::Known(known) => f.write_str(known.name()),
        }
    }
}

impl Scalar<'_> {
    /// What string operators compare.
    pub(super) fn with_text<T>(&self, use_text: impl FnOnce(&str) -> T) -> T {
        let mut short = Short::default();
        let written = match self {
            Scalar::Text(text) => return use_text(text),
            Scalar::Bool(value) => write!(short, "{value}"),
            Scalar::Number(number) => write!(short, "{number}"),
            Scalar::Date(seconds) => date::write(*seconds, &mut short),
        };
        debug_assert!(written.is_ok());
        use_text(short.as_str())
    }

    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Scalar::Text(text) => number(text),
            Scalar::Number(number) => Some(*number as f64),
            Scalar::Bool(_) | Scalar::Date(_) => None,
        }
    }

    /// Milliseconds since 1970.
    pub(super) fn as_date(&self) -> Option<i64> {
        match self {
            Scalar::Text(text) => date::parse(text),
            Scalar::Number(seconds) | Scalar::Date(seconds) => seconds.checked_mul(1000),
            Scalar::Bool(_) => None,
        }
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        match self {
            Scalar::Text(text) => boolean(text),
            Scalar::Bool(value) => Some(*value),
            Scalar::Number(_) | Scalar::Date(_) => None,
        }
    }
}

/// An integer or a decimal number, and nothing else that Rust takes for one.
pub(super) fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = [whole, fraction]
        .into_iter()
        .all(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if is_number { text.parse().ok() } else { None }
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Text of at most 24 bytes: numbers and dates.
#[derive(Default)]
struct Short {
    bytes: [u8; 24],
    length: usize,
}

impl Short {
    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case() {
        for known in Known::ALL {
            let lower = known.name().to_ascii_lowercase();
            assert_eq!(
                ConditionKey::parse(&lower),
                Some(ConditionKey::Known(*known))
            );
        }
        assert_eq!(
            ConditionKey::parse("KMS:encryptionCONTEXT:a:B"),
            Some(ConditionKey::EncryptionContext("a:B".into()))
        );
        for unknown in [
            "",
            "kms:EncryptionContext:",
            "kms:EncryptionContext",
            "aws:SourceIp",
        ] {
            assert_eq!(ConditionKey::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn values_as_text_and_numbers() {
        let text = |scalar: Scalar<'_>| scalar.with_text(str::to_owned);
        assert_eq!(text(Scalar::Bool(true)), "true");
        assert_eq!(text(Scalar::Number(i64::MIN)), "-9223372036854775808");
        assert_eq!(text(Scalar::Date(253_402_300_799)), "9999-12-31T23:59:59Z");
        for (text, expected) in [
            ("7", Some(7.0)),
            ("-1.50", Some(-1.5)),
            ("+2", Some(2.0)),
            ("", None),
            ("1e3", None),
            ("inf", None),
            ("NaN", None),
            (".5", None),
            ("5.", None),
            (" 5", None),
            ("1.2.3", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        assert_eq!(
            (boolean("TRUE"), boolean("False"), boolean("1")),
            (Some(true), Some(false), None)
        );
    }

    #[test]
    fn names_beyond_ascii() {
        assert!(same_name("Ärger", "äRGER"));
        assert!(!same_name("Ärger", "arger"));
    }
}
