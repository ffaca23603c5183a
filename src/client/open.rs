//! Reading a message's body and footer with materials in hand.
//!
//! Specification: client-apis/decrypt.md, "Behavior".

use std::sync::Arc;

use super::keys::MessageKeys;
use super::output::Output;
use super::settings::Settings;
use crate::crypto::{AeadKey, Hasher, SecretBuffer, TAG_LENGTH, VerifyingKey, constant_time_eq};
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

    /// Whether the message has ended, and with it all that can be released has
    /// been.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes a message's body and footer that are there whole; says how long
    /// they are.
    pub(super) fn open_all(&mut self, input: &[u8], out: &mut impl Output) -> Result<usize> {
        let mut consumed = 0;
        while self.state != State::Done {
            let rest = &input[consumed..];
            let Piece::Whole(length) = self.measure(rest)? else {
                return Err(Error::Truncated);
            };
            self.take(&rest[..length], out)?;
            consumed += length;
        }
        Ok(consumed)
    }

    /// Takes input up to the message's end at most; says how much. Appends
    /// what may be released.
    pub(super) fn push(&mut self, input: &[u8], out: &mut impl Output) -> Result<usize> {
        let mut consumed = 0;
        while self.state != State::Done {
            let rest = &input[consumed..];
            if self.partial.is_empty() {
                match self.measure(rest)? {
                    Piece::Whole(length) => {
                        self.take(&rest[..length], out)?;
                        consumed += length;
                    }
                    Piece::Needs(_) => {
                        self.partial.extend_from_slice(rest);
                        return Ok(input.len());
                    }
                }
                continue;
            }
            // The rest of a piece that began in an earlier input: exactly what
            // it needs, so that what follows it is read in place again.
            let length = match self.measure(&self.partial)? {
                Piece::Whole(length) => {
                    let piece = std::mem::take(&mut self.partial);
                    self.take(&piece[..length], out)?;
                    self.partial = piece;
                    self.partial.clear();
                    continue;
                }
                Piece::Needs(length) => length,
            };
            if rest.is_empty() {
                return Ok(input.len());
            }
            let missing = length.saturating_sub(self.partial.len() as u64);
            let taken = rest
                .len()
                .min(usize::try_from(missing).unwrap_or(usize::MAX));
            self.partial.extend_from_slice(&rest[..taken]);
            consumed += taken;
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

    /// How long the next piece is: a frame, an un-framed body, or a footer.
    fn measure(&self, bytes: &[u8]) -> Result<Piece> {
        let mut reader = Reader::new(bytes);
        let read = match self.state {
            State::Body => FrameHead::read(&mut reader, self.content_type).and_then(|head| {
                // Known before it is there, and refused before it is kept.
                head.check_sequence(self.expected)?;
                self.check_buffer(head.length)?;
                let whole = reader.position() as u64 + head.length + TAG_LENGTH as u64;
                Ok(match usize::try_from(whole) {
                    Ok(whole) if whole <= bytes.len() => Piece::Whole(whole),
                    _ => Piece::Needs(whole),
                })
            }),
            State::Footer => read_footer(&mut reader)
                .map(|_| Piece::Whole(reader.position()))
                .map_err(ReadError::from),
            State::Done => Ok(Piece::Whole(0)),
        };
        match read {
            Ok(piece) => Ok(piece),
            Err(ReadError::Incomplete(incomplete)) => Ok(Piece::Needs(incomplete.needed)),
            Err(ReadError::Invalid(error)) => Err(error),
        }
    }

    fn check_buffer(&self, needed: u64) -> Result<()> {
        let limit = self.max_buffered;
        if needed > limit as u64 {
            return Err(Error::BufferLimit { needed, limit });
        }
        Ok(())
    }

    fn take(&mut self, piece: &[u8], out: &mut impl Output) -> Result<()> {
        match self.state {
            State::Body => self.frame(piece, out),
            State::Footer => self.footer(piece, out),
            State::Done => Ok(()),
        }
    }

    fn frame(&mut self, piece: &[u8], out: &mut impl Output) -> Result<()> {
        let mut reader = Reader::new(piece);
        let (head, content, tag) = match Self::split(&mut reader, self.content_type) {
            Ok(parts) => parts,
            Err(ReadError::Incomplete(_)) => return Err(Error::Truncated),
            Err(ReadError::Invalid(error)) => return Err(error),
        };
        let is_last = head.kind != FrameKind::Regular;
        let hold = match self.release {
            Release::EachFrame => false,
            Release::FinalWhenVerified => is_last,
            Release::AllWhenVerified => true,
        };
        if hold {
            self.check_buffer((self.held.len() + content.len()) as u64)?;
            self.open(&head, content, tag, None::<&mut Vec<u8>>)?;
        } else {
            self.open(&head, content, tag, Some(out))?;
        }
        if let Some(verifying) = &mut self.verifying {
            verifying.hasher.update(piece);
        }
        // A regular frame is never the last, so that its number is below the
        // greatest.
        self.expected = self.expected.saturating_add(1);
        if is_last {
            self.state = if self.verifying.is_some() {
                State::Footer
            } else {
                State::Done
            };
        }
        Ok(())
    }

    fn split<'a>(
        reader: &mut Reader<'a>,
        content_type: ContentType,
    ) -> Result<(FrameHead, &'a [u8], [u8; TAG_LENGTH]), ReadError> {
        let head = FrameHead::read(reader, content_type)?;
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        Ok((head, reader.take(length)?, reader.array()?))
    }

    /// Decrypts in place at the end of the output, or of what is held back.
    /// Nothing stays there of a frame that is not authentic.
    fn open(
        &mut self,
        head: &FrameHead,
        content: &[u8],
        tag: [u8; TAG_LENGTH],
        out: Option<&mut impl Output>,
    ) -> Result<()> {
        fn in_place(
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
        let (key, aad) = (&self.key, self.aad.of(head));
        let open = |data: &mut [u8]| {
            key.open(&head.iv, aad, data, &tag)
                .map_err(|_| Error::FrameAuthentication {
                    sequence_number: head.sequence_number,
                })
        };
        match out {
            Some(out) => in_place(out, content, open),
            None => in_place(&mut self.held, content, open),
        }
    }

    fn footer(&mut self, piece: &[u8], out: &mut impl Output) -> Result<()> {
        let signature = read_footer(&mut Reader::new(piece)).map_err(|_| Error::Truncated)?;
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

enum Piece {
    /// The next piece is there: so many bytes.
    Whole(usize),
    /// So many bytes are needed, so far as is known.
    Needs(u64),
}
