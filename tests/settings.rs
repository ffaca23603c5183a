//! Settings and lengths: how long a message is, to the byte, before it is
//! written; what is drawn afresh; defaults; what a message says of itself.

mod support;

use std::io::{Read, Write};
use std::sync::Arc;

use support::providers::Fixed;
use support::{MODES, builder, context, plaintext, raw, ready, stream};
use waxseal::{
    AlgorithmSuite, Client, CommitmentPolicy, ContentLayout, EncryptedDataKey, EncryptionContext,
    Error, KeyProvider, MultiProvider, RawAesProvider, SecretBytes, inspect,
};

fn contexts() -> [EncryptionContext; 4] {
    [
        EncryptionContext::new(),
        EncryptionContext::from([("", "")]),
        context(),
        EncryptionContext::from([("tenant", "ÄÖÜ 🦀"), ("purpose", ""), ("x", "y")]),
    ]
}

type Provider = Arc<dyn KeyProvider>;

/// Providers, and what their encrypted data keys take for a data key's length.
fn providers(data_key: usize) -> Vec<(Provider, Vec<usize>)> {
    fn aes(name: &str, length: usize) -> RawAesProvider {
        RawAesProvider::new("namespace", name, &SecretBytes::from(vec![3; length])).unwrap()
    }
    let length = move |provider: RawAesProvider| provider.encrypted_data_key_length(data_key);
    vec![
        (Arc::new(aes("key", 32)), vec![length(aes("key", 32))]),
        (
            Arc::new(
                MultiProvider::new(aes("", 16))
                    .with(aes("a longer name", 24))
                    .with(Fixed),
            ),
            vec![
                length(aes("", 16)),
                length(aes("a longer name", 24)),
                Fixed::encrypted_data_key().encoded_length(),
            ],
        ),
    ]
}

const FRAME: usize = 32;

fn lengths() -> impl Iterator<Item = usize> {
    [0, 1, FRAME - 1, FRAME, FRAME + 1].into_iter().chain([
        2 * FRAME - 1,
        2 * FRAME,
        2 * FRAME + 1,
        10 * FRAME,
        333,
    ])
}

#[test]
fn the_exact_length_is_known_before() {
    for suite in AlgorithmSuite::ALL {
        for (provider, edk_lengths) in providers(suite.data_key_length()) {
            for context in contexts() {
                for required in [&[][..], &["tenant"], &["tenant", "purpose"]] {
                    let client = builder(suite, provider.clone())
                        .frame_length(FRAME as u32)
                        .required_context_keys(required.iter().copied())
                        .build()
                        .unwrap();
                    if required.iter().any(|key| !context.contains_key(key)) {
                        continue;
                    }
                    // Keys for signing are slow to make without optimization.
                    let step = if suite.is_signed() { 4 } else { 1 };
                    for length in lengths().step_by(step) {
                        let said = client
                            .message_length(length as u64, &context, &edk_lengths)
                            .unwrap();
                        let prepared = ready(client.prepare(&context, None)).unwrap();
                        assert_eq!(prepared.message_length(length as u64).unwrap(), said);
                        let message = prepared.encrypt(&plaintext(length)).unwrap();
                        assert_eq!(message.len() as u64, said, "{suite}, {length} bytes");
                        assert_eq!(message.capacity(), message.len());
                    }
                }
            }
        }
    }
}

/// A DER signature has one of several lengths: each time it is brought to the
/// same, 71 bytes or 103.
#[test]
fn signed_messages_have_one_length() {
    for (suite, signature) in [
        (AlgorithmSuite::Aes128GcmHkdfSha256EcdsaP256, 71),
        (AlgorithmSuite::Aes192GcmHkdfSha384EcdsaP384, 103),
        (AlgorithmSuite::Aes256GcmHkdfSha384EcdsaP384, 103),
        (AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384, 103),
    ] {
        let client = builder(suite, Fixed).build().unwrap();
        let none = EncryptionContext::new();
        let lengths = [Fixed::encrypted_data_key().encoded_length()];
        let said = client.message_length(5, &none, &lengths).unwrap();
        for _ in 0..100 {
            let message = ready(client.encrypt(b"plain", &none)).unwrap();
            assert_eq!(message.len() as u64, said);
            let footer = &message[message.len() - signature - 2..];
            assert_eq!(footer[..2], (signature as u16).to_be_bytes());
            assert_eq!(footer[2], 0x30, "DER");
        }
        let message = ready(client.encrypt(b"plain", &none)).unwrap();
        assert!(ready(client.decrypt(&message, &none)).is_ok());
    }
}

