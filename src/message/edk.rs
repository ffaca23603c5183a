//! Encrypted data keys (data-format/message-header.md, "Encrypted Data Key Entries").

use std::fmt;

use super::codec::{ReadError, Reader};
use crate::error::FormatError;

/// A data key, encrypted: which provider can unwrap it (`provider_id`), what
/// that provider needs to know to do it (`key_info`: a key's name or ARN and
/// whatever else), and the ciphertext.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncryptedDataKey {
    /// As a message has it: each field with its length before it. One piece, as
    /// each message has such keys.
    wire: Box<[u8]>,
    /// Where the key info begins, and the ciphertext.
    key_info: usize,
    ciphertext: usize,
}

/// Bytes of a field's length.
const LENGTH: usize = 2;

impl EncryptedDataKey {
    /// Puts the parts together; `None` if one is longer than the format's
    /// 65,535 bytes.
    pub fn new(
        provider_id: impl Into<String>,
        key_info: impl Into<Vec<u8>>,
        ciphertext: impl Into<Vec<u8>>,
    ) -> Option<Self> {
        Self::from_slices(&provider_id.into(), &key_info.into(), &ciphertext.into())
    }

    pub(crate) fn from_slices(
        provider_id: &str,
        key_info: &[u8],
        ciphertext: &[u8],
    ) -> Option<Self> {
        let fields = [provider_id.as_bytes(), key_info, ciphertext];
        let fit = |field: &[u8]| field.len() <= usize::from(u16::MAX);
        fields
            .into_iter()
            .all(fit)
            .then(|| Self::from_fields(fields))
    }

    /// No field is longer than 65,535 bytes, and the first is UTF-8.
    fn from_fields(fields: [&[u8]; 3]) -> Self {
        let length = fields.iter().map(|field| LENGTH + field.len()).sum();
        let mut wire = Vec::with_capacity(length);
        for field in fields {
            wire.extend_from_slice(&(field.len() as u16).to_be_bytes());
            wire.extend_from_slice(field);
        }
        Self::of_wire(wire.into(), fields)
    }

    /// `wire` is these fields, each with its length before it.
    fn of_wire(wire: Box<[u8]>, [provider_id, key_info, _]: [&[u8]; 3]) -> Self {
        EncryptedDataKey {
            wire,
            key_info: 2 * LENGTH + provider_id.len(),
            ciphertext: 3 * LENGTH + provider_id.len() + key_info.len(),
        }
    }

    /// Which kind of provider, or which of them, made this.
    pub fn provider_id(&self) -> &str {
        // Nothing else is taken.
        std::str::from_utf8(self.fields()[0]).unwrap_or_default()
    }

    /// What the provider needs to find the wrapping key.
    pub fn key_info(&self) -> &[u8] {
        self.fields()[1]
    }

    /// The encrypted data key itself.
    pub fn ciphertext(&self) -> &[u8] {
        self.fields()[2]
    }

    /// Bytes that it takes in a message's header.
    pub fn encoded_length(&self) -> usize {
        self.wire.len()
    }

    pub(crate) fn fields(&self) -> [&[u8]; 3] {
        [
            &self.wire[LENGTH..self.key_info - LENGTH],
            &self.wire[self.key_info..self.ciphertext - LENGTH],
            &self.wire[self.ciphertext..],
        ]
    }

    /// Whether the key info names this wrapping key: it is the name, or a raw
    /// AES key's (framework/raw-aes-keyring.md, "Key Provider Information":
    /// the name, the tag's length in bits, the IV's in bytes, the IV).
    pub(crate) fn is_under(&self, key: &str) -> bool {
        const RAW_AES: [u8; 8] = [0, 0, 0, 128, 0, 0, 0, 12];
        match self.key_info().strip_prefix(key.as_bytes()) {
            Some([]) => true,
            Some(rest) => rest.len() == RAW_AES.len() + 12 && rest.starts_with(&RAW_AES),
            None => false,
        }
    }

    /// As it is stored in a message.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        let start = reader.position();
        let provider_id = reader.u16_prefixed()?;
        let key_info = reader.u16_prefixed()?;
        let ciphertext = reader.u16_prefixed()?;
        std::str::from_utf8(provider_id).map_err(|_| FormatError::NotUtf8("key provider id"))?;
        Ok(Self::of_wire(
            reader.since(start).into(),
            [provider_id, key_info, ciphertext],
        ))
    }
}

impl fmt::Debug for EncryptedDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedDataKey")
            .field("provider_id", &self.provider_id())
            .field("key_info", &self.key_info().escape_ascii().to_string())
            .field(
                "ciphertext",
                &format_args!("{} bytes", self.ciphertext().len()),
            )
            .finish()
    }
}
