//! Who may use a key: principals, and the policies and grants that decide.

mod principal;

pub use principal::{InvalidPrincipal, Principal, PrincipalKind};
