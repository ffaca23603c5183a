//! The file tool, from outside: its commands, outputs, messages, exit codes.
//!
//! `cargo test` builds the examples before it runs this.

mod audit;
mod backend;
mod damage;
#[path = "../support/example.rs"]
mod example;
mod files;
mod inspect;
mod keys;
mod local;
mod manage;
mod range;
mod refusals;
mod round_trip;
mod several;
mod streams;
#[cfg(target_os = "linux")]
mod terminal;
mod threads;
mod tool;
