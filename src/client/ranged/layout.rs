//! Where what stands in a message: arithmetic over lengths that may be
//! hostile, so that all of it saturates or says no.

use std::ops::Range;

use super::super::inspect::{ContentLayout, UnverifiedHeader};
use crate::message::{FOOTER_OVERHEAD, FrameHead, MAX_UNFRAMED, SEQUENCE_NUMBER_END};
use crate::suite::AlgorithmSuite;

/// A final frame's overhead beyond a regular one's.
const FINAL_EXCESS: u64 = (FrameHead::FINAL_OVERHEAD - FrameHead::REGULAR_OVERHEAD) as u64;

/// The most frames that a message has (data-format/message-body.md, "Framed
/// Data").
const MAX_FRAMES: u64 = SEQUENCE_NUMBER_END as u64;

/// What must be had of a message for a range of its plaintext: see
/// [`UnverifiedHeader::plan_range`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RangePlan {
    /// The numbers of the frames, from 1. An un-framed body counts as one.
    pub frames: Range<u64>,
    /// The bytes of the message that hold these frames. It is the most that is
    /// needed: where the message ends earlier, so does what is needed.
    pub message: Range<u64>,
    /// The bytes of plaintext that these frames hold, at most.
    pub plaintext: Range<u64>,
}

impl UnverifiedHeader {
    /// What must be had of the message for this range of its plaintext (in
    /// bytes): whole frames, as a part of one proves nothing; of an un-framed
    /// message all of it. Any range is fine: one that is empty, or begins
    /// behind the longest message that there can be, needs nothing.
    ///
    /// The message's end is not known here; the last of these frames may be the
    /// final one, and what follows that (8 bytes that its head is longer, a
    /// signature) is part of the plan. Nothing of it is verified, as nothing of
    /// this header is.
    ///
    /// ```
    /// # let key = waxseal::SecretBytes::from(vec![7; 32]);
    /// # let client = waxseal::blocking::Client::new(waxseal::RawAesProvider::new("ns", "key-1", &key)?);
    /// # let message = client.encrypt(&[0; 10_000], &waxseal::EncryptionContext::new())?;
    /// let header = waxseal::inspect(&message)?;
    /// let plan = header.plan_range(5_000..5_100);
    /// assert_eq!(plan.frames, 2..3);
    /// assert_eq!(plan.plaintext, 4096..8192);
    /// let start = header.header_length() as u64 + 4128;
    /// assert_eq!(plan.message, start..start + 4136);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn plan_range(&self, plaintext: Range<u64>) -> RangePlan {
        Layout::of(self).plan(plaintext)
    }

    /// The length of the plaintext, in bytes, that follows from the length of
    /// the whole message; `None` where no message with this header is that
    /// long. A signature counts with the length that this library and AWS's
    /// give it (71 bytes for P-256, 103 for P-384).
    ///
    /// **Nothing of it is authentic**: the length is whoever's who stored the
    /// message, and the header is not verified. It is what a reader knows
    /// before it has opened the final frame.
    pub fn plaintext_length(&self, message_length: u64) -> Option<u64> {
        Layout::of(self).plaintext_length(message_length)
    }
}

/// Frames are counted from 0 here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    header: u64,
    /// `None`: un-framed.
    frame_length: Option<u32>,
    /// The usual length of the footer; 0 for unsigned suites.
    footer: u64,
}

impl Layout {
    pub(super) fn of(header: &UnverifiedHeader) -> Self {
        let frame_length = match header.layout() {
            ContentLayout::Framed { frame_length } => Some(frame_length),
            ContentLayout::Unframed => None,
        };
        Layout::new(header.header_length() as u64, frame_length, header.suite())
    }

    fn new(header: u64, frame_length: Option<u32>, suite: AlgorithmSuite) -> Self {
        let footer = suite
            .signature()
            .map_or(0, |curve| FOOTER_OVERHEAD + curve.signature_length());
        Layout {
            header,
            frame_length,
            footer: footer as u64,
        }
    }

    /// Bytes of plaintext of a full frame. An un-framed body is a frame that
    /// never ends.
    pub(super) fn frame_length(&self) -> u64 {
        self.frame_length.map_or(u64::MAX, u64::from)
    }

    /// Bytes of a regular frame.
    fn wire_length(&self) -> u64 {
        self.frame_length()
            .saturating_add(FrameHead::REGULAR_OVERHEAD as u64)
    }

