//! What is measured in this process.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use aws_esdk::client as esdk;
use aws_esdk::material_providers::client as providers;
use aws_esdk::material_providers::types::keyring::KeyringRef;
use aws_esdk::material_providers::types::material_providers_config::MaterialProvidersConfig;
use aws_esdk::material_providers::types::{AesWrappingAlg, EsdkAlgorithmSuiteId};
use aws_esdk::types::aws_encryption_sdk_config::AwsEncryptionSdkConfig;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use waxseal::{
    Caching, Client, DataKeyCache, EncryptionContext, RawAesProvider, SecretBytes, blocking,
};

use crate::{CONTEXT, FRAME_LENGTH, KEY, KEY_NAME, NAMESPACE, Operation, Work};

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// The SDKs' tutorials' values.
const CAPACITY: usize = 100;
const MAX_AGE: Duration = Duration::from_secs(300);

pub(crate) trait Contender {
    fn name(&self) -> &str;

    /// Takes what is to be encrypted and decrypted from now on.
    fn prepare(&mut self, work: &Work) -> Fallible<()>;

    /// A message that it makes. Checks that it decrypts what it was given, and
    /// that one with a cache uses it.
    fn sample(&mut self) -> Fallible<Vec<u8>>;

    /// The processor time that so many messages take.
    fn turn(&mut self, operation: Operation, messages: u32) -> Fallible<Duration>;
}

/// This process's processor time. Nothing else runs in it.
fn time(mut run: impl FnMut() -> Fallible<()>, messages: u32) -> Fallible<Duration> {
    let now = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
    let start = now()?;
    for _ in 0..messages {
        run()?;
    }
    Ok(now()?.saturating_sub(start))
}

pub(crate) struct Waxseal {
    name: &'static str,
    client: blocking::Client,
    cache: Option<DataKeyCache>,
    context: EncryptionContext,
    plaintext: Vec<u8>,
    message: Vec<u8>,
}

impl Waxseal {
    pub(crate) fn uncached() -> Fallible<Self> {
        Self::new("waxseal, uncached", None)
    }

    pub(crate) fn cached() -> Fallible<Self> {
        Self::new("waxseal, data-key cache", Some(DataKeyCache::new(CAPACITY)))
    }

    fn new(name: &'static str, cache: Option<DataKeyCache>) -> Fallible<Self> {
        let provider = RawAesProvider::new(NAMESPACE, KEY_NAME, &SecretBytes::copy_from(&KEY))?;
        let mut builder = Client::builder(provider).frame_length(FRAME_LENGTH);
        if let Some(cache) = &cache {
            builder = builder.caching(Caching::new(cache, MAX_AGE));
        }
        Ok(Waxseal {
            name,
            client: builder.build()?.blocking(),
            cache,
            context: EncryptionContext::from(CONTEXT),
            plaintext: Vec::new(),
            message: Vec::new(),
        })
    }

    pub(crate) fn message(&self, plaintext: &[u8]) -> Fallible<Vec<u8>> {
        Ok(self.client.encrypt(plaintext, &self.context)?)
    }

    pub(crate) fn open(&self, message: &[u8]) -> Fallible<Vec<u8>> {
        Ok(self.client.decrypt(message, &self.context)?.plaintext)
    }
}

impl Contender for Waxseal {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&mut self, work: &Work) -> Fallible<()> {
        self.plaintext.clone_from(&work.plaintext);
        self.message.clone_from(&work.message);
        Ok(())
    }

    fn sample(&mut self) -> Fallible<Vec<u8>> {
        let hits = || self.cache.as_ref().map(|cache| cache.statistics().hits);
        let mut before = None;
        let mut message = Vec::new();
        for _ in 0..2 {
            before = hits();
            same(self.open(&self.message)?, &self.plaintext)?;
            message = self.message(&self.plaintext)?;
        }
        match before.map(|hits| hits + 2) == hits() {
            true => Ok(message),
            false => Err("the second time did not come from the cache".into()),
        }
    }

    fn turn(&mut self, operation: Operation, messages: u32) -> Fallible<Duration> {
        let Waxseal {
            client, context, ..
        } = self;
        let encrypt = || {
            black_box(client.encrypt(&self.plaintext, context)?);
            Ok(())
        };
        let decrypt = || {
            black_box(client.decrypt(&self.message, context)?);
            Ok(())
        };
        match operation {
            Operation::Encrypt => time(encrypt, messages),
            Operation::Decrypt => time(decrypt, messages),
        }
    }
}

