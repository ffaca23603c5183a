//! What can go wrong, who is at fault, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

use crate::crypto::RandomError;
use crate::provider::{ProviderError, UnwrapFailures};
use crate::suite::{AlgorithmSuite, CommitmentPolicy};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Each variant says who is at fault: the *caller*, the
/// *message* (damaged, made by something else, or an attack), or the *provider*
/// of the keys. An error names keys of the context, never their values, and
/// never depends on secret bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// Caller: the encryption context is too long. Keep long data elsewhere
    /// and put its digest into the context.
    ContextTooLong {
        /// Its length in canonical bytes.
        length: usize,
    },
    /// Caller: a key of the context starts with `aws-crypto-`, which the
    /// format keeps for itself.
    ReservedContextKey {
        /// The key.
        key: String,
    },
    /// Caller, or a message put in another's place: the message holds this
    /// key with another value than the one expected.
    ContextMismatch {
        /// The key.
        key: String,
    },
    /// Caller, or a message put in another's place: a value was expected for
    /// this key, and the message does not hold it. If the key is bound without
    /// being stored, list it as required on the client.
    ContextKeyNotInMessage {
        /// The key.
        key: String,
    },
    /// Caller: the client lists this key as required, and the context given
    /// does not have it.
    RequiredContextKeyMissing {
        /// The key.
        key: String,
    },
    /// Caller: the client lists this key as required, so that it is bound and
    /// not stored, but this message stores it.
    RequiredContextKeyInMessage {
        /// The key.
        key: String,
    },
    /// Caller, or a message from a more permissive writer: the commitment
    /// policy forbids this suite.
    SuiteForbidden {
        /// The suite.
        suite: AlgorithmSuite,
        /// The client's policy.
        policy: CommitmentPolicy,
    },
    /// Caller, or a forged message: the client requires signed suites.
    UnsignedRefused {
        /// The suite.
        suite: AlgorithmSuite,
    },
    /// Caller: writing this suite needs the explicit opt-in of the client's
    /// builder, because it derives no key.
    SuiteWithoutKeyDerivation {
        /// The suite.
        suite: AlgorithmSuite,
    },
    /// Caller: the frame length is 0.
    InvalidFrameLength,
    /// Caller: a limit of the data-key cache cannot be; see
    /// [`Caching`](crate::Caching).
    InvalidCacheSetting {
        /// Which, and what it may be.
        setting: &'static str,
    },
    /// Caller: the message would need more than 4,294,967,295 frames. Choose
    /// longer frames.
    TooManyFrames,
    /// Caller: more plaintext was written than declared.
    PlaintextBoundExceeded {
        /// The declared bound in bytes.
        bound: u64,
    },
    /// Caller: the buffer given for the output is too short.
    OutputTooSmall {
        /// Bytes needed, so far as is known (at least).
        needed: u64,
        /// Bytes given.
        available: usize,
    },
    /// Caller: this stream has failed or finished, or a future of it was
    /// dropped before it was ready.
    StreamClosed,

    /// Message: it does not have the form of one.
    Malformed(FormatError),
    /// Message: it ends early.
    Truncated,
    /// Message: bytes follow its end. Where that is meant, use `decrypt_prefix`.
    TrailingBytes,
    /// Message or caller: more encrypted data keys than the client allows.
    TooManyEncryptedDataKeys {
        /// How many there are.
        found: usize,
        /// How many the client allows.
        limit: usize,
    },
    /// Message: its header is longer than the client allows.
    HeaderTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Message: what would have to be held back before anything could be
    /// released is longer than the client's `max_buffered`.
    BufferLimit {
        /// Bytes to be held back, at least.
        needed: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// Caller: the client refuses signed messages in streams, because they
    /// would be released before their signature is verified.
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
    SignedRangeRefused {
        /// The message's suite.
        suite: AlgorithmSuite,
    },
    /// Message: the data key that was unwrapped is not the one that the
    /// message commits to. Likely an attack, or a wrong key.
    Commitment,
    /// Message: its header is not authentic, or a required context value is
    /// not the one that it was encrypted with.
    HeaderAuthentication,
    /// Message: this frame is not authentic.
    FrameAuthentication {
        /// The frame, from 1.
        sequence_number: u32,
    },
    /// Message: frames are missing, repeated or out of order.
    FrameSequence {
        /// The number that should come, from 1.
        expected: u32,
        /// The number that came.
        found: u32,
    },
    /// Message: its signature is wrong. Nothing that came out of it can be
    /// trusted.
    Signature,

    /// Provider: making or wrapping a data key failed.
    Provider(ProviderError),
    /// Provider: no encrypted data key could be unwrapped; for each, why.
    Unwrap(UnwrapFailures),
    /// Provider: what it gave back breaks its contract.
    InvalidMaterials(MaterialsError),
    /// The system's random source failed.
    Random(RandomError),
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// It looks like base64 text of a message: decode it first.
    Base64Text,
    /// The version byte is neither 1 nor 2.
    UnknownVersion(u8),
    /// The type byte of version 1 is not 0x80.
    UnknownType(u8),
    /// The suite's id is not in the table.
    UnknownSuite(u16),
    /// The suite belongs to the other version.
    WrongVersion {
        /// The suite.
        suite: AlgorithmSuite,
        /// The message's version.
        version: u8,
    },
    /// The context's length does not agree with its pairs.
    ContextLength,
    /// A context key stands twice.
    DuplicateContextKey {
        /// The key.
        key: String,
    },
    /// A text that must be UTF-8 is not.
    NotUtf8(&'static str),
    /// There is no encrypted data key.
    NoEncryptedDataKeys,
    /// The content type is neither 1 (un-framed) nor 2 (framed).
    UnknownContentType(u8),
    /// The reserved bytes of version 1 are not zero.
    ReservedBytes,
    /// The IV length of version 1 is not 12.
    IvLength(u8),
    /// A frame length of 0 in a framed message, or another in an un-framed one.
    FrameLength(u32),
    /// The final frame is longer than the frame length.
    FinalFrameLength {
        /// Bytes in the final frame.
        length: u32,
        /// The header's frame length.
        frame_length: u32,
    },
    /// An un-framed body is longer than AES-GCM allows (2^36 − 32 bytes).
    BodyLength(u64),
    /// A signed message without a public key, an unsigned one with one, or a
    /// key that is not a compressed point of the suite's curve.
    PublicKey,
}

/// How materials break their contract.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MaterialsError {
    /// A data key of the wrong length.
    DataKeyLength {
        /// Bytes that the suite needs.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// No encrypted data key.
    NoEncryptedDataKeys,
    /// Materials of another suite than the one asked for.
    Suite(AlgorithmSuite),
    /// An encrypted data key that is not among those of the message.
    Index,
    /// Another context than the one asked for.
    Context,
    /// A signing or verification key where the suite has none, or none where
    /// it has one.
    SignatureKey,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContextTooLong { length } => write!(
                f,
                "the encryption context takes {length} bytes; at most 65535 are possible"
            ),
            Self::ReservedContextKey { key } => write!(
                f,
                "the context key '{key}' starts with the reserved prefix 'aws-crypto-'"
            ),
            Self::ContextMismatch { key } => write!(
                f,
                "the message has another value for the context key '{key}' than expected"
            ),
            Self::ContextKeyNotInMessage { key } => {
                write!(f, "the message does not hold the context key '{key}'")
            }
            Self::RequiredContextKeyMissing { key } => {
                write!(f, "the required context key '{key}' was not given")
            }
            Self::RequiredContextKeyInMessage { key } => write!(
                f,
                "the message stores the context key '{key}', which the client requires to be \
                 bound only"
            ),
            Self::SuiteForbidden { suite, policy } => {
                write!(f, "the commitment policy {policy} forbids suite {suite}")
            }
            Self::UnsignedRefused { suite } => {
                write!(f, "the client requires a signed suite, and this is {suite}")
            }
            Self::SuiteWithoutKeyDerivation { suite } => write!(
                f,
                "suite {suite} derives no key; writing it needs an explicit opt-in"
            ),
            Self::InvalidFrameLength => {
                f.write_str("a frame length must be from 1 to 4294967295 bytes")
            }
            Self::InvalidCacheSetting { setting } => f.write_str(setting),
            Self::TooManyFrames => {
                f.write_str("a message has at most 4294967295 frames; choose longer frames")
            }
            Self::PlaintextBoundExceeded { bound } => {
                write!(f, "more than the declared {bound} bytes of plaintext")
            }
            Self::OutputTooSmall { needed, available } => write!(
                f,
                "the output needs {needed} bytes and the buffer has {available}"
            ),
            Self::StreamClosed => f.write_str("the stream has failed or ended already"),
            Self::Malformed(error) => write!(f, "not a valid message: {error}"),
            Self::Truncated => f.write_str("the message ends early"),
            Self::TrailingBytes => f.write_str("there are bytes after the end of the message"),
            Self::TooManyEncryptedDataKeys { found, limit } => {
                write!(f, "{found} encrypted data keys; the client allows {limit}")
            }
            Self::HeaderTooLong { limit } => write!(
                f,
                "the header is longer than the {limit} bytes that the client allows"
            ),
            Self::BufferLimit { needed, limit } => write!(
                f,
                "{needed} bytes would have to be buffered; the client allows {limit}"
            ),
            Self::SignedStreamRefused { suite } => write!(
                f,
                "the client refuses signed suites when streaming, and this is {suite}"
            ),
            Self::SignedRangeRefused { suite } => write!(
                f,
                "parts of a signed message cannot be verified, and this is {suite}"
            ),
            Self::Commitment => f.write_str("the message does not commit to this data key"),
            Self::HeaderAuthentication => f.write_str("the message's header is not authentic"),
            Self::FrameAuthentication { sequence_number } => {
                write!(f, "frame {sequence_number} is not authentic")
            }
            Self::FrameSequence { expected, found } => {
                write!(f, "frame {found} stands where frame {expected} should be")
            }
            Self::Signature => f.write_str("the message's signature is wrong"),
            Self::Provider(error) => fmt::Display::fmt(error, f),
            Self::Unwrap(failures) => fmt::Display::fmt(failures, f),
            Self::InvalidMaterials(error) => write!(f, "the key provider gave back {error}"),
            Self::Random(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            // The text is theirs already: next comes what is behind them.
            Self::Provider(error) => error.source(),
            Self::Unwrap(failures) => failures.source(),
            Self::Random(error) => error.source(),
            _ => None,
        }
    }
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        Self::Malformed(error)
    }
}

