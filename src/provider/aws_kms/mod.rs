//! Keys of AWS KMS as a key provider, byte-compatible with the AWS KMS keyrings
//! of the AWS Encryption SDKs (framework/aws-kms/ in their specification).
//!
//! An encrypted data key has the provider id `aws-kms`, as its key info the
//! key's ARN, and as its ciphertext the service's blob.

mod arn;
mod builder;
mod failure;
mod limit;
mod service;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arn::{Arn, KeyName};
pub use builder::{AwsKmsProviderBuilder, InvalidAwsKmsProvider};
use failure::{Failure, shown};
use service::{Decrypt, Encrypt, Generate, Service};

use super::retry::Attempts;
use super::{
    GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderError, ProviderErrorKind,
    ProviderFuture, ProviderIdentity, ProviderOperation, RetryPolicy, UnwrapDataKey,
    UnwrapFailures, UnwrappedDataKey, WrapDataKey,
};
use crate::crypto::SecretBytes;
use crate::message::EncryptedDataKey;
use crate::runtime::{RunError, Runtime};

/// The provider id of the AWS Encryption SDKs' keyrings.
const PROVIDER_ID: &str = "aws-kms";

/// Wraps data keys under keys of AWS KMS, and unwraps them: what it writes, the
/// AWS Encryption SDKs read with their AWS KMS keyrings, and the other way
/// round. Clones are the same provider.
///
/// ```no_run
/// use waxseal::{AwsKmsProvider, Client, EncryptionContext};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let provider = AwsKmsProvider::from_env()
///     .generator("arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
///     .build()?;
/// let client = Client::new(provider);
/// let message = client.encrypt(b"attack at dawn", &EncryptionContext::new()).await?;
/// # let _ = message;
/// # Ok(())
/// # }
/// ```
///
/// # Which keys
///
/// In *strict mode* ([`generator`], [`key`]) it uses the keys that it is given
/// and no other. To encrypt, a key's name can be any that AWS KMS takes; to
/// decrypt, it must be the key's ARN, because that is what a message holds: one
/// given by its alias or its bare id opens nothing.
///
/// In *discovery mode* ([`discovery`]) it opens messages under any key of the
/// accounts that it is given, as far as its credentials go, and encrypts
/// nothing.
///
/// With [`multi_region`], a multi-Region key and its replicas are one key.
///
/// # Errors
///
/// They have the service's request id and one of the common kinds. An answer
/// under another key than the one asked for is
/// [`InvalidResponse`](ProviderErrorKind::InvalidResponse), and so is anything
/// that is no answer of AWS KMS, a certificate that is not trusted included.
///
/// # Runtimes
///
/// The SDK works in a Tokio runtime with I/O and time: the one that is there
/// when the provider is built, one that it is [given], or one [of its own].
/// The provider's futures can then be awaited from any executor, and it works
/// in the [blocking client](crate::blocking::Client). Only inside a task of
/// that very runtime, where the thread that sleeps may be the one that has to
/// do the work, a blocking call is refused with
/// [`WouldBlock`](ProviderErrorKind::WouldBlock): await there, use
/// `spawn_blocking`, or give the provider a runtime of its own. A call to a
/// runtime that is not driven ends with the time limits.
///
/// # Time limits and retries
///
/// Each request has a [connect timeout](AwsKmsProviderBuilder::connect_timeout)
/// and a [time limit](AwsKmsProviderBuilder::request_timeout); what a
/// [`RetryPolicy`] says is for the whole call, whose total time covers all its
/// requests. The SDK's own retries and timeouts are off.
///
/// # Caching
///
/// A provider has the identity of no other but its clones: two clients may have
/// different credentials, and what one may unwrap, the other may not. So build
/// it once, and clone it.
///
/// [`generator`]: AwsKmsProviderBuilder::generator
/// [`key`]: AwsKmsProviderBuilder::key
/// [`discovery`]: AwsKmsProviderBuilder::discovery
/// [`multi_region`]: AwsKmsProviderBuilder::multi_region
/// [given]: AwsKmsProviderBuilder::on_runtime
/// [of its own]: AwsKmsProviderBuilder::on_own_runtime
#[derive(Clone)]
pub struct AwsKmsProvider(Arc<Inner>);

struct Inner {
    identity: ProviderIdentity,
    mode: Mode,
    multi_region: bool,
    request_timeout: Duration,
    retries: RetryPolicy,
    runtime: Runtime,
    service: Arc<Service>,
}

enum Mode {
    Strict {
        generator: Option<StrictKey>,
        others: Vec<StrictKey>,
    },
    Discovery {
        partition: String,
        accounts: BTreeSet<String>,
    },
}

