//! The header (data-format/message-header.md).

use super::body::ContentType;
use super::codec::{Incomplete, ReadError, Reader};
use super::edk::EncryptedDataKey;
use super::id::MessageId;
use crate::context::{EncryptionContext, UnsortedContext};
use crate::crypto::{IV_LENGTH, Iv, TAG_LENGTH, Tag};
use crate::error::{Error, FormatError, Result};
use crate::suite::AlgorithmSuite;

const TYPE_CUSTOMER_AUTHENTICATED: u8 = 0x80;
const COMMITMENT_LENGTH: usize = 32;

/// A header's body to be written: all that comes before its tag.
pub(crate) struct HeaderBody<'a> {
    pub(crate) suite: AlgorithmSuite,
    pub(crate) message_id: &'a MessageId,
    /// The canonical bytes of the pairs that the header stores.
    pub(crate) context: &'a [u8],
    pub(crate) edks: &'a [EncryptedDataKey],
    pub(crate) frame_length: u32,
    /// Where the suite commits.
    pub(crate) commitment: &'a [u8; COMMITMENT_LENGTH],
}

impl HeaderBody<'_> {
    /// Appends the body. The caller has checked that there are at most 65,535
    /// context bytes and encrypted data keys.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let version = self.suite.message_version();
        out.push(version);
        if version == 1 {
            out.push(TYPE_CUSTOMER_AUTHENTICATED);
        }
        out.extend_from_slice(&self.suite.id().to_be_bytes());
        out.extend_from_slice(self.message_id.as_ref());
        out.extend_from_slice(&(self.context.len() as u16).to_be_bytes());
        out.extend_from_slice(self.context);
        out.extend_from_slice(&(self.edks.len() as u16).to_be_bytes());
        for edk in self.edks {
            out.extend_from_slice(edk.wire());
        }
        out.push(ContentType::FRAMED);
        if version == 1 {
            out.extend_from_slice(&[0; 4]);
            out.push(IV_LENGTH as u8);
        }
        out.extend_from_slice(&self.frame_length.to_be_bytes());
        if self.suite.commits() {
            out.extend_from_slice(self.commitment);
        }
    }

    /// Bytes of a whole header, tag included.
    pub(crate) fn whole_length(suite: AlgorithmSuite, context: usize, edks: usize) -> usize {
        let fixed = match suite.message_version() {
            1 => 1 + 1 + 2 + 16 + 2 + 2 + 1 + 4 + 1 + 4 + IV_LENGTH,
            _ => 1 + 2 + 32 + 2 + 2 + 1 + 4 + COMMITMENT_LENGTH,
        };
        fixed + TAG_LENGTH + context + edks
    }

    /// Appends the tag, and in version 1 its IV before it.
    pub(crate) fn write_tag(suite: AlgorithmSuite, iv: &Iv, tag: &Tag, out: &mut Vec<u8>) {
        if suite.message_version() == 1 {
            out.extend_from_slice(iv);
        }
        out.extend_from_slice(tag);
    }
}

/// A header that was read. Nothing of it is authentic before its tag has been
/// verified.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) suite: AlgorithmSuite,
    pub(crate) message_id: MessageId,
    /// The pairs that the header stores.
    pub(crate) context: EncryptionContext,
    pub(crate) edks: Vec<EncryptedDataKey>,
    pub(crate) content_type: ContentType,
    pub(crate) commitment: [u8; COMMITMENT_LENGTH],
    /// Bytes before the tag (and version 1's IV): what the tag is over.
    pub(crate) body_length: usize,
    /// Bytes of the whole header.
    pub(crate) length: usize,
    pub(crate) iv: Iv,
    pub(crate) tag: Tag,
}

/// What a reader accepts of a header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderLimits {
    pub(crate) max_edks: Option<usize>,
    pub(crate) max_length: usize,
}

