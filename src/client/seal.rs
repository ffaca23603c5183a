//! Writing a message with materials in hand: header, frames, footer.
//!
//! Specification: client-apis/encrypt.md, "Behavior".

use std::sync::Arc;

use super::keys::MessageKeys;
use super::output::Output;
use super::settings::Settings;
use crate::context::{EncryptionContext, MAX_LENGTH, PUBLIC_KEY};
use crate::crypto::{AeadKey, Entropy, Hasher, IV_LENGTH, SecureRandom, SigningKey};
use crate::error::{Error, MaterialsError, Result};
use crate::materials::EncryptionMaterials;
use crate::message::{
    Aad, FOOTER_OVERHEAD, FrameHead, FrameKind, HeaderBody, MessageId, SEQUENCE_NUMBER_END,
    frame_iv, write_footer,
};
use crate::suite::AlgorithmSuite;

/// Writes one message. The order of calls is [`frame`](Self::frame) for each
/// regular frame, then for the final one, then [`footer`](Self::footer).
///
/// No IV is used twice under one key: the key is this message's own (see
/// [`MessageKeys`]), the header's IV is 0, frames count up from 1, and the
/// count fails before it would wrap. A failed call leaves the count advanced,
/// so that nothing is sealed anew under an IV that was used.
pub(super) struct Sealer {
    key: Box<dyn AeadKey>,
    aad: Aad,
    /// The next frame's number; `None` when they are used up.
    next: Option<u32>,
    signing: Option<Signing>,
    random: Arc<dyn SecureRandom>,
}

struct Signing {
    hasher: Box<dyn Hasher>,
    key: Arc<dyn SigningKey>,
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
                Signing { hasher, key }
            });
        let sealer = Sealer {
            key: keys.key,
            aad: Aad::new(&message_id),
            next: Some(1),
            signing,
            random: backend.random().clone(),
        };
        Ok((sealer, header))
    }

    #[cfg(test)]
    pub(super) fn skip_to(&mut self, sequence_number: u32) {
        self.next = Some(sequence_number);
    }

    /// Seals one frame; `plaintext` is not longer than the frame length.
    pub(super) fn frame(
        &mut self,
        kind: FrameKind,
        plaintext: &[u8],
        out: &mut impl Output,
    ) -> Result<()> {
        let sequence_number = self.next.ok_or(Error::TooManyFrames)?;
        if kind == FrameKind::Regular && sequence_number == SEQUENCE_NUMBER_END {
            return Err(Error::TooManyFrames);
        }
        self.next = sequence_number.checked_add(1);
        let iv = frame_iv(sequence_number);
        let head = FrameHead {
            kind,
            sequence_number,
            iv,
            length: plaintext.len() as u64,
        };
        let (head_bytes, used) = head.encode();
        let start = out.length();
        out.put(&head_bytes[..used])?;
        let body = out.put(plaintext)?;
        let sealed = self.key.seal(&iv, self.aad.of(&head), body);
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

    /// Signs, where the suite does, after the final frame.
    pub(super) fn footer(self, out: &mut impl Output) -> Result<()> {
        if let Some(signing) = self.signing {
            let signature = signing.key.sign(&signing.hasher.finish(), &*self.random)?;
            out.put(&write_footer(&signature))?;
        }
        Ok(())
    }

    /// Seals all of a plaintext, and signs.
    pub(super) fn seal_all(
        mut self,
        plaintext: &[u8],
        frame_length: u32,
        out: &mut impl Output,
    ) -> Result<()> {
        let mut rest = plaintext;
        while let Some((frame, after)) = rest
            .split_at_checked(frame_length as usize)
            .filter(|(_, after)| !after.is_empty())
        {
            self.frame(FrameKind::Regular, frame, out)?;
            rest = after;
        }
        self.frame(FrameKind::Final, rest, out)?;
        self.footer(out)
    }
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
    let length = with_public_key(context.encoded_length_where(|_| true)?);
    if length > MAX_LENGTH {
        return Err(Error::ContextTooLong { length });
    }
    let is_stored = |key: &str| !settings.required_context_keys.contains(key);
    let stored = with_public_key(context.encoded_length_where(is_stored)?);
    let edks = edks
        .iter()
        .fold(0u64, |sum, edk| sum.saturating_add(*edk as u64));
    let length = edks.saturating_add(HeaderBody::whole_length(suite, stored, 0) as u64);
    settings.check_header_length(length)?;
    Ok(length)
}
