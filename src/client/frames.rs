//! Frames of one message, sealed and opened: from buffer to buffer, so that
//! any number of threads can work on those of one message.

use super::output::Output;
use crate::crypto::{AeadKey, InvalidKey, Tag};
use crate::error::{Error, Result};
use crate::message::{Aad, FrameHead, MessageId, RegularFrame, SEQUENCE_NUMBER_END, frame_iv};

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

    /// Whether a new output is better appended to, frame by frame, than zeroed
    /// and then written to.
    pub(super) fn are_appended(&self) -> bool {
        !self.key.is_direct()
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
        let length = u32::try_from(frame_length).map_err(|_| InvalidKey)?;
        let mut aad = self.aad.of_regular(length);
        let frames = plaintext.chunks_exact(frame_length);
        let outs = out.chunks_exact_mut(Self::wire_length(frame_length));
        for ((content, out), number) in frames.zip(outs).zip(first..) {
            let iv = frame_iv(number);
            let (sealed, tag) = RegularFrame::write(out, number, &iv).ok_or(InvalidKey)?;
            *tag = self.key.seal_to(&iv, aad.of(number), content, sealed)?;
        }
        Ok(())
    }

    /// The same at the end of an output, which shows what it appends to `wrote`.
    /// After an error nothing is left there of the frame.
    pub(super) fn append_sealed<O: Output>(
        &self,
        first: u32,
        frame_length: usize,
        plaintext: &[u8],
        out: &mut O,
        mut wrote: impl FnMut(&[u8]),
    ) -> Result<()> {
        let length = u32::try_from(frame_length).map_err(|_| Error::InvalidFrameLength)?;
        let mut aad = self.aad.of_regular(length);
        for (content, number) in plaintext.chunks_exact(frame_length).zip(first..) {
            let iv = frame_iv(number);
            let head = RegularFrame::head(number, &iv);
            let mut append = |out: &mut O| {
                out.put(&head)?;
                let sealed = out.put(content)?;
                let tag = self.key.seal(&iv, aad.of(number), sealed);
                let tag = tag.map_err(|_| Error::InvalidFrameLength)?;
                wrote(&head);
                wrote(sealed);
                wrote(&tag);
                out.put(&tag).map(|_| ())
            };
            let start = out.length();
            append(out).inspect_err(|_| out.retreat(start))?;
        }
        Ok(())
    }

    /// Seals the content into another buffer of its length, and gives the tag.
    /// The caller answers for the number, as above.
    pub(super) fn seal_to(
        &self,
        head: &FrameHead,
        content: &[u8],
        out: &mut [u8],
    ) -> Result<Tag, InvalidKey> {
        let mut aad = self.aad.clone();
        self.key.seal_to(&head.iv, aad.of(head), content, out)
    }

    /// Opens the content in place. After an error it may hold anything: the
    /// caller wipes it.
    pub(super) fn open(&self, head: &FrameHead, content: &mut [u8], tag: &Tag) -> Result<()> {
        let mut aad = self.aad.clone();
        self.key
            .open(&head.iv, aad.of(head), content, tag)
            .map_err(|_| not_authentic(head))
    }

    /// Opens the content into another buffer of its length. After an error that
    /// may hold anything: the caller wipes it.
    pub(super) fn open_to(
        &self,
        head: &FrameHead,
        content: &[u8],
        tag: &Tag,
        out: &mut [u8],
    ) -> Result<()> {
        let mut aad = self.aad.clone();
        self.key
            .open_to(&head.iv, aad.of(head), content, tag, out)
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
        let mut aad = self.aad.of_regular(length);
        let frames = input.chunks_exact(Self::wire_length(frame_length));
        let outs = out.chunks_exact_mut(frame_length);
        let mut opened = 0;
        for ((frame, out), number) in frames.zip(outs).zip(first..SEQUENCE_NUMBER_END) {
            let Some(RegularFrame { iv, content, tag }) = RegularFrame::read(frame, number) else {
                break;
            };
            let aad = aad.of(number);
            if self.key.open_to(&iv, aad, content, tag, out).is_err() {
                break;
            }
            opened += 1;
        }
        opened
    }

    /// The same at the end of an output, where nothing is left to be wiped.
    pub(super) fn append_opened(
        &self,
        first: u32,
        frame_length: usize,
        input: &[u8],
        out: &mut impl Output,
    ) -> usize {
        let Ok(length) = u32::try_from(frame_length) else {
            return 0;
        };
        let mut aad = self.aad.of_regular(length);
        let frames = input.chunks_exact(Self::wire_length(frame_length));
        let mut opened = 0;
        for (frame, number) in frames.zip(first..SEQUENCE_NUMBER_END) {
            let Some(RegularFrame { iv, content, tag }) = RegularFrame::read(frame, number) else {
                break;
            };
            let start = out.length();
            let Ok(place) = out.put(content) else {
                break;
            };
            if self.key.open(&iv, aad.of(number), place, tag).is_err() {
                out.retreat(start);
                break;
            }
            opened += 1;
        }
        opened
    }
}

fn not_authentic(head: &FrameHead) -> Error {
    let sequence_number = head.sequence_number;
    Error::FrameAuthentication { sequence_number }
}
