//! Reading a message's body and footer with materials in hand.
//!
//! Specification: client-apis/decrypt.md, "Behavior".

use std::ops::ControlFlow;
use std::sync::Arc;

use super::frames::Frames;
use super::keys::MessageKeys;
use super::output::Output;
use super::parallel::{Done, Job, Parallelism, Shares};
use super::settings::Settings;
use crate::crypto::{Hasher, SecretBuffer, Tag, VerifyingKey, constant_time_eq};
use crate::error::{Error, MaterialsError, Result};
use crate::materials::DecryptionMaterials;
use crate::message::{
    ContentType, FrameHead, FrameKind, Header, ReadError, Reader, SEQUENCE_NUMBER_END, read_footer,
};

/// When plaintext is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// Each frame when it is authentic. For unsigned suites, and for whole
    /// messages, whose caller wipes the output if the signature is wrong.
    EachFrame,
    /// Each frame when it is authentic, but the final one only once the
    /// signature is verified, so that a reader of what comes out never sees
    /// an end that was not.
    FinalWhenVerified,
    /// Nothing before the signature is verified.
    AllWhenVerified,
}

/// Reads a body and a footer from bytes that may come in pieces.
pub(super) struct Opener {
    frames: Frames,
    content_type: ContentType,
    expected: u32,
    state: State,
    verifying: Option<Verifying>,
    release: Release,
    /// Of a piece that is not complete: never more than came.
    partial: Vec<u8>,
    held: SecretBuffer,
    max_buffered: usize,
    parallelism: Parallelism,
}

/// What a body that is there whole holds, as its heads say.
pub(super) struct Extent {
    regular_frames: usize,
    pub(super) plaintext_length: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Body,
    Footer,
    Done,
}

struct Verifying {
    hasher: Box<dyn Hasher>,
    key: Arc<dyn VerifyingKey>,
}

impl Opener {
    /// Verifies the header (`raw`: the whole of it), as [`verify_header`] does.
    pub(super) fn start(
        settings: &Settings,
        header: &Header,
        raw: &[u8],
        materials: &DecryptionMaterials,
        release: Release,
        max_buffered: usize,
    ) -> Result<Self> {
        let frames = verify_header(settings, header, raw, materials)?;
        let (suite, backend) = (header.suite, &settings.backend);
        let verifying = materials.verifying_key.clone().zip(suite.signature());
        let verifying = verifying.map(|(key, curve)| {
            let mut hasher = backend.hasher(curve.hash());
            hasher.update(raw);
            Verifying { hasher, key }
        });
        Ok(Opener {
            frames,
            content_type: header.content_type,
            expected: 1,
            state: State::Body,
            release: if verifying.is_some() {
                release
            } else {
                Release::EachFrame
            },
            verifying,
            partial: Vec::new(),
            held: SecretBuffer::default(),
            max_buffered,
            parallelism: settings.parallelism.clone(),
        })
    }

    /// Whether a new output for so many frames is better appended to than
    /// zeroed and then written to.
    pub(super) fn appends(&self, extent: &Extent) -> bool {
        let ContentType::Framed { frame_length } = self.content_type else {
            return true;
        };
        let (frames, frame_length) = (extent.regular_frames, frame_length as usize);
        self.frames.are_appended() && !self.parallelism.splits(frames, frame_length)
    }

    /// What the frames that are there hold: never more than the bytes are.
    pub(super) fn extent(&self, body: &[u8]) -> Extent {
        let (mut reader, mut extent) = match self.extent_by_last(body) {
            Ok(extent) => return extent,
            Err(reader) => (
                reader,
                Extent {
                    regular_frames: 0,
                    plaintext_length: 0,
                },
            ),
        };
        while let Ok(head) = FrameHead::read(&mut reader, self.content_type) {
            let Ok((content, _)) = reader.take_with_tag(head.length) else {
                break;
            };
            extent.plaintext_length += content.len();
            if head.kind != FrameKind::Regular {
                break;
            }
            extent.regular_frames += 1;
        }
        extent
    }