/// A key as the caller has named it.
struct StrictKey {
    text: String,
    name: KeyName,
}

impl StrictKey {
    /// The ARN in an answer, if it is this key's.
    fn check(&self, answered: Option<&str>) -> Result<String, Failure> {
        let answered = answered.unwrap_or_default();
        match Arn::parse_key(answered) {
            Some(arn) if self.name.may_be(&arn) => Ok(answered.to_owned()),
            _ => Err(another_key(answered)),
        }
    }
}

fn another_key(answered: &str) -> Failure {
    Failure::new(
        ProviderErrorKind::InvalidResponse,
        format!("the answer is under another key, '{}'", shown(answered)),
    )
}

fn wrong_length(length: usize) -> Failure {
    Failure::new(
        ProviderErrorKind::InvalidResponse,
        format!("the answer holds a data key of {length} bytes"),
    )
}

/// One call of the provider: its requests share the attempts' total time.
struct Call<'p> {
    provider: &'p Inner,
    operation: ProviderOperation,
    attempts: Attempts<'p>,
}

impl Call<'_> {
    fn error(&self, key: &str, failure: Failure) -> ProviderError {
        let label = self.provider.identity.label();
        let error = ProviderError::new(self.operation, failure.kind, label).with_key(shown(key));
        let error = match failure.request_id {
            Some(id) => error.with_request_id(id),
            None => error,
        };
        match failure.source.is_empty() {
            true => error,
            false => error.with_source(failure.source),
        }
    }

    /// Makes a request until it succeeds, or there is no more sense in it.
    async fn request<R: service::Request>(
        &mut self,
        key: &str,
        request: &R,
    ) -> Result<R::Answer, ProviderError> {
        let provider = self.provider;
        self.attempts.begin();
        loop {
            let work = request.send(provider.service.clone());
            let attempt = async {
                match provider.runtime.run(work).await {
                    Ok(result) => result,
                    Err(error) => Err(not_run(&error)),
                }
            };
            let timed_out = || Failure::new(ProviderErrorKind::TimedOut, "");
            let attempt = self
                .attempts
                .within(provider.request_timeout, attempt, timed_out)
                .await;
            let error = match attempt {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.error(key, failure),
            };
            self.attempts.wait_after(error).await?;
        }
    }

    async fn generate(
        &mut self,
        key: &StrictKey,
        request: &GenerateDataKey<'_>,
    ) -> Result<(SecretBytes, EncryptedDataKey), ProviderError> {
        let length = request.suite().data_key_length();
        let call = Generate::new(&key.text, length, request.context());
        let answer = self.request(&key.text, &call).await?;
        let checked = key
            .check(answer.key.as_deref())
            .and_then(|arn| match &answer.data_key {
                data_key if data_key.len() == length => edk(&arn, answer.blob),
                data_key => Err(wrong_length(data_key.len())),
            });
        match checked {
            Ok(edk) => Ok((answer.data_key, edk)),
            Err(failure) => {
                Err(self.error(&key.text, failure.with_request_id(answer.id.as_deref())))
            }
        }
    }

    async fn encrypt(
        &mut self,
        key: &StrictKey,
        request: &WrapDataKey<'_>,
    ) -> Result<EncryptedDataKey, ProviderError> {
        let call = Encrypt::new(&key.text, request.data_key(), request.context());
        let answer = self.request(&key.text, &call).await?;
        let checked = key
            .check(answer.key.as_deref())
            .and_then(|arn| edk(&arn, answer.blob));
        checked
            .map_err(|failure| self.error(&key.text, failure.with_request_id(answer.id.as_deref())))
    }

    async fn decrypt(
        &mut self,
        edk: &EncryptedDataKey,
        request: &UnwrapDataKey<'_>,
    ) -> Result<(SecretBytes, String), ProviderError> {
        let Some(key) = self.provider.key_for(edk).await.map_err(|failure| {
            let info = String::from_utf8_lossy(edk.key_info());
            self.error(&info, failure)
        })?
        else {
            let label = self.provider.identity.label();
            let kind = ProviderErrorKind::NotConfigured;
            return Err(ProviderError::new(self.operation, kind, label));
        };
        let call = Decrypt::new(&key, edk.ciphertext(), request.context());
        let answer = self.request(&key, &call).await?;
        let length = request.suite().data_key_length();
        let failure = match answer.key.as_deref() {
            Some(answered) if answered == key => match answer.data_key.len() == length {
                true => return Ok((answer.data_key, key)),
                false => wrong_length(answer.data_key.len()),
            },
            answered => another_key(answered.unwrap_or_default()),
        };
        Err(self.error(&key, failure.with_request_id(answer.id.as_deref())))
    }
}

