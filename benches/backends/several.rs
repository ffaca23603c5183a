//! By two threads on two cores, and by sixteen.

use std::thread;

use waxseal::CryptoBackend;
use waxseal_bench::aead::{Frames, Way};
use waxseal_bench::{Clock, Contender, Goal, Session};

use crate::{Buffers, KIB, MIB, client, context, key, print};

const LENGTH: usize = 100 * MIB;
/// Of what two threads reach that run the bare AEAD over the two halves.
const GOAL: Goal = Goal::AtLeast(0.9);
/// No slower: three percent are this measurement's own.
const NO_SLOWER: Goal = Goal::AtLeast(0.97);

pub(crate) fn run(session: &Session, backend: &CryptoBackend) {
    for frame_length in [4 * KIB, 64 * KIB] {
        let name = format!("100 MiB/{}, frames {frame_length}", backend.name());
        let wanted = |operation: &str| session.wants(&measured_name(operation, &name));
        if !wanted("encrypt") && !wanted("decrypt") {
            continue;
        }
        let key = key(backend);
        let frames = Frames {
            key: &key,
            length: frame_length,
            first: 1,
        };
        let (two, sixteen) = (
            client(backend, frame_length, false, 2),
            client(backend, frame_length, false, 16),
        );
        let mut buffers = Buffers::new(&two, &frames, LENGTH);
        let context = context();

        let mut contenders = vec![];
        for (name, client) in [("two threads", &two), ("sixteen threads", &sixteen)] {
            contenders.push(Contender::new(name, |buffers: &mut Buffers| {
                client
                    .encrypt_into(&buffers.plaintext, &context, &mut buffers.sealed)
                    .expect("encrypts")
            }));
        }
        for way in key.ways() {
            contenders.push(Contender::new(bare(*way), move |buffers: &mut Buffers| {
                encrypt_halves(&frames, *way, buffers)
            }));
        }
        measure(
            session,
            &measured_name("encrypt", &name),
            &mut buffers,
            &mut contenders,
        );

        let mut contenders = vec![];
        for (name, client) in [("two threads", &two), ("sixteen threads", &sixteen)] {
            contenders.push(Contender::new(name, |buffers: &mut Buffers| {
                client
                    .decrypt_into(&buffers.message, &context, &mut buffers.opened)
                    .expect("decrypts")
            }));
        }
        for way in key.ways() {
            contenders.push(Contender::new(bare(*way), move |buffers: &mut Buffers| {
                decrypt_halves(&frames, *way, buffers)
            }));
        }
        measure(
            session,
            &measured_name("decrypt", &name),
            &mut buffers,
            &mut contenders,
        );
    }
}

fn bare(way: Way) -> &'static str {
    match way {
        Way::Copy => "bare by two threads, copying",
        Way::Direct => "bare by two threads, out of place",
    }
}

fn encrypt_halves(frames: &Frames<'_>, way: Way, buffers: &mut Buffers) {
    let (at, message_at, second) = frames.halve(buffers.plaintext.len());
    let (left, right) = buffers.plaintext.split_at(at);
    let out = &mut buffers.sealed[buffers.header..];
    let (left_out, right_out) = out.split_at_mut(message_at);
    thread::scope(|scope| {
        scope.spawn(|| second.encrypt(way, right, right_out));
        frames.encrypt(way, left, left_out);
    });
}

fn decrypt_halves(frames: &Frames<'_>, way: Way, buffers: &mut Buffers) {
    let (at, message_at, second) = frames.halve(buffers.opened.len());
    let (left, right) = buffers.bare[buffers.header..].split_at(message_at);
    let (left_out, right_out) = buffers.opened.split_at_mut(at);
    thread::scope(|scope| {
        scope.spawn(|| second.decrypt(way, right, right_out));
        frames.decrypt(way, left, left_out);
    });
}

fn measured_name(operation: &str, name: &str) -> String {
    format!("{operation}/{name}, 2 threads")
}

fn measure(
    session: &Session,
    name: &str,
    buffers: &mut Buffers,
    contenders: &mut [Contender<'_, Buffers>],
) {
    if let Some(measured) = session.measure_by(Clock::Wall, name, buffers, contenders) {
        let bare: Vec<usize> = (2..contenders.len()).collect();
        let bare = measured.fastest(&bare);
        print(name, &measured, contenders, (0, bare), LENGTH, GOAL);
        let name = name.replace("2 threads", "16 threads");
        print(&name, &measured, contenders, (1, 0), LENGTH, NO_SLOWER);
    }
}
