//! The embedded KMS.

pub mod store;
