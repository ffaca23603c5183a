//! Names of AWS KMS keys (framework/aws-kms/aws-kms-key-arn.md and
//! aws-kms-mrk-match-for-decrypt.md).

use std::fmt;

/// The ARN of a key or of an alias, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arn {
    pub(super) partition: String,
    pub(super) region: String,
    pub(super) account: String,
    pub(super) resource: Resource,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Key(String),
    Alias(String),
}

/// How a caller names a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyName {
    Arn(Arn),
    /// A key's id alone.
    Id(String),
    /// An alias without its account and Region.
    Alias(String),
}

impl Arn {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        if next()? != "arn" {
            return None;
        }
        let partition = next()?.to_owned();
        if next()? != "kms" {
            return None;
        }
        let (region, account, resource) = (next()?, next()?, next()?);
        // A seventh part is none of AWS's.
        if resource.contains(':') {
            return None;
        }
        let resource = match resource.split_once('/')? {
            (_, "") => return None,
            ("key", id) => Resource::Key(id.to_owned()),
            ("alias", name) => Resource::Alias(name.to_owned()),
            _ => return None,
        };
        Some(Arn {
            partition,
            region: region.to_owned(),
            account: account.to_owned(),
            resource,
        })
    }

    /// A key's, as in a message and in an answer of the service's.
    pub(super) fn parse_key(text: &str) -> Option<Self> {
        Self::parse(text).filter(|arn| matches!(arn.resource, Resource::Key(_)))
    }

    pub(super) fn is_multi_region(&self) -> bool {
        matches!(&self.resource, Resource::Key(id) if id.starts_with("mrk-"))
    }

    pub(super) fn in_region(&self, region: &str) -> Self {
        Arn {
            region: region.to_owned(),
            ..self.clone()
        }
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id) = match &self.resource {
            Resource::Key(id) => ("key", id),
            Resource::Alias(name) => ("alias", name),
        };
        let (partition, region, account) = (&self.partition, &self.region, &self.account);
        write!(f, "arn:{partition}:kms:{region}:{account}:{kind}/{id}")
    }
}

impl KeyName {
    pub(super) fn parse(text: &str) -> Option<Self> {
        // Longer than anything that the service takes.
        if text.is_empty() || text.len() > 2048 {
            return None;
        }
        if text.starts_with("arn:") {
            return Arn::parse(text).map(KeyName::Arn);
        }
        match text.strip_prefix("alias/") {
            Some("") => None,
            Some(_) => Some(KeyName::Alias(text.to_owned())),
            None if text.contains(['/', ':']) => None,
            None => Some(KeyName::Id(text.to_owned())),
        }
    }

    /// Whether this is the key of a message, word for word; of a multi-Region
    /// key, if that is asked for, its replicas too. A name that is no key ARN
    /// is never a message's: what it stands for, only the service knows.
    pub(super) fn is_for(&self, key: &Arn, multi_region: bool) -> bool {
        let KeyName::Arn(own) = self else {
            return false;
        };
        own == key
            || (multi_region
                && own.is_multi_region()
                && key.is_multi_region()
                && own.in_region(&key.region) == *key)
    }

    /// Whether an answer of the service's may be under this key.
    pub(super) fn may_be(&self, answered: &Arn) -> bool {
        match self {
            KeyName::Arn(own) => match own.resource {
                Resource::Key(_) => own == answered,
                // An alias is of its key's account and Region.
                Resource::Alias(_) => {
                    let place = |arn: &Arn| {
                        let arn = arn.clone();
                        (arn.partition, arn.region, arn.account)
                    };
                    place(own) == place(answered)
                }
            },
            KeyName::Id(id) => matches!(&answered.resource, Resource::Key(key) if key == id),
            KeyName::Alias(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd";
    const MRK: &str = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd";

    fn key(text: &str) -> Arn {
        Arn::parse_key(text).unwrap()
    }

    #[test]
    fn arns() {
        for text in [
            KEY,
            MRK,
            "arn:aws-cn:kms:r:a:alias/x/y",
            "arn:p:kms:r:a:key/b/c",
        ] {
            assert_eq!(Arn::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "arn",
            "arn:aws:kms:us-east-1:111122223333",
            "arn:aws:kms:us-east-1:111122223333:",
            "arn:aws:kms:us-east-1:111122223333:key",
            "arn:aws:kms:us-east-1:111122223333:key/",
            "arn:aws:kms:us-east-1:111122223333:key:1234",
            "arn:aws:kms:us-east-1:111122223333:key/1:2",
            "arn:aws:kms:us-east-1:111122223333:user/1234",
            "arn:aws:kms:us-east-1::key/1234",
            "arn:aws:kms::111122223333:key/1234",
            "arn::kms:us-east-1:111122223333:key/1234",
            "arn:aws:s3:us-east-1:111122223333:key/1234",
            "ARN:aws:kms:us-east-1:111122223333:key/1234",
            " arn:aws:kms:us-east-1:111122223333:key/1234",
        ] {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
        assert_eq!(Arn::parse_key("arn:aws:kms:r:a:alias/x"), None);
    }

    #[test]
    fn names() {
        assert!(matches!(KeyName::parse(KEY), Some(KeyName::Arn(_))));
        assert!(matches!(KeyName::parse("1234-abcd"), Some(KeyName::Id(_))));
        assert!(matches!(KeyName::parse("alias/a"), Some(KeyName::Alias(_))));
        let long = "a".repeat(2049);
        for text in ["", "alias/", "arn:aws:kms", "key/1234", "a:b", &long] {
            assert_eq!(KeyName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn multi_region_keys() {
        assert!(key(MRK).is_multi_region());
        assert!(!key(KEY).is_multi_region());
        let alias = Arn::parse("arn:aws:kms:us-east-1:111122223333:alias/mrk-1").unwrap();
        assert!(!alias.is_multi_region());
    }

    #[test]
    fn which_messages_are_ones_own() {
        let is_for = |own: &str, message: &str, multi_region| {
            KeyName::parse(own)
                .unwrap()
                .is_for(&key(message), multi_region)
        };
        let replica = MRK.replace("us-east-1", "eu-west-1");
        let elsewhere = KEY.replace("us-east-1", "eu-west-1");
        for multi_region in [false, true] {
            assert!(is_for(KEY, KEY, multi_region));
            assert!(!is_for(KEY, &elsewhere, multi_region));
            assert!(!is_for("1234abcd", KEY, multi_region));
            assert!(!is_for("mrk-1234abcd", MRK, multi_region));
            assert!(!is_for("alias/a", KEY, multi_region));
            assert_eq!(is_for(MRK, &replica, multi_region), multi_region);
        }
        for (from, to) in [("aws", "aws-cn"), ("1111", "2222"), ("1234", "4321")] {
            assert!(!is_for(MRK, &replica.replacen(from, to, 1), true));
        }
    }

    #[test]
    fn which_answers_may_be_ones_own() {
        let may_be =
            |own: &str, answered: &str| KeyName::parse(own).unwrap().may_be(&key(answered));
        let alias = "arn:aws:kms:us-east-1:111122223333:alias/a";
        assert!(may_be(KEY, KEY) && !may_be(KEY, MRK) && !may_be(MRK, &MRK.replace("us", "eu")));
        assert!(may_be("1234abcd", KEY) && !may_be("1234abcd", MRK));
        assert!(may_be("alias/a", KEY) && may_be(alias, KEY));
        assert!(!may_be(alias, &KEY.replace("1111", "2222")));
        assert!(!may_be(alias, &KEY.replace("us-", "eu-")));
    }
}
