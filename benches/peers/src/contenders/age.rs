//! age: one X25519 recipient, ChaCha20-Poly1305 in chunks of 64 KiB.

use std::hint::black_box;
use std::io::{Read, Write};
use std::time::Duration;

use age::x25519::{Identity, Recipient};

use crate::contender::{Contender, Output, Who, processor_time, same};
use crate::work::{Fallible, Operation, Work};

pub(crate) struct Age {
    output: Output,
    identity: Identity,
    recipient: Recipient,
    work: Work,
    file: Vec<u8>,
    out: Vec<u8>,
}

impl Age {
    pub(crate) fn new(output: Output) -> Self {
        Self::with_identity(output, Identity::generate())
    }

    pub(crate) fn with_identity(output: Output, identity: Identity) -> Self {
        Age {
            output,
            recipient: identity.to_public(),
            identity,
            work: Work::default(),
            file: Vec::new(),
            out: Vec::new(),
        }
    }

    pub(crate) fn encrypt(&self, plaintext: &[u8]) -> Fallible<Vec<u8>> {
        Ok(age::encrypt(&self.recipient, plaintext)?)
    }

    pub(crate) fn decrypt(&self, file: &[u8]) -> Fallible<Vec<u8>> {
        Ok(age::decrypt(&self.identity, file)?)
    }

    fn once(&mut self, operation: Operation) -> Fallible<()> {
        match (operation, self.output) {
            (Operation::Encrypt, Output::Fresh) => {
                black_box(self.encrypt(&self.work.plaintext)?);
            }
            (Operation::Decrypt, Output::Fresh) => {
                black_box(self.decrypt(&self.file)?);
            }
            (Operation::Encrypt, Output::Reused) => {
                self.out.clear();
                let recipient = std::iter::once(&self.recipient as &dyn age::Recipient);
                let encryptor = age::Encryptor::with_recipients(recipient)?;
                let mut writer = encryptor.wrap_output(&mut self.out)?;
                writer.write_all(&self.work.plaintext)?;
                writer.finish()?;
            }
            (Operation::Decrypt, Output::Reused) => {
                self.out.resize(self.work.plaintext.len(), 0);
                let decryptor = age::Decryptor::new_buffered(&self.file[..])?;
                let identity = std::iter::once(&self.identity as &dyn age::Identity);
                let mut reader = decryptor.decrypt(identity)?;
                reader.read_exact(&mut self.out)?;
                if reader.read(&mut [0])? != 0 {
                    return Err("more plaintext came out".into());
                }
            }
        }
        Ok(())
    }
}

impl Contender for Age {
    fn who(&self) -> Who {
        Who::Age {
            output: self.output,
        }
    }

    fn prepare(&mut self, work: &Work) -> Fallible<()> {
        self.work = work.clone();
        self.file = self.encrypt(&work.plaintext)?;
        self.out = Vec::new();
        if self.output == Output::Reused {
            self.out.reserve_exact(self.file.len());
        }
        Ok(())
    }

    fn sample(&mut self) -> Fallible<Option<Vec<u8>>> {
        same(&self.decrypt(&self.file)?, &self.work.plaintext)?;
        if self.output == Output::Reused {
            self.once(Operation::Encrypt)?;
            same(&self.decrypt(&self.out)?, &self.work.plaintext)?;
            self.once(Operation::Decrypt)?;
            same(&self.out, &self.work.plaintext)?;
        }
        Ok(None)
    }

    fn turn(&mut self, operation: Operation, messages: u32) -> Fallible<Duration> {
        processor_time(|| (0..messages).try_for_each(|_| self.once(operation)))
    }
}
