//! From a data key to a message's own key (framework/algorithm-suites.md,
//! "Key Derivation Algorithm"; data-format/message-header.md, "Algorithm Suite
//! Data").

use zeroize::Zeroizing;

use crate::crypto::{AeadKey, CryptoBackend, HkdfOutput, SecretBytes};
use crate::error::{Error, MaterialsError, Result};
use crate::message::MessageId;
use crate::suite::AlgorithmSuite;

pub(super) struct MessageKeys {
    pub(super) key: Box<dyn AeadKey>,
    /// All zero where the suite does not commit.
    pub(super) commitment: [u8; 32],
}

impl MessageKeys {
    /// One key for one message. What makes it so: the message id is drawn at
    /// random for each message that is written (never by the caller, never
    /// kept), and it is the HKDF's salt (version 2: 32 bytes) or in its info
    /// (version 1: 16 bytes, so that 2^32 messages under one data key collide
    /// with a probability of 2^-65). So sharing a data key among messages, as
    /// a cache does, never shares this key. The suites without a derivation
    /// use the data key itself, and the materials' type keeps them to one
    /// message.
    pub(super) fn derive(
        backend: &CryptoBackend,
        suite: AlgorithmSuite,
        data_key: &SecretBytes,
        message_id: &MessageId,
    ) -> Result<Self> {
        let bad_length = |_| {
            let (expected, found) = (suite.data_key_length(), data_key.len());
            Error::InvalidMaterials(MaterialsError::DataKeyLength { expected, found })
        };
        let mut commitment = [0; 32];
        let Some(hash) = suite.kdf() else {
            let key = backend.aead_key(data_key.expose()).map_err(bad_length)?;
            return Ok(MessageKeys { key, commitment });
        };
        let mut derived = Zeroizing::new([0; 32]);
        let derived = &mut derived[..suite.data_key_length()];
        let id = suite.id().to_be_bytes();
        let message_id = message_id.as_ref();
        let secret = data_key.expose();
        if suite.commits() {
            let mut outputs = [
                HkdfOutput {
                    info: &[&id, b"DERIVEKEY"],
                    out: derived,
                },
                HkdfOutput {
                    info: &[b"COMMITKEY"],
                    out: &mut commitment,
                },
            ];
            backend
                .hkdf(hash, message_id, secret, &mut outputs)
                .map_err(bad_length)?;
        } else {
            let output = HkdfOutput {
                info: &[&id, message_id],
                out: derived,
            };
            backend
                .hkdf(hash, &[], secret, &mut [output])
                .map_err(bad_length)?;
        }
        let key = backend.aead_key(derived).map_err(bad_length)?;
        Ok(MessageKeys { key, commitment })
    }
}
