//! Encrypted data keys (data-format/message-header.md, "Encrypted Data Key Entries").

use std::fmt;

use super::codec::{ReadError, Reader};
use crate::error::FormatError;

/// A data key, encrypted: which provider can unwrap it (`provider_id`), what
/// that provider needs to know to do it (`key_info`: a key's name or ARN and
/// whatever else), and the ciphertext.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncryptedDataKey {
    provider_id: String,
    key_info: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl EncryptedDataKey {
    /// Puts the parts together; `None` if one is longer than the format's
    /// 65,535 bytes.
    pub fn new(
        provider_id: impl Into<String>,
        key_info: impl Into<Vec<u8>>,
        ciphertext: impl Into<Vec<u8>>,
    ) -> Option<Self> {
        let edk = EncryptedDataKey {
            provider_id: provider_id.into(),
            key_info: key_info.into(),
            ciphertext: ciphertext.into(),
        };
        edk.fields()
            .iter()
            .all(|field| field.len() <= u16::MAX.into())
            .then_some(edk)
    }

    /// Which kind of provider, or which of them, made this.
    pub fn provider_id(&self) -> &str {
        &self.provider_id
    }

    /// What the provider needs to find the wrapping key.
    pub fn key_info(&self) -> &[u8] {
        &self.key_info
    }

    /// The encrypted data key itself.
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// Bytes that it takes in a message's header.
    pub fn encoded_length(&self) -> usize {
        self.fields().iter().map(|field| 2 + field.len()).sum()
    }

    pub(crate) fn fields(&self) -> [&[u8]; 3] {
        [
            self.provider_id.as_bytes(),
            &self.key_info,
            &self.ciphertext,
        ]
    }

    /// Whether the key info names this wrapping key: it is the name, or a raw
    /// AES key's (framework/raw-aes-keyring.md, "Key Provider Information":
    /// the name, the tag's length in bits, the IV's in bytes, the IV).
    pub(crate) fn is_under(&self, key: &str) -> bool {
        const RAW_AES: [u8; 8] = [0, 0, 0, 128, 0, 0, 0, 12];
        match self.key_info.strip_prefix(key.as_bytes()) {
            Some([]) => true,
            Some(rest) => rest.len() == RAW_AES.len() + 12 && rest.starts_with(&RAW_AES),
            None => false,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for field in self.fields() {
            // `new` and `read` keep each field within 65,535 bytes.
            out.extend_from_slice(&(field.len() as u16).to_be_bytes());
            out.extend_from_slice(field);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        let provider_id = reader.u16_prefixed()?;
        let key_info = reader.u16_prefixed()?;
        let ciphertext = reader.u16_prefixed()?;
        let provider_id = std::str::from_utf8(provider_id)
            .map_err(|_| FormatError::NotUtf8("key provider id"))?;
        Ok(EncryptedDataKey {
            provider_id: provider_id.to_owned(),
            key_info: key_info.to_owned(),
            ciphertext: ciphertext.to_owned(),
        })
    }
}

impl fmt::Debug for EncryptedDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedDataKey")
            .field("provider_id", &self.provider_id)
            .field("key_info", &self.key_info.escape_ascii().to_string())
            .field(
                "ciphertext",
                &format_args!("{} bytes", self.ciphertext.len()),
            )
            .finish()
    }
}
