//! Futures and streams that are given up: nothing is half-done, what was
//! written is no message, and what was read goes on no more.

mod support;

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use support::providers::{Fixed, Slow};
use support::{MODES, builder, client, context, plaintext, raw, ready, stream};
use waxseal::{
    AlgorithmSuite, Authenticated, Client, ClientBuilder, Decrypted, DecryptionDetails, Decryptor,
    EncryptionContext, Encryptor, Error, KeyProvider, MultiProvider, PreparedEncryption,
    Unverified, UnverifiedHeader, blocking,
};

/// Polls at most so often, and says whether it was ready by then.
fn polled<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
    }
    None
}

/// Providers that are pending now and then: how often in all when writing.
fn slow(times: usize) -> (MultiProvider, usize) {
    let multi = MultiProvider::new(Slow::new(raw("one", 1), times))
        .with(Slow::new(raw("two", 2), times))
        .with(Slow::new(raw("three", 3), times));
    (multi, 3 * times)
}

#[test]
fn dropped_at_every_poll() {
    for suite in AlgorithmSuite::ALL {
        for times in [1, 3] {
            let (provider, pending) = slow(times);
            let slow = builder(suite, provider).build().unwrap();
            let quick = builder(suite, raw("two", 2)).build().unwrap();
            let text = plaintext(100);
            for polls in 0..=pending {
                let mut buffer = vec![0; 2000];
                assert!(polled(slow.encrypt(&text, &context()), polls).is_none());
                assert!(polled(slow.prepare(&context(), None), polls).is_none());
                assert!(polled(slow.encryptor(&context(), None), polls).is_none());
                assert!(polled(slow.encrypt_into(&text, &context(), &mut buffer), polls).is_none());
                assert!(buffer.iter().all(|byte| *byte == 0), "half a message");
            }
            // The client goes on as if nothing had been.
            let message = polled(slow.encrypt(&text, &context()), pending + 1).unwrap();
            let message = message.unwrap();
            let decrypted = ready(quick.decrypt(&message, &context())).unwrap();
            assert_eq!(decrypted.plaintext, text);

            for polls in 0..=times {
                let mut buffer = vec![0; 2000];
                assert!(polled(slow.decrypt(&message, &context()), polls).is_none());
                assert!(polled(slow.decrypt_prefix(&message, &context()), polls).is_none());
                let context = context();
                let into = slow.decrypt_into(&message, &context, &mut buffer);
                assert!(polled(into, polls).is_none());
                assert!(buffer.iter().all(|byte| *byte == 0), "plaintext");
            }
            let decrypted = polled(slow.decrypt(&message, &context()), times + 1).unwrap();
            assert_eq!(decrypted.unwrap().plaintext, text);
        }
    }
}

/// A provider is asked when there is a header, once.
#[test]
fn a_decryptor_whose_push_was_dropped_is_closed() {
    let suite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
    let provider = Slow::new(raw("key", 7), 2);
    let ended = provider.ended.clone();
    let slow = Client::new(provider);
    let message = ready(client(suite).encrypt(&plaintext(100), &context())).unwrap();
    let header = waxseal::inspect(&message).unwrap().header_length();
    for polls in 0..=2 {
        let mut decryptor = slow.decryptor(&context());
        let mut out = Vec::new();
        ready(decryptor.push(&message[..header - 1], &mut out)).unwrap();
        assert!(decryptor.details().is_none());
        let pushed = polled(decryptor.push(&message[header - 1..], &mut out), polls);
        assert!(pushed.is_none());
        assert!(out.is_empty());
        if polls == 0 {
            // Never polled, it has done nothing.
            let pushed = polled(decryptor.push(&message[header - 1..], &mut out), 3);
            pushed.unwrap().unwrap();
            assert_eq!(out, plaintext(100));
            decryptor.finish().unwrap();
            continue;
        }
        assert!(decryptor.details().is_none() && decryptor.header().is_none());
        for piece in [&message[header - 1..], &message, b""] {
            let pushed = ready(decryptor.push(piece, &mut out));
            assert!(matches!(pushed, Err(Error::StreamClosed)));
        }
        assert!(out.is_empty());
        assert!(matches!(decryptor.finish(), Err(Error::StreamClosed)));
    }
    // Behind the header nothing is waited for.
    let before = ended.load(Ordering::Relaxed);
    let mut decryptor = slow.decryptor_unverified(&context());
    let mut out = Vec::new();
    let pushed = polled(decryptor.push(&message[..header], &mut out), 3);
    pushed.unwrap().unwrap();
    assert!(decryptor.details().is_some() && decryptor.header().is_some());
    for byte in &message[header..] {
        ready(decryptor.push(&[*byte], &mut out)).unwrap();
    }
    assert_eq!(out, plaintext(100));
    decryptor.finish().unwrap();
    assert_eq!(ended.load(Ordering::Relaxed), before + 1);
}

#[test]
fn the_blocking_client_waits() {
    let (provider, _) = slow(3);
    let client = Client::new(provider).blocking();
    let message = client.encrypt(b"text", &context()).unwrap();
    let decrypted = client.decrypt(&message, &context()).unwrap();
    assert_eq!(decrypted.plaintext, b"text");
    let mut decryptor = client.decryptor(&context());
    let mut out = Vec::new();
    for byte in &message {
        decryptor.push(&[*byte], &mut out).unwrap();
    }
    assert_eq!(out, b"text");
}

