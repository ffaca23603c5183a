//! Ciphertexts and encrypted data keys of the embedded KMS, made there, made
//! by whoever imported the material, changed, and made up: a plaintext comes
//! out of exactly what was sealed, in its context, under a key that may be
//! used; all else is the error that it should be.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use waxseal::blocking::wait;
use waxseal::kms::{KmsError, LOCAL_KMS_PROVIDER_ID, LocalKms};
use waxseal::{
    EncryptedDataKey, EncryptionContext, GenerateDataKey, GeneratedDataKey, KeyProvider,
    ProviderFuture, ProviderIdentity, SecretBytes, UnwrapDataKey, UnwrapFailures, UnwrappedDataKey,
    blocking::Client,
};
use waxseal_fuzz::lying::LyingStore;
use waxseal_fuzz::sealed::{CIPHERTEXT, RECORD, Sealed};
use waxseal_fuzz::splice::Splice;
use waxseal_fuzz::tape::{self, Coded, Tape, Text};
use waxseal_fuzz::world::{ARN_PREFIX, IMPORTED, Key, Use, clock, context, open, world};

#[derive(Default)]
struct Input {
    /// Where the blob is from: known, foreign, made with imported material, or
    /// the rest of the tape.
    source: u8,
    which: u8,
    /// Of what is made: its version, and what it is for.
    version: u8,
    is_record: bool,
    plaintext: Text,
    splices: Vec<Splice>,
    /// In which it is decrypted; and encrypted again.
    context: u8,
    other_context: u8,
    /// What the caller gives as the key: see [`Input::key`].
    key: u8,
    name: u8,
    destination: u8,
    destination_name: u8,
    /// Of the encrypted data key: what is wrong with it, and who opens it.
    edk: u8,
    opens_any: bool,
    raw: Vec<u8>,
}

impl Coded for Input {
    fn code(&mut self, tape: &mut impl Tape) {
        for byte in [
            &mut self.source,
            &mut self.which,
            &mut self.version,
            &mut self.context,
            &mut self.other_context,
            &mut self.key,
            &mut self.name,
            &mut self.destination,
            &mut self.destination_name,
            &mut self.edk,
        ] {
            tape.byte(byte);
        }
        tape.flag(&mut self.is_record);
        tape.flag(&mut self.opens_any);
        self.plaintext.code(tape);
        tape.list(&mut self.splices, 4);
        if self.source % 4 == 3 {
            tape.rest(&mut self.raw);
        }
    }
}

/// What is right to come out.
struct Made {
    plaintext: Vec<u8>,
    context: u8,
}

/// The kinds of errors that a blob can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Ciphertext,
    OtherKey,
    CutOff,
    NotFound,
    Disabled,
    State,
}

fn kind(error: &KmsError) -> Wrong {
    match error {
        KmsError::InvalidCiphertext => Wrong::Ciphertext,
        KmsError::IncorrectKey { .. } => Wrong::OtherKey,
        KmsError::VersionCutOff { .. } => Wrong::CutOff,
        KmsError::NotFound { .. } => Wrong::NotFound,
        KmsError::Disabled { .. } => Wrong::Disabled,
        KmsError::InvalidState { .. } => Wrong::State,
        other => panic!("an error that no blob can lead to: {other:?}"),
    }
}

fn kms() -> &'static LocalKms {
    static KMS: LazyLock<LocalKms> = LazyLock::new(|| {
        let blobs = world().moments.last().expect("a moment");
        open(LyingStore::of(blobs), 3, &clock()).expect("a store")
    });
    &KMS
}

fuzz_target!(|data: &[u8]| {
    let input: Input = tape::read(data);
    let (blob, made) = input.blob();
    let right = made
        .as_ref()
        .filter(|made| made.context % 3 == input.context % 3);
    let right = right.map(|made| &made.plaintext[..]);
    let context = context(input.context);

    let (key, key_means) = name(input.key, input.name);
    let expected = opened(&blob, key.as_deref().map(|_| key_means), right);
    let found = wait(kms().decrypt(&blob, key.as_deref(), &context));
    match (&found, &expected) {
        (Ok(found), Ok((plaintext, key, version))) => {
            assert_eq!(found.plaintext.expose(), *plaintext);
            assert_eq!((&found.key_arn, found.key_version), (&key.arn(), *version));
        }
        _ => assert_eq!(
            found.as_ref().map(|_| ()).map_err(kind),
            expected.map(|_| ())
        ),
    }
    input.re_encrypt(&blob, key.as_deref(), &context, expected);
    input.unwrap(&blob, right);
});

