//! One file for each.

mod age;
mod asherah;
mod esdk;
mod python;
mod signature;
mod tink;
mod waxseal;

pub(crate) use age::Age;
pub(crate) use asherah::Asherah;
pub(crate) use esdk::AwsEsdk;
pub(crate) use python::Python;
pub(crate) use signature::Signature;
pub(crate) use tink::Tink;
pub(crate) use waxseal::{Waxseal, backends, client};
