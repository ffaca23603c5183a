//! A 16-byte message with a raw AES key, uncached, against its floor: the calls
//! to primitives that its format asks for. Printed with where the time goes,
//! and how much is allocated.

use aes_gcm::aead::array::Array;
use aes_gcm::{Aes256Gcm, KeyInit};
use waxseal::{Client, EncryptionContext, blocking, inspect};
use waxseal_bench::allocations::{Allocated, Counting, as_many_allocations};
use waxseal_bench::bare::{self, Aad, BareMessage, IV_LENGTH, TAG_LENGTH};
use waxseal_bench::{Contender, Goal, Measured, Session, ready};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PLAINTEXT: [u8; 16] = *b"sixteen bytes!!!";
const GOAL: Goal = Goal::AtMost(1.4);

fn main() {
    let mut session = Session::from_args();
    let pairs = [("tenant", "7"), ("purpose", "backup")];
    for (name, context) in [
        ("two context pairs", EncryptionContext::from(pairs)),
        ("empty context", EncryptionContext::new()),
    ] {
        let case = Case::new(context);
        encrypt(&mut session, &format!("encrypt/16 bytes/{name}"), &case);
        decrypt(&mut session, &format!("decrypt/16 bytes/{name}"), &case);
    }
    session.finish();
}

struct Case {
    client: Client,
    blocking: blocking::Client,
    context: EncryptionContext,
    message: Vec<u8>,
    bare: BareMessage,
    wrapping_key: Aes256Gcm,
}

impl Case {
    fn new(context: EncryptionContext) -> Self {
        let client = bare::client(4096, false);
        let blocking = client.blocking();
        let message = blocking.encrypt(&PLAINTEXT, &context).expect("encrypts");
        let bare = BareMessage::new(&message, 4096);
        let mut opened = [0; 16];
        bare.decrypt(&message, &mut opened);
        assert_eq!(opened, PLAINTEXT);
        Case {
            client,
            blocking,
            context,
            message,
            bare,
            wrapping_key: bare::wrapping_key(),
        }
    }

    fn encrypt(&self) -> Vec<u8> {
        let message = self.blocking.encrypt(&PLAINTEXT, &self.context);
        message.expect("encrypts")
    }

    fn decrypt(&self) -> waxseal::Decrypted {
        let decrypted = self.blocking.decrypt(&self.message, &self.context);
        decrypted.expect("decrypts")
    }

    /// The frame: ciphertext and tag.
    fn frame(&self) -> ([u8; 16], [u8; TAG_LENGTH]) {
        let (rest, tag) = self.message.split_last_chunk().expect("has a tag");
        (*rest.last_chunk().expect("has a frame"), *tag)
    }
}

/// A message id, a data key and an IV to wrap it with.
fn random() -> [u8; 76] {
    let mut random = [0; 76];
    getrandom::fill(&mut random).expect("random");
    random
}

fn take<const N: usize>(random: &[u8; 76], start: usize) -> [u8; N] {
    *random[start..].first_chunk().expect("76 bytes")
}

fn encrypt(session: &mut Session, name: &str, case: &Case) {
    let allocated = Counting::count(|| case.encrypt());
    let header = &case.bare.header[..];
    let wrapped = &case.bare.wrapped;
    let fixed = random();
    let key = Aes256Gcm::new(&Array(take(&fixed, 0)));
    let floor = || {
        let random = random();
        let (message_id, mut data_key) = (take(&random, 0), take(&random, 32));
        let (message_key, commitment) = bare::derive(&data_key, &message_id);
        let iv = take(&random, 64);
        let wrap_tag = bare::seal(&case.wrapping_key, iv, &wrapped.aad, &mut data_key);
        let key = Aes256Gcm::new(&Array(message_key));
        let header_tag = bare::seal(&key, [0; IV_LENGTH], header, &mut []);
        let mut frame = PLAINTEXT;
        let aad = Aad::of_only(&message_id, frame.len());
        let tag = bare::seal(&key, [1; IV_LENGTH], aad.bytes(), &mut frame);
        (commitment, data_key, wrap_tag, header_tag, frame, tag)
    };
    let mut contenders = [
        Contender::new("floor", |(): &mut ()| floor()),
        Contender::new("blocking", |(): &mut ()| case.encrypt()),
        Contender::new("async, polled once", |(): &mut ()| {
            ready(case.client.encrypt(&PLAINTEXT, &case.context)).expect("encrypts")
        }),
        Contender::new("76 random bytes", |(): &mut ()| random()),
        Contender::new("seal of 32 bytes: the wrap", |(): &mut ()| {
            let mut data_key: [u8; 32] = take(&fixed, 32);
            let iv = take(&fixed, 64);
            let tag = bare::seal(&case.wrapping_key, iv, &wrapped.aad, &mut data_key);
            (data_key, tag)
        }),
        derivation(case),
        key_set_up(case),
        Contender::new("seal of 0 bytes: the header", |(): &mut ()| {
            bare::seal(&key, [0; IV_LENGTH], header, &mut [])
        }),
        Contender::new("seal of 16 bytes: the frame", |(): &mut ()| {
            let mut frame = PLAINTEXT;
            let aad = Aad::of_only(&case.bare.message_id, frame.len());
            let tag = bare::seal(&key, [1; IV_LENGTH], aad.bytes(), &mut frame);
            (frame, tag)
        }),
        as_many_allocations(allocated),
        context_bytes(case),
    ];
    run(session, name, &mut contenders, allocated, 9);
}

