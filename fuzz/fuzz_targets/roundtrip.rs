//! Encryption with arbitrary settings, in every way that there is, and
//! decryption: the plaintext comes back, the message has the length that was
//! foretold, the model reads it too, and what must be refused is.
#![no_main]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use waxseal::blocking::Client;
use waxseal::{
    AlgorithmSuite, CommitmentPolicy, CryptoBackend, EncryptionContext, Error, KeyProvider,
    MultiProvider, ProviderErrorKind, Result, inspect,
};
use waxseal_fuzz::caller::{Caller, Keys, RawKey, context, kind};
use waxseal_fuzz::model::{self, Kind, Way};
use waxseal_fuzz::primitives::{Curve, SUITES, Suite};
use waxseal_fuzz::random::Seeded;
use waxseal_fuzz::tape::{self, Coded, Cuts, Pair, Tape, Text};

#[derive(Default)]
struct Input {
    /// In the table of suites, from 1; beyond it, the policy's.
    suite: u8,
    policy: u8,
    /// Bits: signed, signed suites only, suites without a key derivation.
    allows: u8,
    frame_length: u32,
    pairs: Vec<Pair>,
    /// Which of the pairs are required, bit by bit.
    required: u8,
    also_required: Vec<Also>,
    /// How many providers, and how long their keys are.
    providers: u8,
    max_edks: u8,
    /// 0 stands for the defaults.
    max_header_length: u16,
    max_buffered: u16,
    seed: u32,
    /// How often the random source answers; 0 stands for always.
    random_calls: u8,
    plaintext: Text,
    /// 0 stands for none; else one more than it is, shifted.
    plaintext_bound: u32,
    bound_shift: u8,
    cuts: Cuts,
    way: u8,
    /// Which provider decrypts.
    opener: u8,
    /// What the reader gets wrong.
    mistake: u8,
}

#[derive(Default)]
struct Also(Text);

impl Coded for Also {
    fn code(&mut self, tape: &mut impl Tape) {
        self.0.code(tape);
    }
}

impl Coded for Input {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.suite);
        tape.byte(&mut self.policy);
        tape.byte(&mut self.allows);
        tape.number(&mut self.frame_length);
        tape.byte(&mut self.required);
        tape.byte(&mut self.providers);
        tape.byte(&mut self.max_edks);
        tape.u16(&mut self.max_header_length);
        tape.u16(&mut self.max_buffered);
        tape.number(&mut self.seed);
        tape.byte(&mut self.random_calls);
        tape.number(&mut self.plaintext_bound);
        tape.byte(&mut self.bound_shift);
        tape.byte(&mut self.way);
        tape.byte(&mut self.opener);
        tape.byte(&mut self.mistake);
        self.cuts.code(tape);
        self.plaintext.code(tape);
        tape.list(&mut self.pairs, 6);
        tape.list(&mut self.also_required, 2);
    }
}

fuzz_target!(|data: &[u8]| {
    let input: Input = tape::read(data);
    let plaintext = input.plaintext();
    let pairs = input.pairs();
    let context = context(&pairs);
    let expected = input.refusal(&pairs, plaintext.len());
    let made = input
        .client()
        .and_then(|client| input.encrypt(&client, &context, &plaintext));
    let message = match (made, expected) {
        (Ok(message), None) => message,
        (Err(error), _) if input.random_calls > 0 && is_random(&error) => return,
        (Err(error), Some(expected)) => {
            let refusal = refusal_of(&error);
            // Which of the two is met first is for the pieces to say.
            let is_either = expected == Refusal::Bound && refusal == Refusal::Buffer;
            if !(is_either && input.is_held_back(plaintext.len())) {
                assert_eq!(refusal, expected);
            }
            return;
        }
        (made, expected) => panic!("found {made:?}, expected {expected:?}"),
    };
    input.has_the_foretold_length(&context, &message, plaintext.len());
    input.decrypts(&pairs, &message, &plaintext);
});

/// Why a message is not written.
#[derive(Debug, PartialEq)]
enum Refusal {
    FrameLength,
    ReservedKey(String),
    Forbidden(u16),
    Unsigned(u16),
    NoKeyDerivation(u16),
    Missing(String),
    ContextLength,
    Edks(usize),
    HeaderLength,
    Buffer,
    Bound,
    Frames,
}

