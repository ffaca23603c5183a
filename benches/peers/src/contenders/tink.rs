//! Tink's KMS envelope AEAD: a data key of AES-256-GCM for each message,
//! wrapped by a local AES-256-GCM key.

use std::hint::black_box;
use std::time::Duration;

use tink_aead::subtle::AesGcm;
use tink_aead::{KmsEnvelopeAead, aes256_gcm_key_template};
use tink_core::Aead;
use waxseal::EncryptionContext;

use crate::contender::{Contender, Who, processor_time, same};
use crate::work::{CONTEXT, Fallible, KEY, Operation, Work};

pub(crate) struct Tink {
    aead: KmsEnvelopeAead,
    aad: Vec<u8>,
    work: Work,
    ciphertext: Vec<u8>,
}

impl Tink {
    pub(crate) fn new() -> Fallible<Self> {
        tink_aead::init();
        let wrapping_key = Box::new(AesGcm::new(&KEY)?);
        Ok(Tink {
            aead: KmsEnvelopeAead::new(aes256_gcm_key_template(), wrapping_key),
            aad: EncryptionContext::from(CONTEXT).to_bytes()?,
            work: Work::default(),
            ciphertext: Vec::new(),
        })
    }

    pub(crate) fn encrypt(&self, plaintext: &[u8]) -> Fallible<Vec<u8>> {
        Ok(self.aead.encrypt(plaintext, &self.aad)?)
    }

    pub(crate) fn decrypt(&self, ciphertext: &[u8]) -> Fallible<Vec<u8>> {
        Ok(self.aead.decrypt(ciphertext, &self.aad)?)
    }
}

impl Contender for Tink {
    fn who(&self) -> Who {
        Who::Tink
    }

    fn prepare(&mut self, work: &Work) -> Fallible<()> {
        self.work = work.clone();
        self.ciphertext = self.encrypt(&work.plaintext)?;
        Ok(())
    }

    fn sample(&mut self) -> Fallible<Option<Vec<u8>>> {
        same(&self.decrypt(&self.ciphertext)?, &self.work.plaintext)?;
        Ok(None)
    }

    fn turn(&mut self, operation: Operation, messages: u32) -> Fallible<Duration> {
        processor_time(|| {
            for _ in 0..messages {
                black_box(match operation {
                    Operation::Encrypt => self.encrypt(&self.work.plaintext)?,
                    Operation::Decrypt => self.decrypt(&self.ciphertext)?,
                });
            }
            Ok(())
        })
    }
}
