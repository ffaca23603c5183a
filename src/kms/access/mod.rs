//! Who may use a key: principals, and the policies and grants that decide.

#[cfg(feature = "kms-policy")]
pub mod policy;
mod principal;

pub use principal::{InvalidPrincipal, Principal, PrincipalKind};
