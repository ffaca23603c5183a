//! Reading a message: freed memory holds no data key, derived key or
//! plaintext, after success, failure, or when it was given up.
#![allow(unsafe_code)] // reason: an allocator that keeps what is freed

#[path = "support/freed.rs"]
mod freed;
mod support;

use std::io::{Read, Write};

use freed::{Keeping, Secrets, plaintext, watch};
use support::map::Map;
use support::providers::Fixed;
use support::{MODES, Mode, builder, ready, stream};
use waxseal::{AlgorithmSuite, Client, EncryptionContext, Error};

#[global_allocator]
static ALLOCATOR: Keeping = Keeping;

fn no_context() -> EncryptionContext {
    EncryptionContext::new()
}

/// A message under [`Fixed`]'s data key, of eleven frames whose length keeps
/// the plaintext from being aligned with anything.
struct Sample {
    suite: AlgorithmSuite,
    client: Client,
    message: Vec<u8>,
    map: Map,
    secrets: Secrets,
}

fn samples() -> impl Iterator<Item = Sample> {
    AlgorithmSuite::ALL.into_iter().map(|suite| {
        let client = builder(suite, Fixed).frame_length(101).build().unwrap();
        let message = ready(client.encrypt(&plaintext(1077), &no_context())).unwrap();
        let data_key = Fixed::data_key(suite.data_key_length());
        Sample {
            suite,
            client,
            map: Map::of(&message),
            secrets: Secrets::of_plaintext().and_keys(suite, &data_key, &message),
            message,
        }
    })
}

impl Sample {
    /// The message damaged, in each way that lets much of it decrypt before
    /// the error.
    fn damaged(&self) -> Vec<(&'static str, Vec<u8>)> {
        let changed = |at: usize| {
            let mut message = self.message.clone();
            message[at] ^= 1;
            message
        };
        let cut = |at: usize| self.message[..at].to_vec();
        let frames = &self.map.frames;
        let last = &frames[10];
        let mut all = vec![
            ("a wrong tag at the end", changed(last.bytes.end - 1)),
            ("a wrong byte at the end", changed(last.content.start)),
            ("a wrong tag halfway", changed(frames[4].bytes.end - 1)),
            ("a wrong number", changed(frames[7].bytes.start + 3)),
            ("cut in the last frame", cut(last.bytes.end - 1)),
            ("cut before the last frame", cut(last.bytes.start)),
            ("a byte behind", [&self.message[..], &[0]].concat()),
            ("a wrong header tag", changed(self.map.header.end - 1)),
        ];
        if self.suite.commits() {
            let commitment = changed(self.map.header.end - 17);
            all.push(("a wrong commitment", commitment));
        }
        if self.map.is_signed() {
            all.push(("a wrong signature", changed(self.map.length - 1)));
            all.push(("cut in the signature", cut(self.map.length - 1)));
        }
        all
    }

    /// Pushes these bytes, and says what was released.
    fn push(&self, bytes: &[u8], mode: Mode, size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        match mode {
            Mode::Authenticated => {
                let mut decryptor = self.client.decryptor(&no_context());
                for piece in bytes.chunks(size) {
                    ready(decryptor.push(piece, &mut out)).unwrap();
                }
            }
            Mode::Unverified => {
                let mut decryptor = self.client.decryptor_unverified(&no_context());
                for piece in bytes.chunks(size) {
                    ready(decryptor.push(piece, &mut out)).unwrap();
                }
            }
        }
        out
    }
}

#[test]
fn after_success() {
    for sample in samples() {
        let client = &sample.client;
        let (decrypted, freed) =
            watch(|| ready(client.decrypt(&sample.message, &no_context())).unwrap());
        assert_eq!(decrypted.plaintext, plaintext(1077));
        sample.secrets.are_gone(&freed, "decrypt");
        for mode in MODES {
            for size in [1, 64, 5000] {
                let ((out, outcome), freed) =
                    watch(|| stream(client, &no_context(), &sample.message, size, mode));
                outcome.unwrap();
                assert_eq!(out, plaintext(1077));
                sample.secrets.are_gone(&freed, "a decryptor");
            }
        }
    }
}