/// Reads a header from bytes that may come in pieces. Each step is read whole
/// or not at all, and what was read is not read again: a header in single
/// bytes costs no more than a few times its length.
pub(crate) struct HeaderParser {
    limits: HeaderLimits,
    /// The bytes before this one are read.
    position: usize,
    step: Step,
    header: Header,
    edks_left: usize,
}

#[derive(Clone, Copy)]
enum Step {
    Start,
    Context,
    EdkCount,
    Edks,
    End,
    Done,
}

impl HeaderParser {
    pub(crate) fn new(limits: HeaderLimits) -> Self {
        let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
        HeaderParser {
            limits,
            position: 0,
            step: Step::Start,
            edks_left: 0,
            header: Header {
                suite,
                message_id: MessageId::zeroed(suite),
                context: EncryptionContext::new(),
                edks: Vec::new(),
                content_type: ContentType::Unframed,
                commitment: [0; COMMITMENT_LENGTH],
                body_length: 0,
                length: 0,
                iv: [0; IV_LENGTH],
                tag: [0; TAG_LENGTH],
            },
        }
    }

    /// Goes on as far as the bytes go, which are all those that came so far.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        // Bytes beyond the limit are not looked at, so that the error does not
        // depend on how many of them are there already.
        let limit = self.limits.max_length;
        let bytes = &bytes[..bytes.len().min(limit)];
        while !matches!(self.step, Step::Done) {
            let mut reader = Reader::at(bytes, self.position);
            let read = match self.step {
                Step::Start => self.start(&mut reader),
                Step::Context => self.context(&mut reader),
                Step::EdkCount => self.edk_count(&mut reader),
                Step::Edks => self.edk(&mut reader),
                Step::End | Step::Done => self.end(&mut reader),
            };
            self.step = match read {
                Err(ReadError::Incomplete(incomplete)) if incomplete.needed > limit as u64 => {
                    return Err(Error::HeaderTooLong { limit }.into());
                }
                read => read?,
            };
            self.position = reader.position();
        }
        Ok(())
    }

    /// The header, once [`advance`](Self::advance) has come to its end.
    pub(crate) fn finish(self) -> Header {
        self.header
    }

    fn start(&mut self, reader: &mut Reader<'_>) -> Result<Step, ReadError> {
        let version = reader.u8()?;
        match version {
            1 => match reader.u8()? {
                TYPE_CUSTOMER_AUTHENTICATED => {}
                other => return Err(FormatError::UnknownType(other).into()),
            },
            2 => {}
            // The base64 text of a message starts with "AY" (01 80) or "Ag"
            // (02 04, 02 05).
            b'A' if matches!(reader.u8()?, b'Y' | b'g') => {
                return Err(FormatError::Base64Text.into());
            }
            other => return Err(FormatError::UnknownVersion(other).into()),
        }
        let id = reader.u16()?;
        let suite = AlgorithmSuite::from_id(id).ok_or(FormatError::UnknownSuite(id))?;
        if suite.message_version() != version {
            return Err(FormatError::WrongVersion { suite, version }.into());
        }
        let mut message_id = MessageId::zeroed(suite);
        message_id
            .as_mut()
            .copy_from_slice(reader.take(suite.message_id_length())?);
        self.header.suite = suite;
        self.header.message_id = message_id;
        Ok(Step::Context)
    }

    fn context(&mut self, reader: &mut Reader<'_>) -> Result<Step, ReadError> {
        self.header.context = read_context(reader.u16_prefixed()?)?;
        Ok(Step::EdkCount)
    }

    fn edk_count(&mut self, reader: &mut Reader<'_>) -> Result<Step, ReadError> {
        let found = usize::from(reader.u16()?);
        if found == 0 {
            return Err(FormatError::NoEncryptedDataKeys.into());
        }
        if let Some(limit) = self.limits.max_edks.filter(|limit| found > *limit) {
            return Err(Error::TooManyEncryptedDataKeys { found, limit }.into());
        }
        self.edks_left = found;
        // Most messages have one or two.
        self.header.edks = Vec::with_capacity(found.min(4));
        Ok(Step::Edks)
    }

    fn edk(&mut self, reader: &mut Reader<'_>) -> Result<Step, ReadError> {
        self.header.edks.push(EncryptedDataKey::read(reader)?);
        self.edks_left -= 1;
        Ok(if self.edks_left == 0 {
            Step::End
        } else {
            Step::Edks
        })
    }

    fn end(&mut self, reader: &mut Reader<'_>) -> Result<Step, ReadError> {
        let header = &mut self.header;
        let content_type = reader.u8()?;
        if header.suite.message_version() == 1 {
            if reader.u32()? != 0 {
                return Err(FormatError::ReservedBytes.into());
            }
            let iv_length = reader.u8()?;
            if usize::from(iv_length) != IV_LENGTH {
                return Err(FormatError::IvLength(iv_length).into());
            }
        }
        header.content_type = ContentType::from_wire(content_type, reader.u32()?)?;
        if header.suite.commits() {
            header.commitment = reader.array()?;
        }
        header.body_length = reader.position();
        header.iv = match header.suite.message_version() {
            1 => reader.array()?,
            // Version 2 writes none: it is zero.
            _ => [0; IV_LENGTH],
        };
        header.tag = reader.array()?;
        header.length = reader.position();
        Ok(Step::Done)
    }
}