fn refusal_of(error: &Error) -> Refusal {
    match error {
        Error::InvalidFrameLength => Refusal::FrameLength,
        Error::ReservedContextKey { key } => Refusal::ReservedKey(key.clone()),
        Error::SuiteForbidden { suite, .. } => Refusal::Forbidden(suite.id()),
        Error::UnsignedRefused { suite } => Refusal::Unsigned(suite.id()),
        Error::SuiteWithoutKeyDerivation { suite } => Refusal::NoKeyDerivation(suite.id()),
        Error::RequiredContextKeyMissing { key } => Refusal::Missing(key.clone()),
        Error::ContextTooLong { .. } => Refusal::ContextLength,
        Error::TooManyEncryptedDataKeys { found, .. } => Refusal::Edks(*found),
        Error::HeaderTooLong { .. } => Refusal::HeaderLength,
        Error::BufferLimit { .. } => Refusal::Buffer,
        Error::PlaintextBoundExceeded { .. } => Refusal::Bound,
        Error::TooManyFrames => Refusal::Frames,
        other => panic!("an error that no settings lead to: {other:?}"),
    }
}

fn is_random(error: &Error) -> bool {
    match error {
        Error::Random(_) => true,
        Error::Provider(error) => error.kind() == ProviderErrorKind::Random,
        _ => false,
    }
}

fn is_reserved(key: &str) -> bool {
    key.starts_with("aws-crypto-")
}

impl Input {
    /// Not so many frames that they take the time of all else.
    fn plaintext(&self) -> Vec<u8> {
        let mut plaintext = self.plaintext.bytes();
        plaintext.truncate((self.frame_length as usize).saturating_mul(200));
        plaintext
    }

    fn pairs(&self) -> BTreeMap<String, String> {
        self.pairs
            .iter()
            .map(|pair| (pair.key.string(), pair.value.string()))
            .collect()
    }

    fn required(&self) -> Vec<String> {
        let bits = |bit: usize| self.required >> bit & 1 == 1;
        let pairs = self.pairs.iter().enumerate();
        let mut keys: Vec<_> = pairs
            .filter(|(bit, _)| bits(*bit))
            .map(|(_, pair)| pair.key.string())
            .chain(self.also_required.iter().map(|also| also.0.string()))
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// One to three keys of 16, 24 and 32 bytes, beginning anywhere.
    fn keys(&self) -> Vec<RawKey> {
        let count = self.providers % 3 + 1;
        let key = |number: u8| RawKey {
            namespace: "fuzz".to_owned(),
            name: format!("key {number}"),
            key: vec![number; [16, 24, 32][usize::from(self.providers / 3 + number) % 3]],
        };
        (0..count).map(key).collect()
    }

    fn policy(&self) -> CommitmentPolicy {
        CommitmentPolicy::ALL[usize::from(self.policy) % 3]
    }

    fn is_signed(&self) -> bool {
        self.allows & 3 != 0
    }

    fn suite(&self) -> &'static Suite {
        let forbids = self.policy() == CommitmentPolicy::ForbidEncryptAllowDecrypt;
        let default = match (forbids, self.is_signed()) {
            (false, false) => 0x0478,
            (false, true) => 0x0578,
            (true, false) => 0x0178,
            (true, true) => 0x0378,
        };
        let named = SUITES.get(usize::from(self.suite).wrapping_sub(1));
        named.unwrap_or_else(|| Suite::by_id(default).expect("all are known"))
    }