    /// Bytes that the frame at the end has beside its content.
    pub(super) fn last_overhead(&self) -> u64 {
        match self.frame_length {
            Some(_) => FrameHead::FINAL_OVERHEAD as u64,
            None => FrameHead::UNFRAMED_OVERHEAD as u64,
        }
    }

    /// The most bytes that follow the frame at the end: a signature's DER may
    /// be a byte longer than writers make it.
    pub(super) fn footer_most(&self) -> u64 {
        match self.footer {
            0 => 0,
            footer => footer + 1,
        }
    }

    /// What the last of some frames may need beyond regular frames' length.
    pub(super) fn slack(&self) -> u64 {
        FINAL_EXCESS + self.footer_most()
    }

    /// Where a frame begins.
    pub(super) fn start(&self, frame: u64) -> u64 {
        self.header
            .saturating_add(frame.saturating_mul(self.wire_length()))
    }

    /// How many regular frames these bytes hold; one at least.
    pub(super) fn frames_in(&self, bytes: u64) -> u64 {
        (bytes / self.wire_length()).max(1)
    }

    /// The frame that holds a byte of plaintext; `None` behind all that a
    /// message can have.
    pub(super) fn frame_at(&self, offset: u64) -> Option<u64> {
        let most = if self.frame_length.is_some() {
            MAX_FRAMES
        } else {
            1
        };
        Some(offset / self.frame_length()).filter(|frame| *frame < most)
    }

    /// The frames of which the final one is one, in a message of this length;
    /// several only where a footer of unknown length follows. `None` where there
    /// were more frames than a message has.
    pub(super) fn last_frames(&self, message_length: u64) -> Option<Range<u64>> {
        let rest = message_length
            .saturating_sub(self.header)
            .saturating_sub(self.last_overhead());
        let highest = rest / self.wire_length();
        let full = self.frame_length().saturating_add(self.footer_most());
        let lowest = rest.saturating_sub(full).div_ceil(self.wire_length());
        let lowest = lowest.min(highest);
        let end = highest.saturating_add(1).min(MAX_FRAMES);
        (lowest < MAX_FRAMES).then_some(lowest..end)
    }

    fn plan(&self, plaintext: Range<u64>) -> RangePlan {
        let first = self.frame_at(plaintext.start);
        let Some(first) = first.filter(|_| plaintext.start < plaintext.end) else {
            return RangePlan {
                frames: 0..0,
                message: 0..0,
                plaintext: 0..0,
            };
        };
        let Some(frame_length) = self.frame_length.map(u64::from) else {
            let rest = self.last_overhead() + self.footer_most();
            return RangePlan {
                frames: 1..2,
                message: self.header..self.header.saturating_add(MAX_UNFRAMED + rest),
                plaintext: 0..MAX_UNFRAMED,
            };
        };
        // Below 2^32 all, so that no frame's plaintext is beyond 2^64.
        let last = self.frame_at(plaintext.end - 1).unwrap_or(MAX_FRAMES - 1);
        let end = self.start(last + 1).saturating_add(self.slack());
        RangePlan {
            frames: first + 1..last + 2,
            message: self.start(first)..end,
            plaintext: first * frame_length..(last + 1) * frame_length,
        }
    }

