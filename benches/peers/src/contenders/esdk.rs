//! AWS's SDK for Rust.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use aws_esdk::client as esdk;
use aws_esdk::material_providers::client as providers;
use aws_esdk::material_providers::types::keyring::KeyringRef;
use aws_esdk::material_providers::types::material_providers_config::MaterialProvidersConfig;
use aws_esdk::material_providers::types::{AesWrappingAlg, EsdkAlgorithmSuiteId};
use aws_esdk::types::aws_encryption_sdk_config::AwsEncryptionSdkConfig;
use aws_smithy_types::Blob;
use tokio::runtime::{Builder, Runtime};

use crate::contender::{Contender, Who, processor_time, same};
use crate::work::{CONTEXT, FRAME_LENGTH, Fallible, KEY, KEY_NAME, NAMESPACE, Operation, Work};

pub(crate) struct AwsEsdk {
    signed: bool,
    runtime: Runtime,
    client: esdk::Client,
    keyring: KeyringRef,
    context: HashMap<String, String>,
    work: Work,
}

impl AwsEsdk {
    pub(crate) fn new(signed: bool) -> Fallible<Self> {
        let runtime = Builder::new_current_thread().build()?;
        let providers = providers::Client::from_conf(MaterialProvidersConfig::builder().build()?)?;
        let keyring = providers
            .create_raw_aes_keyring()
            .key_namespace(NAMESPACE)
            .key_name(KEY_NAME)
            .wrapping_key(KEY.to_vec())
            .wrapping_alg(AesWrappingAlg::AlgAes256GcmIv12Tag16);
        Ok(AwsEsdk {
            signed,
            keyring: runtime.block_on(keyring.send())?,
            runtime,
            client: esdk::Client::from_conf(AwsEncryptionSdkConfig::builder().build()?)?,
            context: CONTEXT
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            work: Work::default(),
        })
    }

    /// It takes its input for itself.
    pub(crate) fn encrypt(&self, plaintext: Vec<u8>) -> Fallible<Vec<u8>> {
        let suite = match self.signed {
            true => EsdkAlgorithmSuiteId::AlgAes256GcmHkdfSha512CommitKeyEcdsaP384,
            false => EsdkAlgorithmSuiteId::AlgAes256GcmHkdfSha512CommitKey,
        };
        let encrypt = self
            .client
            .encrypt()
            .plaintext(Blob::new(plaintext))
            .keyring(self.keyring.clone())
            .encryption_context(self.context.clone())
            .algorithm_suite_id(suite)
            .frame_length(FRAME_LENGTH);
        let output = self.runtime.block_on(encrypt.send())?;
        Ok(output.ciphertext.ok_or("no message")?.into_inner())
    }

    pub(crate) fn decrypt(&self, message: Vec<u8>) -> Fallible<Vec<u8>> {
        let decrypt = self
            .client
            .decrypt()
            .ciphertext(Blob::new(message))
            .keyring(self.keyring.clone())
            .encryption_context(self.context.clone());
        let output = self.runtime.block_on(decrypt.send())?;
        Ok(output.plaintext.ok_or("no plaintext")?.into_inner())
    }
}

impl Contender for AwsEsdk {
    fn who(&self) -> Who {
        Who::AwsEsdk {
            signed: self.signed,
        }
    }

    fn prepare(&mut self, work: &Work) -> Fallible<()> {
        self.work = work.clone();
        Ok(())
    }

    fn sample(&mut self) -> Fallible<Option<Vec<u8>>> {
        let work = &self.work;
        same(
            &self.decrypt(work.message(self.signed).to_vec())?,
            &work.plaintext,
        )?;
        Ok(Some(self.encrypt(work.plaintext.to_vec())?))
    }

    fn turn(&mut self, operation: Operation, messages: u32) -> Fallible<Duration> {
        let input = match operation {
            Operation::Encrypt => &self.work.plaintext,
            Operation::Decrypt => self.work.message(self.signed),
        };
        // Its input is not its own to make.
        let inputs: Vec<_> = (0..messages).map(|_| input.to_vec()).collect();
        processor_time(|| {
            for input in inputs {
                black_box(match operation {
                    Operation::Encrypt => self.encrypt(input)?,
                    Operation::Decrypt => self.decrypt(input)?,
                });
            }
            Ok(())
        })
    }
}
