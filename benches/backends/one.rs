//! By one thread.

use waxseal::CryptoBackend;
use waxseal_bench::aead::{Frames, Key, Way};
use waxseal_bench::bare::{self, BareMessage, IV_LENGTH};
use waxseal_bench::{Contender, Goal, Session};

use crate::{Buffers, KIB, MIB, client, context, key, megabytes, print};

const GOAL: Goal = Goal::AtLeast(0.92);

pub(crate) fn run(session: &mut Session, backend: &CryptoBackend) {
    for length in [64 * KIB, MIB, 100 * MIB] {
        for frame_length in [4 * KIB, 64 * KIB] {
            if length > MIB && !session.measures() {
                // Minutes, unoptimised, for nothing new.
                continue;
            }
            let name = format!("{}, frames {frame_length}", backend.name());
            if !session.wants(&measured_name("encrypt", length, &name))
                && !session.wants(&measured_name("decrypt", length, &name))
            {
                continue;
            }
            let key = key(backend);
            let frames = Frames {
                key: &key,
                length: frame_length,
                first: 1,
            };
            let client = client(backend, frame_length, false, 1);
            let case = Case {
                name,
                backend: backend.name(),
                client: &client,
                frames,
                length,
            };
            let mut buffers = Buffers::new(&client, &frames, length);
            case.encrypt(session, &mut buffers);
            case.decrypt(session, &mut buffers);
        }
    }
}

struct Case<'a> {
    name: String,
    backend: &'static str,
    client: &'a waxseal::blocking::Client,
    frames: Frames<'a>,
    length: usize,
}

impl Case<'_> {
    fn encrypt(&self, session: &mut Session, buffers: &mut Buffers) {
        let (context, frames) = (context(), self.frames);
        let floor = Floor::new(self.backend, &buffers.message);
        let mut contenders = vec![
            Contender::new("reused", |buffers: &mut Buffers| {
                self.client
                    .encrypt_into(&buffers.plaintext, &context, &mut buffers.sealed)
                    .expect("encrypts")
            }),
            Contender::new("fresh", |buffers: &mut Buffers| {
                self.client
                    .encrypt(&buffers.plaintext, &context)
                    .expect("encrypts")
            }),
        ];
        for way in self.frames.key.ways() {
            let is_short = self.is_short();
            let floor = &floor;
            contenders.push(Contender::new(
                reused(*way),
                move |buffers: &mut Buffers| {
                    let key = is_short.then(|| floor.encrypt());
                    let key = key.as_ref().unwrap_or(frames.key);
                    buffers.encrypt(&Frames { key, ..frames }, *way);
                },
            ));
            contenders.push(Contender::new(fresh(*way), move |buffers: &mut Buffers| {
                let key = is_short.then(|| floor.encrypt());
                let key = key.as_ref().unwrap_or(frames.key);
                Frames { key, ..frames }.encrypt_fresh(*way, buffers.header, &buffers.plaintext)
            }));
        }
        self.measure(session, "encrypt", buffers, &mut contenders);
    }

    fn decrypt(&self, session: &mut Session, buffers: &mut Buffers) {
        let (context, frames) = (context(), self.frames);
        let floor = Floor::new(self.backend, &buffers.message);
        let mut contenders = vec![
            Contender::new("reused", |buffers: &mut Buffers| {
                self.client
                    .decrypt_into(&buffers.message, &context, &mut buffers.opened)
                    .expect("decrypts")
            }),
            Contender::new("fresh", |buffers: &mut Buffers| {
                self.client
                    .decrypt(&buffers.message, &context)
                    .expect("decrypts")
            }),
        ];
        for way in self.frames.key.ways() {
            let is_short = self.is_short();
            let floor = &floor;
            contenders.push(Contender::new(
                reused(*way),
                move |buffers: &mut Buffers| {
                    if is_short {
                        floor.decrypt();
                    }
                    buffers.decrypt(&frames, *way);
                },
            ));
            contenders.push(Contender::new(fresh(*way), move |buffers: &mut Buffers| {
                if is_short {
                    floor.decrypt();
                }
                frames.decrypt_fresh(*way, buffers.frames(), buffers.plaintext.len())
            }));
        }
        self.measure(session, "decrypt", buffers, &mut contenders);
    }

    /// Whether a message's floor counts beside its frames.
    fn is_short(&self) -> bool {
        self.length < MIB
    }

    fn measure(
        &self,
        session: &mut Session,
        operation: &str,
        buffers: &mut Buffers,
        contenders: &mut [Contender<'_, Buffers>],
    ) {
        let name = measured_name(operation, self.length, &self.name);
        if let Some(measured) = session.measure(&name, buffers, contenders) {
            // Reused and fresh by turns.
            let bare = |first| (first..contenders.len()).step_by(2).collect::<Vec<_>>();
            let reused = measured.fastest(&bare(2));
            print(&name, &measured, contenders, (0, reused), self.length, GOAL);
            let fresh = measured.fastest(&bare(3));
            let name = format!("{name}, fresh");
            print(&name, &measured, contenders, (1, fresh), self.length, GOAL);
        }
        session.register(&name, buffers, contenders);
    }
}

