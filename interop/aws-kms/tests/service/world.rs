//! The server, clients of it, and keys in it.

use std::sync::Mutex;

use aws_sdk_kms::Client as SdkClient;
use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use tokio::runtime::Runtime;
use waxseal::blocking::Client;
use waxseal::{
    AwsKmsProvider, AwsKmsProviderBuilder, EncryptionContext, Error, ProviderErrorKind, RetryPolicy,
};
use waxseal_interop_aws_kms::settings;

use crate::python::Python;

pub(crate) struct World {
    pub(crate) server: String,
    pub(crate) python: Option<Mutex<Python>>,
    pub(crate) region: String,
    endpoint: String,
    access_key: String,
    secret: String,
    pub(crate) runtime: Runtime,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl World {
    pub(crate) fn from_environment() -> Option<Self> {
        Some(World {
            endpoint: variable("WAXSEAL_KMS_ENDPOINT")?,
            server: variable("WAXSEAL_KMS_SERVER").unwrap_or_default(),
            python: variable("WAXSEAL_KMS_PYTHON").map(|path| Mutex::new(Python::start(&path))),
            region: variable("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned()),
            access_key: variable("AWS_ACCESS_KEY_ID").unwrap_or_else(|| "test".to_owned()),
            secret: variable("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| "test".to_owned()),
            runtime: Runtime::new().expect("a runtime"),
        })
    }

    /// A client of the server in this Region.
    pub(crate) fn sdk(&self, region: &str) -> SdkClient {
        let settings = settings(&self.endpoint, region, &self.access_key, &self.secret);
        SdkClient::from_conf(settings.build())
    }

    pub(crate) fn builder(&self, region: &str) -> AwsKmsProviderBuilder {
        AwsKmsProvider::builder(self.sdk(region))
            .on_runtime(self.runtime.handle().clone())
            .retries(RetryPolicy::never())
    }

    pub(crate) fn strict(&self, keys: &[&str]) -> Client {
        let mut builder = self.builder(&self.region).generator(keys[0]);
        for key in &keys[1..] {
            builder = builder.key(*key);
        }
        client(builder)
    }

    /// The ARN of a new key.
    pub(crate) fn create_key(&self) -> String {
        let create = self.sdk(&self.region).create_key();
        let created = self.runtime.block_on(create.send()).expect("a key");
        created
            .key_metadata
            .and_then(|key| key.arn)
            .expect("an ARN")
    }

    pub(crate) fn create_signing_key(&self) -> String {
        let create = self.sdk(&self.region).create_key();
        let create = create.key_usage(KeyUsageType::SignVerify);
        let create = create.key_spec(KeySpec::EccNistP256);
        let created = self.runtime.block_on(create.send()).expect("a key");
        created
            .key_metadata
            .and_then(|key| key.arn)
            .expect("an ARN")
    }

    /// The ARNs of a new multi-Region key and its replica in the other Region.
    pub(crate) fn create_replicated_key(&self) -> (String, String) {
        let create = self.sdk(&self.region).create_key().multi_region(true);
        let created = self.runtime.block_on(create.send()).expect("a key");
        let arn = created
            .key_metadata
            .and_then(|key| key.arn)
            .expect("an ARN");
        let replicate = self.sdk(&self.region).replicate_key();
        let replicate = replicate
            .key_id(id(&arn))
            .replica_region(self.other_region());
        self.runtime.block_on(replicate.send()).expect("a replica");
        let replica = arn.replace(&self.region, self.other_region());
        (arn, replica)
    }

    pub(crate) fn other_region(&self) -> &'static str {
        match &*self.region {
            "eu-west-1" => "us-east-1",
            _ => "eu-west-1",
        }
    }
}

pub(crate) fn client(builder: AwsKmsProviderBuilder) -> Client {
    Client::new(builder.build().expect("good settings"))
}

/// The key's id, which is all that moto takes where a key is managed.
pub(crate) fn id(arn: &str) -> &str {
    arn.rsplit('/').next().expect("an id")
}

pub(crate) fn account(arn: &str) -> &str {
    arn.split(':').nth(4).expect("an account")
}

pub(crate) fn context() -> EncryptionContext {
    EncryptionContext::from([("tenant", "7"), ("ключ", "значение")])
}

/// The kind of the first cause.
pub(crate) fn kind(error: &Error) -> ProviderErrorKind {
    match error {
        Error::Provider(error) => error.kind(),
        Error::Unwrap(failures) => {
            let mut causes = failures.iter().flat_map(|failure| &failure.causes);
            causes.next().expect("a cause").kind()
        }
        error => panic!("{error}"),
    }
}
