//! The body: frames, or one un-framed block (data-format/message-body.md), and
//! the additional data that binds each (data-format/message-body-aad.md).

use super::codec::{ReadError, Reader};
use super::id::MessageId;
use crate::crypto::{IV_LENGTH, Iv, TAG_LENGTH, Tag};
use crate::error::{Error, FormatError};

/// Marks a final frame; so no regular frame has this number, and a message
/// has at most 2^32 − 1 frames.
pub(crate) const SEQUENCE_NUMBER_END: u32 = u32::MAX;

/// AES-GCM's longest plaintext, in bytes (NIST SP 800-38D, 5.2.1.1).
pub(crate) const MAX_UNFRAMED: u64 = (1 << 36) - 32;

/// How a body is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentType {
    Unframed,
    Framed { frame_length: u32 },
}

impl ContentType {
    pub(super) const FRAMED: u8 = 2;
    const UNFRAMED: u8 = 1;

    pub(super) fn from_wire(content_type: u8, frame_length: u32) -> Result<Self, FormatError> {
        match (content_type, frame_length) {
            (Self::UNFRAMED, 0) => Ok(ContentType::Unframed),
            (Self::FRAMED, 1..) => Ok(ContentType::Framed { frame_length }),
            (Self::UNFRAMED | Self::FRAMED, _) => Err(FormatError::FrameLength(frame_length)),
            _ => Err(FormatError::UnknownContentType(content_type)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Regular,
    Final,
    /// The whole of an un-framed body.
    Unframed,
}

impl FrameKind {
    fn content(self) -> &'static [u8] {
        match self {
            FrameKind::Regular => b"AWSKMSEncryptionClient Frame",
            FrameKind::Final => b"AWSKMSEncryptionClient Final Frame",
            FrameKind::Unframed => b"AWSKMSEncryptionClient Single Block",
        }
    }
}

/// What stands before a frame's ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) kind: FrameKind,
    pub(crate) sequence_number: u32,
    pub(crate) iv: Iv,
    /// Bytes of content: of plaintext, and as many of ciphertext.
    pub(crate) length: u64,
}

impl FrameHead {
    /// Bytes of a regular frame beside its content.
    pub(crate) const REGULAR_OVERHEAD: usize = 4 + IV_LENGTH + TAG_LENGTH;
    /// Bytes of a final frame beside its content.
    pub(crate) const FINAL_OVERHEAD: usize = 4 + 4 + IV_LENGTH + 4 + TAG_LENGTH;
    /// Bytes of an un-framed body beside its content.
    pub(crate) const UNFRAMED_OVERHEAD: usize = IV_LENGTH + 8 + TAG_LENGTH;

    /// Of a frame that is written.
    pub(crate) fn new(kind: FrameKind, sequence_number: u32, length: usize) -> Self {
        FrameHead {
            kind,
            sequence_number,
            iv: frame_iv(sequence_number),
            length: length as u64,
        }
    }

    /// Writes a frame's head (un-framed bodies are not written), and returns
    /// its bytes: a buffer and how much of it is used.
    pub(crate) fn encode(&self) -> ([u8; 24], usize) {
        let mut out = [0; 24];
        let mut used = 0;
        let mut put = |bytes: &[u8]| {
            out[used..used + bytes.len()].copy_from_slice(bytes);
            used += bytes.len();
        };
        let is_final = self.kind == FrameKind::Final;
        if is_final {
            put(&SEQUENCE_NUMBER_END.to_be_bytes());
        }
        put(&self.sequence_number.to_be_bytes());
        put(&self.iv);
        if is_final {
            // A frame is at most the frame length, which has 32 bits.
            put(&(self.length as u32).to_be_bytes());
        }
        (out, used)
    }

    /// Reads what stands before the ciphertext. The IV is the one on the
    /// wire: readers must not make it anew.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        content_type: ContentType,
    ) -> Result<Self, ReadError> {
        let frame_length = match content_type {
            ContentType::Unframed => {
                let iv = reader.array()?;
                let length = reader.u64()?;
                if length > MAX_UNFRAMED {
                    return Err(FormatError::BodyLength(length).into());
                }
                return Ok(FrameHead {
                    kind: FrameKind::Unframed,
                    sequence_number: 1,
                    iv,
                    length,
                });
            }
            ContentType::Framed { frame_length } => frame_length,
        };
        let number = reader.u32()?;
        if number != SEQUENCE_NUMBER_END {
            return Ok(FrameHead {
                kind: FrameKind::Regular,
                sequence_number: number,
                iv: reader.array()?,
                length: frame_length.into(),
            });
        }
        let sequence_number = reader.u32()?;
        let iv = reader.array()?;
        let length = reader.u32()?;
        if length > frame_length {
            return Err(FormatError::FinalFrameLength {
                length,
                frame_length,
            }
            .into());
        }
        Ok(FrameHead {
            kind: FrameKind::Final,
            sequence_number,
            iv,
            length: length.into(),
        })
    }