    fn plaintext_length(&self, message_length: u64) -> Option<u64> {
        let rest = message_length
            .checked_sub(self.header)?
            .checked_sub(self.footer)?
            .checked_sub(self.last_overhead())?;
        let Some(frame_length) = self.frame_length.map(u64::from) else {
            return Some(rest).filter(|length| *length <= MAX_UNFRAMED);
        };
        let regular = rest / self.wire_length();
        let last = rest % self.wire_length();
        let fits = regular < MAX_FRAMES && last <= frame_length;
        fits.then(|| regular * frame_length + last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSIGNED: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
    const SIGNED: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384;

    /// Frames one by one, as a writer makes them.
    fn message_length(header: u64, frame_length: u64, plaintext: u64, footer: u64) -> u64 {
        let (mut length, mut left) = (header, plaintext);
        while left > frame_length {
            length += frame_length + 32;
            left -= frame_length;
        }
        length + left + 40 + footer
    }

    #[test]
    fn lengths_there_and_back() {
        for (suite, footer) in [(UNSIGNED, 0), (SIGNED, 105)] {
            for frame_length in [1, 2, 7, 30, 31, 32, 33, 64] {
                let layout = Layout::new(100, Some(frame_length), suite);
                let frame_length = u64::from(frame_length);
                let mut fitting = std::collections::BTreeMap::new();
                for plaintext in 0..400 {
                    let length = message_length(100, frame_length, plaintext, footer);
                    fitting.insert(length, plaintext);
                    // Some writers end on a frame of nothing.
                    if plaintext > 0 && plaintext % frame_length == 0 {
                        fitting.insert(length + 32, plaintext);
                    }
                }
                for length in 0..message_length(100, frame_length, 399, footer) {
                    let expected = fitting.get(&length).copied();
                    assert_eq!(layout.plaintext_length(length), expected, "{length}");
                    // What is at the end is among what may be.
                    if let Some(plaintext) = expected {
                        let body = length - 100 - footer - 40;
                        let last = body / (frame_length + 32);
                        assert!(last * frame_length <= plaintext);
                        assert!(layout.last_frames(length).unwrap().contains(&last));
                    }
                }
            }
        }
    }

    #[test]
    fn unframed() {
        let layout = Layout::new(100, None, UNSIGNED);
        assert_eq!(layout.plaintext_length(135), None);
        assert_eq!(layout.plaintext_length(136), Some(0));
        assert_eq!(layout.plaintext_length(1136), Some(1000));
        let longest = 136 + MAX_UNFRAMED;
        assert_eq!(layout.plaintext_length(longest), Some(MAX_UNFRAMED));
        assert_eq!(layout.plaintext_length(longest + 1), None);
        assert_eq!(layout.plan(5..6).frames, 1..2);
        assert_eq!(layout.plan(5..6).message, 100..longest);
        assert_eq!(layout.plan(5..5).message, 0..0);
        assert_eq!(layout.last_frames(0), Some(0..1));
        assert_eq!(layout.last_frames(136), Some(0..1));
        assert_eq!(layout.last_frames(u64::MAX), Some(0..1));
    }

    #[test]
    fn plans_hold_any_range() {
        let ends = [
            0,
            1,
            63,
            64,
            65,
            1 << 32,
            (1 << 38) - 65,
            (1 << 38) - 64,
            1 << 38,
            u64::MAX - 1,
            u64::MAX,
        ];
        for (frame_length, suite) in [
            (1, UNSIGNED),
            (64, UNSIGNED),
            (64, SIGNED),
            (u32::MAX, SIGNED),
        ] {
            let layout = Layout::new(100, Some(frame_length), suite);
            let frame_length = u64::from(frame_length);
            for (start, end) in ends.iter().flat_map(|start| ends.map(|end| (*start, end))) {
                let plan = layout.plan(start..end);
                if start >= end || start / frame_length >= MAX_FRAMES {
                    assert!(plan.frames.is_empty() && plan.message.is_empty());
                    continue;
                }
                assert!(plan.plaintext.start <= start);
                assert!(start - plan.plaintext.start < frame_length);
                let longest = MAX_FRAMES * frame_length;
                assert!(plan.plaintext.end >= end.min(longest));
                assert!(plan.plaintext.end <= longest);
                assert_eq!(
                    plan.plaintext.end - plan.plaintext.start,
                    (plan.frames.end - plan.frames.start) * frame_length
                );
                assert!(plan.message.start >= 100);
                if plan.message.end < u64::MAX {
                    let frames = plan.frames.end - plan.frames.start;
                    let slack = if suite.is_signed() { 114 } else { 8 };
                    let length = frames * (frame_length + 32) + slack;
                    assert_eq!(plan.message.end - plan.message.start, length);
                }
            }
        }
    }

    #[test]
    fn no_more_frames_than_there_are_numbers() {
        let layout = Layout::new(0, Some(1), UNSIGNED);
        let longest = (MAX_FRAMES - 1) * 33 + 41;
        assert_eq!(layout.plaintext_length(longest), Some(MAX_FRAMES));
        assert_eq!(layout.plaintext_length(longest + 32), None);
        assert_eq!(
            layout.last_frames(longest),
            Some(MAX_FRAMES - 1..MAX_FRAMES)
        );
        assert_eq!(layout.last_frames(longest + 64), None);
        assert_eq!(layout.frame_at(MAX_FRAMES), None);
    }
}
