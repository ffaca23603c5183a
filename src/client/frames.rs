//! Frames of one message, sealed and opened: from buffer to buffer, so that
//! any number of threads can work on those of one message.

use crate::crypto::{AeadKey, InvalidKey, Tag};
use crate::error::{Error, Result};
use crate::message::{
    Aad, ContentType, FrameHead, FrameKind, MessageId, Reader, SEQUENCE_NUMBER_END, frame_iv,
};

/// One message's key, and what binds its frames to it.
pub(super) struct Frames {
    key: Box<dyn AeadKey>,
    aad: Aad,
}

impl Frames {
    pub(super) fn new(key: Box<dyn AeadKey>, message_id: &MessageId) -> Self {
        Frames {
            key,
            aad: Aad::new(message_id),
        }
    }

    /// The bytes of a regular frame of so much content.
    pub(super) fn wire_length(frame_length: usize) -> usize {
        frame_length.saturating_add(FrameHead::REGULAR_OVERHEAD)
    }

    /// Seals the content in place, and gives the tag. The caller answers for
    /// the number not having been used.
    pub(super) fn seal(&self, head: &FrameHead, content: &mut [u8]) -> Result<Tag, InvalidKey> {
        let mut aad = self.aad.clone();
        self.key.seal(&head.iv, aad.of(head), content)
    }

    /// Seals whole regular frames: `out` is as long as they are on the wire.
    /// The caller answers for the numbers not having been used, and for their
    /// being below [`SEQUENCE_NUMBER_END`].
    pub(super) fn seal_run(
        &self,
        first: u32,
        frame_length: usize,
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<(), InvalidKey> {
        let mut aad = self.aad.clone();
        let frames = plaintext.chunks_exact(frame_length);
        let outs = out.chunks_exact_mut(Self::wire_length(frame_length));
        for ((content, out), number) in frames.zip(outs).zip(first..) {
            let head = regular(number, frame_length);
            let (bytes, used) = head.encode();
            let (before, rest) = out.split_at_mut(used);
            let (sealed, tag) = rest.split_at_mut(frame_length);
            before.copy_from_slice(&bytes[..used]);
            let made = self.key.seal_to(&head.iv, aad.of(&head), content, sealed)?;
            tag.copy_from_slice(&made);
        }
        Ok(())
    }

    /// Opens the content in place. After an error it may hold anything: the
    /// caller wipes it.
    pub(super) fn open(&self, head: &FrameHead, content: &mut [u8], tag: &Tag) -> Result<()> {
        let mut aad = self.aad.clone();
        self.key
            .open(&head.iv, aad.of(head), content, tag)
            .map_err(|_| not_authentic(head))
    }

    /// Opens whole regular frames from `first` on, and says how many: it ends
    /// before one that is not the regular frame of its number, or is not
    /// authentic, and what `out` holds from there on is for the caller to wipe.
    pub(super) fn open_run(
        &self,
        first: u32,
        frame_length: usize,
        input: &[u8],
        out: &mut [u8],
    ) -> usize {
        let Ok(length) = u32::try_from(frame_length) else {
            return 0;
        };
        let content_type = ContentType::Framed {
            frame_length: length,
        };
        let mut aad = self.aad.clone();
        let frames = input.chunks_exact(Self::wire_length(frame_length));
        let outs = out.chunks_exact_mut(frame_length);
        let mut opened = 0;
        for ((frame, out), number) in frames.zip(outs).zip(first..SEQUENCE_NUMBER_END) {
            let mut reader = Reader::new(frame);
            let Ok(head) = FrameHead::read(&mut reader, content_type) else {
                break;
            };
            let Ok((content, tag)) = reader.take_with_tag(head.length) else {
                break;
            };
            if head.kind != FrameKind::Regular
                || head.sequence_number != number
                || self
                    .key
                    .open_to(&head.iv, aad.of(&head), content, &tag, out)
                    .is_err()
            {
                break;
            }
            opened += 1;
        }
        opened
    }
}

/// A regular frame as writers make it.
fn regular(sequence_number: u32, frame_length: usize) -> FrameHead {
    FrameHead {
        kind: FrameKind::Regular,
        sequence_number,
        iv: frame_iv(sequence_number),
        length: frame_length as u64,
    }
}

fn not_authentic(head: &FrameHead) -> Error {
    let sequence_number = head.sequence_number;
    Error::FrameAuthentication { sequence_number }
}