    /// Checks that this frame is the one that comes next.
    pub(crate) fn check_sequence(&self, expected: u32) -> Result<(), Error> {
        if self.sequence_number == expected {
            Ok(())
        } else {
            Err(Error::FrameSequence {
                expected,
                found: self.sequence_number,
            })
        }
    }
}

/// The IV that writers give a frame: its number, so that no two of one message
/// are alike; 0 is the header's.
pub(crate) fn frame_iv(sequence_number: u32) -> Iv {
    let mut iv = [0; IV_LENGTH];
    iv[8..].copy_from_slice(&sequence_number.to_be_bytes());
    iv
}

/// Builds the additional data of one message's frames.
#[derive(Clone)]
pub(crate) struct Aad {
    bytes: [u8; 32 + 35 + 4 + 8],
    id_length: usize,
}

impl Aad {
    pub(crate) fn new(message_id: &MessageId) -> Self {
        let id = message_id.as_ref();
        let mut bytes = [0; 79];
        bytes[..id.len()].copy_from_slice(id);
        Aad {
            bytes,
            id_length: id.len(),
        }
    }

    pub(crate) fn of(&mut self, head: &FrameHead) -> &[u8] {
        let content = head.kind.content();
        let (number, length) = (
            head.sequence_number.to_be_bytes(),
            head.length.to_be_bytes(),
        );
        let mut end = self.id_length;
        for part in [content, &number, &length] {
            self.bytes[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        &self.bytes[..end]
    }

    /// For many regular frames of this length, in bytes.
    pub(crate) fn of_regular(&self, frame_length: u32) -> RegularAad {
        let mut aad = self.clone();
        let length = aad
            .of(&FrameHead {
                kind: FrameKind::Regular,
                sequence_number: 0,
                iv: [0; IV_LENGTH],
                length: frame_length.into(),
            })
            .len();
        RegularAad {
            bytes: aad.bytes,
            length,
        }
    }
}

/// The additional data of regular frames, which differ in their numbers alone.
pub(crate) struct RegularAad {
    bytes: [u8; 79],
    length: usize,
}

impl RegularAad {
    pub(crate) fn of(&mut self, number: u32) -> &[u8] {
        // Before the length.
        let at = self.length - 8 - 4;
        self.bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
        &self.bytes[..self.length]
    }
}

/// A regular frame that is there whole.
pub(crate) struct RegularFrame<'a> {
    pub(crate) iv: Iv,
    pub(crate) content: &'a [u8],
    /// Where it stands, so that it is read after the content: fetched from memory
    /// before it, it costs long messages a fifth of their speed.
    pub(crate) tag: &'a Tag,
}

impl<'a> RegularFrame<'a> {
    /// Reads the regular frame of this number, which is all of the bytes.
    /// `None` where it is another one, or none.
    pub(crate) fn read(bytes: &'a [u8], number: u32) -> Option<Self> {
        let (found, rest) = bytes.split_first_chunk()?;
        let (iv, rest) = rest.split_first_chunk()?;
        let (content, tag) = rest.split_last_chunk()?;
        let is_it = *found == number.to_be_bytes() && number != SEQUENCE_NUMBER_END;
        is_it.then_some(RegularFrame {
            iv: *iv,
            content,
            tag,
        })
    }

    /// Writes what stands before the content; gives where the content and the
    /// tag go. `None` where there is no room for them.
    pub(crate) fn write(
        bytes: &'a mut [u8],
        number: u32,
        iv: &Iv,
    ) -> Option<(&'a mut [u8], &'a mut Tag)> {
        let (at, rest) = bytes.split_first_chunk_mut()?;
        *at = Self::head(number, iv);
        rest.split_last_chunk_mut()
    }

