//! Writing a message with materials in hand: header, frames, footer.
//!
//! Specification: client-apis/encrypt.md, "Behavior".

use std::ops::ControlFlow;
use std::sync::Arc;

use super::frames::Frames;
use super::keys::MessageKeys;
use super::output::Output;
use super::parallel::{Done, Job, Parallelism, Shares};
use super::settings::Settings;
use crate::context::{EncryptionContext, MAX_LENGTH, PUBLIC_KEY};
use crate::crypto::{
    Entropy, Hasher, IV_LENGTH, InvalidKey, SecureRandom, SigningKey, TAG_LENGTH,
    reserve_exact_wiping,
};
use crate::error::{Error, MaterialsError, Result};
use crate::materials::EncryptionMaterials;
use crate::message::{
    FOOTER_OVERHEAD, FrameHead, FrameKind, HeaderBody, MessageId, SEQUENCE_NUMBER_END, write_footer,
};
use crate::suite::AlgorithmSuite;

/// Writes one message. The order of calls is [`regular`](Self::regular), any
/// number of times, then [`last`](Self::last).
///
/// No IV is used twice under one key: the key is this message's own (see
/// [`MessageKeys`]), the header's IV is 0, frames count up from 1, and the
/// count fails before it would wrap. It is advanced for a whole run of frames
/// before the first of them is sealed, on whatever thread: a failed call
/// leaves it advanced, so that nothing is sealed anew under an IV that was
/// used, and two threads never share a number, since each is given a part of
/// the run that is counted from its place in it.
pub(super) struct Sealer {
    frames: Frames,
    frame_length: usize,
    /// The next frame's number; `None` when they are used up.
    next: Option<u32>,
    signing: Option<Signing>,
    parallelism: Parallelism,
}

struct Signing {
    hasher: Box<dyn Hasher>,
    key: Arc<dyn SigningKey>,
    random: Arc<dyn SecureRandom>,
}

impl Sealer {
    /// Takes the materials for one message; gives what writes its body, and
    /// its header. The message id comes out of `entropy` and is used here
    /// only.
    pub(super) fn start(
        settings: &Settings,
        suite: AlgorithmSuite,
        materials: EncryptionMaterials,
        mut message_id: MessageId,
        entropy: &mut Entropy,
    ) -> Result<(Self, Vec<u8>)> {
        let parts = materials.parts();
        // Materials may come from a cache that other clients share: what they
        // are is checked here, whoever made them.
        if parts.suite != suite {
            return Err(Error::InvalidMaterials(MaterialsError::Suite(parts.suite)));
        }
        settings.check_suite_for_encrypt(parts.suite)?;
        settings.check_edk_count(parts.edks.len())?;
        if parts.signing_key.is_some() != suite.is_signed() {
            return Err(Error::InvalidMaterials(MaterialsError::SignatureKey));
        }
        if parts.stored_context.len() > MAX_LENGTH {
            return Err(Error::ContextTooLong {
                length: parts.stored_context.len(),
            });
        }
        entropy.fill(message_id.as_mut())?;
        let backend = &settings.backend;
        let keys = MessageKeys::derive(backend, suite, &parts.data_key, &message_id)?;
        let edks = parts.edks.iter().map(|edk| edk.encoded_length()).sum();
        let length = HeaderBody::whole_length(suite, parts.stored_context.len(), edks);
        settings.check_header_length(length as u64)?;
        let mut header = Vec::with_capacity(length + parts.bound_context.len());
        HeaderBody {
            suite,
            message_id: &message_id,
            context: &parts.stored_context,
            edks: &parts.edks,
            frame_length: settings.frame_length,
            commitment: &keys.commitment,
        }
        .encode(&mut header);
        let body_length = header.len();
        header.extend_from_slice(&parts.bound_context);
        let iv = [0; IV_LENGTH];
        let tag = keys
            .key
            .seal(&iv, &header, &mut [])
            .map_err(|_| Error::TooManyFrames)?;
        header.truncate(body_length);
        HeaderBody::write_tag(suite, &iv, &tag, &mut header);
        let signing = parts
            .signing_key
            .clone()
            .zip(suite.signature())
            .map(|(key, curve)| {
                let mut hasher = backend.hasher(curve.hash());
                hasher.update(&header);
                Signing {
                    hasher,
                    key,
                    random: backend.random().clone(),
                }
            });
        let sealer = Sealer {
            frames: Frames::new(keys.key, &message_id),
            frame_length: settings.frame_length as usize,
            next: Some(1),
            signing,
            parallelism: settings.parallelism.clone(),
        };
        Ok((sealer, header))
    }

    pub(super) fn parallelism(&self) -> &Parallelism {
        &self.parallelism
    }

    /// Whether a new output for so much plaintext is better appended to than
    /// zeroed and then written to.
    pub(super) fn appends(&self, plaintext: usize) -> bool {
        let frames = plaintext / self.frame_length;
        self.frames.are_appended() && !self.parallelism.splits(frames, self.frame_length)
    }

