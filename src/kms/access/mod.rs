//! Who may use a key: principals, and the policies and grants that decide.

#[cfg(feature = "kms-policy")]
mod caller;
#[cfg(feature = "kms-policy")]
pub mod policy;
mod principal;
mod record;

#[cfg(feature = "kms-policy")]
pub use caller::Caller;
pub(in crate::kms) use principal::is_account;
pub use principal::{InvalidPrincipal, Principal, PrincipalKind};
pub(in crate::kms) use record::{AccessRecord, GrantRecord};

/// Nobody but the root makes calls.
#[cfg(not(feature = "kms-policy"))]
pub(crate) enum Caller {}

#[cfg(not(feature = "kms-policy"))]
impl Caller {
    pub(crate) fn identity_parts(&self) -> Vec<&[u8]> {
        match *self {}
    }
}
