//! Who asks.

use std::fmt;

use crate::error::shown;

/// Who asks: an account's root, or a user or a role of the account, by the
/// ARNs of AWS IAM.
///
/// ```
/// use waxseal::kms::Principal;
///
/// let alice = Principal::user("111122223333", "alice")?;
/// assert_eq!(alice.arn(), "arn:aws:iam::111122223333:user/alice");
/// assert_eq!(alice.account(), "111122223333");
/// assert_eq!(alice.arn().parse::<Principal>()?, alice);
/// # Ok::<(), waxseal::kms::InvalidPrincipal>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal {
    arn: Box<str>,
    kind: PrincipalKind,
}

/// What kind of principal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PrincipalKind {
    /// The account itself.
    Root,
    /// A user of the account.
    User,
    /// A role of the account.
    Role,
}

/// An account is 12 digits; a name has 1 to 64 letters, digits and `+=,.@_-`,
/// after a path of at most 512 characters that ends in `/`, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPrincipal {
    given: String,
    reason: &'static str,
}

impl fmt::Display for InvalidPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no principal: {}", self.given, self.reason)
    }
}

impl std::error::Error for InvalidPrincipal {}

const PREFIX: &str = "arn:aws:iam::";
const ACCOUNT_LENGTH: usize = 12;
const MAX_NAME_LENGTH: usize = 64;
const MAX_PATH_LENGTH: usize = 512;

impl Principal {
    /// The root of an account: 12 digits.
    ///
    /// # Errors
    /// When it is no account.
    pub fn root(account: &str) -> Result<Self, InvalidPrincipal> {
        Self::new(account, PrincipalKind::Root, "")
    }

    /// A user of an account, by name or by path and name.
    ///
    /// # Errors
    /// When it is no account, or no name.
    pub fn user(account: &str, name: &str) -> Result<Self, InvalidPrincipal> {
        Self::new(account, PrincipalKind::User, name)
    }

    /// A role of an account, by name or by path and name.
    ///
    /// # Errors
    /// When it is no account, or no name.
    pub fn role(account: &str, name: &str) -> Result<Self, InvalidPrincipal> {
        Self::new(account, PrincipalKind::Role, name)
    }

    fn new(account: &str, kind: PrincipalKind, name: &str) -> Result<Self, InvalidPrincipal> {
        let invalid = |given: &str, reason| InvalidPrincipal {
            given: shown(given),
            reason,
        };
        if !is_account(account) {
            return Err(invalid(account, "an account has 12 digits"));
        }
        let resource = match kind {
            PrincipalKind::Root => "root".to_owned(),
            PrincipalKind::User => format!("user/{name}"),
            PrincipalKind::Role => format!("role/{name}"),
        };
        if kind != PrincipalKind::Root && !is_name(name) {
            return Err(invalid(name, "it is no name of a user or a role"));
        }
        Ok(Principal {
            arn: format!("{PREFIX}{account}:{resource}").into(),
            kind,
        })
    }

    /// `arn:aws:iam::ACCOUNT:root`, `…:user/NAME` or `…:role/NAME`.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Its account: 12 digits.
    pub fn account(&self) -> &str {
        let end = PREFIX.len() + ACCOUNT_LENGTH;
        self.arn.get(PREFIX.len()..end).unwrap_or_default()
    }

    /// Its name, without the path; `None` of a root.
    pub fn name(&self) -> Option<&str> {
        match self.kind {
            PrincipalKind::Root => None,
            PrincipalKind::User | PrincipalKind::Role => self.arn.rsplit('/').next(),
        }
    }

    /// What kind of principal it is.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }
}

/// Whether it is an account's id: 12 digits.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == ACCOUNT_LENGTH && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    let (path, name) = match text.rfind('/') {
        Some(end) => text.split_at(end + 1),
        None => ("", text),
    };
    let in_path = |byte: u8| byte.is_ascii_graphic();
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    // Policies name principals by ARN: a wildcard in one would be taken for one.
    path.len() <= MAX_PATH_LENGTH
        && path
            .bytes()
            .all(|byte| in_path(byte) && !b"*?:".contains(&byte))
        && !path.starts_with('/')
        && !path.contains("//")
        && (1..=MAX_NAME_LENGTH).contains(&name.len())
        && name.bytes().all(in_name)
}

impl std::str::FromStr for Principal {
    type Err = InvalidPrincipal;

    /// From the ARN.
    fn from_str(arn: &str) -> Result<Self, InvalidPrincipal> {
        let parsed = arn.strip_prefix(PREFIX).and_then(|rest| {
            let (account, resource) = rest.split_once(':')?;
            match resource.split_once('/') {
                None if resource == "root" => Self::root(account).ok(),
                Some(("user", name)) => Self::user(account, name).ok(),
                Some(("role", name)) => Self::role(account, name).ok(),
                _ => None,
            }
        });
        parsed.ok_or_else(|| InvalidPrincipal {
            given: shown(arn),
            reason: "it is no ARN of a root, a user or a role",
        })
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_and_its_arn() {
        let root = Principal::root("111122223333").unwrap();
        let role = Principal::role("111122223333", "team/a/deploy").unwrap();
        assert_eq!(root.arn(), "arn:aws:iam::111122223333:root");
        assert_eq!(role.arn(), "arn:aws:iam::111122223333:role/team/a/deploy");
        assert_eq!((root.name(), role.name()), (None, Some("deploy")));
        assert_eq!(role.account(), "111122223333");
        for principal in [root, role] {
            assert_eq!(principal.arn().parse::<Principal>().unwrap(), principal);
        }
    }

    #[test]
    fn what_is_none() {
        let account = "111122223333";
        let error = Principal::root("1\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            r"'1\n' is no principal: an account has 12 digits"
        );
        for wrong in ["", "11112222333", "1111222233334", "11112222333x", "*"] {
            Principal::root(wrong).unwrap_err();
        }
        let long = "x".repeat(65);
        for wrong in ["", "a*", "a?", "a b", "a:b", "/a", "a//b", "a/", "ü", &long] {
            Principal::user(account, wrong).unwrap_err();
            Principal::role(account, wrong).unwrap_err();
        }
        for wrong in [
            "arn:aws:iam::111122223333:group/a",
            "arn:aws:iam::111122223333:root/a",
            "arn:aws-cn:iam::111122223333:root",
            "111122223333",
        ] {
            wrong.parse::<Principal>().unwrap_err();
        }
    }
}
