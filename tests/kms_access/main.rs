//! Who may do what with the embedded KMS's keys, how often, and what the audit
//! trail is told: through the public face.

mod accounts;
mod application;
mod caches;
mod callers;
mod calls;
mod doubt;
mod explained;
mod grants;
mod model;
mod policies;
mod quotas;
mod scene;
mod sinks;
mod tokens;
mod trail;
