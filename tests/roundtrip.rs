//! Whatever the settings, the context, the plaintext and the pieces: what one
//! client writes, in any way, another reads, in any way.

mod support;

use std::io::{Read, Write};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::{MODES, builder, raw, ready};
use waxseal::{
    AlgorithmSuite, Client, ContentLayout, EncryptionContext, Error, MultiProvider, inspect,
};

/// What a message is written and read with.
#[derive(Clone, Debug)]
struct Case {
    suite: AlgorithmSuite,
    frame_length: u32,
    context: EncryptionContext,
    /// Keys of the context that are bound and not stored.
    required: Vec<String>,
    /// Of one provider in all, or of several.
    keys: u8,
    /// Which of them reads.
    reader: u8,
    plaintext: Vec<u8>,
    /// How long the pieces are, in turn.
    pieces: Vec<usize>,
}

fn case() -> impl Strategy<Value = Case> {
    let frame_length = prop_oneof![1..=40_u32, 1..=4096_u32, Just(4096), 1..=u32::MAX];
    let context = btree_map(any::<String>(), any::<String>(), 0..5);
    let unreserved = context.prop_map(|mut pairs| {
        pairs.retain(|key, _| !key.starts_with("aws-crypto-"));
        pairs
    });
    // Also of as many bytes as fill frames exactly.
    let length = prop_oneof![
        0..600_usize,
        (0..600_usize).prop_map(|length| length / 32 * 32)
    ];
    (
        select(&AlgorithmSuite::ALL[..]),
        frame_length,
        unreserved,
        vec(any::<Index>(), 0..3),
        (1..=3_u8).prop_flat_map(|keys| (Just(keys), 0..keys)),
        length.prop_flat_map(|length| vec(any::<u8>(), length)),
        vec(1..100_usize, 1..4),
    )
        .prop_map(
            |(suite, frame_length, pairs, required, (keys, reader), plaintext, pieces)| {
                let names: Vec<_> = pairs.keys().cloned().collect();
                let required = if names.is_empty() { vec![] } else { required };
                Case {
                    suite,
                    frame_length,
                    required: required.iter().map(|at| at.get(&names).clone()).collect(),
                    context: pairs.into_iter().collect(),
                    keys,
                    reader,
                    plaintext,
                    pieces,
                }
            },
        )
}

impl Case {
    fn writer(&self) -> Client {
        let provider = |key: u8| raw(&format!("key {key}"), key + 1);
        let all = (1..self.keys).fold(MultiProvider::new(provider(0)), |multi, key| {
            multi.with(provider(key))
        });
        builder(self.suite, all)
            .frame_length(self.frame_length)
            .required_context_keys(&self.required)
            .build()
            .unwrap()
    }

    /// A client of its own, with one of the keys and default settings.
    fn reader(&self) -> Client {
        let provider = raw(&format!("key {}", self.reader), self.reader + 1);
        builder(self.suite, provider)
            .required_context_keys(&self.required)
            .max_buffered(usize::MAX)
            .build()
            .unwrap()
    }

    /// Cuts into pieces of the lengths given, in turn.
    fn cut<'a>(&self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        for length in self.pieces.iter().cycle() {
            if bytes.is_empty() {
                break;
            }
            let (piece, rest) = bytes.split_at((*length).min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }

    /// The plaintext as a message, in every way to write one.
    fn written(&self) -> Vec<Vec<u8>> {
        let (client, context) = (self.writer(), &self.context);
        let blocking = client.blocking();
        let prepared = ready(client.prepare(context, None)).unwrap();
        let length = prepared
            .message_length(self.plaintext.len() as u64)
            .unwrap();
        let whole = prepared.encrypt(&self.plaintext).unwrap();
        assert_eq!(whole.len() as u64, length);
        let mut into = vec![0; whole.len()];
        let written = blocking.encrypt_into(&self.plaintext, context, &mut into);
        assert_eq!(written.unwrap(), whole.len());
        let mut encryptor = ready(client.encryptor(context, None)).unwrap();
        let mut pieces = Vec::new();
        for piece in self.cut(&self.plaintext) {
            encryptor.update(piece, &mut pieces).unwrap();
        }
        encryptor.finish(&mut pieces).unwrap();
        let mut writer = blocking.encrypt_writer(Vec::new(), context).unwrap();
        for piece in self.cut(&self.plaintext) {
            writer.write_all(piece).unwrap();
        }
        let writer = writer.finish().unwrap();
        let mut reader = blocking
            .encrypt_reader(&self.plaintext[..], context)
            .unwrap();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        vec![whole, into, pieces, writer, read]
    }