/// Reads the pairs, in any order: what is authenticated is the bytes as they
/// came. An empty context is no bytes; a count of zero is never written, but
/// has been, and is read.
fn read_context(bytes: &[u8]) -> Result<EncryptionContext, FormatError> {
    if bytes.is_empty() {
        return Ok(EncryptionContext::new());
    }
    let mut reader = Reader::new(bytes);
    let count = reader.u16().map_err(|_| FormatError::ContextLength)?;
    // No more pairs than there can be: each has two lengths before it.
    let room = usize::from(count).min(bytes.len() / 4);
    let mut pairs = UnsortedContext::from_wire(bytes, room);
    let read = read_pairs(&mut reader, count, &mut pairs);
    // What came twice came before what could not be read.
    let context = pairs
        .finish()
        .map_err(|key| FormatError::DuplicateContextKey { key })?;
    read.map(|()| context)
}

fn read_pairs(
    reader: &mut Reader<'_>,
    count: u16,
    pairs: &mut UnsortedContext,
) -> Result<(), FormatError> {
    let incomplete = |_: Incomplete| FormatError::ContextLength;
    for _ in 0..count {
        let start = reader.position();
        let key = text(reader.u16_prefixed().map_err(incomplete)?)?;
        let value = text(reader.u16_prefixed().map_err(incomplete)?)?;
        pairs.push_at(start, key, value);
    }
    match reader.is_at_end() {
        true => Ok(()),
        false => Err(FormatError::ContextLength),
    }
}