    #[cfg(test)]
    pub(super) fn skip_to(&mut self, sequence_number: u32) {
        self.next = Some(sequence_number);
    }

    /// Seals whole regular frames: the plaintext's length is a multiple of the
    /// frame length.
    pub(super) fn regular<O: Output>(&mut self, plaintext: &[u8], out: &mut O) -> Result<()> {
        let count = plaintext.len() / self.frame_length;
        if count == 0 {
            return Ok(());
        }
        let first = self.take_numbers(count)?;
        if self.parallelism.splits(count, self.frame_length) || O::GROWS_FREELY {
            self.run(first, plaintext, out)
        } else {
            let signing = &mut self.signing;
            self.frames
                .append_sealed(first, self.frame_length, plaintext, out, |bytes| {
                    if let Some(signing) = signing {
                        signing.hasher.update(bytes);
                    }
                })
        }
    }

    /// Seals the final frame, and signs.
    pub(super) fn last(mut self, plaintext: &[u8], out: &mut impl Output) -> Result<()> {
        let number = self.next.take().ok_or(Error::TooManyFrames)?;
        self.final_frame(number, plaintext, out)?;
        self.footer(out)
    }

    /// Seals all of a plaintext, and signs. The final frame is never empty,
    /// unless the plaintext is.
    pub(super) fn all(mut self, plaintext: &[u8], out: &mut impl Output) -> Result<()> {
        let before_last = regular_length(plaintext.len(), self.frame_length);
        let (regular, last) = plaintext.split_at(before_last);
        self.regular(regular, out)?;
        self.last(last, out)
    }

    /// Makes the message where its plaintext is, from the last frame to the
    /// first, since each moves towards the end. `length` is the message's.
    pub(super) fn in_place(
        mut self,
        header: &[u8],
        buffer: &mut Vec<u8>,
        length: usize,
    ) -> Result<()> {
        let (plaintext, frame_length) = (buffer.len(), self.frame_length);
        let regular = regular_length(plaintext, frame_length) / frame_length;
        let first = self.take_numbers(regular)?;
        let last = self.next.take().ok_or(Error::TooManyFrames)?;
        let wire_length = Frames::wire_length(frame_length);
        reserve_exact_wiping(buffer, length);
        let body = header.len() + regular * wire_length;
        let of_last = plaintext - regular * frame_length;
        buffer.resize(body + FrameHead::FINAL_OVERHEAD + of_last, 0);
        for index in (0..=regular).rev() {
            // There are numbers for them all.
            let number = first + index as u32;
            let (kind, content) = if number == last {
                (FrameKind::Final, of_last)
            } else {
                (FrameKind::Regular, frame_length)
            };
            let head = FrameHead::new(kind, number, content);
            let (head_bytes, used) = head.encode();
            let from = index * frame_length;
            let at = header.len() + index * wire_length;
            buffer.copy_within(from..from + content, at + used);
            let (before, rest) = buffer[at..].split_at_mut(used);
            let (sealed, rest) = rest.split_at_mut(content);
            let tag = self
                .frames
                .seal(&head, sealed)
                .map_err(|_| Error::InvalidFrameLength)?;
            before.copy_from_slice(&head_bytes[..used]);
            rest[..TAG_LENGTH].copy_from_slice(&tag);
        }
        buffer[..header.len()].copy_from_slice(header);
        if let Some(signing) = &mut self.signing {
            signing.hasher.update(&buffer[header.len()..]);
        }
        self.footer(buffer)
    }

    /// Numbers for so many regular frames: the first of them.
    fn take_numbers(&mut self, count: usize) -> Result<u32> {
        let first = self.next.ok_or(Error::TooManyFrames)?;
        let next = u32::try_from(count)
            .ok()
            .and_then(|count| first.checked_add(count))
            .ok_or(Error::TooManyFrames)?;
        self.next = Some(next);
        Ok(first)
    }

    /// Seals frames from one buffer into the output.
    fn run(&mut self, first: u32, plaintext: &[u8], out: &mut impl Output) -> Result<()> {
        let count = plaintext.len() / self.frame_length;
        let start = out.length();
        let place = out.grow(count * Frames::wire_length(self.frame_length))?;
        self.seal_run(first, plaintext, place).map_err(|_| {
            // See `final_frame`.
            out.retreat(start);
            Error::InvalidFrameLength
        })
    }