    /// The same from the final frame alone, which stands where it must if
    /// nothing, or a footer, follows it. Looking at each frame's head in a
    /// long message costs as much as a good part of its decryption.
    fn extent_by_last<'a>(&self, body: &'a [u8]) -> Result<Extent, Reader<'a>> {
        let whole = Reader::new(body);
        let ContentType::Framed { frame_length } = self.content_type else {
            return Err(whole);
        };
        let frame_length = frame_length as usize;
        let wire_length = Frames::wire_length(frame_length);
        let most = body.len().saturating_sub(FrameHead::FINAL_OVERHEAD) / wire_length;
        for regular_frames in [most, most.saturating_sub(1)] {
            let mut reader = Reader::at(body, regular_frames * wire_length);
            let Ok(head) = FrameHead::read(&mut reader, self.content_type) else {
                continue;
            };
            let Ok((last, _)) = reader.take_with_tag(head.length) else {
                continue;
            };
            let is_next = u64::from(head.sequence_number) == regular_frames as u64 + 1;
            if head.kind == FrameKind::Final && is_next {
                return Ok(Extent {
                    regular_frames,
                    plaintext_length: regular_frames * frame_length + last.len(),
                });
            }
        }
        Err(whole)
    }

    /// Takes a message's body and footer that are there whole; says how long
    /// they are. After an error nothing of them is in the output.
    pub(super) fn open_all(
        &mut self,
        input: &[u8],
        extent: &Extent,
        out: &mut impl Output,
    ) -> Result<usize> {
        let start = out.length();
        self.release_all(input, extent, out)
            .inspect_err(|_| out.retreat(start))
    }

    fn release_all(
        &mut self,
        input: &[u8],
        extent: &Extent,
        out: &mut impl Output,
    ) -> Result<usize> {
        let mut consumed = self.run(input, extent.regular_frames, out)?;
        while !self.is_done() {
            match self.next(&input[consumed..])? {
                Next::Piece(piece) => {
                    consumed += piece.bytes.len();
                    self.take(piece, out)?;
                }
                Next::Needs(_) => return Err(Error::Truncated),
            }
        }
        Ok(consumed)
    }

    /// Opens a message where it is, its body being at `start`, and says how
    /// long the plaintext is. After an error the buffer may hold anything: the
    /// caller wipes it.
    pub(super) fn open_in_place(&mut self, buffer: &mut [u8], start: usize) -> Result<usize> {
        let (mut consumed, mut length) = (start, 0);
        while !self.is_done() {
            let rest = buffer.get(consumed..).ok_or(Error::Truncated)?;
            let Next::Piece(piece) = self.next(rest)? else {
                return Err(Error::Truncated);
            };
            let at = consumed;
            consumed += piece.bytes.len();
            let (head, content, tag) = match piece.part {
                Part::Frame { head, content, tag } => (head, content, tag),
                Part::Footer { signature } => {
                    self.footer(signature, &mut Vec::new())?;
                    continue;
                }
            };
            if let Some(verifying) = &mut self.verifying {
                verifying.hasher.update(piece.bytes);
            }
            let before = piece.bytes.len() - content.len() - tag.len();
            let content = at + before..at + before + content.len();
            let opened = &mut buffer[content.clone()];
            self.frames.open(&head, opened, &tag)?;
            buffer.copy_within(content.clone(), length);
            length += content.len();
            self.advance(&head);
        }
        if consumed < buffer.len() {
            return Err(Error::TrailingBytes);
        }
        Ok(length)
    }

    /// Takes input up to the message's end at most; says how much. Appends
    /// what may be released.
    pub(super) fn push(&mut self, input: &[u8], out: &mut impl Output) -> Result<usize> {
        let mut consumed = 0;
        while !self.is_done() {
            if self.partial.is_empty() {
                consumed += self.run(&input[consumed..], usize::MAX, out)?;
                let rest = &input[consumed..];
                match self.next(rest)? {
                    Next::Piece(piece) => {
                        consumed += piece.bytes.len();
                        self.take(piece, out)?;
                    }
                    Next::Needs(_) => {
                        self.partial.extend_from_slice(rest);
                        return Ok(input.len());
                    }
                }
                continue;
            }
            let rest = &input[consumed..];
            let mut partial = std::mem::take(&mut self.partial);
            match self.next(&partial)? {
                Next::Piece(piece) => {
                    self.take(piece, out)?;
                    partial.clear();
                }
                // Exactly what it needs, so that what follows is read in place
                // again.
                Next::Needs(needed) => {
                    let missing = needed.saturating_sub(partial.len() as u64);
                    let taken = rest
                        .len()
                        .min(usize::try_from(missing).unwrap_or(usize::MAX));
                    partial.extend_from_slice(&rest[..taken]);
                    consumed += taken;
                    if taken == 0 {
                        self.partial = partial;
                        return Ok(consumed);
                    }
                }
            }
            self.partial = partial;
        }
        Ok(consumed)
    }

    /// The error for an input that has ended.
    pub(super) fn finish(&self) -> Result<()> {
        if self.is_done() {
            Ok(())
        } else {
            Err(Error::Truncated)
        }
    }

    fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Finds the next piece: a frame, an un-framed body, or a footer.
    fn next<'a>(&self, bytes: &'a [u8]) -> Result<Next<'a>> {
        let mut reader = Reader::new(bytes);
        match self.read(&mut reader) {
            Ok(part) => Ok(Next::Piece(Piece {
                bytes: &bytes[..reader.position()],
                part,
            })),
            Err(ReadError::Incomplete(incomplete)) => Ok(Next::Needs(incomplete.needed)),
            Err(ReadError::Invalid(error)) => Err(error),
        }
    }

    fn read<'a>(&self, reader: &mut Reader<'a>) -> Result<Part<'a>, ReadError> {
        if self.state == State::Footer {
            return Ok(Part::Footer {
                signature: read_footer(reader)?,
            });
        }
        let head = FrameHead::read(reader, self.content_type)?;
        // What can be refused is refused before it is waited for.
        head.check_sequence(self.expected)?;
        self.check_buffer(head.length)?;
        let (content, tag) = reader.take_with_tag(head.length)?;
        Ok(Part::Frame { head, content, tag })
    }

    fn check_buffer(&self, needed: u64) -> Result<()> {
        let limit = self.max_buffered;
        if needed > limit as u64 {
            return Err(Error::BufferLimit { needed, limit });
        }
        Ok(())
    }

    /// Opens regular frames, `most` at most; says how many bytes of the input
    /// they are. It ends before whatever is not the regular frame that comes
    /// next, or not authentic, or may not be released or held: the way frame by
    /// frame finds out what that is.
    fn run(&mut self, input: &[u8], most: usize, out: &mut impl Output) -> Result<usize> {
        let (State::Body, ContentType::Framed { frame_length }) = (self.state, self.content_type)
        else {
            return Ok(0);
        };
        let frame_length = frame_length as usize;
        let hold = self.release == Release::AllWhenVerified;
        let room = if hold {
            self.max_buffered.saturating_sub(self.held.len())
        } else {
            out.room()
        };
        let numbers = SEQUENCE_NUMBER_END - self.expected;
        let count = (input.len() / Frames::wire_length(frame_length))
            .min(most)
            .min(room / frame_length)
            .min(numbers as usize);
        if count == 0 || self.check_buffer(frame_length as u64).is_err() {
            return Ok(0);
        }
        if !hold {
            return self.open_run(input, count, frame_length, out);
        }
        let mut held = std::mem::take(&mut self.held);
        let opened = self.open_run(input, count, frame_length, &mut held);
        self.held = held;
        opened
    }

    fn open_run<O: Output>(
        &mut self,
        input: &[u8],
        count: usize,
        frame_length: usize,
        out: &mut O,
    ) -> Result<usize> {
        let input = &input[..count * Frames::wire_length(frame_length)];
        if !O::GROWS_FREELY && !self.parallelism.splits(count, frame_length) {
            return Ok(self.append_run(input, frame_length, out));
        }
        let start = out.length();
        let opened = self.fill_run(input, frame_length, out.grow(count * frame_length)?);
        // What was opened after a frame that is wrong goes with it.
        out.retreat(start + opened * frame_length);
        Ok(opened * Frames::wire_length(frame_length))
    }

    /// Opens whole regular frames into a buffer, and says how many. Not generic:
    /// it is compiled once for all outputs.
    fn fill_run<'a>(&mut self, input: &'a [u8], frame_length: usize, out: &'a mut [u8]) -> usize {
        let (frames, first) = (&self.frames, self.expected);
        let wire_length = Frames::wire_length(frame_length);
        let (run, are_hashed) = (input.len() / wire_length, self.verifying.is_some());
        let Shares { each, count } = self.parallelism.shares(run, frame_length, are_hashed);
        let jobs = input
            .chunks(each * wire_length)
            .zip(out.chunks_mut(each * frame_length))
            .zip((first..).step_by(each));
        let open = |((input, out), first): Job<'a>| {
            let opened = frames.open_run(first, frame_length, input, out);
            let authentic = &input[..opened * wire_length];
            (authentic, authentic.len() == input.len())
        };
        let verifying = &mut self.verifying;
        let mut opened = 0;
        let mut release = |(authentic, is_whole): Done<'a>| {
            if let Some(verifying) = verifying {
                verifying.hasher.update(authentic);
            }
            opened += authentic.len() / wire_length;
            match is_whole {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        let _ = self.parallelism.in_order(jobs, count, &open, &mut release);
        // There were numbers for them all.
        self.expected += opened as u32;
        opened
    }

    /// Opens whole regular frames at the end of the output, a share at a time
    /// for the hash to find it in the caches.
    fn append_run(&mut self, input: &[u8], frame_length: usize, out: &mut impl Output) -> usize {
        let wire_length = Frames::wire_length(frame_length);
        let share = Parallelism::share(frame_length) * wire_length;
        let mut done = 0;
        for input in input.chunks(share) {
            let frames = &self.frames;
            let opened = frames.append_opened(self.expected, frame_length, input, out);
            let authentic = &input[..opened * wire_length];
            if let Some(verifying) = &mut self.verifying {
                verifying.hasher.update(authentic);
            }
            done += authentic.len();
            // There are numbers for them all.
            self.expected += opened as u32;
            if authentic.len() < input.len() {
                break;
            }
        }
        done
    }

    fn take(&mut self, piece: Piece<'_>, out: &mut impl Output) -> Result<()> {
        let (head, content, tag) = match piece.part {
            Part::Frame { head, content, tag } => (head, content, tag),
            Part::Footer { signature } => return self.footer(signature, out),
        };
        let is_last = head.kind != FrameKind::Regular;
        let hold = match self.release {
            Release::EachFrame => false,
            Release::FinalWhenVerified => is_last,
            Release::AllWhenVerified => true,
        };
        if hold {
            self.check_buffer((self.held.len() + content.len()) as u64)?;
        }
        if hold {
            put_opened(&self.frames, &head, content, &tag, &mut self.held)?;
        } else {
            put_opened(&self.frames, &head, content, &tag, out)?;
        }
        if let Some(verifying) = &mut self.verifying {
            verifying.hasher.update(piece.bytes);
        }
        self.advance(&head);
        Ok(())
    }

    /// After this frame has been opened.
    fn advance(&mut self, head: &FrameHead) {
        if head.kind == FrameKind::Regular {
            // A regular frame's number is below the greatest.
            self.expected = self.expected.saturating_add(1);
        } else {
            let signed = self.verifying.is_some();
            self.state = if signed { State::Footer } else { State::Done };
        }
    }

    fn footer(&mut self, signature: &[u8], out: &mut impl Output) -> Result<()> {
        let verifying = self.verifying.take().ok_or(Error::Signature)?;
        let digest = verifying.hasher.finish();
        verifying
            .key
            .verify(&digest, signature)
            .map_err(|_| Error::Signature)?;
        out.put(self.held.as_slice())?;
        self.held.clear();
        self.state = State::Done;
        Ok(())
    }
}

