//! Whole messages of 1 MiB and 64 MiB against the bare AEAD, frame by frame,
//! from and to the same buffers.

use waxseal::EncryptionContext;
use waxseal_bench::bare::{self, BareMessage};
use waxseal_bench::{Contender, Goal, Measured, Session};

const MIB: usize = 1 << 20;

struct Buffers {
    plaintext: Vec<u8>,
    message: Vec<u8>,
}

fn main() {
    let mut session = Session::from_args();
    let context = EncryptionContext::from([("tenant", "7"), ("purpose", "backup")]);
    for (length, frame_length) in [
        (MIB, 4096),
        (MIB, 65_536),
        (64 * MIB, 4096),
        (64 * MIB, 65_536),
    ] {
        if length > MIB && !session.measures() {
            // Minutes, unoptimised, for nothing new.
            continue;
        }
        let client = bare::client(frame_length, false).blocking();
        let plaintext: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let message = client.encrypt(&plaintext, &context).expect("encrypts");
        let bare = BareMessage::new(&message, frame_length);
        let mut buffers = Buffers { plaintext, message };
        check(&bare, &buffers);

        let name = |operation| format!("{operation}/{} MiB/{frame_length}", length / MIB);
        // Decrypting comes first: encrypting writes over the message.
        run(
            &mut session,
            &name("decrypt"),
            &mut buffers,
            &mut [
                Contender::new("bare AEAD", |buffers: &mut Buffers| {
                    bare.decrypt(&buffers.message, &mut buffers.plaintext);
                }),
                Contender::new("waxseal", |buffers: &mut Buffers| {
                    client
                        .decrypt_into(&buffers.message, &context, &mut buffers.plaintext)
                        .expect("decrypts")
                }),
            ],
            length,
        );
        run(
            &mut session,
            &name("encrypt"),
            &mut buffers,
            &mut [
                Contender::new("bare AEAD", |buffers: &mut Buffers| {
                    bare.encrypt(&buffers.plaintext, &mut buffers.message)
                }),
                Contender::new("waxseal", |buffers: &mut Buffers| {
                    client
                        .encrypt_into(&buffers.plaintext, &context, &mut buffers.message)
                        .expect("encrypts")
                }),
            ],
            length,
        );
    }
    session.finish();
}

/// That both do the same work: the bare AEAD makes the library's message anew,
/// but for what stands between the ciphertexts, and reads it.
fn check(bare: &BareMessage, buffers: &Buffers) {
    let mut copy = buffers.message.clone();
    let end = bare.encrypt(&buffers.plaintext, &mut copy);
    assert_eq!(end, copy.len());
    assert!(copy == buffers.message, "the bare AEAD's frames differ");
    let mut out = vec![0; buffers.plaintext.len()];
    bare.decrypt(&copy, &mut out);
    assert!(
        out == buffers.plaintext,
        "the bare AEAD's plaintext differs"
    );
}

fn run(
    session: &mut Session,
    name: &str,
    buffers: &mut Buffers,
    contenders: &mut [Contender<'_, Buffers>],
    length: usize,
) {
    if let Some(measured) = session.measure(name, buffers, contenders) {
        print(name, &measured, length);
    }
    session.register(name, buffers, contenders);
}

fn print(name: &str, measured: &Measured, length: usize) {
    let speed = |contender| length as f64 / MIB as f64 / (measured.time(contender) / 1e9);
    let ratio = measured.ratio(0, 1);
    println!(
        "{name:24} bare AEAD {:6.0} MiB/s, waxseal {:6.0} MiB/s, waxseal's speed to the bare \
         AEAD's {ratio}, {}",
        speed(0),
        speed(1),
        Goal::AtLeast(0.85).verdict(ratio)
    );
}