impl From<ProviderError> for Error {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl From<UnwrapFailures> for Error {
    fn from(failures: UnwrapFailures) -> Self {
        Self::Unwrap(failures)
    }
}

impl From<RandomError> for Error {
    fn from(error: RandomError) -> Self {
        Self::Random(error)
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base64Text => f.write_str("this looks like base64 text; decode it first"),
            Self::UnknownVersion(found) => write!(f, "unknown version {found}"),
            Self::UnknownType(found) => write!(f, "unknown message type {found:#04x}"),
            Self::UnknownSuite(id) => write!(f, "unknown algorithm suite 0x{id:04x}"),
            Self::WrongVersion { suite, version } => write!(
                f,
                "suite {suite} cannot stand in a message of version {version}"
            ),
            Self::ContextLength => {
                f.write_str("the encryption context's length does not agree with its pairs")
            }
            Self::DuplicateContextKey { key } => {
                write!(f, "the context key '{}' stands twice", shown(key))
            }
            Self::NotUtf8(what) => write!(f, "the {what} is not UTF-8"),
            Self::NoEncryptedDataKeys => f.write_str("no encrypted data keys"),
            Self::UnknownContentType(found) => write!(f, "unknown content type {found}"),
            Self::ReservedBytes => f.write_str("reserved bytes are not zero"),
            Self::IvLength(found) => write!(f, "the IV length is {found} and not 12"),
            Self::FrameLength(found) => {
                write!(f, "a frame length of {found} does not fit the content type")
            }
            Self::FinalFrameLength {
                length,
                frame_length,
            } => write!(
                f,
                "the final frame holds {length} bytes and the frame length is {frame_length}"
            ),
            Self::BodyLength(length) => write!(
                f,
                "an un-framed body of {length} bytes is more than AES-GCM allows"
            ),
            Self::PublicKey => {
                f.write_str("the context key 'aws-crypto-public-key' does not fit the suite")
            }
        }
    }
}

impl StdError for FormatError {}

impl fmt::Display for MaterialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataKeyLength { expected, found } => {
                write!(f, "a data key of {found} bytes where {expected} are needed")
            }
            Self::NoEncryptedDataKeys => f.write_str("no encrypted data key"),
            Self::Suite(suite) => {
                write!(f, "materials for suite {suite}, which was not asked for")
            }
            Self::Index => {
                f.write_str("the index of an encrypted data key that the message does not hold")
            }
            Self::Context => f.write_str("materials for another encryption context"),
            Self::SignatureKey => f.write_str("a signature key that does not fit the suite"),
        }
    }
}

impl StdError for MaterialsError {}

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
