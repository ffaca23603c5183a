//! What can go wrong, who is at fault, and what to do about it.

use std::error::Error as StdError;

use crate::crypto::RandomError;
use crate::provider::{ProviderError, UnwrapFailures};
use crate::suite::{AlgorithmSuite, CommitmentPolicy};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Each variant says who is at fault: the *caller*, the
/// *message* (damaged, made by something else, or an attack), or the *provider*
/// of the keys. An error names keys of the context, never their values, and
/// never depends on secret bytes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Caller: the encryption context is too long. Keep long data elsewhere
    /// and put its digest into the context.
    #[error("the encryption context takes {length} bytes; at most 65535 are possible")]
    ContextTooLong {
        /// Its length in canonical bytes.
        length: usize,
    },
    /// Caller: a key of the context starts with `aws-crypto-`, which the
    /// format keeps for itself.
    #[error("the context key '{key}' starts with the reserved prefix 'aws-crypto-'")]
    ReservedContextKey {
        /// The key.
        key: String,
    },
    /// Caller, or a message put in another's place: the message holds this
    /// key with another value than the one expected.
    #[error("the message has another value for the context key '{key}' than expected")]
    ContextMismatch {
        /// The key.
        key: String,
    },
    /// Caller, or a message put in another's place: a value was expected for
    /// this key, and the message does not hold it. If the key is bound without
    /// being stored, list it as required on the client.
    #[error("the message does not hold the context key '{key}'")]
    ContextKeyNotInMessage {
        /// The key.
        key: String,
    },
    /// Caller: the client lists this key as required, and the context given
    /// does not have it.
    #[error("the required context key '{key}' was not given")]
    RequiredContextKeyMissing {
        /// The key.
        key: String,
    },
    /// Caller: the client lists this key as required, so that it is bound and
    /// not stored, but this message stores it.
    #[error(
        "the message stores the context key '{key}', which the client requires to be bound only"
    )]
    RequiredContextKeyInMessage {
        /// The key.
        key: String,
    },
    /// Caller, or a message from a more permissive writer: the commitment
    /// policy forbids this suite.
    #[error("the commitment policy {policy} forbids suite {suite}")]
    SuiteForbidden {
        /// The suite.
        suite: AlgorithmSuite,
        /// The client's policy.
        policy: CommitmentPolicy,
    },
    /// Caller, or a forged message: the client requires signed suites.
    #[error("the client requires a signed suite, and this is {suite}")]
    UnsignedRefused {
        /// The suite.
        suite: AlgorithmSuite,
    },
    /// Caller: writing this suite needs the explicit opt-in of the client's
    /// builder, because it derives no key.
    #[error("suite {suite} derives no key; writing it needs an explicit opt-in")]
    SuiteWithoutKeyDerivation {
        /// The suite.
        suite: AlgorithmSuite,
    },
    /// Caller: the frame length is 0.
    #[error("a frame length must be from 1 to 4294967295 bytes")]
    InvalidFrameLength,
    /// Caller: a limit of the data-key cache cannot be; see
    /// [`Caching`](crate::Caching).
    #[error("{setting}")]
    InvalidCacheSetting {
        /// Which, and what it may be.
        setting: &'static str,
    },
    /// Caller: the message would need more than 4,294,967,295 frames. Choose
    /// longer frames.
    #[error("a message has at most 4294967295 frames; choose longer frames")]
    TooManyFrames,
    /// Caller: more plaintext was written than declared.
    #[error("more than the declared {bound} bytes of plaintext")]
    PlaintextBoundExceeded {
        /// The declared bound in bytes.
        bound: u64,
    },
    /// Caller: the buffer given for the output is too short.
    #[error("the output needs {needed} bytes and the buffer has {available}")]
    OutputTooSmall {
        /// Bytes needed, so far as is known (at least).
        needed: u64,
        /// Bytes given.
        available: usize,
    },
    /// Caller: this stream has failed or finished, or a future of it was
    /// dropped before it was ready.
    #[error("the stream has failed or ended already")]
    StreamClosed,

    /// Message: it does not have the form of one.
    #[error("not a valid message: {0}")]
    Malformed(#[from] FormatError),
    /// Message: it ends early.
    #[error("the message ends early")]
    Truncated,
    /// Message: bytes follow its end. Where that is meant, use `decrypt_prefix`.
    #[error("there are bytes after the end of the message")]
    TrailingBytes,
    /// Message or caller: more encrypted data keys than the client allows.
    #[error("{found} encrypted data keys; the client allows {limit}")]
    TooManyEncryptedDataKeys {
        /// How many there are.
        found: usize,
        /// How many the client allows.
        limit: usize,
    },
    /// Message: its header is longer than the client allows.
    #[error("the header is longer than the {limit} bytes that the client allows")]
    HeaderTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Message: what would have to be held back before anything could be
    /// released is longer than the client's `max_buffered`.
    #[error("{needed} bytes would have to be buffered; the client allows {limit}")]
    BufferLimit {
        /// Bytes to be held back, at least.
        needed: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// Caller: the client refuses signed messages in streams, because they
    /// would be released before their signature is verified.
    #[error("the client refuses signed suites when streaming, and this is {suite}")]
    SignedStreamRefused {
        /// The message's suite.
        suite: AlgorithmSuite,
    },
    /// Caller: parts of a signed message are asked for. Its signature is over
    /// all of it, so that what comes out cannot be verified: read it whole, or
    /// say that unverified data is acceptable, with a client that does not
    /// [require signatures](crate::ClientBuilder::require_signed)
    /// ([`seek_reader_unverified`](crate::blocking::Client::seek_reader_unverified),
    /// [`range_reader_unverified`](crate::Client::range_reader_unverified)).
    #[error("parts of a signed message cannot be verified, and this is {suite}")]
    SignedRangeRefused {
        /// The message's suite.
        suite: AlgorithmSuite,
    },
    /// Message: the data key that was unwrapped is not the one that the
    /// message commits to. Likely an attack, or a wrong key.
    #[error("the message does not commit to this data key")]
    Commitment,
    /// Message: its header is not authentic, or a required context value is
    /// not the one that it was encrypted with.
    #[error("the message's header is not authentic")]
    HeaderAuthentication,
    /// Message: this frame is not authentic.
    #[error("frame {sequence_number} is not authentic")]
    FrameAuthentication {
        /// The frame, from 1.
        sequence_number: u32,
    },
    /// Message: frames are missing, repeated or out of order.
    #[error("frame {found} stands where frame {expected} should be")]
    FrameSequence {
        /// The number that should come, from 1.
        expected: u32,
        /// The number that came.
        found: u32,
    },
    /// Message: its signature is wrong. Nothing that came out of it can be
    /// trusted.
    #[error("the message's signature is wrong")]
    Signature,

    /// Provider: making or wrapping a data key failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Provider: no encrypted data key could be unwrapped; for each, why.
    #[error(transparent)]
    Unwrap(#[from] UnwrapFailures),
    /// Provider: what it gave back breaks its contract.
    #[error("the key provider gave back {0}")]
    InvalidMaterials(MaterialsError),
    /// The system's random source failed.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl Error {
    /// Whether the same call may succeed later: a provider was throttled,
    /// unavailable or timed out.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Provider(error) => error.is_retryable(),
            Error::Unwrap(failures) => failures.is_retryable(),
            _ => false,
        }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind;
        let kind = match &error {
            Error::Truncated => ErrorKind::UnexpectedEof,
            Error::Provider(_) | Error::Unwrap(_) | Error::Random(_) | Error::StreamClosed => {
                ErrorKind::Other
            }
            _ => ErrorKind::InvalidData,
        };
        std::io::Error::new(kind, error)
    }
}