#[test]
fn into_a_buffer_of_exactly_that_length() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, raw("key", 7))
            .frame_length(FRAME as u32)
            .build()
            .unwrap();
        for length in lengths() {
            let text = plaintext(length);
            let needed = ready(client.encrypt(&text, &context())).unwrap().len();
            let mut buffer = vec![0; needed];
            let written = ready(client.encrypt_into(&text, &context(), &mut buffer)).unwrap();
            assert_eq!(written, needed);
            let decrypted = ready(client.decrypt(&buffer, &context())).unwrap();
            assert_eq!(decrypted.plaintext, text);

            // What is longer is left alone behind the message.
            let mut longer = vec![0xee; needed + 10];
            let written = ready(client.encrypt_into(&text, &context(), &mut longer)).unwrap();
            assert_eq!(written, needed);
            assert_eq!(longer[needed..], [0xee; 10]);

            let mut short = vec![0xee; needed - 1];
            let refused = ready(client.encrypt_into(&text, &context(), &mut short));
            assert!(matches!(refused, Err(Error::OutputTooSmall { .. })));
            assert!(
                short.iter().all(|byte| *byte == 0xee),
                "something was written"
            );

            let prepared = ready(client.prepare(&context(), Some(length as u64))).unwrap();
            let refused = prepared.encrypt_into(&text, &mut short);
            assert!(
                matches!(refused, Err(Error::OutputTooSmall { needed: n, available })
                    if (n, available) == (needed as u64, needed - 1))
            );
        }
    }
}

/// Message id, data key and all that follows from them.
#[test]
fn two_messages_have_nothing_in_common() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, raw("key", 7)).build().unwrap();
        let message = || ready(client.encrypt(&[0; 64], &context())).unwrap();
        let (one, two) = (message(), message());
        let header = inspect(&one).unwrap();
        let other = inspect(&two).unwrap();
        let id_length = if suite.commits() { 32 } else { 16 };
        assert_eq!(header.message_id().len(), id_length);
        assert_ne!(header.message_id(), other.message_id());
        let (edk, other_edk) = (
            &header.encrypted_data_keys()[0],
            &other.encrypted_data_keys()[0],
        );
        assert_ne!(edk.ciphertext(), other_edk.ciphertext());
        assert_ne!(edk.key_info(), other_edk.key_info(), "the IV");
        let body = |message: &[u8]| message[header.header_length()..][24..24 + 64].to_vec();
        assert_ne!(body(&one), body(&two));
        let public_key = |header: &waxseal::UnverifiedHeader| {
            header
                .context()
                .get("aws-crypto-public-key")
                .map(str::to_owned)
        };
        assert_eq!(public_key(&header).is_some(), suite.is_signed());
        if suite.is_signed() {
            assert_ne!(public_key(&header), public_key(&other));
        }
        // Even under one data key.
        let client = builder(suite, Fixed).build().unwrap();
        let message = || ready(client.encrypt(&[0; 64], &context())).unwrap();
        let (one, two) = (message(), message());
        let id = |message: &[u8]| inspect(message).unwrap().message_id().to_vec();
        assert_ne!(id(&one), id(&two));
        if suite.derives_key() {
            let start = inspect(&one).unwrap().header_length() + 24;
            assert_ne!(one[start..start + 64], two[start..start + 64]);
        }
    }
}

/// The same length, in whatever pieces it is written, and it decrypts.
#[test]
fn streams_write_the_same_length() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, raw("key", 7))
            .frame_length(FRAME as u32)
            .build()
            .unwrap();
        let blocking = client.blocking();
        for length in lengths() {
            let text = plaintext(length);
            let whole = ready(client.encrypt(&text, &context())).unwrap();
            let mut messages = Vec::new();
            for size in [1, 7, FRAME - 1, FRAME, FRAME + 1, 1000] {
                let mut encryptor =
                    ready(client.encryptor(&context(), Some(length as u64))).unwrap();
                let mut message = Vec::new();
                for piece in text.chunks(size) {
                    encryptor.update(piece, &mut message).unwrap();
                    encryptor.update(b"", &mut message).unwrap();
                }
                encryptor.finish(&mut message).unwrap();
                messages.push(message);
            }
            let mut writer = blocking.encrypt_writer(Vec::new(), &context()).unwrap();
            writer.write_all(&text).unwrap();
            messages.push(writer.finish().unwrap());
            let mut reader = blocking.encrypt_reader(&text[..], &context()).unwrap();
            let mut message = Vec::new();
            reader.read_to_end(&mut message).unwrap();
            assert_eq!(reader.read(&mut [0; 10]).unwrap(), 0, "the end is the end");
            messages.push(message);
            for message in messages {
                assert_eq!(message.len(), whole.len(), "{suite}, {length} bytes");
                let decrypted = ready(client.decrypt(&message, &context())).unwrap();
                assert_eq!(decrypted.plaintext, text);
            }
        }
    }
}