/// AWS's SDK for Rust. It has no data-key cache.
pub(crate) struct AwsEsdk {
    name: String,
    runtime: Runtime,
    client: esdk::Client,
    keyring: KeyringRef,
    context: HashMap<String, String>,
    plaintext: Vec<u8>,
    message: Vec<u8>,
}

impl AwsEsdk {
    pub(crate) fn new() -> Fallible<Self> {
        let runtime = Builder::new_current_thread().build()?;
        let providers = providers::Client::from_conf(MaterialProvidersConfig::builder().build()?)?;
        let keyring = providers
            .create_raw_aes_keyring()
            .key_namespace(NAMESPACE)
            .key_name(KEY_NAME)
            .wrapping_key(KEY.to_vec())
            .wrapping_alg(AesWrappingAlg::AlgAes256GcmIv12Tag16);
        Ok(AwsEsdk {
            name: format!("aws-esdk {}, uncached", locked_version("aws-esdk")),
            keyring: runtime.block_on(keyring.send())?,
            runtime,
            client: esdk::Client::from_conf(AwsEncryptionSdkConfig::builder().build()?)?,
            context: CONTEXT
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            plaintext: Vec::new(),
            message: Vec::new(),
        })
    }

    fn encrypt(&self) -> Fallible<Vec<u8>> {
        let encrypt = self
            .client
            .encrypt()
            .plaintext(self.plaintext.as_slice())
            .keyring(self.keyring.clone())
            .encryption_context(self.context.clone())
            .algorithm_suite_id(EsdkAlgorithmSuiteId::AlgAes256GcmHkdfSha512CommitKey)
            .frame_length(FRAME_LENGTH);
        let output = self.runtime.block_on(encrypt.send())?;
        Ok(output.ciphertext.ok_or("no message")?.into_inner())
    }

    fn decrypt(&self) -> Fallible<Vec<u8>> {
        let decrypt = self
            .client
            .decrypt()
            .ciphertext(self.message.as_slice())
            .keyring(self.keyring.clone())
            .encryption_context(self.context.clone());
        let output = self.runtime.block_on(decrypt.send())?;
        Ok(output.plaintext.ok_or("no plaintext")?.into_inner())
    }
}

impl Contender for AwsEsdk {
    fn name(&self) -> &str {
        &self.name
    }

    fn prepare(&mut self, work: &Work) -> Fallible<()> {
        self.plaintext.clone_from(&work.plaintext);
        self.message.clone_from(&work.message);
        Ok(())
    }

    fn sample(&mut self) -> Fallible<Vec<u8>> {
        same(self.decrypt()?, &self.plaintext)?;
        self.encrypt()
    }

    fn turn(&mut self, operation: Operation, messages: u32) -> Fallible<Duration> {
        let run = || {
            black_box(match operation {
                Operation::Encrypt => self.encrypt()?,
                Operation::Decrypt => self.decrypt()?,
            });
            Ok(())
        };
        time(run, messages)
    }
}

fn same(plaintext: Vec<u8>, expected: &[u8]) -> Fallible<()> {
    match plaintext == expected {
        true => Ok(()),
        false => Err("another plaintext came out".into()),
    }
}

/// A crate's version in this package's Cargo.lock.
fn locked_version(name: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let package = format!("name = \"{name}\"\nversion = \"");
    let version = lock.split_once(&package).and_then(|(_, rest)| {
        let (version, _) = rest.split_once('"')?;
        Some(version)
    });
    version.unwrap_or("of an unknown version")
}