fn measured_name(operation: &str, length: usize, name: &str) -> String {
    format!("{operation}/{}/{name}", megabytes(length))
}

fn reused(way: Way) -> &'static str {
    match way {
        Way::Copy => "bare, copying",
        Way::Direct => "bare, out of place",
    }
}

fn fresh(way: Way) -> &'static str {
    match way {
        Way::Copy => "bare, copying into fresh",
        Way::Direct => "bare, out of place into fresh",
    }
}

/// What a message's primitives take beside its frames: the key derivation, the
/// wrapped key, the header's tag and the key set-up.
struct Floor {
    backend: &'static str,
    message: BareMessage,
    wrapping_key: Key,
    /// The header's tag, by a key that is always the same.
    header: (Key, [u8; 16]),
    /// A data key wrapped.
    wrapped: ([u8; 32], [u8; 16]),
}

const ZERO_IV: [u8; IV_LENGTH] = [0; IV_LENGTH];

impl Floor {
    fn new(backend: &'static str, message: &[u8]) -> Self {
        let message = BareMessage::new(message, 4096);
        let wrapping_key = Key::new(backend, &[9; 32]);
        let mut data_key = [1; 32];
        let wrap_tag = wrapping_key.seal(ZERO_IV, &message.wrapped.aad, &mut data_key);
        let (key, _) = bare::derive(&[1; 32], &message.message_id);
        let header_key = Key::new(backend, &key);
        let header_tag = header_key.seal(ZERO_IV, &message.header, &mut []);
        Floor {
            backend,
            message,
            wrapping_key,
            header: (header_key, header_tag),
            wrapped: (data_key, wrap_tag),
        }
    }

    /// The key for the frames.
    fn encrypt(&self) -> Key {
        let mut random = [0; 76];
        getrandom::fill(&mut random).expect("random");
        let (id, rest) = random.split_first_chunk().expect("76 bytes");
        let (mut data_key, rest): ([u8; 32], _) = rest
            .split_first_chunk()
            .map(|(key, rest)| (*key, rest))
            .expect("44 bytes");
        let (key, commitment) = bare::derive(&data_key, id);
        let iv = *rest.first_chunk().expect("12 bytes");
        self.wrapping_key
            .seal(iv, &self.message.wrapped.aad, &mut data_key);
        let key = Key::new(self.backend, &key);
        key.seal(ZERO_IV, &self.message.header, &mut []);
        std::hint::black_box((data_key, commitment));
        key
    }

    fn decrypt(&self) {
        let (mut data_key, tag) = self.wrapped;
        self.wrapping_key
            .open(ZERO_IV, &self.message.wrapped.aad, &mut data_key, &tag);
        let (key, commitment) = bare::derive(&data_key, &self.message.message_id);
        let key = std::hint::black_box((Key::new(self.backend, &key), commitment)).0;
        key.open(ZERO_IV, &self.message.header, &mut [], &self.header.1);
        std::hint::black_box(&self.header.0);
    }
}