/// Derives the key, compares the commitment, and verifies the header's tag,
/// over the bytes that came (`raw`: the whole header). Gives what opens the
/// frames.
pub(super) fn verify_header(
    settings: &Settings,
    header: &Header,
    raw: &[u8],
    materials: &DecryptionMaterials,
) -> Result<Frames> {
    let suite = header.suite;
    // Materials may come from a cache that other clients share.
    if materials.suite != suite {
        return Err(Error::InvalidMaterials(MaterialsError::Suite(
            materials.suite,
        )));
    }
    settings.check_suite_for_decrypt(suite)?;
    if materials.verifying_key.is_some() != suite.is_signed() {
        return Err(Error::InvalidMaterials(MaterialsError::SignatureKey));
    }
    let backend = &settings.backend;
    let keys = MessageKeys::derive(backend, suite, &materials.data_key, &header.message_id)?;
    if suite.commits() && !constant_time_eq(&keys.commitment, &header.commitment) {
        return Err(Error::Commitment);
    }
    let body = raw.get(..header.body_length).ok_or(Error::Truncated)?;
    let with_bound;
    let aad = if materials.bound_context.is_empty() {
        body
    } else {
        with_bound = [body, materials.bound_context.canonical()?].concat();
        &with_bound
    };
    keys.key
        .open(&header.iv, aad, &mut [], &header.tag)
        .map_err(|_| Error::HeaderAuthentication)?;
    Ok(Frames::new(keys.key, &header.message_id))
}

/// Decrypts to the end of the output; nothing stays there of a frame that is
/// not authentic.
pub(super) fn put_opened<O: Output>(
    frames: &Frames,
    head: &FrameHead,
    content: &[u8],
    tag: &Tag,
    out: &mut O,
) -> Result<()> {
    let start = out.length();
    let opened = if O::GROWS_FREELY {
        frames.open_to(head, content, tag, out.grow(content.len())?)
    } else {
        frames.open(head, out.put(content)?, tag)
    };
    if opened.is_err() {
        out.retreat(start);
    }
    opened
}

enum Next<'a> {
    Piece(Piece<'a>),
    /// So many bytes are needed, so far as is known.
    Needs(u64),
}

/// A part of the message that is there whole, and its bytes.
struct Piece<'a> {
    bytes: &'a [u8],
    part: Part<'a>,
}

enum Part<'a> {
    Frame {
        head: FrameHead,
        content: &'a [u8],
        tag: Tag,
    },
    Footer {
        signature: &'a [u8],
    },
}
