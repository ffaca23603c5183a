//! What is encrypted and decrypted: ciphertexts and messages.

use waxseal::EncryptionContext;
use waxseal::blocking::{Client, wait};
use waxseal::kms::DataKeySpec;

use crate::fault::{Checked, Fault, Outcome, agree, message_fault, same};
use crate::harness::{Secret, World, context};
use crate::model::{Class, Named};
use crate::operation::{Sealed, Target};

impl World<'_> {
    /// Keeps a ciphertext that was made, to decrypt it again and again.
    pub(crate) fn keep(
        &mut self,
        made: Outcome<(waxseal::kms::Ciphertext, Vec<u8>, (usize, u32))>,
        context: EncryptionContext,
    ) -> Checked<Option<Fault>> {
        match made {
            Ok((found, plaintext, (key, version))) => {
                same("the key", found.key_arn, self.arn(key))?;
                same("the version", found.key_version, version)?;
                self.blobs.push(Secret {
                    key,
                    version,
                    context,
                    bytes: found.blob,
                    plaintext,
                });
                Ok(None)
            }
            Err(fault) => Ok(Some(fault)),
        }
    }

    pub(crate) fn generate_data_key(
        &mut self,
        on: Target,
        context: EncryptionContext,
        shown: bool,
    ) -> Checked<Option<Fault>> {
        let (named, text) = self.target(on, Class::Use);
        let kms = &self.handles[on.handle];
        if shown {
            let spec = DataKeySpec::Aes256;
            let found = wait(kms.generate_data_key(&text, spec, &context));
            let agreed = agree(found, self.model.wrap(&named, on.handle))?;
            let made = agreed.map(|(found, at)| {
                let plaintext = found.plaintext.expose().to_vec();
                (found.ciphertext, plaintext, at)
            });
            if let Ok((_, plaintext, _)) = &made {
                same("the length", plaintext.len(), 32)?;
            }
            return self.keep(made, context);
        }
        let spec = DataKeySpec::Bytes(20);
        let found = wait(kms.generate_data_key_without_plaintext(&text, spec, &context));
        let agreed = agree(found, self.model.wrap(&named, on.handle))?;
        let Ok((found, at)) = agreed else {
            return Ok(agreed.err());
        };
        // Only a decryption tells what it is.
        let opened = wait(kms.decrypt(&found.blob, None, &context));
        self.model.unwrap(at.0, at.1, true, on.handle).unwrap();
        let opened = opened.map_err(|error| format!("{error:?}"))?;
        same("the length", opened.plaintext.len(), 20)?;
        let plaintext = opened.plaintext.expose().to_vec();
        self.keep(Ok((found, plaintext, at)), context)
    }

    /// The ciphertext that is meant, as it is given, with its context.
    fn choose(&self, from: Sealed) -> Option<(&Secret, Vec<u8>, EncryptionContext, bool)> {
        let place = usize::from(from.which).checked_rem(self.blobs.len())?;
        let secret = &self.blobs[place];
        let mut bytes = secret.bytes.clone();
        if from.damage {
            // The last one belongs to the tag.
            *bytes.last_mut()? ^= 1;
        }
        let mut context = secret.context.clone();
        if from.wrong_context {
            context.insert("wrong".to_owned(), "1".to_owned());
        }
        Some((secret, bytes, context, !from.damage && !from.wrong_context))
    }

    pub(crate) fn decrypt(&mut self, from: Sealed) -> Checked<Option<Fault>> {
        let Some((secret, bytes, context, is_sound)) = self.choose(from) else {
            return Ok(Some(Fault::NotFound));
        };
        let (key, version) = (secret.key, secret.version);
        let plaintext = secret.plaintext.clone();
        let given = self.given(from.given, key);
        let text = given.as_ref().map(|(_, text)| text.as_str());
        let found = wait(self.handles[from.handle].decrypt(&bytes, text, &context));
        let named = given.as_ref().map(|(named, _)| named);
        let expected = self
            .model
            .decrypt(key, version, named, is_sound, from.handle);
        let agreed = agree(found, expected)?;
        if let Ok((found, ())) = &agreed {
            same("the plaintext", found.plaintext.expose(), &plaintext)?;
            same("the key", found.key_arn.clone(), self.arn(key))?;
            same("the version", found.key_version, version)?;
        }
        Ok(agreed.err())
    }

    pub(crate) fn re_encrypt(
        &mut self,
        from: Sealed,
        to: Target,
        which: u8,
    ) -> Checked<Option<Fault>> {
        let Some((secret, bytes, source, is_sound)) = self.choose(from) else {
            return Ok(Some(Fault::NotFound));
        };
        let (key, version) = (secret.key, secret.version);
        let plaintext = secret.plaintext.clone();
        let given = self.given(from.given, key);
        let text = given.as_ref().map(|(_, text)| text.as_str());
        let (destination, to_text) = self.target(to, Class::Use);
        let context = context(which);
        let kms = &self.handles[from.handle];
        let found = wait(kms.re_encrypt(&bytes, text, &source, &to_text, &context));
        let found = found.map(|again| again.ciphertext);
        let named = given.as_ref().map(|(named, _)| named);
        let model = &mut self.model;
        let expected = model
            .decrypt(key, version, named, is_sound, from.handle)
            .and_then(|()| model.wrap(&destination, from.handle));
        let agreed = agree(found, expected)?;
        self.keep(agreed.map(|(found, at)| (found, plaintext, at)), context)
    }

    pub(crate) fn encrypt_message(
        &mut self,
        on: Target,
        context: EncryptionContext,
    ) -> Checked<Option<Fault>> {
        let (named, text) = self.target(on, Class::Use);
        let plaintext = self.draw();
        let client = Client::new(self.handles[on.handle].provider(text));
        let found = client.encrypt(&plaintext, &context);
        match (found, self.model.wrap(&named, on.handle)) {
            (Ok(bytes), Ok((key, version))) => {
                self.messages.push(Secret {
                    key,
                    version,
                    context,
                    bytes,
                    plaintext,
                });
                Ok(None)
            }
            (Err(error), Err(expected)) => {
                same("the error", message_fault(&error)?, expected)?;
                Ok(Some(expected))
            }
            (found, expected) => Err(format!("{:?}, not {expected:?}", found.map(drop))),
        }
    }

    pub(crate) fn decrypt_message(
        &mut self,
        on: Target,
        which: u16,
        own: bool,
        any: bool,
        other_context: Option<u8>,
    ) -> Checked<Option<Fault>> {
        let Some(place) = usize::from(which).checked_rem(self.messages.len()) else {
            return Ok(Some(Fault::NotFound));
        };
        let key = self.messages[place].key;
        let (named, text) = match own {
            true => self.named(key, on.form, 1),
            false => self.target(on, Class::Use),
        };
        let context = match other_context {
            Some(which) => context(which),
            None => self.messages[place].context.clone(),
        };
        self.try_message(place, &named, &text, any, &context, on.handle)
    }

    pub(crate) fn try_message(
        &mut self,
        place: usize,
        named: &Named,
        text: &str,
        any: bool,
        context: &EncryptionContext,
        handle: usize,
    ) -> Checked<Option<Fault>> {
        let message = &self.messages[place];
        let (key, version) = (message.key, message.version);
        let provider = self.handles[handle].provider(text);
        let provider = match any {
            true => provider.opening_any_key(),
            false => provider,
        };
        let found = Client::new(provider).decrypt(&message.bytes, context);
        let expected = self.message_outcome(place, named, any, context, handle);
        match (found, expected) {
            (Ok(found), Ok(())) => {
                same(
                    "the plaintext",
                    &*found.plaintext,
                    &*self.messages[place].plaintext,
                )?;
                same("the key", found.details.key, self.arn(key))?;
                same(
                    "the version",
                    found.details.key_version,
                    Some(version.to_string()),
                )?;
                Ok(None)
            }
            (Err(error), Err(expected)) => {
                same("the error", message_fault(&error)?, expected)?;
                Ok(Some(expected))
            }
            (found, expected) => Err(format!("{:?}, not {expected:?}", found.map(drop))),
        }
    }

    fn message_outcome(
        &mut self,
        place: usize,
        named: &Named,
        any: bool,
        context: &EncryptionContext,
        handle: usize,
    ) -> Outcome<()> {
        let message = &self.messages[place];
        let holds = |(key, value): (&str, &str)| message.context.get(key) == Some(value);
        if !context.iter().all(holds) {
            return Err(Fault::Context);
        }
        if !any && self.model.find(named)? != message.key {
            return Err(Fault::OtherKey);
        }
        self.model
            .unwrap(message.key, message.version, true, handle)
    }
}
