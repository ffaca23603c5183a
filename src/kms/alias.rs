//! Names of keys, and how a key is given: by id, ARN or alias.

use super::codec::{Codec, Reader, Writer};
use super::digest::{digest, hex};
use super::error::{KmsError, KmsResult};
use super::time::Timestamp;
use crate::crypto::{CryptoBackend, Fingerprint};

const PREFIX: &str = "alias/";
/// Kept for services' keys.
const RESERVED_PREFIX: &str = "alias/aws/";
const MAX_LENGTH: usize = 256;

/// What ARNs begin with where neither account nor Region were given, and always
/// at rest: a store belongs to whoever opens it.
const LOCAL_ARNS: &str = "arn:waxseal:kms:local:000000000000:";
const LOCAL_ACCOUNT: &str = "000000000000";

/// The account and the Region that a KMS stands for, and the ARNs of its keys.
#[derive(Clone, Debug)]
pub(super) struct Names {
    #[cfg_attr(not(feature = "kms-policy"), expect(dead_code))]
    pub(super) account: String,
    #[cfg_attr(not(feature = "kms-policy"), expect(dead_code))]
    pub(super) region: String,
    /// What all ARNs begin with.
    arns: String,
}

impl Names {
    /// With neither account nor Region, local ones; else as AWS names them.
    pub(super) fn new(account: Option<&str>, region: Option<&str>) -> Self {
        let (partition, default_region) = match (account, region) {
            (None, None) => ("waxseal", "local"),
            _ => ("aws", "us-east-1"),
        };
        let account = account.unwrap_or(LOCAL_ACCOUNT).to_owned();
        let region = region.unwrap_or(default_region).to_owned();
        Names {
            arns: format!("arn:{partition}:kms:{region}:{account}:"),
            account,
            region,
        }
    }

    pub(super) fn key_arn(&self, id: &str) -> String {
        format!("{}key/{id}", self.arns)
    }

    /// The ARN of an alias (`alias/…`).
    #[cfg(feature = "kms-policy")]
    pub(super) fn alias_arn(&self, alias: &str) -> String {
        format!("{}{alias}", self.arns)
    }

    /// What a caller means: an alias, an id, or the ARN of either, by these
    /// names or by the local ones. What is none of them names no key.
    pub(super) fn parse<'a>(&self, text: &'a str) -> KmsResult<KeySpec<'a>> {
        let of_arn = |arns: &str| text.strip_prefix(arns);
        let spec = match of_arn(&self.arns).or_else(|| of_arn(LOCAL_ARNS)) {
            Some(named) => match named.strip_prefix("key/") {
                Some(id) => is_id(id).then_some(KeySpec::Id(id)),
                None => named.starts_with(PREFIX).then_some(KeySpec::Alias(named)),
            },
            None if text.starts_with(PREFIX) => Some(KeySpec::Alias(text)),
            None => is_id(text).then_some(KeySpec::Id(text)),
        };
        spec.ok_or_else(|| KmsError::NotFound { key: shown(text) })
    }

    /// The id in a key's ARN, by these names or by the local ones.
    pub(super) fn id_of_arn<'a>(&self, arn: &'a str) -> Option<&'a str> {
        match (arn.starts_with("arn:"), self.parse(arn)) {
            (true, Ok(KeySpec::Id(id))) => Some(id),
            _ => None,
        }
    }
}

/// A key's ARN as it stands at rest.
pub(super) fn local_arn(id: &str) -> String {
    format!("{LOCAL_ARNS}key/{id}")
}

/// The ARN as it stands at rest of a key that has this one.
pub(super) fn arn_at_rest(arn: &str) -> String {
    local_arn(arn.rsplit('/').next().unwrap_or_default())
}

/// An alias as it is stored. One that was deleted stays, without a target, so
/// that a backup does not bring it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AliasRecord {
    pub(super) name: String,
    pub(super) target: Option<String>,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
}

impl Codec<'_> for AliasRecord {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.name);
        writer.option(&self.target);
        self.created.write(writer);
        self.updated.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(AliasRecord {
            name: reader.string()?,
            target: reader.option()?,
            created: Timestamp::read(reader)?,
            updated: Timestamp::read(reader)?,
        })
    }
}

