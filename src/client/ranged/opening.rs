//! The header of a message that is read in ranges.

use std::ops::Range;

use super::super::inspect::UnverifiedHeader;
use super::super::open::verify_header;
use super::super::stream::ReleaseMode;
use super::super::{Client, DecryptionDetails};
use super::FIRST;
use super::message::Message;
use crate::client::open::Release;
use crate::context::EncryptionContext;
use crate::error::{Error, Result};
use crate::message::{HeaderParser, ReadError};

/// Reads the header from what is fetched for it.
pub(super) struct Opening {
    parser: HeaderParser,
    bytes: Vec<u8>,
    /// At least so many are needed.
    needed: u64,
    /// Of the source.
    length: u64,
}

impl Opening {
    pub(super) fn new(client: &Client, length: u64) -> Self {
        Opening {
            parser: HeaderParser::new(client.inner.settings.header_limits()),
            bytes: Vec::new(),
            needed: FIRST,
            length,
        }
    }

    /// What is to be fetched next.
    pub(super) fn fetch(&self) -> Result<Range<u64>> {
        let have = self.bytes.len() as u64;
        if have >= self.length {
            return Err(Error::Truncated);
        }
        // Twice as much each time: few reads, and no more than was asked for
        // of a header that only claims to be long.
        let end = self.needed.max(have.saturating_mul(2)).min(self.length);
        Ok(have..end)
    }

    /// Takes that; says whether the header is complete.
    pub(super) fn supply(&mut self, bytes: &[u8]) -> Result<bool> {
        // Whoever asks again for what does not come would ask for ever.
        if bytes.is_empty() {
            return Err(Error::Truncated);
        }
        self.bytes.extend_from_slice(bytes);
        match self.parser.advance(&self.bytes) {
            Ok(()) => Ok(true),
            Err(ReadError::Incomplete(incomplete)) => {
                self.needed = incomplete.needed;
                Ok(false)
            }
            Err(ReadError::Invalid(error)) => Err(error),
        }
    }

    /// Gets the data key and verifies the header.
    pub(super) async fn finish<M: ReleaseMode>(
        self,
        client: &Client,
        expected: &EncryptionContext,
    ) -> Result<Message> {
        let header = self.parser.finish();
        let (settings, suite) = (&client.inner.settings, header.suite);
        settings.check_suite_for_decrypt(suite)?;
        if suite.is_signed() {
            if settings.refuse_signed_streams {
                return Err(Error::SignedStreamRefused { suite });
            }
            // No signature is verified this way.
            if M::RELEASE == Release::AllWhenVerified || settings.require_signed {
                return Err(Error::SignedRangeRefused { suite });
            }
        }
        let obtained = client.decryption_materials(&header, expected).await?;
        let raw = self.bytes.get(..header.length).ok_or(Error::Truncated)?;
        let frames = verify_header(settings, &header, raw, &obtained.materials)?;
        let (content_type, unverified) = (header.content_type, UnverifiedHeader::of(&header));
        Ok(Message::new(
            frames,
            content_type,
            self.length,
            settings.max_buffered,
            unverified,
            DecryptionDetails::new(header, obtained),
        ))
    }
}
