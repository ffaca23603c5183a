//! The file tool, from outside: its commands, outputs, messages, exit codes.
//!
//! `cargo test` builds the examples before it runs this.

mod files;
mod inspect;
mod keys;
mod local;
mod manage;
mod refusals;
mod round_trip;
mod streams;
mod tool;