#[test]
fn frame_lengths() {
    for suite in [
        AlgorithmSuite::Aes256GcmHkdfSha256,
        AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384,
    ] {
        for frame_length in [1, 7, 4096, 65_536, u32::MAX] {
            let client = builder(suite, raw("key", 7))
                .frame_length(frame_length)
                .max_buffered(usize::MAX)
                .build()
                .unwrap();
            let reader = builder(suite, raw("key", 7)).build().unwrap();
            for length in [0, 1, 100, 5000] {
                let text = plaintext(length);
                let message = ready(client.encrypt(&text, &context())).unwrap();
                let layout = inspect(&message).unwrap().layout();
                assert_eq!(layout, ContentLayout::Framed { frame_length });
                let decrypted = ready(reader.decrypt(&message, &context())).unwrap();
                assert_eq!(decrypted.plaintext, text);
                for mode in MODES {
                    let (released, outcome) = stream(&reader, &context(), &message, 1009, mode);
                    outcome.unwrap();
                    assert_eq!(released, text);
                }
            }
        }
    }
}

#[test]
fn default_suites_and_policies() {
    use CommitmentPolicy::{
        ForbidEncryptAllowDecrypt, RequireEncryptAllowDecrypt, RequireEncryptRequireDecrypt,
    };
    let written = |policy, signed, require_signed| {
        let client = Client::builder(raw("key", 7))
            .commitment_policy(policy)
            .signed(signed)
            .require_signed(require_signed)
            .build()
            .unwrap();
        let message = ready(client.encrypt(b"text", &context())).unwrap();
        inspect(&message).unwrap().suite().id()
    };
    for (policy, unsigned, signed) in [
        (RequireEncryptRequireDecrypt, 0x0478, 0x0578),
        (RequireEncryptAllowDecrypt, 0x0478, 0x0578),
        (ForbidEncryptAllowDecrypt, 0x0178, 0x0378),
    ] {
        assert_eq!(written(policy, false, false), unsigned);
        assert_eq!(written(policy, true, false), signed);
        assert_eq!(written(policy, false, true), signed);
        assert_eq!(written(policy, true, true), signed);
    }
    assert_eq!(CommitmentPolicy::default(), RequireEncryptRequireDecrypt);
    let message = ready(Client::new(raw("key", 7)).encrypt(b"text", &context())).unwrap();
    let header = inspect(&message).unwrap();
    assert_eq!(header.suite().id(), 0x0478);
    assert_eq!(
        header.layout(),
        ContentLayout::Framed { frame_length: 4096 }
    );
    // A suite that is named is the one that is written, whatever `signed` says.
    let client = builder(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey, raw("key", 7))
        .signed(true)
        .build()
        .unwrap();
    let message = ready(client.encrypt(b"text", &context())).unwrap();
    assert_eq!(inspect(&message).unwrap().suite().id(), 0x0478);
}

/// The same from `inspect`, from a stream once it has the header, and from
/// what opened the message.
#[test]
fn what_a_message_says() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, raw("key", 7))
            .frame_length(100)
            .build()
            .unwrap();
        let message = ready(client.encrypt(&plaintext(10), &context())).unwrap();
        let header = inspect(&message).unwrap();
        assert_eq!(header.suite(), suite);
        assert_eq!(header.is_signed(), suite.is_signed());
        assert_eq!(header.layout(), ContentLayout::Framed { frame_length: 100 });
        assert_eq!(header.context().len(), 2 + usize::from(suite.is_signed()));
        let [edk]: &[EncryptedDataKey; 1] = header.encrypted_data_keys().try_into().unwrap();
        assert_eq!(edk.provider_id(), "ns");
        assert!(edk.key_info().starts_with(b"key\0\0\0\x80\0\0\0\x0c"));
        assert_eq!(edk.ciphertext().len(), suite.data_key_length() + 16);
        assert_eq!(
            edk.encoded_length(),
            raw("key", 7).encrypted_data_key_length(suite.data_key_length())
        );

        let details = ready(client.decrypt(&message, &context())).unwrap().details;
        let (_, into) = ready(client.decrypt_into(&message, &context(), &mut [0; 1000])).unwrap();
        let mut decryptor = client.decryptor(&context());
        assert!(decryptor.header().is_none() && decryptor.details().is_none());
        let mut out = Vec::new();
        ready(decryptor.push(&message[..header.header_length()], &mut out)).unwrap();
        assert_eq!(
            decryptor.header().unwrap().message_id(),
            header.message_id()
        );
        assert_eq!(decryptor.details().unwrap().suite, suite);
        ready(decryptor.push(&message[header.header_length()..], &mut out)).unwrap();
        let streamed = decryptor.finish().unwrap();
        let mut reader = client
            .blocking()
            .decrypt_reader(&message[..], &context())
            .unwrap();
        reader.read_to_end(&mut Vec::new()).unwrap();
        let read = reader.details().unwrap().clone();
        assert_eq!(reader.header().unwrap().context(), header.context());
        for details in [details, into, streamed, read] {
            assert_eq!(details.suite, suite);
            assert_eq!(&details.context, header.context());
            assert_eq!(details.provider, raw("key", 7).identity());
            assert_eq!(details.key, "key");
            assert_eq!(details.key_version, None);
            assert_eq!(&details.encrypted_data_key, edk);
            assert_eq!(details.encrypted_data_key_index, 0);
            assert_eq!(details.message_id(), header.message_id());
        }
    }
}