/// How a caller gives a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeySpec<'a> {
    Id(&'a str),
    Alias(&'a str),
}

/// A UUID in lower case: what may become part of a record's name.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// An id from 16 random or hashed bytes (RFC 9562): version 4 or 8.
pub(super) fn id_from(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut id = hex(&bytes);
    for place in [20, 16, 12, 8] {
        id.insert(place, '-');
    }
    id
}

/// The id of a key that is found by a name and not by an alias: the same
/// wherever it is made in this store, so that two processes that make it at
/// once make one.
pub(super) fn named_id(store_id: &str, name: &str) -> String {
    let mut named = Fingerprint::new();
    for part in ["waxseal local-kms named key", store_id, name] {
        named.part(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&named.finish()[..16]);
    id_from(bytes, 8)
}

/// The name of an alias's record: a hash, since an alias may hold what a
/// record's name may not.
pub(super) fn record_name(backend: &CryptoBackend, alias: &str) -> String {
    format!("aliases/{}", hex(&digest(backend, alias.as_bytes())))
}

/// The alias of a service's key.
pub(super) fn service_alias(service: &str) -> KmsResult<String> {
    let alias = format!("{RESERVED_PREFIX}{service}");
    check_form(&alias)?;
    if service.is_empty() {
        return Err(invalid(&alias, "the service has no name"));
    }
    Ok(alias)
}

/// An alias that users may make, move and delete.
pub(super) fn check(alias: &str) -> KmsResult<()> {
    check_form(alias)?;
    if alias.starts_with(RESERVED_PREFIX) {
        return Err(invalid(alias, "'alias/aws/' is kept for services' keys"));
    }
    Ok(())
}

fn check_form(alias: &str) -> KmsResult<()> {
    let Some(name) = alias.strip_prefix(PREFIX) else {
        return Err(invalid(alias, "it does not start with 'alias/'"));
    };
    let allowed =
        |byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'_' | b'-');
    if name.is_empty() || alias.len() > MAX_LENGTH {
        return Err(invalid(alias, "it has 7 to 256 characters"));
    }
    if !name.bytes().all(allowed) {
        return Err(invalid(
            alias,
            "after 'alias/' it is of A-Z, a-z, 0-9, '/', '_' and '-'",
        ));
    }
    Ok(())
}

fn invalid(alias: &str, reason: &'static str) -> KmsError {
    KmsError::InvalidAlias {
        alias: shown(alias),
        reason,
    }
}

/// What an error repeats of a caller's text.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_LENGTH).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kms::codec::tests::assert_stored;

    #[test]
    fn ids() {
        let id = id_from([0xff; 16], 4);
        assert_eq!(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let zeros = id_from([0; 16], 4);
        assert_eq!(zeros, "00000000-0000-4000-8000-000000000000");
        let counted = std::array::from_fn(|index| index as u8);
        assert_eq!(id_from(counted, 4), "00010203-0405-4607-8809-0a0b0c0d0e0f");
        assert!(is_id(&id));
        for wrong in [
            "",
            "ffffffff-ffff-4fff-bfff-fffffffffff",
            &id.to_uppercase(),
            &id.replace('-', "0"),
        ] {
            assert!(!is_id(wrong), "{wrong}");
        }
    }

    #[test]
    fn specs() {
        let id = id_from([7; 16], 4);
        let local = Names::new(None, None);
        let aws = Names::new(Some("111122223333"), Some("eu-west-1"));
        assert_eq!(local.key_arn(&id), local_arn(&id));
        let arn = format!("arn:aws:kms:eu-west-1:111122223333:key/{id}");
        assert_eq!(aws.key_arn(&id), arn);
        for (names, arn) in [
            (&local, local_arn(&id)),
            (&aws, local_arn(&id)),
            (&aws, arn),
        ] {
            assert_eq!(names.parse(&id).unwrap(), KeySpec::Id(&id));
            assert_eq!(names.parse(&arn).unwrap(), KeySpec::Id(&id));
            assert_eq!(names.id_of_arn(&arn), Some(&*id));
            assert_eq!(names.id_of_arn(&id), None);
            let alias = KeySpec::Alias("alias/x");
            assert_eq!(names.parse("alias/x").unwrap(), alias);
            let arn = format!("{}alias/x", arn.split_once("key/").unwrap().0);
            assert_eq!(names.parse(&arn).unwrap(), alias);
        }
        for wrong in [
            "",
            "x",
            "keys/../root",
            "arn:aws:kms:eu-west-1:1:key/x",
            "arn:waxseal:kms:local:000000000000:key/x",
            "arn:waxseal:kms:local:000000000000:",
        ] {
            assert!(local.parse(wrong).is_err(), "{wrong}");
        }
        let foreign = format!("arn:aws:kms:eu-west-1:444455556666:key/{id}");
        assert!(aws.parse(&foreign).is_err() && local.parse(&foreign).is_err());
    }

    #[test]
    fn aliases() {
        let longest = format!("alias/{}", "x".repeat(250));
        for good in ["alias/a", "alias/a/B_9-", "alias/aws", &longest] {
            check(good).unwrap();
        }
        let longer = format!("{longest}x");
        for bad in [
            "",
            "alias/",
            "a",
            "Alias/a",
            "alias/a b",
            "alias/ü",
            "alias/aws/s3",
            &longer,
        ] {
            assert!(
                matches!(check(bad), Err(KmsError::InvalidAlias { .. })),
                "{bad}"
            );
        }
        assert_eq!(service_alias("s3").unwrap(), "alias/aws/s3");
        assert!(service_alias("").is_err() && service_alias("a b").is_err());
    }

    #[test]
    fn named_ids_differ_by_every_part() {
        let id = named_id;
        assert_eq!(id("s", "n"), id("s", "n"));
        assert!(is_id(&id("s", "n")));
        for other in [id("t", "n"), id("s", "m"), id("sn", ""), id("", "sn")] {
            assert_ne!(id("s", "n"), other);
        }
    }

    #[test]
    fn aliases_at_rest() {
        let mut record = AliasRecord {
            name: "alias/a".to_owned(),
            target: Some("key".to_owned()),
            created: Timestamp::FIRST.plus(Duration::from_millis(1)),
            updated: Timestamp::LAST,
        };
        let last = &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..];
        assert_stored(&record, &[b"\x07alias/a", b"\x01\x03key", b"\x01", last]);
        record.target = None;
        assert_stored(&record, &[b"\x07alias/a", b"\x00", b"\x01", last]);
    }
}
