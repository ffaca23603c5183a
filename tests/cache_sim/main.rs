//! The simulator of the data-key cache, from outside.
//!
//! `cargo test` builds the examples before it runs this.

#[path = "../support/example.rs"]
mod example;
mod output;
mod refusals;
mod rules;
mod tool;