/// What comes out of a blob, for a caller who gives a key, and what is right
/// if it opens.
fn opened<'a>(
    blob: &[u8],
    given: Option<Option<&Key>>,
    right: Option<&'a [u8]>,
) -> Result<(&'a [u8], &'static Key, u32), Wrong> {
    let sealed = Sealed::parse(blob).ok_or(Wrong::Ciphertext)?;
    match given {
        Some(None) => return Err(Wrong::NotFound),
        Some(Some(key)) if key.usable == Use::Deleted => return Err(Wrong::NotFound),
        Some(Some(key)) if key.id != sealed.key_id => return Err(Wrong::OtherKey),
        _ => {}
    }
    let mut keys = world().keys.iter();
    let key = keys.find(|key| key.id == sealed.key_id);
    let key = key.ok_or(Wrong::NotFound)?;
    usable(key)?;
    if sealed.version > 0 && sealed.version < key.minimum {
        return Err(Wrong::CutOff);
    }
    let plaintext = right.ok_or(Wrong::Ciphertext)?;
    Ok((plaintext, key, sealed.version))
}

fn usable(key: &Key) -> Result<(), Wrong> {
    match key.usable {
        Use::Allowed => Ok(()),
        Use::Disabled => Err(Wrong::Disabled),
        Use::InvalidState => Err(Wrong::State),
        Use::Deleted => Err(Wrong::NotFound),
    }
}

/// How a caller gives a key, and which one that is.
fn name(how: u8, which: u8) -> (Option<String>, Option<&'static Key>) {
    let which = usize::from(which);
    let key = &world().keys[which % world().keys.len()];
    match how % 5 {
        0 => (None, None),
        1 => (Some(key.id.clone()), Some(key)),
        2 => (Some(key.arn()), Some(key)),
        3 => {
            let alias = &world().aliases[which % world().aliases.len()];
            let key = alias.target.map(|target| &world().keys[target]);
            (Some(alias.name.to_owned()), key)
        }
        _ => (Some(format!("{which}")), None),
    }
}

impl Input {
    /// The blob, and what must come out of it if that is known.
    fn blob(&self) -> (Vec<u8>, Option<Made>) {
        let which = usize::from(self.which);
        let (mut blob, made): (_, Option<Made>) = match self.source % 4 {
            0 => (
                world().known[which % world().known.len()].blob.clone(),
                None,
            ),
            1 => {
                let known = &world().foreign_known;
                (known[which % known.len()].blob.clone(), None)
            }
            2 => self.made(),
            _ => (self.raw.clone(), None),
        };
        let before = blob.clone();
        let known = |blob: &[u8]| {
            let mut known = world().known.iter();
            known.find(|known| known.blob == blob).map(|known| Made {
                plaintext: known.plaintext.clone(),
                context: known.context,
            })
        };
        self.splices
            .iter()
            .for_each(|splice| splice.apply(&mut blob));
        let made = made.filter(|_| blob == before);
        // A tape can spell one out.
        let made = made.or_else(|| known(&blob));
        (blob, made)
    }

    /// What somebody can make who knows imported material.
    fn made(&self) -> (Vec<u8>, Option<Made>) {
        let key = &world().keys[1];
        let version = u32::from(self.version) % 4;
        let material = IMPORTED[usize::from(self.which) % 2];
        let plaintext = self.plaintext.bytes();
        let purpose = if self.is_record { RECORD } else { CIPHERTEXT };
        let bytes = context(self.other_context).to_bytes().expect("a context");
        let blob = Sealed::seal(
            purpose,
            (&key.id, version, &material),
            [self.which; 32],
            &bytes,
            &plaintext,
        );
        let is_right = !self.is_record && version == u32::from(self.which) % 2 + 1;
        let made = Made {
            plaintext,
            context: self.other_context,
        };
        (blob, is_right.then_some(made))
    }

