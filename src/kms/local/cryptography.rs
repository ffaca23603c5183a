//! Using keys: encrypt, decrypt, re-encrypt, data keys, random bytes.

use std::sync::Arc;

use super::gate::{Direction, Outcome, Part, as_strs};
use super::{Call, Inner, Loaded, LocalKms, Used};
use crate::context::EncryptionContext;
use crate::crypto::{Entropy, SecretBytes};
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::parameter::Parameter;
use crate::kms::seal::{self, Purpose, SealError, Sealed};
use crate::kms::state::Operation;

/// The most bytes that [`encrypt`](LocalKms::encrypt) takes.
pub const MAX_PLAINTEXT_LENGTH: usize = 4096;
/// The most bytes of a data key, and of random bytes.
const MAX_DATA_KEY_LENGTH: usize = 1024;
const ALGORITHM: Parameter<'_> = Parameter::Text("SYMMETRIC_DEFAULT");
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

/// Something that was encrypted again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReEncrypted {
    /// What it is now.
    pub ciphertext: Ciphertext,
    /// The ARN of the key that it was under.
    pub source_key_arn: String,
    /// The version of the backing key that it was under.
    pub source_key_version: u32,
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
        let call = self.call(Operation::Encrypt, key).with_context(context);
        if plaintext.len() > MAX_PLAINTEXT_LENGTH {
            let too_long = KmsError::invalid(format!(
                "at most {MAX_PLAINTEXT_LENGTH} bytes can be encrypted, not {}",
                plaintext.len()
            ));
            return self.0.pass(call, async { Err(too_long) }).await;
        }
        self.seal(call, self.entropy(SALT_LENGTH), plaintext).await
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
        let details = [("keyId", Parameter::Text(key.unwrap_or_default()))];
        let call = self.call(Operation::Decrypt, key.unwrap_or_default());
        let call = call
            .with_context(context)
            .with_details(&details[..usize::from(key.is_some())]);
        let (loaded, used) = self.open(call, blob, key, context).await?;
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
    ) -> KmsResult<ReEncrypted> {
        let operation = Operation::ReEncrypt;
        // Of which keys it is, for policies that ask and for the trail.
        let sealed = Sealed::parse(blob);
        let source = match &sealed {
            Some(sealed) => self.0.load(sealed.key_id).await.ok().flatten(),
            None => None,
        };
        let destination = self.0.locate(destination_key).await.ok();
        let id = |key: &Option<Arc<Loaded>>| key.as_ref().map(|key| key.id().to_owned());
        let is_same = source.is_some() && id(&source) == id(&destination);
        let work = async {
            let details = [
                ("reEncryptOnSameKey", Parameter::Bool(is_same)),
                ("keyId", Parameter::Text(source_key.unwrap_or_default())),
            ];
            let from = self.call(operation, source_key.unwrap_or_default());
            let from = from.with_part(Part::From).with_context(source_context);
            let from = from.with_details(&details);
            let opened = self.open(from, blob, source_key, source_context).await;
            let (source_key_arn, source_key_version, plaintext) = match opened {
                // A trial asks for the other key, too.
                Err(KmsError::DryRun) => (String::new(), 0, SecretBytes::zeroed(0)),
                opened => {
                    let (source, used) = opened?;
                    (self.0.arn_of(source.id()), used.version, used.value)
                }
            };
            // The key that was looked at: an alias may be moved meanwhile.
            let found = destination.as_ref().map_or(destination_key, |key| key.id());
            let details = [details[0], ("keyId", Parameter::Text(destination_key))];
            let to = self.call(operation, found).with_part(Part::To);
            let to = to.with_context(destination_context).with_details(&details);
            let entropy = self.entropy(SALT_LENGTH);
            let ciphertext = self.seal(to, entropy, plaintext.expose()).await?;
            Ok(ReEncrypted {
                ciphertext,
                source_key_arn,
                source_key_version,
            })
        };
        let result = work.await;
        if self.0.takes_note() {
            let details = [
                ("destinationKeyId", Parameter::Text(destination_key)),
                (
                    "sourceEncryptionContext",
                    Parameter::Context(source_context),
                ),
                (
                    "destinationEncryptionContext",
                    Parameter::Context(destination_context),
                ),
                ("sourceEncryptionAlgorithm", ALGORITHM),
                ("destinationEncryptionAlgorithm", ALGORITHM),
                (
                    "sourceKeyId",
                    Parameter::Text(source_key.unwrap_or_default()),
                ),
            ];
            let details = &details[..5 + usize::from(source_key.is_some())];
            let keys = [&source, &destination].into_iter().flatten();
            let arns: Vec<String> = keys.map(|key| self.0.arn_of(key.id())).collect();
            let keys = as_strs(&arns);
            let call = self.call(operation, destination_key).with_details(details);
            let done = result.as_ref().ok();
            self.0.note(
                &call,
                Outcome {
                    keys: &keys,
                    used: done.and_then(|done| {
                        let key = destination.as_ref()?.live().ok()?;
                        Some((key, done.ciphertext.key_version))
                    }),
                    source: done.and_then(|done| {
                        let key = source.as_ref()?.live().ok()?;
                        Some((key, done.source_key_version))
                    }),
                    ..Outcome::of(&result)
                },
            )?;
        }
        result
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
        let details = [("numberOfBytes", Parameter::Number(length as u64))];
        let call = self
            .call(Operation::GenerateRandom, "")
            .with_details(&details);
        let entered = self.0.enter(&call);
        let allowed = entered.and_then(|()| self.0.authorise_keyless(&call));
        let length = allowed.and_then(|()| check_length("a random answer", length));
        let random = length.and_then(|length| {
            let mut random = SecretBytes::zeroed(length);
            self.0.backend.random().fill(random.expose_mut())?;
            Ok(random)
        });
        self.0.note(&call, Outcome::of(&random))?;
        random
    }

    async fn generate(
        &self,
        operation: Operation,
        key: &str,
        spec: DataKeySpec,
        context: &EncryptionContext,
    ) -> KmsResult<GeneratedKey> {
        let details = [match spec {
            DataKeySpec::Aes128 => ("keySpec", Parameter::Text("AES_128")),
            DataKeySpec::Aes256 => ("keySpec", Parameter::Text("AES_256")),
            DataKeySpec::Bytes(length) => ("numberOfBytes", Parameter::Number(length as u64)),
        }];
        let call = self
            .call(operation, key)
            .with_context(context)
            .with_details(&details);
        let drawn = spec.length().and_then(|length| {
            let mut entropy = self.entropy(length + SALT_LENGTH)?;
            let mut plaintext = SecretBytes::zeroed(length);
            entropy.fill(plaintext.expose_mut())?;
            Ok((entropy, plaintext))
        });
        let (entropy, plaintext) = match drawn {
            Ok(drawn) => drawn,
            Err(error) => return self.0.pass(call, async { Err(error) }).await,
        };
        let ciphertext = self.seal(call, Ok(entropy), plaintext.expose()).await?;
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
        entropy: KmsResult<Entropy>,
        plaintext: &[u8],
    ) -> KmsResult<Ciphertext> {
        let prepared = entropy.and_then(|entropy| Ok((entropy, context_bytes(call.context)?)));
        let (mut entropy, context) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.0.pass(call, async { Err(error) }).await,
        };
        let sealed = self.0.seal(call, &mut entropy, &context, plaintext);
        let (loaded, used) = sealed.await?;
        Ok(Ciphertext {
            blob: used.value,
            key_arn: loaded.live()?.arn.clone(),
            key_version: used.version,
        })
    }

    async fn open(
        &self,
        call: Call<'_>,
        blob: &[u8],
        key: Option<&str>,
        context: &EncryptionContext,
    ) -> KmsResult<(Arc<Loaded>, Used<SecretBytes>)> {
        let read = async {
            let bytes = context_bytes(Some(context))?;
            let sealed = Sealed::parse(blob).ok_or(KmsError::InvalidCiphertext)?;
            if let Some(key) = key {
                let given = self.0.locate(key).await?;
                if given.id() != sealed.key_id {
                    // Who may not use the key is told nothing of it.
                    let given = self.0.allow(Call { key, ..call }, given).await?;
                    given.living(self.0.now())?;
                    return Err(KmsError::IncorrectKey {
                        key: self.0.arn_of(given.id()),
                    });
                }
            }
            Ok((bytes, sealed))
        };
        let (bytes, sealed) = match read.await {
            Ok(read) => read,
            Err(error) => return self.0.pass(call, async { Err(error) }).await,
        };
        let named = Call {
            key: sealed.key_id,
            ..call
        };
        self.0.open(named, &sealed, &bytes).await
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
            self.names.parse(call.key).ok(),
            self.names.parse(sealed.key_id).ok()
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
