//! aws-esdk 2.0, a branch of the official SDK that is not released (June 2026):
//! what was measured of it on another machine, as ratios to the bare primitives
//! there, against this library's ratios to the same primitives here.
//!
//! There, by one thread, frames of 4,096 bytes, a local wrapping key: AES-GCM of
//! aws-lc-rs, frame by frame into a reused buffer, 6,024 MiB/s at 100 MiB and
//! 10,640 at 1 MiB; a new P-384 key and a signature by aws-lc-rs 95 µs, a
//! verification 140; HKDF-SHA-512 by sha2 1.6 µs; SHA-384 825 MiB/s.

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use sha2::{Digest, Sha384};
use waxseal::{CryptoBackend, blocking::Client};
use waxseal_bench::aead::{Frames, Key};
use waxseal_bench::{Clock, Contender, Goal, Session, bare};

use crate::{Buffers, KIB, MIB, client, context};

/// Times of a 16-byte message, as multiples of the bare primitive's: of a key
/// derivation, of a new key and a signature, of a verification.
const SHORT: [(&str, bool, f64); 4] = [
    ("encrypt", false, 67.0 / 1.6),
    ("decrypt", false, 63.0 / 1.6),
    ("encrypt", true, 307.0 / 95.0),
    ("decrypt", true, 270.0 / 140.0),
];

/// Speeds as parts of the bare AEAD's.
const UNSIGNED: [(&str, usize, f64); 4] = [
    ("encrypt", MIB, 0.45),
    ("decrypt", MIB, 0.49),
    ("encrypt", 100 * MIB, 0.76),
    ("decrypt", 100 * MIB, 0.76),
];

/// Speeds as parts of SHA-384's.
const SIGNED: [(&str, f64); 2] = [("encrypt", 599.0 / 825.0), ("decrypt", 609.0 / 825.0)];

pub(crate) fn run(session: &Session) {
    // With the best back end that there is here: the first one.
    for backend in CryptoBackend::available().iter().take(1) {
        let peer = Peer { session, backend };
        peer.short();
        peer.unsigned();
        peer.signed();
    }
}

struct Peer<'a> {
    session: &'a Session,
    backend: &'a CryptoBackend,
}

/// The bare AEAD that counts here, whatever the library's back end is.
fn bare_key() -> Key {
    Key::new("aws-lc-rs", &[7; 32])
}