    /// Not generic: it is compiled once for all outputs.
    fn seal_run<'a>(
        &mut self,
        first: u32,
        plaintext: &'a [u8],
        out: &'a mut [u8],
    ) -> Result<(), InvalidKey> {
        let (frames, frame_length) = (&self.frames, self.frame_length);
        let wire_length = Frames::wire_length(frame_length);
        let (run, are_hashed) = (plaintext.len() / frame_length, self.signing.is_some());
        let Shares { each, count } = self.parallelism.shares(run, frame_length, are_hashed);
        let jobs = plaintext
            .chunks(each * frame_length)
            .zip(out.chunks_mut(each * wire_length))
            .zip((first..).step_by(each));
        let seal = |((plaintext, out), first): Job<'a>| {
            let sealed = frames.seal_run(first, frame_length, plaintext, out);
            (&*out, sealed.is_ok())
        };
        let signing = &mut self.signing;
        let mut hash = |(sealed, is_whole): Done<'a>| {
            if !is_whole {
                return ControlFlow::Break(());
            }
            if let Some(signing) = signing {
                signing.hasher.update(sealed);
            }
            ControlFlow::Continue(())
        };
        match self.parallelism.in_order(jobs, count, &seal, &mut hash) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(InvalidKey),
        }
    }

    /// `plaintext` is not longer than the frame length, and the number was not
    /// used before.
    fn final_frame<O: Output>(
        &mut self,
        sequence_number: u32,
        plaintext: &[u8],
        out: &mut O,
    ) -> Result<()> {
        let head = FrameHead::new(FrameKind::Final, sequence_number, plaintext.len());
        let (head_bytes, used) = head.encode();
        let start = out.length();
        out.put(&head_bytes[..used])?;
        let (body, sealed);
        if O::GROWS_FREELY {
            body = out.grow(plaintext.len())?;
            sealed = self.frames.seal_to(&head, plaintext, body);
        } else {
            body = out.put(plaintext)?;
            sealed = self.frames.seal(&head, body);
        }
        if let (Ok(_), Some(signing)) = (&sealed, &mut self.signing) {
            signing.hasher.update(&head_bytes[..used]);
            signing.hasher.update(body);
        }
        let tag = sealed.map_err(|_| {
            // Only for a frame beyond AES-GCM's 64 GiB, which 32 bits of
            // frame length cannot name; but no plaintext is left in any case.
            out.retreat(start);
            Error::InvalidFrameLength
        })?;
        if let Err(error) = out.put(&tag) {
            out.retreat(start);
            return Err(error);
        }
        if let Some(signing) = &mut self.signing {
            signing.hasher.update(&tag);
        }
        Ok(())
    }

    fn footer(self, out: &mut impl Output) -> Result<()> {
        if let Some(Signing {
            hasher,
            key,
            random,
        }) = self.signing
        {
            let signature = key.sign(&hasher.finish(), &*random)?;
            out.put(&write_footer(&signature))?;
        }
        Ok(())
    }
}

/// Bytes before the final frame, which is never empty unless all is.
pub(super) fn regular_length(plaintext: usize, frame_length: usize) -> usize {
    let frame_length = frame_length.max(1);
    plaintext.saturating_sub(1) / frame_length * frame_length
}

/// The longest plaintext whose message's length 64 bits hold: 2^32 frames
/// take 2^37 bytes beside it, and no header takes 2^37.
const LONGEST_PLAINTEXT: u64 = u64::MAX - (1 << 38);

/// Bytes of the body and the footer. The final frame is full where the
/// plaintext is a multiple of the frame length, as AWS's newer writers have
/// it.
pub(super) fn body_length(suite: AlgorithmSuite, frame_length: u32, plaintext: u64) -> Result<u64> {
    let regular = plaintext.saturating_sub(1) / u64::from(frame_length.max(1));
    if regular >= SEQUENCE_NUMBER_END.into() || plaintext > LONGEST_PLAINTEXT {
        return Err(Error::TooManyFrames);
    }
    let frames = regular * FrameHead::REGULAR_OVERHEAD as u64 + FrameHead::FINAL_OVERHEAD as u64;
    let footer = suite
        .signature()
        .map_or(0, |curve| FOOTER_OVERHEAD + curve.signature_length());
    Ok(plaintext + frames + footer as u64)
}

/// Bytes of a message's header, for a caller's context and the encrypted data
/// keys' lengths, which the caller may have got wrong.
pub(super) fn header_length(
    settings: &Settings,
    suite: AlgorithmSuite,
    context: &EncryptionContext,
    edks: &[usize],
) -> Result<u64> {
    let public_key = suite.signature().map_or(0, |curve| {
        4 + PUBLIC_KEY.len() + curve.public_key_length().div_ceil(3) * 4
    });
    let with_public_key = |length: usize| match (length, public_key) {
        (0, 0) => 0,
        (0, public_key) => 2 + public_key,
        (length, public_key) => length + public_key,
    };
    // What is bound, and of that what is stored.
    let length = with_public_key(context.canonical()?.len());
    if length > MAX_LENGTH {
        return Err(Error::ContextTooLong { length });
    }
    let is_stored = |key: &str| !settings.required_context_keys.contains(key);
    let stored = with_public_key(context.filtered(&is_stored).canonical()?.len());
    let edks = edks
        .iter()
        .fold(0u64, |sum, edk| sum.saturating_add(*edk as u64));
    let length = edks.saturating_add(HeaderBody::whole_length(suite, stored, 0) as u64);
    settings.check_header_length(length)?;
    Ok(length)
}
