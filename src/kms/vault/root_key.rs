//! What opens a store, or a backup: a key, a passphrase, or another provider.

use std::fmt;
use std::sync::Arc;

use super::passphrase::{Derivation, NotDerived, PassphraseCost, SALT_LENGTH};
use crate::client::Client;
use crate::crypto::{CryptoBackend, Entropy, SecretBytes};
use crate::kms::codec::{Codec, Reader, Writer};
use crate::kms::error::{KmsError, KmsResult};
use crate::provider::{KeyProvider, RawAesProvider};

/// The length in bytes of a root key that is given as such.
const ROOT_KEY_LENGTH: usize = 32;
/// The raw AES namespace and name of root keys, so that any AWS Encryption SDK
/// that is given them can open a root record's message.
const NAMESPACE: &str = "waxseal-kms-root";

/// The root of a store, or what a backup is sealed under. Cheap to clone;
/// prints nothing of what it holds.
///
/// ```
/// use waxseal::SecretBytes;
/// use waxseal::kms::RootKey;
///
/// let root = RootKey::passphrase(SecretBytes::copy_from(b"correct horse battery staple"));
/// assert_eq!(format!("{root:?}"), "RootKey(passphrase)");
/// ```
#[derive(Clone)]
pub struct RootKey(Arc<Kind>);

enum Kind {
    Bytes(SecretBytes),
    Passphrase(SecretBytes, PassphraseCost),
    Provider(Arc<dyn KeyProvider>),
}

impl RootKey {
    /// A key of exactly 32 bytes, which wraps with AES-256-GCM: at most 2^32
    /// changes of a store's root are safe under one. Another length is
    /// [`KmsError::InvalidArgument`] when it is used.
    pub fn bytes(key: SecretBytes) -> Self {
        RootKey(Arc::new(Kind::Bytes(key)))
    }

    /// A passphrase, any bytes of it: the same in UTF-8 and not normalized. An
    /// empty one is [`KmsError::InvalidArgument`] when it is used.
    ///
    /// Argon2id makes the key, where and when the root is opened: a fraction
    /// of a second that blocks the thread, and 64 MiB of memory.
    pub fn passphrase(passphrase: SecretBytes) -> Self {
        Self::passphrase_with_cost(passphrase, PassphraseCost::default())
    }

    /// The same with another cost for what is made with it; what is there
    /// opens at the cost that it was made with. A cost beyond the limits is
    /// [`KmsError::InvalidArgument`] when it is used.
    pub fn passphrase_with_cost(passphrase: SecretBytes, cost: PassphraseCost) -> Self {
        RootKey(Arc::new(Kind::Passphrase(passphrase, cost)))
    }

    /// Any provider (also an `Arc<dyn KeyProvider>`): the root lives in an HSM
    /// or in a remote KMS. It is asked once when a store is opened.
    pub fn provider(provider: impl KeyProvider + 'static) -> Self {
        RootKey(Arc::new(Kind::Provider(Arc::new(provider))))
    }

