//! Secrets in records.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::crypto::SecretBytes;

/// Secret bytes that a record holds: read straight into memory that wipes
/// itself.
pub(super) struct StoredSecret(pub(super) SecretBytes);

impl Serialize for StoredSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for StoredSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = StoredSecret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("secret bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<StoredSecret, E> {
                Ok(StoredSecret(SecretBytes::copy_from(bytes)))
            }
        }

        deserializer.deserialize_bytes(Visitor)
    }
}
