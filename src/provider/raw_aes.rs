//! A raw AES key in this process, byte-compatible with the Encryption SDKs'
//! raw AES keyring (framework/raw-aes-keyring.md).

use std::fmt;

use zeroize::Zeroize;

use super::{
    GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderError, ProviderErrorKind,
    ProviderFuture, ProviderIdentity, ProviderOperation, UnwrapDataKey, UnwrapFailures,
    UnwrappedDataKey, WrapDataKey,
};
use crate::crypto::{AeadKey, CryptoBackend, HkdfOutput, IV_LENGTH, Iv, SecretBytes, TAG_LENGTH};
use crate::message::EncryptedDataKey;
use crate::suite::HashAlgorithm;

/// The namespace that belongs to AWS KMS.
const RESERVED_NAMESPACE: &str = "aws-kms";

/// Wraps data keys with AES-GCM under one key of 16, 24 or 32 bytes.
///
/// Namespace and name say which key it is; both stand in the message, in the
/// clear, and a data key is unwrapped only where both match byte for byte.
///
/// Each wrap draws a random 12-byte IV, so that one key may wrap at most 2^32
/// data keys (NIST SP 800-38D, 8.3). An application that may come near that
/// caches data keys or replaces the key.
///
/// ```
/// use waxseal::{EncryptionContext, RawAesProvider, SecretBytes, blocking::Client};
///
/// let key = SecretBytes::from(vec![7; 32]); // from a file or a vault, really
/// let client = Client::new(RawAesProvider::new("example", "key-1", &key)?);
/// let context = EncryptionContext::from([("tenant", "7")]);
///
/// let message = client.encrypt(b"attack at dawn", &context)?;
/// assert_eq!(client.decrypt(&message, &context)?.plaintext, b"attack at dawn");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RawAesProvider {
    namespace: String,
    name: String,
    key: Box<dyn AeadKey>,
    identity: ProviderIdentity,
}

/// Why a [`RawAesProvider`] cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRawAesKey {
    /// The key is not of 16, 24 or 32 bytes.
    KeyLength(usize),
    /// The namespace is `aws-kms`, which is not for raw keys.
    ReservedNamespace,
    /// Namespace or name would not fit the message's 65,535 bytes.
    TooLong,
}

impl fmt::Display for InvalidRawAesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyLength(length) => write!(
                f,
                "an AES key has 16, 24 or 32 bytes, and this one {length}"
            ),
            Self::ReservedNamespace => f.write_str("the namespace 'aws-kms' is reserved"),
            Self::TooLong => f.write_str("namespace and name are too long for a message"),
        }
    }
}

impl std::error::Error for InvalidRawAesKey {}

impl RawAesProvider {
    /// A provider under this key, with the default back end.
    ///
    /// # Errors
    /// For a key of another length, the reserved namespace `aws-kms`, or a
    /// namespace or name over 65,515 bytes.
    pub fn new(
        namespace: impl Into<String>,
        name: impl Into<String>,
        key: &SecretBytes,
    ) -> Result<Self, InvalidRawAesKey> {
        Self::with_backend(namespace, name, key, &CryptoBackend::default())
    }

    /// The same with a back end of choice.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_backend(
        namespace: impl Into<String>,
        name: impl Into<String>,
        key: &SecretBytes,
        backend: &CryptoBackend,
    ) -> Result<Self, InvalidRawAesKey> {
        let (namespace, name) = (namespace.into(), name.into());
        if namespace == RESERVED_NAMESPACE {
            return Err(InvalidRawAesKey::ReservedNamespace);
        }
        if namespace.len().max(name.len()) > usize::from(u16::MAX) - SUFFIX_LENGTH {
            return Err(InvalidRawAesKey::TooLong);
        }
        let prepared = backend
            .aead_key(key.expose())
            .map_err(|_| InvalidRawAesKey::KeyLength(key.len()))?;
        // One-way, so that the identity may be seen, and tells keys of one
        // name apart.
        let mut fingerprint = [0; 16];
        let output = HkdfOutput {
            info: &[b"waxseal raw-aes identity"],
            out: &mut fingerprint,
        };
        backend
            .hkdf(HashAlgorithm::Sha256, &[], key.expose(), &mut [output])
            .map_err(|_| InvalidRawAesKey::KeyLength(key.len()))?;
        let identity = ProviderIdentity::new(
            format!("raw-aes '{namespace}'"),
            &[namespace.as_bytes(), name.as_bytes(), &fingerprint],
        );
        Ok(RawAesProvider {
            namespace,
            name,
            key: prepared,
            identity,
        })
    }

    /// Bytes that an encrypted data key of a data key of this length takes in
    /// a message: see
    /// [`Client::message_length`](crate::Client::message_length).
    pub fn encrypted_data_key_length(&self, data_key_length: usize) -> usize {
        let key_info = self.name.len() + SUFFIX_LENGTH;
        6 + self.namespace.len() + key_info + data_key_length + TAG_LENGTH
    }

    fn error(&self, operation: ProviderOperation, kind: ProviderErrorKind) -> ProviderError {
        ProviderError::new(operation, kind, self.identity.label()).with_key(&self.name)
    }

    fn wrap(&self, mut request: WrapDataKey<'_>) -> Result<EncryptedDataKey, ProviderError> {
        let operation = ProviderOperation::Wrap;
        let mut iv = [0; IV_LENGTH];
        request
            .fill_random(&mut iv)
            .map_err(|error| ProviderError::random(operation, self.identity.label(), error))?;
        let data_key = request.data_key();
        let mut ciphertext = Vec::with_capacity(data_key.len() + TAG_LENGTH);
        ciphertext.extend_from_slice(data_key.expose());
        let sealed = self.key.seal(&iv, request.context_bytes(), &mut ciphertext);
        let Ok(tag) = sealed else {
            ciphertext.zeroize();
            return Err(self.error(operation, ProviderErrorKind::Other));
        };
        ciphertext.extend_from_slice(&tag);
        EncryptedDataKey::from_slices(&self.namespace, &self.key_info(&iv), &ciphertext)
            .ok_or_else(|| self.error(operation, ProviderErrorKind::Other))
    }

    /// The key info: name, tag bits, IV length, IV.
    fn key_info(&self, iv: &Iv) -> Vec<u8> {
        let mut key_info = Vec::with_capacity(self.name.len() + SUFFIX_LENGTH);
        key_info.extend_from_slice(self.name.as_bytes());
        key_info.extend_from_slice(&SUFFIX);
        key_info.extend_from_slice(iv);
        key_info
    }

    fn unwrap(
        &self,
        edk: &EncryptedDataKey,
        request: &UnwrapDataKey<'_>,
    ) -> Result<SecretBytes, ProviderErrorKind> {
        if edk.fields()[0] != self.namespace.as_bytes() {
            return Err(ProviderErrorKind::NotConfigured);
        }
        let suffix = edk
            .key_info()
            .strip_prefix(self.name.as_bytes())
            .filter(|suffix| suffix.len() == SUFFIX_LENGTH)
            .ok_or(ProviderErrorKind::NotConfigured)?;
        let iv = suffix.strip_prefix(&SUFFIX).and_then(|iv| iv.first_chunk());
        let iv = iv.ok_or(ProviderErrorKind::InvalidCiphertext)?;
        let (ciphertext, tag) = edk
            .ciphertext()
            .split_last_chunk()
            .ok_or(ProviderErrorKind::InvalidCiphertext)?;
        // A data key of another length is of no use, and another one may fit.
        if ciphertext.len() != request.suite().data_key_length() {
            return Err(ProviderErrorKind::InvalidCiphertext);
        }
        let mut data_key = SecretBytes::copy_from(ciphertext);
        self.key
            .open(iv, request.context_bytes(), data_key.expose_mut(), tag)
            .map_err(|_| ProviderErrorKind::InvalidCiphertext)?;
        Ok(data_key)
    }
}

