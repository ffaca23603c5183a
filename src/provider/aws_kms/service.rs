//! The three requests to the service, as work for its runtime.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{BehaviorVersion, Region};
use aws_sdk_kms::operation::RequestId;
use aws_sdk_kms::primitives::Blob;
use tokio::sync::OnceCell;

use super::failure::Failure;
use super::limit::LimitAnswers;
use crate::context::EncryptionContext;
use crate::crypto::SecretBytes;

/// A client, with this provider's settings.
pub(super) struct Service {
    source: Source,
    client: OnceCell<Client>,
    connect_timeout: Duration,
    grant_tokens: Option<Vec<String>>,
}

pub(super) enum Source {
    Client(Client),
    Environment {
        region: Option<String>,
        endpoint: Option<String>,
    },
}

impl Service {
    pub(super) fn new(source: Source, connect_timeout: Duration, tokens: Vec<String>) -> Self {
        Service {
            source,
            client: OnceCell::new(),
            connect_timeout,
            grant_tokens: Some(tokens).filter(|tokens| !tokens.is_empty()),
        }
    }

    /// The client; what the environment says is read when it is first needed.
    async fn client(&self) -> &Client {
        let make = async || {
            let config = match &self.source {
                Source::Client(client) => client.config().to_builder(),
                Source::Environment { region, endpoint } => {
                    let mut loader = aws_config::defaults(BehaviorVersion::latest());
                    if let Some(region) = region {
                        loader = loader.region(Region::new(region.clone()));
                    }
                    if let Some(endpoint) = endpoint {
                        loader = loader.endpoint_url(endpoint);
                    }
                    aws_sdk_kms::config::Builder::from(&loader.load().await)
                }
            };
            let timeouts = TimeoutConfig::builder()
                .connect_timeout(self.connect_timeout)
                .disable_read_timeout()
                .disable_operation_timeout()
                .disable_operation_attempt_timeout()
                .build();
            let config = config
                .retry_config(RetryConfig::disabled())
                .timeout_config(timeouts)
                .interceptor(LimitAnswers);
            Client::from_conf(config.build())
        };
        self.client.get_or_init(make).await
    }

    pub(super) async fn region(&self) -> Option<String> {
        let client = self.client().await;
        client.config().region().map(ToString::to_string)
    }
}

/// A request, which can be sent again.
pub(super) trait Request: Sync {
    type Answer: Send + 'static;

    /// Work that borrows nothing.
    fn send(
        &self,
        service: std::sync::Arc<Service>,
    ) -> impl Future<Output = Result<Self::Answer, Failure>> + Send + 'static;
}

fn pairs(context: &EncryptionContext) -> Option<HashMap<String, String>> {
    let pairs: HashMap<_, _> = context
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Some(pairs).filter(|pairs| !pairs.is_empty())
}

fn secret(blob: Option<Blob>) -> SecretBytes {
    SecretBytes::from(blob.map(Blob::into_inner).unwrap_or_default())
}

pub(super) struct Generate {
    key: String,
    length: usize,
    context: Option<HashMap<String, String>>,
}

pub(super) struct Generated {
    pub(super) id: Option<String>,
    pub(super) key: Option<String>,
    pub(super) data_key: SecretBytes,
    pub(super) blob: Vec<u8>,
}

impl Generate {
    pub(super) fn new(key: &str, length: usize, context: &EncryptionContext) -> Self {
        Generate {
            key: key.to_owned(),
            length,
            context: pairs(context),
        }
    }
}

impl Request for Generate {
    type Answer = Generated;

    fn send(
        &self,
        service: std::sync::Arc<Service>,
    ) -> impl Future<Output = Result<Generated, Failure>> + Send + 'static {
        let (key, context) = (self.key.clone(), self.context.clone());
        let length = i32::try_from(self.length).unwrap_or(i32::MAX);
        async move {
            let request = service.client().await.generate_data_key();
            let request = request
                .key_id(key)
                .number_of_bytes(length)
                .set_encryption_context(context)
                .set_grant_tokens(service.grant_tokens.clone());
            let answer = request.send().await;
            let answer = answer.map_err(|error| Failure::from_sdk(&error))?;
            Ok(Generated {
                id: answer.request_id().map(str::to_owned),
                key: answer.key_id,
                data_key: secret(answer.plaintext),
                blob: answer
                    .ciphertext_blob
                    .map(Blob::into_inner)
                    .unwrap_or_default(),
            })
        }
    }
}

pub(super) struct Encrypt<'a> {
    key: String,
    data_key: &'a SecretBytes,
    context: Option<HashMap<String, String>>,
}

pub(super) struct Encrypted {
    pub(super) id: Option<String>,
    pub(super) key: Option<String>,
    pub(super) blob: Vec<u8>,
}

impl<'a> Encrypt<'a> {
    pub(super) fn new(key: &str, data_key: &'a SecretBytes, context: &EncryptionContext) -> Self {
        Encrypt {
            key: key.to_owned(),
            data_key,
            context: pairs(context),
        }
    }
}

impl Request for Encrypt<'_> {
    type Answer = Encrypted;

    fn send(
        &self,
        service: std::sync::Arc<Service>,
    ) -> impl Future<Output = Result<Encrypted, Failure>> + Send + 'static {
        let (key, context) = (self.key.clone(), self.context.clone());
        let data_key = SecretBytes::from(self.data_key.expose().to_vec());
        async move {
            let request = service.client().await.encrypt();
            let request = request
                .key_id(key)
                .plaintext(Blob::new(data_key.expose()))
                .set_encryption_context(context)
                .set_grant_tokens(service.grant_tokens.clone());
            let answer = request.send().await;
            let answer = answer.map_err(|error| Failure::from_sdk(&error))?;
            Ok(Encrypted {
                id: answer.request_id().map(str::to_owned),
                key: answer.key_id,
                blob: answer
                    .ciphertext_blob
                    .map(Blob::into_inner)
                    .unwrap_or_default(),
            })
        }
    }
}

pub(super) struct Decrypt<'a> {
    key: String,
    blob: &'a [u8],
    context: Option<HashMap<String, String>>,
}

pub(super) struct Decrypted {
    pub(super) id: Option<String>,
    pub(super) key: Option<String>,
    pub(super) data_key: SecretBytes,
}

impl<'a> Decrypt<'a> {
    pub(super) fn new(key: &str, blob: &'a [u8], context: &EncryptionContext) -> Self {
        Decrypt {
            key: key.to_owned(),
            blob,
            context: pairs(context),
        }
    }
}

impl Request for Decrypt<'_> {
    type Answer = Decrypted;

    fn send(
        &self,
        service: std::sync::Arc<Service>,
    ) -> impl Future<Output = Result<Decrypted, Failure>> + Send + 'static {
        let (key, context) = (self.key.clone(), self.context.clone());
        let blob = Blob::new(self.blob);
        async move {
            let request = service.client().await.decrypt();
            let request = request
                .key_id(key)
                .ciphertext_blob(blob)
                .set_encryption_context(context)
                .set_grant_tokens(service.grant_tokens.clone());
            let answer = request.send().await;
            let answer = answer.map_err(|error| Failure::from_sdk(&error))?;
            Ok(Decrypted {
                id: answer.request_id().map(str::to_owned),
                key: answer.key_id,
                data_key: secret(answer.plaintext),
            })
        }
    }
}
