//! The floor of a signed message: P-384 and SHA-384 where they are fastest.

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    Signature as Der, UnparsedPublicKey,
};

use crate::contender::{Contender, Who, processor_time};
use crate::work::{Fallible, Operation, Work};

#[derive(Default)]
pub(crate) struct Signature {
    message: Work,
    signed: Option<(Vec<u8>, Der)>,
}

impl Signature {
    fn sign(&self) -> Fallible<(Vec<u8>, Der)> {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING)?;
        let public = key.public_key().as_ref().to_vec();
        let signature = key.sign(&SystemRandom::new(), &self.message.signed)?;
        Ok((public, signature))
    }

    fn verify(&self) -> Fallible<()> {
        let (public, signature) = self.signed.as_ref().ok_or("not prepared")?;
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, public);
        Ok(key.verify(&self.message.signed, signature.as_ref())?)
    }
}

impl Contender for Signature {
    fn who(&self) -> Who {
        Who::Signature
    }

    fn prepare(&mut self, work: &Work) -> Fallible<()> {
        self.message = work.clone();
        self.signed = Some(self.sign()?);
        Ok(())
    }

    fn sample(&mut self) -> Fallible<Option<Vec<u8>>> {
        self.verify()?;
        Ok(None)
    }

    fn turn(&mut self, operation: Operation, messages: u32) -> Fallible<Duration> {
        processor_time(|| {
            for _ in 0..messages {
                match operation {
                    Operation::Encrypt => drop(black_box(self.sign()?)),
                    Operation::Decrypt => self.verify()?,
                }
            }
            Ok(())
        })
    }
}
