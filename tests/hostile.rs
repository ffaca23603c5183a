//! Every bit of a message flipped, and every place to cut it: an error, never
//! plaintext in one shot, and streamed exactly the frames before the damage.

mod support;

use std::io::{Read, Write};

use support::craft::Craft;
use support::map::Map;
use support::providers::Fixed;
use support::{MODES, Mode, builder, context, plaintext, raw, ready, stream, vector};
use waxseal::{AlgorithmSuite, Client, EncryptionContext, Error, MultiProvider, inspect};

/// A valid message, and who reads it.
struct Sample {
    client: Client,
    context: EncryptionContext,
    message: Vec<u8>,
    plaintext: Vec<u8>,
    map: Map,
}

impl Sample {
    fn new(client: Client, context: EncryptionContext, message: Vec<u8>, plain: &[u8]) -> Self {
        let map = Map::of(&message);
        let decrypted = ready(client.decrypt(&message, &context)).expect("the whole message");
        assert_eq!(decrypted.plaintext, plain);
        Sample {
            client,
            context,
            message,
            plaintext: plain.to_vec(),
            map,
        }
    }

    /// Three frames, two encrypted data keys, a pair that is bound only.
    fn written(suite: AlgorithmSuite) -> Self {
        let provider = MultiProvider::new(raw("key", 7)).with(raw("other", 8));
        let client = builder(suite, provider)
            .frame_length(8)
            .required_context_keys(["tenant"])
            .build()
            .unwrap();
        let plaintext = plaintext(19);
        let message = ready(client.encrypt(&plaintext, &context())).unwrap();
        Self::new(client, context(), message, &plaintext)
    }

    /// Read with a provider that opens any encrypted data key, so that only
    /// the message's own tags are in the way.
    fn crafted(craft: &Craft, length: usize) -> Self {
        let client = builder(craft.suite, Fixed).build().unwrap();
        let plaintext = plaintext(length);
        let message = craft.whole(&plaintext);
        Self::new(client, EncryptionContext::new(), message, &plaintext)
    }

    fn of_vector(id: &str) -> Self {
        let case = vector(id);
        let plaintext = case.plaintext.expect("a valid case");
        Self::new(case.client, case.context, case.message, &plaintext)
    }

    /// What a stream releases when the first bad or missing byte is this one.
    fn released_before(&self, at: usize, mode: Mode) -> &[u8] {
        let length = match (self.map.is_signed(), mode) {
            (false, _) => self.map.plaintext_before(at),
            (true, Mode::Unverified) => self.map.regular_plaintext_before(at),
            (true, Mode::Authenticated) => 0,
        };
        &self.plaintext[..length]
    }

    fn fails_in_one_shot(&self, message: &[u8], what: &str) -> Error {
        let mut buffer = vec![0; message.len()];
        let outcome = ready(
            self.client
                .decrypt_into(message, &self.context, &mut buffer),
        );
        assert!(
            buffer.iter().all(|byte| *byte == 0),
            "{what}: plaintext left in the buffer"
        );
        outcome.expect_err(what)
    }

    /// What is left is the message as it was, or nothing.
    fn fails_in_place(&self, message: &[u8], what: &str) -> Error {
        let mut buffer = message.to_vec();
        let outcome = ready(self.client.decrypt_in_place(&mut buffer, &self.context));
        assert!(buffer.is_empty() || buffer == message, "{what}");
        outcome.expect_err(what)
    }

    fn fails_streamed(&self, message: &[u8], at: usize, mode: Mode, size: usize, what: &str) {
        let (released, outcome) = stream(&self.client, &self.context, message, size, mode);
        assert!(outcome.is_err(), "{what}, {mode:?}, pieces of {size}");
        assert_eq!(
            released,
            self.released_before(at, mode),
            "{what}, {mode:?}, pieces of {size}"
        );
    }

    /// Through the blocking reader and writer.
    fn fails_in_adapters(&self, message: &[u8], at: usize, what: &str) {
        let client = self.client.blocking();
        let mut read = Vec::new();
        let outcome = client
            .decrypt_reader(message, &self.context)
            .and_then(|mut reader| reader.read_to_end(&mut read));
        assert!(outcome.is_err(), "{what}, reader");
        let authenticated = self.released_before(at, Mode::Authenticated);
        assert_eq!(read, authenticated, "{what}, reader");

        let mut written = Vec::new();
        let mut writer = client.decrypt_writer_unverified(&mut written, &self.context);
        let outcome = writer
            .write_all(message)
            .and_then(|()| writer.finish().map(drop));
        assert!(outcome.is_err(), "{what}, writer");
        let unverified = self.released_before(at, Mode::Unverified);
        assert_eq!(written, unverified, "{what}, writer");
    }

