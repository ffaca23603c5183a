//! Each back end against its own bare AEAD, frame by frame, from and to the same
//! reused buffers, and into fresh ones; by one thread, two and sixteen. And the
//! figures of aws-esdk 2.0, which is not released, as ratios to the bare AEAD
//! and the bare signature measured beside.
//!
//! `cargo bench -p waxseal-bench --features backends --bench backends`

mod esdk2;
mod one;
mod several;

use waxseal::{CryptoBackend, EncryptionContext, Parallelism, blocking::Client};
use waxseal_bench::aead::{Frames, Key, Way};
use waxseal_bench::{Contender, Goal, Measured, Session, bare};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn main() {
    let mut session = Session::from_args();
    for backend in CryptoBackend::available() {
        one::run(&mut session, &backend);
        if session.measures() {
            several::run(&session, &backend);
        }
    }
    if session.measures() {
        esdk2::run(&session);
    }
    session.finish();
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("tenant", "7"), ("purpose", "backup")])
}

fn client(backend: &CryptoBackend, frame_length: usize, signed: bool, threads: usize) -> Client {
    let builder = waxseal::Client::builder(bare::provider())
        .backend(backend.clone())
        .frame_length(frame_length as u32)
        .signed(signed)
        .parallelism(Parallelism::threads(threads));
    builder.build().expect("good settings").blocking()
}

fn megabytes(length: usize) -> String {
    match length {
        length if length < MIB => format!("{} KiB", length / KIB),
        length => format!("{} MiB", length / MIB),
    }
}

/// What all contenders read and write.
struct Buffers {
    plaintext: Vec<u8>,
    /// The library's.
    message: Vec<u8>,
    /// The bare AEAD's, with its frames where those of the library's unsigned
    /// message are.
    bare: Vec<u8>,
    /// Bytes before the first frame.
    header: usize,
    /// Where all of them encrypt to.
    sealed: Vec<u8>,
    /// Where all of them decrypt to.
    opened: Vec<u8>,
}

impl Buffers {
    fn new(client: &Client, frames: &Frames<'_>, length: usize) -> Self {
        let plaintext: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let message = client.encrypt(&plaintext, &context()).expect("encrypts");
        // The final frame says its number twice, and its length.
        let header = message.len() - frames.message_length(length) - 8;
        let bare = frames.encrypt_fresh(Way::Copy, header, &plaintext);
        let buffers = Buffers {
            sealed: vec![0; message.len()],
            opened: vec![0; length],
            plaintext,
            message,
            bare,
            header,
        };
        buffers.check(frames);
        buffers
    }

    /// The bare AEAD's frames.
    fn frames(&self) -> &[u8] {
        &self.bare[self.header..]
    }

    /// By the bare AEAD, into the reused buffer.
    fn encrypt(&mut self, frames: &Frames<'_>, way: Way) {
        frames.encrypt(way, &self.plaintext, &mut self.sealed[self.header..]);
    }

    /// Likewise.
    fn decrypt(&mut self, frames: &Frames<'_>, way: Way) {
        frames.decrypt(way, &self.bare[self.header..], &mut self.opened);
    }

    /// That every way does the same.
    fn check(&self, frames: &Frames<'_>) {
        for way in frames.key.ways() {
            let mut message = vec![0; self.bare.len()];
            frames.encrypt(*way, &self.plaintext, &mut message[self.header..]);
            assert!(message == self.bare, "{way:?}: another message");
            let opened = frames.decrypt_fresh(*way, self.frames(), self.plaintext.len());
            assert!(opened == self.plaintext, "{way:?}: another plaintext");
        }
    }
}

/// MiB a second of a contender.
fn speed(measured: &Measured, contender: usize, length: usize) -> f64 {
    length as f64 / MIB as f64 / (measured.time(contender) / 1e9)
}

/// Prints this library's speed, that of what it is measured against, and the
/// ratio.
fn print(
    name: &str,
    measured: &Measured,
    contenders: &[Contender<'_, Buffers>],
    (ours, bare): (usize, usize),
    length: usize,
    goal: Goal,
) {
    let ratio = measured.ratio(bare, ours);
    println!(
        "{name:36} {:6.0} MiB/s, {} {:6.0} MiB/s, ratio {ratio}, {}",
        speed(measured, ours, length),
        contenders[bare].name(),
        speed(measured, bare, length),
        goal.verdict(ratio)
    );
}

/// A key of this back end, as good as any other.
fn key(backend: &CryptoBackend) -> Key {
    Key::new(backend.name(), &[7; 32])
}
