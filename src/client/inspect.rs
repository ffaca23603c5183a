//! Looking at a message without a key.

use std::fmt;

use super::whole;
use crate::context::EncryptionContext;
use crate::error::Result;
use crate::message::{ContentType, EncryptedDataKey, Header, HeaderLimits, HeaderParser};
use crate::suite::AlgorithmSuite;

/// Reads the header at the start of a message, without any key. The input may
/// be a part of the message that holds the header, or the whole.
///
/// ```
/// # let key = waxseal::SecretBytes::from(vec![7; 32]);
/// # let client = waxseal::blocking::Client::new(waxseal::RawAesProvider::new("ns", "key-1", &key)?);
/// # let message = client.encrypt(b"", &waxseal::EncryptionContext::from([("tenant", "7")]))?;
/// let header = waxseal::inspect(&message)?;
/// assert_eq!(header.context().get("tenant"), Some("7"));
/// assert_eq!(header.encrypted_data_keys()[0].provider_id(), "ns");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Malformed`](crate::Error::Malformed) and
/// [`Error::Truncated`](crate::Error::Truncated).
pub fn inspect(message: &[u8]) -> Result<UnverifiedHeader> {
    // What is read is in memory already; no more is allocated than that.
    let mut parser = HeaderParser::new(HeaderLimits {
        max_edks: None,
        max_length: usize::MAX,
    });
    parser.advance(message).map_err(whole)?;
    Ok(UnverifiedHeader(parser.finish()))
}

/// What a header says. **None of it is verified**: whoever had the message in
/// hand may have written anything.
#[derive(Clone)]
pub struct UnverifiedHeader(Header);

/// How a message's body is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentLayout {
    /// One block.
    Unframed,
    /// Frames of at most so many bytes of plaintext.
    Framed {
        /// The frame length in bytes.
        frame_length: u32,
    },
}

impl UnverifiedHeader {
    pub(super) fn of(header: &Header) -> Self {
        UnverifiedHeader(header.clone())
    }

    /// The suite; it says the version and whether the message is signed.
    pub fn suite(&self) -> AlgorithmSuite {
        self.0.suite
    }

    /// The message's id: 16 bytes in version 1, 32 in version 2.
    pub fn message_id(&self) -> &[u8] {
        self.0.message_id.as_ref()
    }

    /// The pairs of the encryption context that the message stores; a signed
    /// one has its public key among them.
    pub fn context(&self) -> &EncryptionContext {
        &self.0.context
    }

    /// The encrypted data keys.
    pub fn encrypted_data_keys(&self) -> &[EncryptedDataKey] {
        &self.0.edks
    }

    /// The content type and the frame length.
    pub fn layout(&self) -> ContentLayout {
        match self.0.content_type {
            ContentType::Unframed => ContentLayout::Unframed,
            ContentType::Framed { frame_length } => ContentLayout::Framed { frame_length },
        }
    }

    /// Whether the suite is a signed one.
    pub fn is_signed(&self) -> bool {
        self.0.suite.is_signed()
    }

    /// Bytes of the header: where the body begins.
    pub fn header_length(&self) -> usize {
        self.0.length
    }
}

impl fmt::Debug for UnverifiedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedHeader")
            .field("suite", &self.suite())
            .field("context", self.context())
            .field("encrypted_data_keys", &self.encrypted_data_keys())
            .field("layout", &self.layout())
            .finish_non_exhaustive()
    }
}
