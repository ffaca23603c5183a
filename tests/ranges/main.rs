//! Random access: every range is the plaintext's, whatever is damaged is
//! refused where it is touched and nowhere else, and no more is read than is
//! needed.

mod every_range;
mod hostile;
#[cfg(feature = "object-store")]
mod object;
mod reads;
mod settings;
mod sources;
#[path = "../support/mod.rs"]
mod support;
mod tampered;

use std::io;

use waxseal::Error;

/// The library's error in one of I/O.
#[track_caller]
fn inner(error: io::Error) -> Error {
    error.downcast().expect("the library's error")
}