    fn client(&self) -> Result<Client> {
        let mut keys = self.keys().into_iter();
        let first = keys.next().expect("at least one").provider();
        let providers: Arc<dyn KeyProvider> = match self.providers % 3 {
            0 => Arc::new(first),
            _ => Arc::new(keys.fold(MultiProvider::new(first), |multi, key| {
                multi.with(key.provider())
            })),
        };
        let calls = self.random_calls.checked_sub(1).map(u32::from);
        let random = Arc::new(Seeded::new(self.seed, calls));
        let mut builder = Client::builder(providers)
            .backend(CryptoBackend::rust_crypto().with_random(random))
            .commitment_policy(self.policy())
            .signed(self.allows & 1 != 0)
            .require_signed(self.allows & 2 != 0)
            .allow_suites_without_key_derivation(self.allows & 4 != 0)
            .frame_length(self.frame_length)
            .required_context_keys(self.required())
            .max_encrypted_data_keys((self.max_edks > 0).then_some(self.max_edks.into()));
        if self.max_buffered > 0 {
            builder = builder.max_buffered(self.max_buffered.into());
        }
        if self.max_header_length > 0 {
            builder = builder.max_header_length(self.max_header_length.into());
        }
        if SUITES
            .get(usize::from(self.suite).wrapping_sub(1))
            .is_some()
        {
            let id = self.suite().id;
            builder = builder.suite(AlgorithmSuite::from_id(id).expect("all are known"));
        }
        Ok(builder.build()?.blocking())
    }

    /// What must be refused, by the settings alone.
    fn refusal(&self, pairs: &BTreeMap<String, String>, length: usize) -> Option<Refusal> {
        let (suite, required) = (self.suite(), self.required());
        if self.frame_length == 0 {
            return Some(Refusal::FrameLength);
        }
        let reserved = required.iter().find(|key| is_reserved(key));
        if let Some(key) = reserved {
            return Some(Refusal::ReservedKey(key.clone()));
        }
        if suite.commits() == (self.policy() == CommitmentPolicy::ForbidEncryptAllowDecrypt) {
            return Some(Refusal::Forbidden(suite.id));
        }
        if self.allows & 2 != 0 && suite.curve.is_none() {
            return Some(Refusal::Unsigned(suite.id));
        }
        if suite.id < 0x0100 && self.allows & 4 == 0 {
            return Some(Refusal::NoKeyDerivation(suite.id));
        }
        if self
            .bound()
            .is_some_and(|bound| self.body_length(bound).is_none())
        {
            return Some(Refusal::Frames);
        }
        if let Some(key) = pairs.keys().find(|key| is_reserved(key)) {
            return Some(Refusal::ReservedKey(key.clone()));
        }
        if let Some(key) = required.iter().find(|key| !pairs.contains_key(*key)) {
            return Some(Refusal::Missing(key.clone()));
        }
        let mut all = pairs.clone();
        if let Some(curve) = suite.curve {
            let encoded = curve.point_length().div_ceil(3) * 4;
            all.insert("aws-crypto-public-key".to_owned(), "x".repeat(encoded));
        }
        if model::canonical(&all).is_err() {
            return Some(Refusal::ContextLength);
        }
        let edks = self.keys().len();
        if self.max_edks > 0 && edks > self.max_edks.into() {
            return Some(Refusal::Edks(edks));
        }
        all.retain(|key, _| !required.contains(key));
        let stored = model::canonical(&all).expect("a part of what fits");
        let edks: usize = self.edk_lengths().iter().sum();
        let rest = if suite.commits() { 92 } else { 62 };
        let max = usize::from(self.max_header_length);
        if max > 0 && rest + stored.len() + edks > max {
            return Some(Refusal::HeaderLength);
        }
        match self.bound() {
            Some(bound) if bound < length as u64 => Some(Refusal::Bound),
            _ if self.is_held_back(length) => Some(Refusal::Buffer),
            _ => None,
        }
    }

    /// Whether a stream would have to hold back more than it may.
    fn is_held_back(&self, length: usize) -> bool {
        let held = length.min(self.frame_length as usize);
        self.way % 6 > 2 && self.max_buffered > 0 && held > self.max_buffered.into()
    }

    /// The bound that the caller declares, where the way has one.
    fn bound(&self) -> Option<u64> {
        let bound = self.plaintext_bound.checked_sub(1).map(u64::from);
        let bound = bound.map(|bound| bound.rotate_left(self.bound_shift.into()));
        bound.filter(|_| matches!(self.way % 6, 2 | 3))
    }

