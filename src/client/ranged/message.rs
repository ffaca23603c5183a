//! A message whose header is verified, and the frames of it that are open.

use std::ops::Range;
use std::sync::OnceLock;

use super::super::frames::Frames;
use super::super::inspect::UnverifiedHeader;
use super::super::open::put_opened;
use super::super::{DecryptionDetails, whole};
use super::AHEAD;
use super::layout::Layout;
use crate::crypto::SecretBuffer;
use crate::error::{Error, Result};
use crate::message::{ContentType, FrameHead, FrameKind, Reader, read_footer};

/// All that does not change while a message is read.
pub(super) struct Message {
    layout: Layout,
    frames: Frames,
    content_type: ContentType,
    /// Of the source, by its own word.
    length: u64,
    max_buffered: usize,
    /// The plaintext's length, once the final frame has been opened.
    end: OnceLock<u64>,
    pub(super) header: UnverifiedHeader,
    pub(super) details: DecryptionDetails,
}

/// Frames that are open, one after the other.
#[derive(Default)]
pub(super) struct Window {
    bytes: SecretBuffer,
    /// Where in the plaintext they begin.
    start: u64,
    /// Where one who reads on will read.
    next: u64,
}

/// What a read came to.
pub(super) enum Step {
    Read(usize),
    Fetch(Fetch),
}

/// How often a read may fetch: for the end, and for its frames.
pub(super) const FETCHES: usize = 2;

/// What is to be fetched, and handed to [`Message::supply`].
pub(super) struct Fetch {
    pub(super) range: Range<u64>,
    first: u64,
    /// Frames at the end that each may be the final one; otherwise frames that
    /// are asked for.
    finds_end: bool,
}

/// A frame in the window.
struct Opened {
    /// Bytes in the message.
    wire_length: usize,
    content_length: usize,
    is_last: bool,
}

impl Message {
    pub(super) fn new(
        frames: Frames,
        content_type: ContentType,
        length: u64,
        max_buffered: usize,
        header: UnverifiedHeader,
        details: DecryptionDetails,
    ) -> Self {
        Message {
            layout: Layout::of(&header),
            frames,
            content_type,
            length,
            max_buffered,
            end: OnceLock::new(),
            header,
            details,
        }
    }

    /// The plaintext's length, where the final frame has been opened.
    pub(super) fn end(&self) -> Option<u64> {
        self.end.get().copied()
    }

    /// Reads what is open, or says what is to be fetched, about `most` bytes
    /// and one frame at most.
    pub(super) fn read(
        &self,
        window: &mut Window,
        offset: u64,
        out: &mut [u8],
        most: u64,
    ) -> Result<Step> {
        if out.is_empty() || self.end().is_some_and(|end| offset >= end) {
            return Ok(Step::Read(0));
        }
        let copied = window.copy(offset, out);
        if copied > 0 {
            window.next = offset.saturating_add(copied as u64);
            return Ok(Step::Read(copied));
        }
        let Some(first) = self.layout.frame_at(offset) else {
            return self.fetch_end().map(Step::Fetch);
        };
        // Behind the first frame that may be the final one there may be none.
        let surely = self.layout.last_frames(self.length);
        let may_be_none = surely.is_some_and(|last| first > last.start);
        if self.end().is_none() && (may_be_none || self.layout.start(first) >= self.length) {
            return self.fetch_end().map(Step::Fetch);
        }
        let last = offset.saturating_add(out.len() as u64 - 1) / self.layout.frame_length();
        let wanted = last.saturating_sub(first).saturating_add(1);
        let ahead = if window.next == offset && offset > 0 {
            self.layout.frames_in(AHEAD)
        } else {
            1
        };
        let count = wanted.max(ahead).min(self.layout.frames_in(most));
        let end = self.layout.start(first.saturating_add(count));
        let range = self.layout.start(first)..self.to_end(end);
        self.check_buffer(&range)?;
        Ok(Step::Fetch(Fetch {
            range,
            first,
            finds_end: false,
        }))
    }

    /// The source's length in bytes, by its own word.
    pub(super) fn source_length(&self) -> u64 {
        self.length
    }

    /// What is to be fetched for the plaintext's length to be known; `None` if
    /// it is.
    pub(super) fn find_end(&self) -> Result<Option<Fetch>> {
        match self.end() {
            Some(_) => Ok(None),
            None => self.fetch_end().map(Some),
        }
    }

    fn fetch_end(&self) -> Result<Fetch> {
        let frames = self.last_frames()?;
        let range = self.layout.start(frames.start)..self.length;
        if range.is_empty() {
            return Err(Error::Truncated);
        }
        self.check_buffer(&range)?;
        Ok(Fetch {
            range,
            first: frames.start,
            finds_end: true,
        })
    }