fn edk(arn: &str, blob: Vec<u8>) -> Result<EncryptedDataKey, Failure> {
    let edk = match blob.is_empty() {
        true => None,
        false => EncryptedDataKey::new(PROVIDER_ID, arn, blob),
    };
    edk.ok_or_else(|| {
        let kind = ProviderErrorKind::InvalidResponse;
        Failure::new(
            kind,
            "the answer holds no encrypted data key of a message's",
        )
    })
}

fn not_run(error: &RunError) -> Failure {
    let kind = match error {
        RunError::WouldBlock => ProviderErrorKind::WouldBlock,
        RunError::ShutDown | RunError::Panicked => ProviderErrorKind::Other,
    };
    Failure::new(kind, error.to_string())
}

impl Inner {
    fn call(&self, operation: ProviderOperation) -> Call<'_> {
        Call {
            provider: self,
            operation,
            attempts: self.retries.start(),
        }
    }

    fn unsupported(&self, operation: ProviderOperation, reason: &'static str) -> ProviderError {
        let kind = ProviderErrorKind::Unsupported;
        ProviderError::new(operation, kind, self.identity.label()).with_source(reason)
    }

    /// The key to ask about this encrypted data key, if it is one's own.
    async fn key_for(&self, edk: &EncryptedDataKey) -> Result<Option<String>, Failure> {
        // The specification fails the whole call over key info that is no ARN.
        // Here, as with every provider, it is one that cannot be unwrapped.
        let info = std::str::from_utf8(edk.key_info()).ok();
        let Some(arn) = info
            .and_then(Arn::parse_key)
            .filter(|_| edk.provider_id() == PROVIDER_ID)
        else {
            return Ok(None);
        };
        match &self.mode {
            Mode::Strict { generator, others } => {
                let own = generator
                    .iter()
                    .chain(others)
                    .find(|key| key.name.is_for(&arn, self.multi_region));
                Ok(own.map(|key| key.text.clone()))
            }
            Mode::Discovery {
                partition,
                accounts,
            } => {
                if arn.partition != *partition || !accounts.contains(&arn.account) {
                    return Ok(None);
                }
                if !self.multi_region {
                    return Ok(Some(arn.to_string()));
                }
                let service = self.service.clone();
                let region = self
                    .runtime
                    .run(async move { service.region().await })
                    .await;
                let region = region.map_err(|error| not_run(&error))?.ok_or_else(|| {
                    Failure::new(ProviderErrorKind::Other, "the client has no Region")
                })?;
                if arn.is_multi_region() {
                    return Ok(Some(arn.in_region(&region).to_string()));
                }
                Ok((arn.region == region).then(|| arn.to_string()))
            }
        }
    }
}

impl KeyProvider for AwsKmsProvider {
    fn identity(&self) -> ProviderIdentity {
        self.0.identity.clone()
    }

    fn generate_data_key<'a>(
        &'a self,
        mut request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            let operation = ProviderOperation::Generate;
            let Mode::Strict {
                generator: Some(generator),
                others,
            } = &self.0.mode
            else {
                return Err(self.0.unsupported(operation, "it has no generator"));
            };
            let mut call = self.0.call(operation);
            let (data_key, edk) = call.generate(generator, &request).await?;
            let mut edks = vec![edk];
            for key in others {
                edks.push(call.encrypt(key, &request.wrap(&data_key)).await?);
            }
            Ok(GeneratedDataKey::new(data_key, edks))
        })
    }

    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        Box::pin(async move {
            let operation = ProviderOperation::Wrap;
            let Mode::Strict { generator, others } = &self.0.mode else {
                let reason = "in discovery mode it only unwraps";
                return Err(self.0.unsupported(operation, reason));
            };
            let mut call = self.0.call(operation);
            let mut edks = Vec::new();
            for key in generator.iter().chain(others) {
                edks.push(call.encrypt(key, &request).await?);
            }
            Ok(edks)
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            let mut call = self.0.call(ProviderOperation::Unwrap);
            let mut failures = UnwrapFailures::new();
            for (index, edk) in request.encrypted_data_keys().iter().enumerate() {
                match call.decrypt(edk, &request).await {
                    Ok((data_key, key)) => {
                        let identity = self.0.identity.clone();
                        return Ok(UnwrappedDataKey::new(data_key, index, identity, key));
                    }
                    Err(error) => failures.push(index, edk, error),
                }
            }
            Err(failures)
        })
    }
}

impl fmt::Debug for AwsKmsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKmsProvider")
            .field("identity", &self.0.identity)
            .field("multi_region", &self.0.multi_region)
            .field("request_timeout", &self.0.request_timeout)
            .field("retries", &self.0.retries)
            .finish_non_exhaustive()
    }
}