impl Peer<'_> {
    fn short(&self) {
        let bare = Signing::new();
        for (operation, signed, peer) in SHORT {
            let case = Case::new(self.backend, signed, 1, 16);
            let mut contenders = [
                case.contender(operation),
                Contender::new("bare", |buffers: &mut Buffers| match (signed, operation) {
                    (false, _) => drop(std::hint::black_box(bare::derive(&[7; 32], &[8; 32]))),
                    (true, "encrypt") => bare.sign(&buffers.message),
                    (true, _) => bare.verify(),
                }),
            ];
            // Less of the time is better.
            let goal = Goal::AtMost(peer);
            self.measure(
                Clock::Processor,
                &case,
                operation,
                &mut contenders,
                "times the bare primitive's time",
                |measured| (measured.ratio(0, 1), goal),
            );
        }
    }

    fn unsigned(&self) {
        for (operation, length, peer) in UNSIGNED {
            for threads in [1, 2] {
                let case = Case::new(self.backend, false, threads, length);
                let key = bare_key();
                let mut contenders = vec![case.contender(operation)];
                for way in key.ways() {
                    let frames = frames(&key);
                    contenders.push(Contender::new("bare", move |buffers: &mut Buffers| {
                        match operation {
                            "encrypt" => buffers.encrypt(&frames, *way),
                            _ => buffers.decrypt(&frames, *way),
                        }
                    }));
                }
                let (clock, goal) = match threads {
                    1 => (Clock::Processor, peer),
                    _ => (Clock::Wall, 1.6 * peer),
                };
                self.measure(
                    clock,
                    &case,
                    operation,
                    &mut contenders,
                    "of the bare AEAD's speed by one thread",
                    |measured| {
                        let fastest = measured.fastest(&[1, 2]);
                        (measured.ratio(fastest, 0), Goal::AtLeast(goal))
                    },
                );
            }
        }
    }

    fn signed(&self) {
        for (length, threads) in [(MIB, 1), (100 * MIB, 2)] {
            for (operation, peer) in SIGNED {
                let case = Case::new(self.backend, true, threads, length);
                let mut contenders = [
                    case.contender(operation),
                    Contender::new("sha2", |buffers: &mut Buffers| {
                        Sha384::digest(&buffers.message)
                    }),
                    Contender::new("aws-lc-rs", |buffers: &mut Buffers| {
                        digest::digest(&digest::SHA384, &buffers.message)
                    }),
                ];
                let (clock, goal) = match threads {
                    1 => (Clock::Processor, peer),
                    _ => (Clock::Wall, 0.95),
                };
                self.measure(
                    clock,
                    &case,
                    operation,
                    &mut contenders,
                    "of the fastest SHA-384's speed",
                    |measured| {
                        let fastest = measured.fastest(&[1, 2]);
                        (measured.ratio(fastest, 0), Goal::AtLeast(goal))
                    },
                );
            }
        }
    }

    fn measure(
        &self,
        clock: Clock,
        case: &Case,
        operation: &str,
        contenders: &mut [Contender<'_, Buffers>],
        what: &str,
        ratio: impl Fn(&waxseal_bench::Measured) -> (waxseal_bench::Spread, Goal),
    ) {
        let name = format!("{operation}/{}/aws-esdk 2.0", case.name);
        if !self.session.wants(&name) {
            return;
        }
        let mut buffers = case.buffers();
        let measured = self
            .session
            .measure_by(clock, &name, &mut buffers, contenders);
        let Some(measured) = measured else {
            return;
        };
        let (ratio, goal) = ratio(&measured);
        println!("{name:60} {ratio} {what}, {}", goal.verdict(ratio));
    }
}

struct Case {
    name: String,
    client: Client,
    length: usize,
}

impl Case {
    fn new(backend: &CryptoBackend, signed: bool, threads: usize, length: usize) -> Self {
        let suite = if signed { "0x0578" } else { "0x0478" };
        let size = match length {
            16 => "16 bytes".to_owned(),
            length => crate::megabytes(length),
        };
        Case {
            name: format!("{size}/{}, {suite}, {threads} threads", backend.name()),
            client: client(backend, 4 * KIB, signed, threads),
            length,
        }
    }

    fn buffers(&self) -> Buffers {
        let key = bare_key();
        Buffers::new(&self.client, &frames(&key), self.length)
    }

    fn contender(&self, operation: &'static str) -> Contender<'_, Buffers> {
        let context = context();
        Contender::new("waxseal", move |buffers: &mut Buffers| {
            let client = &self.client;
            match operation {
                "encrypt" => {
                    client
                        .encrypt_into(&buffers.plaintext, &context, &mut buffers.sealed)
                        .expect("encrypts");
                }
                _ => {
                    client
                        .decrypt_into(&buffers.message, &context, &mut buffers.opened)
                        .expect("decrypts");
                }
            }
        })
    }
}

fn frames(key: &Key) -> Frames<'_> {
    Frames {
        key,
        length: 4 * KIB,
        first: 1,
    }
}

/// P-384 of aws-lc-rs.
struct Signing {
    random: SystemRandom,
    public: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signing {
    fn new() -> Self {
        let random = SystemRandom::new();
        let message = vec![7; 600];
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).expect("a key");
        let signature = key.sign(&random, &message).expect("signs");
        Signing {
            public: key.public_key().as_ref().to_vec(),
            signature: signature.as_ref().to_vec(),
            random,
            message,
        }
    }

    fn sign(&self, message: &[u8]) {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).expect("a key");
        std::hint::black_box(key.sign(&self.random, message).expect("signs"));
    }

    fn verify(&self) {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, &self.public)
            .verify(&self.message, &self.signature)
            .expect("verifies");
    }
}