    fn last_frames(&self) -> Result<Range<u64>> {
        self.layout
            .last_frames(self.length)
            .ok_or(Error::TrailingBytes)
    }

    /// To the source's end, where only a final frame's rest can be left.
    fn to_end(&self, end: u64) -> u64 {
        if self.length <= end.saturating_add(self.layout.slack()) {
            self.length
        } else {
            end
        }
    }

    /// That a frame may be held, before it is fetched. Long frames may be
    /// announced where a short one is all there is.
    fn check_buffer(&self, range: &Range<u64>) -> Result<()> {
        let limit = self.max_buffered;
        let rest = if range.end < self.length {
            FrameHead::REGULAR_OVERHEAD as u64
        } else {
            self.layout.last_overhead() + self.layout.footer_most()
        };
        let content = (range.end - range.start).saturating_sub(rest);
        let needed = content.min(self.layout.frame_length());
        if needed > limit as u64 {
            return Err(Error::BufferLimit { needed, limit });
        }
        Ok(())
    }

    /// Takes what was fetched, all of it, for a read at `offset`; says how much
    /// could be read, or (`None`) that the end is known and the read is to be
    /// tried again. What is authentic comes before an error, which the next
    /// read meets. After an error nothing of the plaintext is in `out`.
    pub(super) fn supply(
        &self,
        window: &mut Window,
        fetch: &Fetch,
        bytes: &[u8],
        offset: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>> {
        window.bytes.clear();
        // As 0 bytes of plaintext it would be the end, which nobody has verified.
        if bytes.is_empty() {
            return Err(Error::Truncated);
        }
        if !fetch.finds_end {
            let filled = self.open_frames(window, fetch.first, bytes, offset, out)?;
            return Ok(Some(filled));
        }
        match self.open_end(window, fetch.first, bytes) {
            Ok(()) => Ok(None),
            // What is wrong at the end does not concern a frame before it.
            Err(error) => self
                .open_despite(window, fetch.first, bytes, offset, out)
                .map(Some)
                .map_err(|other| match other {
                    Some(other @ Error::FrameAuthentication { .. }) => other,
                    _ => error,
                }),
        }
    }

    /// Reads at `offset` from what was fetched for the end, from a frame on.
    fn open_despite(
        &self,
        window: &mut Window,
        first: u64,
        bytes: &[u8],
        offset: u64,
        out: &mut [u8],
    ) -> Result<usize, Option<Error>> {
        let index = self.layout.frame_at(offset).ok_or(None)?;
        let skipped = self
            .layout
            .start(index)
            .checked_sub(self.layout.start(first));
        let bytes = skipped
            .and_then(|skipped| bytes.get(usize::try_from(skipped).ok()?..))
            .filter(|bytes| !bytes.is_empty() && !out.is_empty())
            .ok_or(None)?;
        self.open_frames(window, index, bytes, offset, out)
            .map_err(Some)
    }

    /// Opens frames for a read at `offset`, which is in the first of them, and
    /// what follows them for those to come.
    fn open_frames(
        &self,
        window: &mut Window,
        first: u64,
        bytes: &[u8],
        offset: u64,
        out: &mut [u8],
    ) -> Result<usize> {
        let (mut at, mut filled, mut index, mut rest) = (offset, 0, first, bytes);
        while !rest.is_empty() {
            let opened = self.open_whole(index, rest, at, &mut out[filled..]);
            if opened.content_length > 0 {
                filled += opened.content_length;
                at += opened.content_length as u64;
                rest = &rest[opened.wire_length..];
                index += (opened.content_length as u64) / self.layout.frame_length();
                continue;
            }
            let is_asked_for = filled < out.len();
            if !is_asked_for && !self.has_room(window) {
                break;
            }
            match self.open_one(window, index, rest) {
                Ok(opened) => {
                    if is_asked_for {
                        let copied = window.copy(at, &mut out[filled..]);
                        filled += copied;
                        at += copied as u64;
                    }
                    if opened.is_last {
                        break;
                    }
                    rest = &rest[opened.wire_length..];
                    index += 1;
                }
                Err(error) if filled == 0 => return Err(error),
                Err(_) => break,
            }
        }
        window.next = at;
        Ok(filled)
    }

    /// Opens regular frames straight into the output, where it asks for them
    /// whole from the first byte of one on.
    fn open_whole(&self, index: u64, bytes: &[u8], at: u64, out: &mut [u8]) -> Opened {
        let none = Opened {
            wire_length: 0,
            content_length: 0,
            is_last: false,
        };
        let ContentType::Framed { frame_length } = self.content_type else {
            return none;
        };
        let starts_here = index.checked_mul(frame_length.into()) == Some(at);
        let (Some(number), true) = (number(index), starts_here) else {
            return none;
        };
        let frame_length = frame_length as usize;
        let wire_length = Frames::wire_length(frame_length);
        let count = (out.len() / frame_length).min(bytes.len() / wire_length);
        let out = &mut out[..count * frame_length];
        let bytes = &bytes[..count * wire_length];
        let opened = self.frames.open_run(number, frame_length, bytes, out);
        // Of a frame that is not authentic nothing stays.
        out[opened * frame_length..].fill(0);
        Opened {
            wire_length: opened * wire_length,
            content_length: opened * frame_length,
            is_last: false,
        }
    }

    /// Whether one more frame may be kept beside those that are.
    fn has_room(&self, window: &Window) -> bool {
        let held = window.bytes.len() as u64;
        held.saturating_add(self.layout.frame_length()) <= AHEAD
    }

    /// Opens the frame at the start of these bytes into the window. It is
    /// accepted at its own place only: by its number, and as the final one if
    /// the source ends with it.
    fn open_one(&self, window: &mut Window, index: u64, bytes: &[u8]) -> Result<Opened> {
        let number = number(index).ok_or(Error::TrailingBytes)?;
        let mut reader = Reader::new(bytes);
        let head = FrameHead::read(&mut reader, self.content_type).map_err(whole)?;
        head.check_sequence(number)?;
        let limit = self.max_buffered;
        if head.length > limit as u64 {
            let needed = head.length;
            return Err(Error::BufferLimit { needed, limit });
        }
        let is_last = head.kind != FrameKind::Regular;
        if is_last {
            self.check_rest(index, head.length)?;
        }
        let (content, tag) = reader
            .take_with_tag(head.length)
            .map_err(|error| whole(error.into()))?;
        let wire_length = reader.position();
        if is_last {
            if self.layout.footer_most() > 0 {
                read_footer(&mut reader).map_err(|error| whole(error.into()))?;
            }
            if !reader.is_at_end() {
                return Err(Error::TrailingBytes);
            }
        }
        let start = index.saturating_mul(self.layout.frame_length());
        window.go_to(start);
        put_opened(&self.frames, &head, content, &tag, &mut window.bytes)?;
        if is_last {
            let _ = self.end.set(start + head.length);
        }
        Ok(Opened {
            wire_length,
            content_length: content.len(),
            is_last,
        })
    }

    /// That the source can end with a final frame of this length. What was
    /// fetched of a longer one says nothing of its end.
    fn check_rest(&self, index: u64, content: u64) -> Result<()> {
        let end = self
            .layout
            .start(index)
            .saturating_add(self.layout.last_overhead())
            .saturating_add(content);
        if end > self.length {
            return Err(Error::Truncated);
        }
        if self.length - end > self.layout.footer_most() {
            return Err(Error::TrailingBytes);
        }
        Ok(())
    }

    /// Opens the final frame: which it is, a signature leaves open by a few.
    fn open_end(&self, window: &mut Window, first: u64, bytes: &[u8]) -> Result<()> {
        let mut error = Error::Truncated;
        for index in self.last_frames()? {
            let before = self.layout.start(index) - self.layout.start(first);
            let bytes = usize::try_from(before)
                .ok()
                .and_then(|before| bytes.get(before..));
            match self.open_one(window, index, bytes.unwrap_or_default()) {
                Ok(opened) if opened.is_last => return Ok(()),
                // These say the most: the frame's number was right.
                _ if matches!(
                    error,
                    Error::FrameAuthentication { .. } | Error::BufferLimit { .. }
                ) => {}
                Ok(_) => error = Error::Truncated,
                Err(other) => error = other,
            }
        }
        Err(error)
    }
}

impl Window {
    /// Copies what is open from here on.
    fn copy(&self, offset: u64, out: &mut [u8]) -> usize {
        let open = offset
            .checked_sub(self.start)
            .and_then(|skipped| self.bytes.as_slice().get(usize::try_from(skipped).ok()?..))
            .unwrap_or_default();
        let length = open.len().min(out.len());
        out[..length].copy_from_slice(&open[..length]);
        length
    }

    /// A frame that begins here comes next: beside the others, if it follows
    /// them.
    fn go_to(&mut self, start: u64) {
        let end = self.start.saturating_add(self.bytes.len() as u64);
        if self.bytes.is_empty() || end != start {
            self.bytes.clear();
            self.start = start;
        }
    }
}

/// A frame's number, where there is one.
fn number(index: u64) -> Option<u32> {
    u32::try_from(index).ok()?.checked_add(1)
}