    /// Bytes after the header for so much plaintext; `None` for more than
    /// 2^32 - 1 frames, and near 2^64, where a message's length might not fit.
    fn body_length(&self, plaintext: u64) -> Option<u128> {
        let frame_length = u128::from(self.frame_length);
        let frames = u128::from(plaintext).div_ceil(frame_length).max(1);
        if frames > u128::from(u32::MAX) || plaintext > u64::MAX - (1 << 38) {
            return None;
        }
        let signature = match self.suite().curve {
            None => 0,
            Some(Curve::P256) => 2 + 71,
            Some(Curve::P384) => 2 + 103,
        };
        // Number, IV and tag of each; the last has a mark and a length too.
        Some(u128::from(plaintext) + frames * 32 + 8 + signature)
    }

    fn encrypt(
        &self,
        client: &Client,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>> {
        let pieces = self.cuts.pieces(plaintext);
        let bound = self.bound();
        match self.way % 6 {
            0 => client.encrypt(plaintext, context),
            1 => {
                let length = plaintext.len() as u64;
                let foretold = client.message_length(length, context, &self.edk_lengths());
                let mut out = vec![0x5a; foretold.unwrap_or(0) as usize + 5];
                let length = client.encrypt_into(plaintext, context, &mut out)?;
                assert!(out[length..].iter().all(|byte| *byte == 0x5a));
                out.truncate(length);
                Ok(out)
            }
            2 => {
                let prepared = client.prepare(context, bound)?;
                let length = prepared.message_length(plaintext.len() as u64)?;
                let length = usize::try_from(length).expect("a short message");
                if self.mistake & 0x80 != 0 {
                    let message = prepared.encrypt(plaintext)?;
                    assert_eq!(message.len(), length);
                    return Ok(message);
                }
                let mut out = vec![0; length];
                let written = prepared.encrypt_into(plaintext, &mut out)?;
                assert_eq!(written, length);
                self.does_not_fit(client, context, plaintext, length);
                Ok(out)
            }
            3 => {
                let mut encryptor = client.encryptor(context, bound)?;
                let mut out = Vec::new();
                for piece in pieces {
                    encryptor.update(piece, &mut out)?;
                }
                encryptor.finish(&mut out)?;
                Ok(out)
            }
            4 => {
                let mut writer = client.encrypt_writer(Vec::new(), context)?;
                for piece in pieces {
                    writer.write_all(piece).map_err(inner)?;
                }
                writer.finish().map_err(inner)
            }
            _ => {
                let mut reader = client.encrypt_reader(plaintext, context)?;
                let mut out = Vec::new();
                reader.read_to_end(&mut out).map_err(inner)?;
                Ok(out)
            }
        }
    }

    fn edk_lengths(&self) -> Vec<usize> {
        let length = self.suite().key_length;
        let keys = self.keys();
        keys.iter()
            .map(|key| key.provider().encrypted_data_key_length(length))
            .collect()
    }

    /// A buffer that is one byte too short is refused and not touched.
    fn does_not_fit(
        &self,
        client: &Client,
        context: &EncryptionContext,
        plaintext: &[u8],
        length: usize,
    ) {
        let mut short = vec![0x5a; length - 1];
        match client.encrypt_into(plaintext, context, &mut short) {
            Err(Error::OutputTooSmall { needed, available }) => {
                assert_eq!((needed, available), (length as u64, length - 1));
            }
            Err(error) if self.random_calls > 0 && is_random(&error) => {}
            other => panic!("{other:?}"),
        }
        assert!(short.iter().all(|byte| *byte == 0x5a));
    }

    fn has_the_foretold_length(
        &self,
        context: &EncryptionContext,
        message: &[u8],
        plaintext_length: usize,
    ) {
        let client = self.client().expect("it was built before");
        let header = inspect(message).expect("a message");
        let found: Vec<_> = header
            .encrypted_data_keys()
            .iter()
            .map(waxseal::EncryptedDataKey::encoded_length)
            .collect();
        assert_eq!(found, self.edk_lengths());
        let length = client
            .message_length(plaintext_length as u64, context, &found)
            .expect("a length");
        assert_eq!(length, message.len() as u64);
        // Also for lengths that nobody could try.
        let any = u64::from(self.plaintext_bound).rotate_left(self.bound_shift.into());
        let foretold = client.message_length(any, context, &found).ok();
        let body = self.body_length(any);
        let expected = body.map(|body| header.header_length() as u128 + body);
        assert_eq!(foretold.map(u128::from), expected);

        // The same randomness gives the same message, whichever way it is made.
        if self.suite().curve.is_none() && self.random_calls == 0 && !self.way.is_multiple_of(6) {
            let again = client.encrypt(&self.plaintext(), context);
            assert!(again.expect("as before") == message);
        }
    }

    /// The model and the library read the message, with one of its keys.
    fn decrypts(&self, pairs: &BTreeMap<String, String>, message: &[u8], plaintext: &[u8]) {
        let keys = self.keys();
        let index = usize::from(self.opener) % keys.len();
        let mut caller = Caller {
            keys: Keys::Raw(vec![keys[index].clone()]),
            required: self.required().into_iter().collect(),
            expected: pairs.clone(),
            ..Caller::default()
        };
        // Signed messages hold a public key besides.
        let stores_more = self.mistake & 0x40 != 0;
        if stores_more {
            let required = &caller.required;
            caller.expected.retain(|key, _| required.contains(key));
        }
        let expected = self.err(&mut caller);
        let reading = model::read(message, &caller, Way::Whole, None);
        match &expected {
            None => {
                assert_eq!(reading.alone(message), Ok(()));
                assert!(reading.plaintext() == plaintext);
                self.has_the_settings(&reading, pairs, index);
            }
            Some(kind) => assert_eq!(reading.alone(message), Err(kind.clone())),
        }
        let client = caller.client();
        let context = caller.context();
        match (client.decrypt(message, &context), expected) {
            (Ok(decrypted), None) => {
                assert!(decrypted.plaintext == plaintext);
                assert_eq!(decrypted.details.encrypted_data_key_index, index);
                assert_eq!(decrypted.details.key, keys[index].name);
            }
            (Err(error), Some(expected)) => assert_eq!(kind(&error), expected),
            (found, expected) => panic!("found {found:?}, expected {expected:?}"),
        }
    }

    fn has_the_settings(
        &self,
        reading: &model::Reading,
        pairs: &BTreeMap<String, String>,
        index: usize,
    ) {
        let end = reading.result.as_ref().expect("a good message");
        assert_eq!(end.header.suite, self.suite());
        assert_eq!(end.header.frame_length, Some(self.frame_length));
        assert_eq!(end.index, index);
        let mut context = end.context.clone();
        context.remove("aws-crypto-public-key");
        assert_eq!(&context, pairs);
        let required = self.required();
        assert!(
            required
                .iter()
                .all(|key| !end.header.context().contains_key(key))
        );
        // Sorted on the wire, and full frames but for the last, which is full
        // too where the plaintext ends with it.
        assert!(end.header.pairs.is_sorted());
        let length = self.frame_length as usize;
        let (last, regular) = reading.frames.split_last().expect("a frame");
        assert!(regular.iter().all(|frame| frame.len() == length));
        assert!(last.len() <= length && (regular.is_empty() || !last.is_empty()));
    }

    /// Makes the reader's mistake, and says what comes of it.
    fn err(&self, caller: &mut Caller) -> Option<Kind> {
        let pick = usize::from(self.mistake >> 2 & 15);
        let (key, value) = caller.expected.iter().nth(pick)?;
        let (key, is_required) = (key.clone(), caller.required.contains(key));
        let mut other = value.clone();
        if other.pop().is_none() {
            other.push('.');
        }
        match self.mistake % 4 {
            0 => None,
            // Another value: what is bound only makes another wrapping.
            1 => {
                caller.expected.insert(key.clone(), other);
                Some(if is_required {
                    Kind::Unwrap
                } else {
                    Kind::Mismatch(key)
                })
            }
            // Left out.
            2 => {
                caller.expected.remove(&key);
                is_required.then_some(Kind::RequiredMissing(key))
            }
            // Listed as required where it is stored, and the other way round.
            _ => Some(if is_required {
                caller.required.remove(&key);
                Kind::NotInMessage(key)
            } else {
                caller.required.insert(key.clone());
                Kind::RequiredInMessage(key)
            }),
        }
    }
}

fn inner(error: std::io::Error) -> Error {
    *error
        .into_inner()
        .expect("the library's error")
        .downcast::<Error>()
        .expect("the library's error")
}