    fn kind(&self) -> &'static str {
        match &*self.0 {
            Kind::Bytes(_) => "key",
            Kind::Passphrase(..) => "passphrase",
            Kind::Provider(_) => "provider",
        }
    }

    /// Refuses what can open nothing.
    fn check(&self) -> KmsResult<()> {
        match &*self.0 {
            Kind::Bytes(key) if key.len() != ROOT_KEY_LENGTH => Err(KmsError::invalid(format!(
                "a root key has {ROOT_KEY_LENGTH} bytes, and this one {}",
                key.len()
            ))),
            Kind::Passphrase(passphrase, _) if passphrase.is_empty() => {
                Err(KmsError::invalid("the passphrase is empty"))
            }
            _ => Ok(()),
        }
    }

    /// Gets ready to seal something new.
    pub(super) fn unlock_new(&self, backend: &CryptoBackend) -> KmsResult<Unlocked> {
        let way = match &*self.0 {
            Kind::Bytes(_) => Way::Bytes,
            Kind::Provider(_) => Way::Provider,
            Kind::Passphrase(_, cost) => {
                let mut salt = vec![0; SALT_LENGTH];
                Entropy::draw(backend.random(), SALT_LENGTH)?.fill(&mut salt)?;
                Way::Passphrase(Derivation { cost: *cost, salt })
            }
        };
        self.unlock(way, backend).map_err(|locked| match locked {
            Locked::Limits => KmsError::invalid("the passphrase's cost is beyond its limits"),
            // Not to be had: the way is this root's own.
            Locked::Kind { reason } => KmsError::invalid(reason),
            Locked::Kms(error) => error,
        })
    }

    /// Gets ready to open what was sealed in this way.
    pub(super) fn unlock(&self, way: Way, backend: &CryptoBackend) -> Result<Unlocked, Locked> {
        self.check().map_err(Locked::Kms)?;
        let raw = |name: &str, key: &SecretBytes| -> Result<Arc<dyn KeyProvider>, Locked> {
            let raw = RawAesProvider::with_backend(NAMESPACE, name, key, backend);
            let raw = raw.map_err(|error| Locked::Kms(KmsError::invalid(error.to_string())))?;
            Ok(Arc::new(raw))
        };
        let provider: Arc<dyn KeyProvider> = match (&*self.0, &way) {
            (Kind::Bytes(key), Way::Bytes) => raw("key", key)?,
            (Kind::Passphrase(passphrase, _), Way::Passphrase(derivation)) => {
                let key = derivation.derive(passphrase).map_err(|why| match why {
                    NotDerived::Limits => Locked::Limits,
                    NotDerived::Failed => {
                        Locked::Kms(KmsError::invalid("no memory for the passphrase's cost"))
                    }
                })?;
                raw("passphrase", &key)?
            }
            (Kind::Provider(provider), Way::Provider) => provider.clone(),
            _ => {
                return Err(Locked::Kind {
                    reason: format!(
                        "it was sealed under a {}, and a {} was given",
                        way.kind(),
                        self.kind()
                    ),
                });
            }
        };
        let client = Client::builder(provider)
            .backend(backend.clone())
            .build()
            .map_err(|error| Locked::Kms(KmsError::Root(Box::new(error))))?;
        Ok(Unlocked { way, client })
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({})", self.kind())
    }
}

/// How something was sealed: stored beside it, in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Bytes,
    Passphrase(Derivation),
    Provider,
}

impl Codec<'_> for Way {
    fn write(&self, writer: &mut Writer) {
        match self {
            Way::Bytes => writer.variant(0),
            Way::Passphrase(derivation) => {
                writer.variant(1);
                derivation.write(writer);
            }
            Way::Provider => writer.variant(2),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.variant()? {
            0 => Some(Way::Bytes),
            1 => Derivation::read(reader).map(Way::Passphrase),
            2 => Some(Way::Provider),
            _ => None,
        }
    }
}

impl Way {
    fn kind(&self) -> &'static str {
        match self {
            Way::Bytes => "key",
            Way::Passphrase(_) => "passphrase",
            Way::Provider => "provider",
        }
    }
}

/// A root key, ready to seal and open in one way. A passphrase has been
/// through Argon2id.
#[derive(Clone)]
pub(super) struct Unlocked {
    pub(super) way: Way,
    pub(super) client: Client,
}

/// Why a root key is not ready.
pub(super) enum Locked {
    /// It is of another kind.
    Kind { reason: String },
    /// The way is beyond the limits.
    Limits,
    /// The root key is none, or the system failed.
    Kms(KmsError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::codec::decode;
    use crate::kms::codec::tests::assert_stored;

    #[test]
    fn ways_at_rest() {
        let derivation = Derivation {
            cost: PassphraseCost {
                memory: 65_536,
                passes: 3,
                lanes: u32::MAX,
            },
            salt: vec![0xf0; SALT_LENGTH],
        };
        assert_stored(&Way::Bytes, &[b"\x00"]);
        assert_stored(
            &Way::Passphrase(derivation),
            &[
                b"\x01",
                b"\x80\x80\x04",
                b"\x03",
                b"\xff\xff\xff\xff\x0f",
                b"\x10",
                &[0xf0; 16],
            ],
        );
        assert_stored(&Way::Provider, &[b"\x02"]);
        assert_eq!(decode::<Way>(&[3]), None);
    }
}