    fn re_encrypt(
        &self,
        blob: &[u8],
        key: Option<&str>,
        from: &EncryptionContext,
        expected: Result<(&[u8], &Key, u32), Wrong>,
    ) {
        let (name, destination) = name(self.destination, self.destination_name);
        let Some(name) = name else {
            return;
        };
        let to = context(self.other_context);
        let found = wait(kms().re_encrypt(blob, key, from, &name, &to));
        let expected = expected.and_then(|(plaintext, ..)| {
            let destination = destination.ok_or(Wrong::NotFound)?;
            usable(destination)?;
            Ok((plaintext, destination))
        });
        match (found, expected) {
            (Ok(moved), Ok((plaintext, key))) => {
                let sealed = moved.ciphertext;
                assert_eq!(
                    (sealed.key_arn, sealed.key_version),
                    (key.arn(), key.current)
                );
                let again = wait(kms().decrypt(&sealed.blob, None, &to));
                assert_eq!(
                    again.expect("it was made now").plaintext.expose(),
                    plaintext
                );
            }
            (found, expected) => assert_eq!(
                found.map(|_| ()).map_err(|error| kind(&error)),
                expected.map(|_| ())
            ),
        }
    }

    /// The blob as an encrypted data key: counted, and unwrapped.
    fn unwrap(&self, blob: &[u8], right: Option<&[u8]>) {
        let sealed = Sealed::parse(blob);
        let named = sealed.as_ref().map_or("", |sealed| &sealed.key_id);
        let (provider_id, info) = match self.edk % 4 {
            0 => (LOCAL_KMS_PROVIDER_ID, format!("{ARN_PREFIX}{named}")),
            1 => (LOCAL_KMS_PROVIDER_ID, world().keys[0].arn()),
            2 => (LOCAL_KMS_PROVIDER_ID, self.plaintext.string()),
            _ => ("aws-kms", format!("{ARN_PREFIX}{named}")),
        };
        let is_named = self.edk % 4 != 3 && info == format!("{ARN_PREFIX}{named}");
        let Some(edk) = EncryptedDataKey::new(provider_id, info, blob) else {
            return;
        };

        let keys = &world().keys;
        let is_counted = is_named
            && sealed.as_ref().is_some_and(|sealed| {
                keys.iter().any(|key| {
                    key.id == sealed.key_id
                        && key.usable != Use::Deleted
                        && (1..=key.current).contains(&sealed.version)
                })
            });
        let counted = wait(kms().count_messages([&edk])).expect("a whole store");
        assert_eq!(
            (counted.counted, counted.foreign),
            (is_counted.into(), (!is_counted).into())
        );

        let is_data_key = sealed
            .as_ref()
            .is_some_and(|sealed| sealed.plaintext_length() == 32);
        let (name, own) = name(self.key, self.name);
        let is_own = self.opens_any
            || (sealed.as_ref().zip(own)).is_some_and(|(sealed, own)| sealed.key_id == own.id);
        let is_right = is_named && is_data_key && is_own && opened(blob, None, right).is_ok();
        let data_key = right.filter(|right| right.len() == 32).unwrap_or(&[5; 32]);

        let context = context(self.context);
        let sender = Fixed(edk, data_key.to_vec());
        let message = Client::new(sender)
            .encrypt(b"data", &context)
            .expect("a message");
        let mut provider = kms().provider(name.unwrap_or_default());
        if self.opens_any {
            provider = provider.opening_any_key();
        }
        match Client::new(provider).decrypt(&message, &context) {
            Ok(decrypted) => {
                assert!(is_right, "a wrong data key was unwrapped");
                assert_eq!(decrypted.plaintext, b"data");
                let sealed = sealed.expect("it was parsed");
                assert_eq!(
                    decrypted.details.key_version,
                    Some(sealed.version.to_string())
                );
            }
            Err(waxseal::Error::Unwrap(_)) => assert!(!is_right, "a right data key was not"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Makes messages with any encrypted data key, and the data key that it
/// should hold.
struct Fixed(EncryptedDataKey, Vec<u8>);

impl KeyProvider for Fixed {
    fn identity(&self) -> ProviderIdentity {
        ProviderIdentity::new("fixed", &[])
    }

    fn generate_data_key<'a>(
        &'a self,
        _request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        let data_key = SecretBytes::copy_from(&self.1);
        let generated = GeneratedDataKey::new(data_key, vec![self.0.clone()]);
        Box::pin(std::future::ready(Ok(generated)))
    }

    fn unwrap_data_key<'a>(
        &'a self,
        _request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(std::future::ready(Err(UnwrapFailures::new())))
    }
}