fn decrypt(session: &mut Session, name: &str, case: &Case) {
    let allocated = Counting::count(|| case.decrypt());
    let bare = &case.bare;
    let (ciphertext, tag) = case.frame();
    let frame_iv = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let (message_key, _) = bare::derive(&bare.wrapped.open(&case.wrapping_key), &bare.message_id);
    let key = Aes256Gcm::new(&Array(message_key));
    let frame = |key: &Aes256Gcm| {
        let mut frame = ciphertext;
        let aad = Aad::of_only(&bare.message_id, frame.len());
        bare::open(key, frame_iv, aad.bytes(), &mut frame, tag);
        frame
    };
    let header = |key: &Aes256Gcm| {
        let iv = [0; IV_LENGTH];
        bare::open(key, iv, &bare.header, &mut [], bare.header_tag);
    };
    let floor = || {
        let data_key = bare.wrapped.open(&case.wrapping_key);
        let (message_key, commitment) = bare::derive(&data_key, &bare.message_id);
        let key = Aes256Gcm::new(&Array(message_key));
        header(&key);
        (commitment, frame(&key))
    };
    let mut contenders = [
        Contender::new("floor", |(): &mut ()| floor()),
        Contender::new("blocking", |(): &mut ()| case.decrypt()),
        Contender::new("async, polled once", |(): &mut ()| {
            ready(case.client.decrypt(&case.message, &case.context)).expect("decrypts")
        }),
        Contender::new("open of 32 bytes: the wrap", |(): &mut ()| {
            bare.wrapped.open(&case.wrapping_key)
        }),
        derivation(case),
        key_set_up(case),
        Contender::new("open of 0 bytes: the header", |(): &mut ()| header(&key)),
        Contender::new("open of 16 bytes: the frame", |(): &mut ()| frame(&key)),
        as_many_allocations(allocated),
        context_bytes(case),
        Contender::new(
            "reading the header (with its allocations)",
            |(): &mut ()| inspect(&case.message),
        ),
    ];
    run(session, name, &mut contenders, allocated, 8);
}

fn derivation(case: &Case) -> Contender<'_, ()> {
    Contender::new("HKDF: one extract, two expands", |(): &mut ()| {
        bare::derive(&case.bare.wrapped.data_key, &case.bare.message_id)
    })
}

fn key_set_up(case: &Case) -> Contender<'_, ()> {
    Contender::new("key set-up", |(): &mut ()| {
        Aes256Gcm::new(&Array(case.bare.message_id))
    })
}

fn context_bytes(case: &Case) -> Contender<'_, ()> {
    Contender::new("canonical context (with its allocation)", |(): &mut ()| {
        case.context.to_bytes()
    })
}

/// The contenders: the floor, the two clients, the floor's parts up to `parts`,
/// and what is known of the rest.
fn run(
    session: &mut Session,
    name: &str,
    contenders: &mut [Contender<'_, ()>],
    allocated: Allocated,
    parts: usize,
) {
    if let Some(measured) = session.measure(name, &mut (), contenders) {
        print(name, &measured, contenders, allocated, parts);
    }
    session.register(name, &mut (), &mut contenders[..3]);
}

fn print(
    name: &str,
    measured: &Measured,
    contenders: &[Contender<'_, ()>],
    allocated: Allocated,
    parts: usize,
) {
    println!("{name}");
    for (client, contender) in contenders.iter().enumerate().take(3).skip(1) {
        let ratio = measured.ratio(client, 0);
        println!(
            "  {:20} {:7.0} ns, floor {:7.0} ns, ratio {ratio}, {}",
            contender.name(),
            measured.time(client),
            measured.time(0),
            GOAL.verdict(ratio)
        );
    }
    let line = |name: &str, time: f64| {
        let share = time / measured.time(1) * 100.0;
        println!("    {name:44} {time:6.0} ns  {share:4.1} %");
    };
    println!("  the floor's parts by themselves, and their share of the blocking client's time");
    for (index, contender) in contenders.iter().enumerate().take(parts).skip(3) {
        line(contender.name(), measured.time(index));
    }
    line(
        "all of them",
        (3..parts).map(|part| measured.time(part)).sum(),
    );
    println!("  beyond the floor, and what is known of it");
    line("blocking client", measured.time(1) - measured.time(0));
    line("async client", measured.time(2) - measured.time(0));
    for (index, contender) in contenders.iter().enumerate().skip(parts) {
        line(contender.name(), measured.time(index));
    }
    println!(
        "  allocations: {} ({} bytes)\n",
        allocated.calls, allocated.bytes
    );
}