/// Tag bits (128) and IV bytes (12), as the key info has them.
const SUFFIX: [u8; 8] = [0, 0, 0, 128, 0, 0, 0, IV_LENGTH as u8];
const SUFFIX_LENGTH: usize = SUFFIX.len() + IV_LENGTH;

impl KeyProvider for RawAesProvider {
    fn identity(&self) -> ProviderIdentity {
        self.identity.clone()
    }

    fn generate_data_key<'a>(
        &'a self,
        mut request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(std::future::ready((|| {
            let data_key = request.random_data_key().map_err(|error| {
                let operation = ProviderOperation::Generate;
                ProviderError::random(operation, self.identity.label(), error)
            })?;
            let edk = self.wrap(request.wrap(&data_key))?;
            Ok(GeneratedDataKey::new(data_key, vec![edk]))
        })()))
    }

    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        Box::pin(std::future::ready(self.wrap(request).map(|edk| vec![edk])))
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(std::future::ready((|| {
            let mut failures = UnwrapFailures::new();
            for (index, edk) in request.encrypted_data_keys().iter().enumerate() {
                match self.unwrap(edk, &request) {
                    Ok(data_key) => {
                        let identity = self.identity.clone();
                        return Ok(UnwrappedDataKey::new(data_key, index, identity, &self.name));
                    }
                    Err(kind) => {
                        let error = self.error(ProviderOperation::Unwrap, kind);
                        failures.push(index, edk, error);
                    }
                }
            }
            Err(failures)
        })()))
    }
}

impl fmt::Debug for RawAesProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAesProvider")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_it_cannot_be() {
        let key = |length| SecretBytes::from(vec![1; length]);
        for length in [16, 24, 32] {
            assert!(RawAesProvider::new("n", "k", &key(length)).is_ok());
        }
        for length in [0, 15, 17, 31, 33, 64] {
            let refused = RawAesProvider::new("n", "k", &key(length)).unwrap_err();
            assert_eq!(refused, InvalidRawAesKey::KeyLength(length));
            let text = format!("an AES key has 16, 24 or 32 bytes, and this one {length}");
            assert_eq!(refused.to_string(), text);
        }
        let refused = RawAesProvider::new("aws-kms", "k", &key(32)).unwrap_err();
        assert_eq!(refused, InvalidRawAesKey::ReservedNamespace);
        assert_eq!(refused.to_string(), "the namespace 'aws-kms' is reserved");
        let longest = "x".repeat(65_515);
        assert!(RawAesProvider::new(&*longest, &*longest, &key(32)).is_ok());
        let refused = RawAesProvider::new("n", longest + "x", &key(32)).unwrap_err();
        assert_eq!(refused, InvalidRawAesKey::TooLong);
        assert_eq!(
            refused.to_string(),
            "namespace and name are too long for a message"
        );
    }

    #[test]
    fn identities_differ_by_key() {
        let provider = |byte| {
            RawAesProvider::new("n", "k", &SecretBytes::from(vec![byte; 32]))
                .unwrap()
                .identity()
        };
        assert_eq!(provider(1), provider(1));
        assert_ne!(provider(1), provider(2));
        assert!(!format!("{:?}", provider(1)).contains('1'));
    }
}