#[test]
fn after_failure_in_one_shot() {
    for sample in samples() {
        let client = &sample.client;
        for (what, message) in sample.damaged() {
            let what = format!("{what}, {}", sample.suite);
            let (_error, freed) =
                watch(|| ready(client.decrypt(&message, &no_context())).unwrap_err());
            sample.secrets.are_gone(&freed, &what);

            let mut buffer = vec![0; message.len()];
            let (_error, freed) = watch(|| {
                ready(client.decrypt_into(&message, &no_context(), &mut buffer)).unwrap_err()
            });
            sample.secrets.are_gone(&freed, &what);
            assert!(buffer.iter().all(|byte| *byte == 0), "{what}");
        }
    }
}

/// Drops a buffer whose first bytes are the caller's to wipe; what is behind
/// them, up to its capacity, is the library's.
fn drop_beyond(mut buffer: Vec<u8>, length: usize) {
    buffer[..length].fill(0);
    drop(std::hint::black_box(buffer));
}

#[test]
fn in_place() {
    for sample in samples() {
        let (client, suite) = (&sample.client, sample.suite);
        for room in [0, 3000] {
            let mut buffer = Vec::with_capacity(sample.message.len() + room);
            buffer.extend_from_slice(&sample.message);
            let ((), freed) = watch(|| {
                ready(client.decrypt_in_place(&mut buffer, &no_context())).unwrap();
                assert_eq!(buffer.len(), 1077);
                drop_beyond(buffer, 1077);
            });
            sample
                .secrets
                .are_gone(&freed, &format!("decrypt_in_place, {suite}"));

            // It moves, unless there is room.
            let mut buffer = Vec::with_capacity(1077 + room);
            buffer.extend(plaintext(1077));
            let ((), freed) = watch(|| {
                ready(client.encrypt_in_place(&mut buffer, &no_context())).unwrap();
                drop(std::hint::black_box(buffer));
            });
            sample
                .secrets
                .are_gone(&freed, &format!("encrypt_in_place, {suite}"));
        }
    }
}

#[test]
fn after_failure_in_place() {
    for sample in samples() {
        let client = &sample.client;
        for (what, message) in sample.damaged() {
            let what = format!("{what}, {}", sample.suite);
            let mut buffer = message;
            let ((), freed) = watch(|| {
                ready(client.decrypt_in_place(&mut buffer, &no_context())).unwrap_err();
                drop(std::hint::black_box(buffer));
            });
            sample.secrets.are_gone(&freed, &what);
        }

        let prepared = ready(client.prepare(&no_context(), Some(1076))).unwrap();
        let mut buffer = plaintext(1077);
        let ((), freed) = watch(|| {
            let refused = prepared.encrypt_in_place(&mut buffer);
            assert!(matches!(
                refused,
                Err(Error::PlaintextBoundExceeded { bound: 1076 })
            ));
            assert!(buffer.is_empty());
            drop(std::hint::black_box(buffer));
        });
        sample.secrets.are_gone(&freed, "more than declared");
    }
}

/// What was released stays with the caller; what was not is gone.
#[test]
fn after_failure_in_streams() {
    for sample in samples() {
        let client = &sample.client;
        for (what, message) in sample.damaged() {
            let what = format!("{what}, {}", sample.suite);
            for mode in MODES {
                for size in [1, 64, 5000] {
                    let ((_released, outcome), freed) =
                        watch(|| stream(client, &no_context(), &message, size, mode));
                    outcome.unwrap_err();
                    sample.secrets.are_gone(&freed, &what);
                }
            }
        }
    }
}

