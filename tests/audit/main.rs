//! The audit trail through its public face: what is written, and that the
//! verifier finds each change of it.
#![allow(unsafe_code)] // reason: a global allocator that counts

mod events;
mod files;
mod hostile;
mod rewritten;
mod tampered;
mod trail;
