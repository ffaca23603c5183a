//! What a call asks for and gives, as policies and the audit trail see it.

use std::time::SystemTime;

use crate::context::EncryptionContext;

/// Names and values, in the order in which they are written; the names are
/// AWS's (`keyId`, `encryptionContext`, `numberOfBytes`, …).
pub type Parameters<'a> = &'a [(&'static str, Parameter<'a>)];

/// What a request's or an answer's parameter may be: never bytes, so that no
/// plaintext, ciphertext or key material gets into the trail.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[cfg_attr(not(feature = "kms-policy"), allow(dead_code))]
pub enum Parameter<'a> {
    /// A name, an id, an algorithm, a description, a policy.
    Text(&'a str),
    /// A number.
    Number(u64),
    /// Yes or no.
    Bool(bool),
    /// A date.
    Time(SystemTime),
    /// Several names: a grant's operations, for example.
    Texts(&'a [&'a str]),
    /// An encryption context, or the pairs of a grant's constraint.
    Context(&'a EncryptionContext),
    /// Tags: keys and values.
    Tags(&'a [(&'a str, &'a str)]),
    /// A group with names of its own: a grant's constraints, for example.
    Group(Parameters<'a>),
}