/// How a message fails to have the form of one (data-format/message-header.md,
/// message-body.md, message-footer.md).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// It looks like base64 text of a message: decode it first.
    #[error("this looks like base64 text; decode it first")]
    Base64Text,
    /// The version byte is neither 1 nor 2.
    #[error("unknown version {0}")]
    UnknownVersion(u8),
    /// The type byte of version 1 is not 0x80.
    #[error("unknown message type {0:#04x}")]
    UnknownType(u8),
    /// The suite's id is not in the table.
    #[error("unknown algorithm suite 0x{0:04x}")]
    UnknownSuite(u16),
    /// The suite belongs to the other version.
    #[error("suite {suite} cannot stand in a message of version {version}")]
    WrongVersion {
        /// The suite.
        suite: AlgorithmSuite,
        /// The message's version.
        version: u8,
    },
    /// The context's length does not agree with its pairs.
    #[error("the encryption context's length does not agree with its pairs")]
    ContextLength,
    /// A context key stands twice.
    #[error("the context key '{}' stands twice", shown(key))]
    DuplicateContextKey {
        /// The key.
        key: String,
    },
    /// A text that must be UTF-8 is not.
    #[error("the {0} is not UTF-8")]
    NotUtf8(&'static str),
    /// There is no encrypted data key.
    #[error("no encrypted data keys")]
    NoEncryptedDataKeys,
    /// The content type is neither 1 (un-framed) nor 2 (framed).
    #[error("unknown content type {0}")]
    UnknownContentType(u8),
    /// The reserved bytes of version 1 are not zero.
    #[error("reserved bytes are not zero")]
    ReservedBytes,
    /// The IV length of version 1 is not 12.
    #[error("the IV length is {0} and not 12")]
    IvLength(u8),
    /// A frame length of 0 in a framed message, or another in an un-framed one.
    #[error("a frame length of {0} does not fit the content type")]
    FrameLength(u32),
    /// The final frame is longer than the frame length.
    #[error("the final frame holds {length} bytes and the frame length is {frame_length}")]
    FinalFrameLength {
        /// Bytes in the final frame.
        length: u32,
        /// The header's frame length.
        frame_length: u32,
    },
    /// An un-framed body is longer than AES-GCM allows (2^36 − 32 bytes).
    #[error("an un-framed body of {0} bytes is more than AES-GCM allows")]
    BodyLength(u64),
    /// A signed message without a public key, an unsigned one with one, or a
    /// key that is not a compressed point of the suite's curve.
    #[error("the context key 'aws-crypto-public-key' does not fit the suite")]
    PublicKey,
}

/// How materials break their contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaterialsError {
    /// A data key of the wrong length.
    #[error("a data key of {found} bytes where {expected} are needed")]
    DataKeyLength {
        /// Bytes that the suite needs.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// No encrypted data key.
    #[error("no encrypted data key")]
    NoEncryptedDataKeys,
    /// Materials of another suite than the one asked for.
    #[error("materials for suite {0}, which was not asked for")]
    Suite(AlgorithmSuite),
    /// An encrypted data key that is not among those of the message.
    #[error("the index of an encrypted data key that the message does not hold")]
    Index,
    /// Another context than the one asked for.
    #[error("materials for another encryption context")]
    Context,
    /// A signing or verification key where the suite has none, or none where
    /// it has one.
    #[error("a signature key that does not fit the suite")]
    SignatureKey,
}

/// Text that may be hostile as an error shows it: no control characters, and not
/// all of it.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 200;
    let mut shown = String::new();
    for character in text.chars().take(MOST) {
        shown.extend(character.escape_debug());
    }
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// The texts of an error and of what is behind it.
#[cfg(test)]
pub(crate) fn texts(error: &(dyn StdError + 'static)) -> Vec<String> {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
