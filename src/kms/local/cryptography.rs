//! Using keys: encrypt, decrypt, re-encrypt, data keys, random bytes.

use std::sync::Arc;

use super::gate::Direction;
use super::{Call, Inner, Loaded, LocalKms, Used};
use crate::context::EncryptionContext;
use crate::crypto::{Entropy, SecretBytes};
use crate::kms::alias::KeySpec;
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::seal::{self, Purpose, SealError, Sealed};
use crate::kms::state::Operation;

/// The most bytes that [`encrypt`](LocalKms::encrypt) takes.
pub const MAX_PLAINTEXT_LENGTH: usize = 4096;
/// The most bytes of a data key, and of random bytes.
const MAX_DATA_KEY_LENGTH: usize = 1024;
/// The random bytes that one seal draws: its salt.
const SALT_LENGTH: usize = 32;

/// Something that was encrypted under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ciphertext {
    /// The ciphertext: it names its key and the version of the backing key, and
    /// is 122 bytes longer than the plaintext.
    pub blob: Vec<u8>,
    /// The key's ARN.
    pub key_arn: String,
    /// The version of the backing key.
    pub key_version: u32,
}

/// Something that was decrypted.
#[derive(Debug)]
#[non_exhaustive]
pub struct DecryptedBlob {
    /// The plaintext.
    pub plaintext: SecretBytes,
    /// The key's ARN.
    pub key_arn: String,
    /// The version of the backing key.
    pub key_version: u32,
}

/// A new data key.
#[derive(Debug)]
#[non_exhaustive]
pub struct GeneratedKey {
    /// The data key in the clear.
    pub plaintext: SecretBytes,
    /// The data key under the key.
    pub ciphertext: Ciphertext,
}

/// What a data key is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataKeySpec {
    /// 16 bytes.
    Aes128,
    /// 32 bytes.
    Aes256,
    /// 1 to 1,024 bytes.
    Bytes(usize),
}

impl DataKeySpec {
    fn length(self) -> KmsResult<usize> {
        let length = match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
            Self::Bytes(length) => length,
        };
        check_length("a data key", length)
    }
}

fn check_length(what: &str, length: usize) -> KmsResult<usize> {
    if (1..=MAX_DATA_KEY_LENGTH).contains(&length) {
        return Ok(length);
    }
    Err(KmsError::invalid(format!(
        "{what} has 1 to {MAX_DATA_KEY_LENGTH} bytes, not {length}"
    )))
}

impl LocalKms {
    /// Encrypts at most 4,096 bytes under a key, bound to the context: a
    /// password, a key, a token. For data, use a [`Client`](crate::Client) with
    /// [`provider`](Self::provider).
    ///
    /// # Errors
    /// [`KmsError::InvalidArgument`] for more bytes, [`KmsError::Context`];
    /// [`KmsError::NotFound`], [`KmsError::Disabled`],
    /// [`KmsError::InvalidState`]; the store's errors.
    pub async fn encrypt(
        &self,
        key: &str,
        plaintext: &[u8],
        context: &EncryptionContext,
    ) -> KmsResult<Ciphertext> {
        if plaintext.len() > MAX_PLAINTEXT_LENGTH {
            return Err(KmsError::invalid(format!(
                "at most {MAX_PLAINTEXT_LENGTH} bytes can be encrypted, not {}",
                plaintext.len()
            )));
        }
        let mut entropy = self.entropy(SALT_LENGTH)?;
        let call = Call::new(Operation::Encrypt, key).with_context(context);
        self.seal(call, &mut entropy, plaintext).await
    }

    /// Decrypts what a key of this KMS has encrypted, in the same context. The
    /// ciphertext names its key; where one is given, it must be that one.
    ///
    /// # Errors
    /// [`KmsError::InvalidCiphertext`]: it is damaged, or belongs to another
    /// context. [`KmsError::IncorrectKey`]: it is another key's than the given
    /// one. [`KmsError::VersionCutOff`]; [`KmsError::NotFound`],
    /// [`KmsError::Disabled`], [`KmsError::InvalidState`],
    /// [`KmsError::Context`]; the store's errors.
    pub async fn decrypt(
        &self,
        blob: &[u8],
        key: Option<&str>,
        context: &EncryptionContext,
    ) -> KmsResult<DecryptedBlob> {
        let (loaded, used) = self.open(Operation::Decrypt, blob, key, context).await?;
        Ok(DecryptedBlob {
            plaintext: used.value,
            key_arn: loaded.live()?.arn.clone(),
            key_version: used.version,
        })
    }

    /// Decrypts and encrypts again: under another key, in another context, or
    /// under the newest backing key. The plaintext does not leave the KMS.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt) for the source and as
    /// [`encrypt`](Self::encrypt) for the destination.
    pub async fn re_encrypt(
        &self,
        blob: &[u8],
        source_key: Option<&str>,
        source_context: &EncryptionContext,
        destination_key: &str,
        destination_context: &EncryptionContext,
    ) -> KmsResult<Ciphertext> {
        let operation = Operation::ReEncrypt;
        let (_, used) = self
            .open(operation, blob, source_key, source_context)
            .await?;
        let mut entropy = self.entropy(SALT_LENGTH)?;
        let call = Call::new(operation, destination_key).with_context(destination_context);
        self.seal(call, &mut entropy, used.value.expose()).await
    }