#[test]
fn after_failure_in_adapters() {
    for sample in samples() {
        let client = sample.client.blocking();
        for (what, message) in sample.damaged() {
            let what = format!("{what}, {}", sample.suite);
            let mut released = Vec::with_capacity(message.len());
            let ((), freed) = watch(|| {
                client
                    .decrypt_reader(&message[..], &no_context())
                    .and_then(|mut reader| reader.read_to_end(&mut released))
                    .map(drop)
                    .unwrap_err();
            });
            sample.secrets.are_gone(&freed, &what);

            let mut released = Vec::with_capacity(message.len());
            let ((), freed) = watch(|| {
                let mut writer = client.decrypt_writer_unverified(&mut released, &no_context());
                message
                    .chunks(64)
                    .try_for_each(|piece| writer.write_all(piece))
                    .and_then(|()| writer.finish().map(drop))
                    .unwrap_err();
            });
            sample.secrets.are_gone(&freed, &what);
        }
    }
}

#[test]
fn when_given_up_halfway() {
    for sample in samples() {
        let half = &sample.message[..sample.map.frames[5].content.start + 9];
        for mode in MODES {
            for size in [1, 64, 5000] {
                let (_released, freed) = watch(|| sample.push(half, mode, size));
                sample.secrets.are_gone(&freed, "a decryptor");
            }
        }

        // With plaintext in it that nobody has read.
        let client = sample.client.blocking();
        let mut start = [0; 10];
        let ((), freed) = watch(|| {
            let mut reader = client
                .decrypt_reader(&sample.message[..], &no_context())
                .unwrap();
            reader.read_exact(&mut start).unwrap();
        });
        sample.secrets.are_gone(&freed, "a reader");

        // Into a sink that takes a part and fails.
        let mut full = [0; 150];
        let ((), freed) = watch(|| {
            let mut writer = client.decrypt_writer(&mut full[..], &no_context());
            writer.write_all(&sample.message).unwrap_err();
        });
        sample.secrets.are_gone(&freed, "a writer");

        let mut small = [0; 150];
        let ((), freed) = watch(|| {
            let refused = client.decrypt_into(&sample.message, &no_context(), &mut small);
            assert!(matches!(refused, Err(Error::OutputTooSmall { .. })));
        });
        sample.secrets.are_gone(&freed, "a buffer too small");
        assert_eq!(small, [0; 150]);
    }
}

#[test]
fn at_the_limit_of_what_is_held_back() {
    for sample in samples().filter(|sample| sample.suite.is_signed()) {
        let limited = builder(sample.suite, Fixed)
            .max_buffered(500)
            .build()
            .unwrap();
        for size in [1, 64, 5000] {
            let ((released, outcome), freed) = watch(|| {
                let mode = Mode::Authenticated;
                stream(&limited, &no_context(), &sample.message, size, mode)
            });
            assert!(matches!(outcome, Err(Error::BufferLimit { .. })));
            assert!(released.is_empty());
            sample.secrets.are_gone(&freed, "what was held back");
        }
    }
}

#[cfg(feature = "tokio")]
#[test]
fn in_asynchronous_adapters() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for sample in samples() {
        let client = &sample.client;
        for (what, message) in sample.damaged() {
            let what = format!("{what}, {}", sample.suite);
            let mut released = Vec::with_capacity(message.len());
            let ((), freed) = watch(|| {
                runtime.block_on(async {
                    match client.decrypt_reader(&message[..], &no_context()).await {
                        Ok(mut reader) => reader.read_to_end(&mut released).await.map(drop),
                        Err(error) => Err(error),
                    }
                    .unwrap_err();
                });
            });
            sample.secrets.are_gone(&freed, &what);

            let mut released = Vec::with_capacity(message.len());
            let ((), freed) = watch(|| {
                runtime.block_on(async {
                    let mut writer = client.decrypt_writer_unverified(&mut released, &no_context());
                    match writer.write_all(&message).await {
                        Ok(()) => writer.finish().await.map(drop),
                        Err(error) => Err(error),
                    }
                    .unwrap_err();
                });
            });
            sample.secrets.are_gone(&freed, &what);
        }
    }
}