    /// What stands before the content.
    pub(crate) fn head(number: u32, iv: &Iv) -> [u8; 4 + IV_LENGTH] {
        let mut head = [0; 4 + IV_LENGTH];
        head[..4].copy_from_slice(&number.to_be_bytes());
        head[4..].copy_from_slice(iv);
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::codec::Incomplete;
    use crate::suite::AlgorithmSuite;

    #[test]
    fn heads_round_trip() {
        let content_type = ContentType::Framed { frame_length: 9 };
        for (kind, length) in [
            (FrameKind::Regular, 9),
            (FrameKind::Final, 0),
            (FrameKind::Final, 9),
        ] {
            let head = FrameHead {
                kind,
                sequence_number: 3,
                iv: frame_iv(3),
                length,
            };
            let (bytes, used) = head.encode();
            assert_eq!(used, if kind == FrameKind::Final { 24 } else { 16 });
            let mut reader = Reader::new(&bytes[..used]);
            assert_eq!(FrameHead::read(&mut reader, content_type).unwrap(), head);
            assert!(reader.is_at_end());
            for end in 0..used {
                assert!(matches!(
                    FrameHead::read(&mut Reader::new(&bytes[..end]), content_type),
                    Err(ReadError::Incomplete(Incomplete { .. }))
                ));
            }
        }
    }

    #[test]
    fn lengths_are_checked() {
        let head = FrameHead {
            kind: FrameKind::Final,
            sequence_number: 1,
            iv: [0; 12],
            length: 10,
        };
        let (bytes, used) = head.encode();
        let content_type = ContentType::Framed { frame_length: 9 };
        assert!(matches!(
            FrameHead::read(&mut Reader::new(&bytes[..used]), content_type),
            Err(ReadError::Invalid(Error::Malformed(
                FormatError::FinalFrameLength { .. }
            )))
        ));
        let mut unframed = vec![0; 12];
        unframed.extend((MAX_UNFRAMED + 1).to_be_bytes());
        assert!(matches!(
            FrameHead::read(&mut Reader::new(&unframed), ContentType::Unframed),
            Err(ReadError::Invalid(Error::Malformed(
                FormatError::BodyLength(_)
            )))
        ));
    }

    #[test]
    fn content_types() {
        assert_eq!(ContentType::from_wire(1, 0), Ok(ContentType::Unframed));
        assert_eq!(
            ContentType::from_wire(1, 1),
            Err(FormatError::FrameLength(1))
        );
        assert_eq!(
            ContentType::from_wire(2, 0),
            Err(FormatError::FrameLength(0))
        );
        assert_eq!(
            ContentType::from_wire(3, 0),
            Err(FormatError::UnknownContentType(3))
        );
    }

    #[test]
    fn aad_parts() {
        let mut id = MessageId::zeroed(AlgorithmSuite::Aes128GcmNoKdf);
        id.as_mut().fill(7);
        let head = FrameHead {
            kind: FrameKind::Final,
            sequence_number: 2,
            iv: [0; 12],
            length: 5,
        };
        let mut expected = vec![7; 16];
        expected.extend(b"AWSKMSEncryptionClient Final Frame\0\0\0\x02\0\0\0\0\0\0\0\x05");
        assert_eq!(Aad::new(&id).of(&head), expected);
        let regular = FrameHead {
            kind: FrameKind::Regular,
            sequence_number: 0x0102_0304,
            iv: [0; 12],
            length: 9,
        };
        let mut of_regular = Aad::new(&id).of_regular(9);
        for number in [7, 0x0102_0304] {
            of_regular.of(number);
        }
        assert_eq!(of_regular.of(0x0102_0304), Aad::new(&id).of(&regular));
    }

    #[test]
    fn regular_frames_are_as_heads_have_them() {
        let head = FrameHead {
            kind: FrameKind::Regular,
            sequence_number: 3,
            iv: frame_iv(3),
            length: 5,
        };
        let (bytes, used) = head.encode();
        let mut frame = [0; 37];
        let (content, tag) = RegularFrame::write(&mut frame, 3, &head.iv).unwrap();
        content.copy_from_slice(b"text!");
        tag.fill(9);
        assert_eq!(frame[..used], bytes[..used]);
        let read = RegularFrame::read(&frame, 3).unwrap();
        assert_eq!(
            (read.iv, read.content, read.tag),
            (head.iv, &b"text!"[..], &[9; 16])
        );
        assert!(RegularFrame::read(&frame, 4).is_none());
        assert!(RegularFrame::read(&frame[..31], 3).is_none());
        assert!(RegularFrame::write(&mut frame[..31], 3, &head.iv).is_none());
        frame[..4].fill(0xff);
        assert!(RegularFrame::read(&frame, SEQUENCE_NUMBER_END).is_none());
    }
}
