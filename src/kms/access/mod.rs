//! Who may use a key: principals, and the policies and grants that decide.

#[cfg(feature = "kms-policy")]
mod caller;
#[cfg(feature = "kms-policy")]
mod grant;
#[cfg(feature = "kms-policy")]
pub mod policy;
mod principal;
#[cfg(feature = "kms-policy")]
mod quota;
mod record;

#[cfg(feature = "kms-policy")]
pub use caller::Caller;
#[cfg(feature = "kms-policy")]
pub(in crate::kms) use caller::MAX_GRANT_TOKENS;
#[cfg(feature = "kms-policy")]
pub use grant::{CreateGrant, CreatedGrant, Grant, GrantOperation};
#[cfg(feature = "kms-policy")]
pub(in crate::kms) use grant::{parse_token, token_of};
pub(in crate::kms) use principal::is_account;
pub use principal::{InvalidPrincipal, Principal, PrincipalKind};
#[cfg(feature = "kms-policy")]
pub(in crate::kms) use quota::Buckets;
#[cfg(feature = "kms-policy")]
pub use quota::Quotas;
pub(in crate::kms) use record::AccessRecord;
#[cfg(any(feature = "kms-policy", test))]
pub(in crate::kms) use record::GrantRecord;

/// Nobody but the root makes calls.
#[cfg(not(feature = "kms-policy"))]
pub(crate) enum Caller {}

#[cfg(not(feature = "kms-policy"))]
impl Caller {
    pub(crate) fn identity_parts(&self) -> Vec<&[u8]> {
        match *self {}
    }
}
