//! The simulator of the data-key cache, from outside.
//!
//! `cargo test` builds the examples before it runs this.

mod output;
mod refusals;
mod rules;
mod tool;