    /// Reads a message in every way there is.
    fn is_read(&self, message: &[u8]) {
        let (client, context) = (self.reader(), &self.context);
        let blocking = client.blocking();
        let decrypted = ready(client.decrypt(message, context)).unwrap();
        assert_eq!(decrypted.plaintext, self.plaintext);
        let details = decrypted.details;
        assert_eq!(details.suite, self.suite);
        assert_eq!(details.encrypted_data_key_index, usize::from(self.reader));
        for (key, value) in context {
            assert_eq!(details.context.get(key), Some(value));
        }
        let mut into = vec![0; self.plaintext.len()];
        let (length, _) = blocking.decrypt_into(message, context, &mut into).unwrap();
        assert_eq!((length, &into), (self.plaintext.len(), &self.plaintext));
        for mode in MODES {
            for size in [1, self.pieces[0], usize::MAX] {
                let (out, outcome) = support::stream(&client, context, message, size, mode);
                outcome.unwrap();
                assert_eq!(out, self.plaintext);
            }
        }
        let mut decryptor = blocking.decryptor(context);
        let mut out = Vec::new();
        for piece in self.cut(message) {
            decryptor.push(piece, &mut out).unwrap();
        }
        decryptor.finish().unwrap();
        assert_eq!(out, self.plaintext);
        let mut reader = blocking.decrypt_reader(message, context).unwrap();
        let mut out = Vec::new();
        reader.read_to_end(&mut out).unwrap();
        assert_eq!(out, self.plaintext);
        let mut writer = blocking.decrypt_writer_unverified(Vec::new(), context);
        for piece in self.cut(message) {
            writer.write_all(piece).unwrap();
        }
        assert_eq!(writer.finish().unwrap().0, self.plaintext);
    }

    fn is_inspected(&self, message: &[u8]) {
        let header = inspect(message).unwrap();
        assert_eq!(header.suite(), self.suite);
        let frame_length = self.frame_length;
        assert_eq!(header.layout(), ContentLayout::Framed { frame_length });
        assert_eq!(header.encrypted_data_keys().len(), usize::from(self.keys));
        for (number, edk) in header.encrypted_data_keys().iter().enumerate() {
            assert_eq!(edk.provider_id(), "ns");
            let name = format!("key {number}");
            assert!(edk.key_info().starts_with(name.as_bytes()));
        }
        let mut stored = self.context.clone();
        for key in &self.required {
            stored.remove(key);
        }
        let public_key = header.context().get("aws-crypto-public-key");
        assert_eq!(public_key.is_some(), self.suite.is_signed());
        if let Some(public_key) = public_key {
            stored.insert("aws-crypto-public-key", public_key);
        }
        assert_eq!(header.context(), &stored);
        // As much of the message is enough.
        assert!(inspect(&message[..header.header_length()]).is_ok());
    }
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn what_is_written_is_read(case in case()) {
        for message in case.written() {
            case.is_inspected(&message);
            case.is_read(&message);
        }
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn messages_back_to_back(
        case in case(),
        lengths in vec(0..100_usize, 1..5),
        behind in vec(any::<u8>(), 0..40),
    ) {
        let (writer, reader) = (case.writer(), case.reader());
        let mut input = Vec::new();
        let texts: Vec<_> = lengths.iter().map(|length| support::plaintext(*length)).collect();
        for text in &texts {
            input.extend(ready(writer.encrypt(text, &case.context)).unwrap());
        }
        input.extend(&behind);
        let mut rest = &input[..];
        for text in &texts {
            let (decrypted, after) = ready(reader.decrypt_prefix(rest, &case.context)).unwrap();
            prop_assert_eq!(&decrypted.plaintext, text);
            rest = after;
        }
        prop_assert_eq!(rest, &behind);
        if texts.len() > 1 || !behind.is_empty() {
            let refused = ready(reader.decrypt(&input, &case.context));
            prop_assert!(matches!(refused, Err(Error::TrailingBytes)));
        }
    }

    /// A part replaced, by as many bytes or not: an error, or the message as
    /// it was.
    #[test]
    fn whatever_is_done_to_a_message(
        case in case(),
        from in any::<Index>(),
        removed in 0..50_usize,
        inserted in vec(any::<u8>(), 0..50),
    ) {
        let (writer, reader) = (case.writer(), case.reader());
        let message = ready(writer.encrypt(&case.plaintext, &case.context)).unwrap();
        let from = from.index(message.len());
        let to = (from + removed).min(message.len());
        let changed = [&message[..from], &inserted, &message[to..]].concat();
        let decrypted = ready(reader.decrypt(&changed, &case.context));
        prop_assert_eq!(decrypted.is_ok(), changed == message);
        for mode in MODES {
            let (out, outcome) =
                support::stream(&reader, &case.context, &changed, case.pieces[0], mode);
            prop_assert_eq!(outcome.is_ok(), changed == message);
            prop_assert!(case.plaintext.starts_with(&out));
        }
    }

    /// Bytes that are no message.
    #[test]
    fn whatever_is_read(
        case in case(),
        start in select(vec![&b""[..], b"\x01\x80", b"\x02\x04\x78", b"\x02\x05\x78", b"AY", b"Ag"]),
        bytes in vec(any::<u8>(), 0..300),
    ) {
        let input = [start, &bytes].concat();
        let reader = case.reader();
        let _ = inspect(&input);
        prop_assert!(ready(reader.decrypt(&input, &case.context)).is_err());
        for mode in MODES {
            let (out, outcome) =
                support::stream(&reader, &case.context, &input, case.pieces[0], mode);
            prop_assert!(outcome.is_err() && out.is_empty());
        }
    }
}
