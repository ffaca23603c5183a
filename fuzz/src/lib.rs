//! What the fuzz targets share.
//!
//! - [`model`]: a second reader of messages, simple and slow, that shares no
//!   code with the library but the crates of primitives. It says what must
//!   come out of a message, or which error.
//! - [`recipe`]: messages described by their parts, with edits before and
//!   after sealing; [`craft`] makes the bytes.
//! - [`caller`]: a reader's settings and keys, for the model and for the
//!   library alike.
//! - [`tape`]: how a fuzzer's bytes are such a description, both ways.
//! - [`places`]: what the model says of random access; [`source`]: what a
//!   message is read from; [`steps`]: how it is read.
//! - [`sealed`] and [`postcard`]: the same for the formats of the embedded KMS.
//! - [`world`], [`lying`] and [`subject`]: a small store of it, what somebody
//!   does to it, and everything that can be done with it.
//! - [`policy`]: what holds of every policy, and calls to try it with.
//! - [`trail`]: an audit trail, and what somebody makes of it.
//! - [`splice`]: small changes of bytes.
//! - [`vectors`]: the project's test vectors, for [`seeds`] and against the
//!   model.

#![forbid(unsafe_code)]

pub mod caller;
pub mod craft;
pub mod lying;
pub mod model;
pub mod places;
pub mod policy;
pub mod postcard;
pub mod primitives;
pub mod random;
pub mod recipe;
pub mod sealed;
pub mod seeds;
pub mod source;
pub mod splice;
pub mod steps;
pub mod subject;
pub mod tape;
pub mod trail;
pub mod vectors;
pub mod world;
