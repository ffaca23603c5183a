//! The data-key cache by its rules: for each, a test that fails without it. On
//! a clock that stands still until a test moves it.

mod bypasses;
mod checks;
mod driving;
mod eviction;
mod flight;
mod flight_failures;
mod identity;
mod limits;
mod model;
mod negative;
mod refresh;
mod refresh_failures;
mod statistics;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
mod world;