fn text(bytes: &[u8]) -> Result<&str, FormatError> {
    std::str::from_utf8(bytes).map_err(|_| FormatError::NotUtf8("encryption context"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeaderLimits = HeaderLimits {
        max_edks: Some(16),
        max_length: 1 << 22,
    };

    fn sample(suite: AlgorithmSuite) -> Vec<u8> {
        let context = EncryptionContext::from([("a", "b"), ("c", "")])
            .to_bytes()
            .unwrap();
        let edks = [
            EncryptedDataKey::new("p", *b"info", *b"ciphertext").unwrap(),
            EncryptedDataKey::new("", *b"", *b"").unwrap(),
        ];
        let mut out = Vec::new();
        HeaderBody {
            suite,
            message_id: &MessageId::zeroed(suite),
            context: &context,
            edks: &edks,
            frame_length: 7,
            commitment: &[5; 32],
        }
        .encode(&mut out);
        HeaderBody::write_tag(suite, &[3; 12], &[4; 16], &mut out);
        let edks = edks.iter().map(EncryptedDataKey::encoded_length).sum();
        assert_eq!(
            out.len(),
            HeaderBody::whole_length(suite, context.len(), edks)
        );
        out
    }

    #[test]
    fn whole_and_in_single_bytes() {
        for suite in AlgorithmSuite::ALL {
            let bytes = sample(suite);
            let mut whole = HeaderParser::new(LIMITS);
            whole.advance(&bytes).unwrap();
            let mut pieces = HeaderParser::new(LIMITS);
            for end in 0..bytes.len() {
                let Err(ReadError::Incomplete(Incomplete { needed })) =
                    pieces.advance(&bytes[..end])
                else {
                    panic!("complete after {end} bytes");
                };
                assert!(needed > end as u64 && needed <= bytes.len() as u64);
            }
            pieces.advance(&bytes).unwrap();
            for header in [whole.finish(), pieces.finish()] {
                assert_eq!(header.suite, suite);
                assert_eq!(header.length, bytes.len());
                assert_eq!(header.context.len(), 2);
                assert_eq!(header.edks.len(), 2);
                assert_eq!(header.edks[0].ciphertext(), b"ciphertext");
                assert_eq!(header.content_type, ContentType::Framed { frame_length: 7 });
                assert_eq!(header.tag, [4; 16]);
                let iv = if suite.commits() { [0; 12] } else { [3; 12] };
                assert_eq!(header.iv, iv);
            }
        }
    }

    #[test]
    fn limits() {
        let bytes = sample(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey);
        let mut parser = HeaderParser::new(HeaderLimits {
            max_edks: Some(1),
            ..LIMITS
        });
        assert!(matches!(
            parser.advance(&bytes),
            Err(ReadError::Invalid(Error::TooManyEncryptedDataKeys {
                found: 2,
                limit: 1
            }))
        ));
        for max_length in 0..bytes.len() {
            let mut parser = HeaderParser::new(HeaderLimits {
                max_length,
                ..LIMITS
            });
            assert!(matches!(
                parser.advance(&bytes),
                Err(ReadError::Invalid(Error::HeaderTooLong { .. }))
            ));
        }
        let mut parser = HeaderParser::new(HeaderLimits {
            max_length: bytes.len(),
            ..LIMITS
        });
        assert!(parser.advance(&bytes).is_ok());
    }

    #[test]
    fn contexts() {
        assert!(read_context(b"").unwrap().is_empty());
        // The canonical bytes of none are none.
        let none = read_context(b"\0\0").unwrap();
        assert_eq!(none, EncryptionContext::new());
        assert_eq!(none.to_bytes().unwrap(), b"");
        let sorted = b"\0\x02\0\x01a\0\x01x\0\x01b\0\0";
        let unsorted = b"\0\x02\0\x01b\0\0\0\x01a\0\x01x";
        for wire in [sorted, unsorted] {
            let context = read_context(wire).unwrap();
            assert_eq!(context, EncryptionContext::from([("a", "x"), ("b", "")]));
            assert_eq!(context.to_bytes().unwrap(), sorted);
        }
        for bad in [
            &b"\0"[..],
            b"\0\0x",
            b"\0\x01\0\x01a\0",
            b"\0\x01\0\x01a\0\0x",
        ] {
            assert_eq!(read_context(bad), Err(FormatError::ContextLength));
        }
        assert!(matches!(
            read_context(b"\0\x02\0\x01a\0\0\0\x01a\0\x01b"),
            Err(FormatError::DuplicateContextKey { .. })
        ));
        // Before what comes after it.
        for after in [&b"\0\x01"[..], b"\0\x01\xff\0\0", b"\0\x01c\0\0x"] {
            let twice = b"\0\x04\0\x01b\0\0\0\x01a\0\0\0\x01b\0\x01b";
            let read = read_context(&[&twice[..], after].concat());
            assert!(matches!(read, Err(FormatError::DuplicateContextKey { key }) if key == "b"));
        }
        assert!(matches!(
            read_context(b"\0\x01\0\x01\xff\0\0"),
            Err(FormatError::NotUtf8(_))
        ));
    }
}
