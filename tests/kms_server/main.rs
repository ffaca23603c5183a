//! The example `kms_server`, from outside: who it lets in, what it refuses, and
//! that whatever comes, it goes on serving the others.
//!
//! What each operation does is checked by AWS's own client, in `interop/kms`.

#[path = "../support/example.rs"]
mod example;

mod accounts;
mod arguments;
mod client;
mod clock;
mod idle;
mod limits;
mod model;
mod server;
mod signatures;
mod slow;
mod tls;