#[test]
fn a_decryptor_that_is_not_finished_is_cut() {
    for suite in AlgorithmSuite::ALL {
        let client = builder(suite, Fixed).frame_length(16).build().unwrap();
        let none = EncryptionContext::new();
        let message = ready(client.encrypt(&plaintext(40), &none)).unwrap();
        for end in [0, 1, message.len() / 2, message.len() - 1] {
            for mode in MODES {
                let (_, outcome) = stream(&client, &none, &message[..end], 1000, mode);
                assert!(matches!(outcome, Err(Error::Truncated)));
            }
            let mut writer = client.blocking().decrypt_writer(Vec::new(), &none);
            writer.write_all(&message[..end]).unwrap();
            let error: Error = writer.finish().unwrap_err().downcast().unwrap();
            assert!(matches!(error, Error::Truncated));
        }
    }
}

/// At any length, in any pieces: what an encryptor gave before it was finished
/// is the start of a message and never one.
#[test]
fn an_encryptor_that_is_not_finished_leaves_no_message() {
    for suite in [
        AlgorithmSuite::Aes256GcmHkdfSha256,
        AlgorithmSuite::Aes128GcmHkdfSha256EcdsaP256,
        AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
        AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384,
    ] {
        let client = builder(suite, Fixed).frame_length(8).build().unwrap();
        let none = EncryptionContext::new();
        for length in 0..=33 {
            for size in [1, 8, 33] {
                let mut encryptor = ready(client.encryptor(&none, None)).unwrap();
                let mut out = Vec::new();
                let text = plaintext(length);
                encryptor.update(b"", &mut out).unwrap();
                for piece in text.chunks(size) {
                    encryptor.update(piece, &mut out).unwrap();
                }
                drop(encryptor);
                let refused = ready(client.decrypt(&out, &none));
                assert!(matches!(refused, Err(Error::Truncated)), "{length}, {size}");
                let whole_frames = length.saturating_sub(1) / 8 * 8;
                let mode = support::Mode::Unverified;
                let (released, outcome) = stream(&client, &none, &out, 1000, mode);
                assert!(matches!(outcome, Err(Error::Truncated)), "{length}, {size}");
                assert_eq!(released, text[..whole_frames]);
            }
        }
    }
}

#[test]
fn a_writer_that_is_not_finished_leaves_no_message() {
    let client = client(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey).blocking();
    let none = EncryptionContext::new();
    for length in [0, 1, 4095, 4096, 4097, 8192, 65_536, 200_000] {
        let mut out = Vec::new();
        let mut writer = client.encrypt_writer(&mut out, &none).unwrap();
        writer.write_all(&plaintext(length)).unwrap();
        writer.flush().unwrap();
        drop(writer);
        let refused = client.decrypt(&out, &none);
        assert!(matches!(refused, Err(Error::Truncated)), "{length}");
    }
}

#[test]
fn clients_and_streams_go_anywhere() {
    fn anywhere<T: Send + Sync + 'static>() {}
    fn everywhere<T: Send + Sync + Clone + 'static>() {}
    fn to_another_thread<T: Send>(_: &T) {}
    everywhere::<Client>();
    everywhere::<blocking::Client>();
    everywhere::<DecryptionDetails>();
    everywhere::<UnverifiedHeader>();
    everywhere::<EncryptionContext>();
    anywhere::<ClientBuilder>();
    anywhere::<PreparedEncryption>();
    anywhere::<Encryptor>();
    anywhere::<Decryptor<Authenticated>>();
    anywhere::<Decryptor<Unverified>>();
    anywhere::<blocking::Decryptor>();
    anywhere::<blocking::EncryptWriter<Vec<u8>>>();
    anywhere::<blocking::EncryptReader<&'static [u8]>>();
    anywhere::<blocking::DecryptReader<&'static [u8]>>();
    anywhere::<blocking::DecryptWriter<Vec<u8>, Unverified>>();
    anywhere::<Decrypted>();
    anywhere::<Error>();
    anywhere::<Box<dyn KeyProvider>>();

    let client = Client::new(Fixed);
    let (none, mut buffer, mut out) = (EncryptionContext::new(), [0; 10], Vec::new());
    to_another_thread(&client.encrypt(b"", &none));
    to_another_thread(&client.encrypt_into(b"", &none, &mut buffer));
    to_another_thread(&client.prepare(&none, None));
    to_another_thread(&client.encryptor(&none, None));
    to_another_thread(&client.decrypt(b"", &none));
    to_another_thread(&client.decrypt_prefix(b"", &none));
    to_another_thread(&client.decrypt_into(b"", &none, &mut buffer));
    to_another_thread(&client.decryptor(&none).push(b"", &mut out));
}

/// One client, many threads, and clones of it.
#[test]
fn used_by_several_threads() {
    let client = client(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (shared, own) = (&client, client.clone());
            scope.spawn(move || {
                for turn in 0..20 {
                    let text = plaintext(thread * 100 + turn);
                    let message = ready(own.encrypt(&text, &context())).unwrap();
                    let decrypted = ready(shared.decrypt(&message, &context())).unwrap();
                    assert_eq!(decrypted.plaintext, text);
                }
            });
        }
    });
}