    /// Makes a data key, in the clear and under a key.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub async fn generate_data_key(
        &self,
        key: &str,
        spec: DataKeySpec,
        context: &EncryptionContext,
    ) -> KmsResult<GeneratedKey> {
        self.generate(Operation::GenerateDataKey, key, spec, context)
            .await
    }

    /// Makes a data key for later: under a key only.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub async fn generate_data_key_without_plaintext(
        &self,
        key: &str,
        spec: DataKeySpec,
        context: &EncryptionContext,
    ) -> KmsResult<Ciphertext> {
        let operation = Operation::GenerateDataKeyWithoutPlaintext;
        let generated = self.generate(operation, key, spec, context).await?;
        Ok(generated.ciphertext)
    }

    /// 1 to 1,024 random bytes.
    ///
    /// # Errors
    /// [`KmsError::InvalidArgument`]; [`KmsError::Random`].
    pub fn generate_random(&self, length: usize) -> KmsResult<SecretBytes> {
        let random = check_length("a random answer", length).and_then(|length| {
            let mut random = SecretBytes::zeroed(length);
            self.0.backend.random().fill(random.expose_mut())?;
            Ok(random)
        });
        self.0
            .settle(Call::new(Operation::GenerateRandom, ""), random)
    }

    async fn generate(
        &self,
        operation: Operation,
        key: &str,
        spec: DataKeySpec,
        context: &EncryptionContext,
    ) -> KmsResult<GeneratedKey> {
        let length = spec.length()?;
        let mut entropy = self.entropy(length + SALT_LENGTH)?;
        let mut plaintext = SecretBytes::zeroed(length);
        entropy.fill(plaintext.expose_mut())?;
        let call = Call::new(operation, key).with_context(context);
        let ciphertext = self.seal(call, &mut entropy, plaintext.expose()).await?;
        Ok(GeneratedKey {
            plaintext,
            ciphertext,
        })
    }

    /// Draws what a call needs at once, because each draw costs.
    fn entropy(&self, expected: usize) -> KmsResult<Entropy> {
        Ok(Entropy::draw(self.0.backend.random(), expected)?)
    }

    async fn seal(
        &self,
        call: Call<'_>,
        entropy: &mut Entropy,
        plaintext: &[u8],
    ) -> KmsResult<Ciphertext> {
        let context = context_bytes(call.context)?;
        let (loaded, used) = self.0.seal(call, entropy, &context, plaintext).await?;
        Ok(Ciphertext {
            blob: used.value,
            key_arn: loaded.live()?.arn.clone(),
            key_version: used.version,
        })
    }

    async fn open(
        &self,
        operation: Operation,
        blob: &[u8],
        key: Option<&str>,
        context: &EncryptionContext,
    ) -> KmsResult<(Arc<Loaded>, Used<SecretBytes>)> {
        let given = Call::new(operation, key.unwrap_or_default()).with_context(context);
        let read = async {
            let bytes = context_bytes(Some(context))?;
            let sealed = Sealed::parse(blob).ok_or(KmsError::InvalidCiphertext)?;
            if let Some(key) = key {
                let given = self.0.locate_living(key).await?;
                if given.id() != sealed.key_id {
                    return Err(KmsError::IncorrectKey {
                        key: self.0.arn_of(given.id()),
                    });
                }
            }
            Ok((bytes, sealed))
        };
        let (bytes, sealed) = match read.await {
            Ok(read) => read,
            Err(error) => return self.0.settle(given, Err(error)),
        };
        let call = Call::new(operation, sealed.key_id).with_context(context);
        self.0.open(call, &sealed, &bytes).await
    }
}

fn context_bytes(context: Option<&EncryptionContext>) -> KmsResult<Vec<u8>> {
    context.map_or(Ok(Vec::new()), |context| {
        context.to_bytes().map_err(KmsError::Context)
    })
}

impl Inner {
    /// Seals under the current backing key of the call's key.
    pub(crate) async fn seal(
        &self,
        call: Call<'_>,
        entropy: &mut Entropy,
        context: &[u8],
        plaintext: &[u8],
    ) -> KmsResult<(Arc<Loaded>, Used<Vec<u8>>)> {
        self.use_key(call, |record| {
            let key = record.sealing_key()?;
            let version = key.version;
            let sealed = seal::seal(
                &self.backend,
                entropy,
                Purpose::Ciphertext,
                key,
                context,
                plaintext,
            );
            let value = sealed.map_err(|error| match error {
                SealError::Random(error) => KmsError::Random(error),
                SealError::TooLong => KmsError::invalid("it is too long to be sealed"),
            })?;
            Ok(Used {
                value,
                version,
                direction: Direction::Wrap,
            })
        })
        .await
    }

    /// Opens under the backing key that the sealed bytes name, of the key that
    /// they name: the call's.
    pub(crate) async fn open(
        &self,
        call: Call<'_>,
        sealed: &Sealed<'_>,
        context: &[u8],
    ) -> KmsResult<(Arc<Loaded>, Used<SecretBytes>)> {
        debug_assert_eq!(
            KeySpec::parse(call.key).ok(),
            KeySpec::parse(sealed.key_id).ok()
        );
        let key = self.load_version(sealed.key_id, sealed.version).await;
        self.use_loaded(call, key, |record| {
            let key = record.opening_key(sealed.version)?;
            let opened = sealed.open(&self.backend, Purpose::Ciphertext, key.material, context);
            Ok(Used {
                value: opened.map_err(|_| KmsError::InvalidCiphertext)?,
                version: key.version,
                direction: Direction::Unwrap,
            })
        })
        .await
    }
}