    /// Signatures are slow to verify without optimization: for signed
    /// messages each bit goes through one way of streaming, in turn.
    fn streams(&self, turn: usize) -> impl Iterator<Item = (Mode, usize)> + use<> {
        let all = MODES
            .into_iter()
            .flat_map(|mode| [1, 7, usize::MAX].map(|size| (mode, size)));
        let (skipped, taken) = if self.map.is_signed() {
            (turn % 6, 1)
        } else {
            (0, 6)
        };
        all.skip(skipped).take(taken)
    }

    fn flip_every_bit(&self) {
        for at in 0..self.message.len() {
            for bit in 0..8 {
                let mut message = self.message.clone();
                message[at] ^= 1 << bit;
                let what = format!("bit {bit} of byte {at} flipped");
                self.fails_in_one_shot(&message, &what);
                for (mode, size) in self.streams(at * 8 + bit) {
                    self.fails_streamed(&message, at, mode, size, &what);
                }
                if bit == at % 8 {
                    assert!(
                        ready(self.client.decrypt(&message, &self.context)).is_err(),
                        "{what}"
                    );
                    self.fails_in_place(&message, &what);
                    self.fails_in_adapters(&message, at, &what);
                }
            }
        }
    }

    fn cut_everywhere(&self) {
        for end in 0..self.message.len() {
            let message = &self.message[..end];
            let what = format!("{end} of {} bytes", self.message.len());
            let error = self.fails_in_one_shot(message, &what);
            assert!(matches!(error, Error::Truncated), "{what}: {error}");
            let decrypted = ready(self.client.decrypt(message, &self.context));
            assert!(matches!(decrypted, Err(Error::Truncated)), "{what}");
            let error = self.fails_in_place(message, &what);
            assert!(matches!(error, Error::Truncated), "{what}: {error}");
            let prefix = ready(self.client.decrypt_prefix(message, &self.context));
            assert!(matches!(prefix, Err(Error::Truncated)), "{what}");
            for (mode, size) in self.streams(end) {
                let (released, outcome) = stream(&self.client, &self.context, message, size, mode);
                assert!(matches!(outcome, Err(Error::Truncated)), "{what}, {mode:?}");
                assert_eq!(
                    released,
                    self.released_before(end, mode),
                    "{what}, {mode:?}"
                );
            }
            self.fails_in_adapters(message, end, &what);
            match inspect(message) {
                Ok(header) => assert_eq!(header.header_length(), self.map.header.end),
                Err(error) => {
                    assert!(matches!(error, Error::Truncated), "{what}: {error}");
                    assert!(end < self.map.header.end, "{what}");
                }
            }
        }
    }
}

macro_rules! damaged {
    ($($name:ident: $sample:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn every_bit_flipped() {
                $sample.flip_every_bit();
            }

            #[test]
            fn cut_at_every_byte() {
                $sample.cut_everywhere();
            }
        }
    )*};
}

damaged! {
    v1_no_kdf: Sample::written(AlgorithmSuite::Aes256GcmNoKdf);
    v1: Sample::written(AlgorithmSuite::Aes256GcmHkdfSha256);
    v1_signed: Sample::written(AlgorithmSuite::Aes128GcmHkdfSha256EcdsaP256);
    v2: Sample::written(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey);
    v2_signed: Sample::written(AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384);
    sdk_v1_unframed_empty: Sample::of_vector("own/unframed-0014");
    sdk_v1_unframed: Sample::of_vector("own/unframed-0178");
    sdk_v2_unframed: Sample::of_vector("own/unframed-0478");
    sdk_v2_unframed_signed: Sample::of_vector("own/unframed-0578");
    crafted_v1: Sample::crafted(&Craft::new(AlgorithmSuite::Aes192GcmHkdfSha256), 40);
    crafted_v2: Sample::crafted(&Craft::new(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey), 40);
    crafted_v1_unframed_signed: Sample::crafted(
        &Craft::unframed_body(AlgorithmSuite::Aes128GcmHkdfSha256EcdsaP256), 9);
    crafted_v2_unframed: Sample::crafted(
        &Craft::unframed_body(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey), 9);
}
