//! Reading a message's body and footer with materials in hand.
//!
//! Specification: client-apis/decrypt.md, "Behavior".

use std::sync::Arc;

use super::keys::MessageKeys;
use super::output::Output;
use super::settings::Settings;
use crate::crypto::{AeadKey, Hasher, SecretBuffer, Tag, VerifyingKey, constant_time_eq};
use crate::error::{Error, MaterialsError, Result};
use crate::materials::DecryptionMaterials;
use crate::message::{
    Aad, ContentType, FrameHead, FrameKind, Header, ReadError, Reader, read_footer,
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
    key: Box<dyn AeadKey>,
    aad: Aad,
    content_type: ContentType,
    expected: u32,
    state: State,
    verifying: Option<Verifying>,
    release: Release,
    /// Of a piece that is not complete: never more than came.
    partial: Vec<u8>,
    held: SecretBuffer,
    max_buffered: usize,
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
    /// Derives the key, compares the commitment, and verifies the header's
    /// tag, over the bytes that came (`raw`: the whole header).
    pub(super) fn start(
        settings: &Settings,
        header: &Header,
        raw: &[u8],
        materials: &DecryptionMaterials,
        release: Release,
        max_buffered: usize,
    ) -> Result<Self> {
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
            with_bound = [body, &materials.bound_context.to_bytes()?].concat();
            &with_bound
        };
        keys.key
            .open(&header.iv, aad, &mut [], &header.tag)
            .map_err(|_| Error::HeaderAuthentication)?;
        let verifying = materials.verifying_key.clone().zip(suite.signature());
        let verifying = verifying.map(|(key, curve)| {
            let mut hasher = backend.hasher(curve.hash());
            hasher.update(raw);
            Verifying { hasher, key }
        });
        Ok(Opener {
            key: keys.key,
            aad: Aad::new(&header.message_id),
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
        })
    }

    /// The plaintext's length, by the frames that are there: never more than
    /// the bytes are.
    pub(super) fn plaintext_length(&self, body: &[u8]) -> usize {
        let (mut reader, mut length) = (Reader::new(body), 0);
        while let Ok(head) = FrameHead::read(&mut reader, self.content_type) {
            let Ok((content, _)) = reader.take_with_tag(head.length) else {
                break;
            };
            length += content.len();
            if head.kind != FrameKind::Regular {
                break;
            }
        }
        length
    }

    /// Takes a message's body and footer that are there whole; says how long
    /// they are.
    pub(super) fn open_all(&mut self, input: &[u8], out: &mut impl Output) -> Result<usize> {
        let mut consumed = 0;
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

    /// Takes input up to the message's end at most; says how much. Appends
    /// what may be released.
    pub(super) fn push(&mut self, input: &[u8], out: &mut impl Output) -> Result<usize> {
        let mut consumed = 0;
        while !self.is_done() {
            let rest = &input[consumed..];
            if self.partial.is_empty() {
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
        let aad = self.aad.of(&head);
        let open = |data: &mut [u8]| {
            let sequence_number = head.sequence_number;
            let opened = self.key.open(&head.iv, aad, data, &tag);
            opened.map_err(|_| Error::FrameAuthentication { sequence_number })
        };
        if hold {
            put_opened(&mut self.held, content, open)?;
        } else {
            put_opened(out, content, open)?;
        }
        if let Some(verifying) = &mut self.verifying {
            verifying.hasher.update(piece.bytes);
        }
        if is_last {
            let signed = self.verifying.is_some();
            self.state = if signed { State::Footer } else { State::Done };
        } else {
            // A regular frame's number is below the greatest.
            self.expected = self.expected.saturating_add(1);
        }
        Ok(())
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

/// Decrypts in place at the end of the output; nothing stays there of a frame
/// that is not authentic.
fn put_opened(
    out: &mut impl Output,
    content: &[u8],
    open: impl FnOnce(&mut [u8]) -> Result<()>,
) -> Result<()> {
    let start = out.length();
    let opened = open(out.put(content)?);
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
