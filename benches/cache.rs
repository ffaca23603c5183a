//! A 16-byte message under a cached data key, against its floor: the calls to
//! primitives that it cannot do without. With where the rest goes, many data
//! keys, and two threads.

use std::time::Duration;

use aes_gcm::aead::array::Array;
use aes_gcm::{Aes256Gcm, KeyInit};
use sha2::{Digest, Sha256};
use waxseal::{
    Caching, Client, Clock, CryptoBackend, DataKeyCache, EncryptionContext, SystemClock, blocking,
};
use waxseal_bench::allocations::{Counting, as_many_allocations};
use waxseal_bench::bare::{self, Aad, BareMessage, IV_LENGTH, TAG_LENGTH};
use waxseal_bench::{Contender, Goal, Session, gains, ready};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PLAINTEXT: [u8; 16] = *b"sixteen bytes!!!";
const MANY_KEYS: usize = 10_000;
const GOAL: Goal = Goal::AtMost(1.5);

fn main() {
    let mut session = Session::from_args();
    let pairs = [("tenant", "7"), ("purpose", "backup")];
    for (name, context) in [
        ("two context pairs", EncryptionContext::from(pairs)),
        ("empty context", EncryptionContext::new()),
    ] {
        let case = Case::new(context);
        encrypt(
            &mut session,
            &format!("encrypt/16 bytes, cached/{name}"),
            &case,
        );
        decrypt(
            &mut session,
            &format!("decrypt/16 bytes, cached/{name}"),
            &case,
        );
    }
    let many = Many::new();
    keys(&mut session, &many);
    threads(&session, &many);
    session.finish();
}

fn cached(capacity: usize) -> Client {
    let cache = DataKeyCache::new(capacity);
    Client::builder(bare::provider())
        .backend(CryptoBackend::rust_crypto())
        .caching(Caching::new(&cache, Duration::from_secs(86_400)))
        .build()
        .expect("good settings")
}

struct Case {
    client: Client,
    blocking: blocking::Client,
    context: EncryptionContext,
    message: Vec<u8>,
    bare: BareMessage,
    data_key: [u8; 32],
}

impl Case {
    fn new(context: EncryptionContext) -> Self {
        let client = cached(100);
        let blocking = client.blocking();
        let message = blocking.encrypt(&PLAINTEXT, &context).expect("encrypts");
        let bare = BareMessage::new(&message, 4096);
        let data_key = bare.wrapped.open(&bare::wrapping_key());
        blocking.decrypt(&message, &context).expect("decrypts");
        Case {
            client,
            blocking,
            context,
            message,
            bare,
            data_key,
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

    /// Random bytes in one call, one extract and two expands, one key set-up,
    /// two seals.
    fn encrypt_floor(&self) -> ([u8; 32], [u8; TAG_LENGTH], [u8; 16], [u8; TAG_LENGTH]) {
        let message_id = random();
        let (key, commitment) = bare::derive(&self.data_key, &message_id);
        let key = Aes256Gcm::new(&Array(key));
        let header_tag = bare::seal(&key, [0; IV_LENGTH], &self.bare.header, &mut []);
        let (frame, tag) = seal_frame(&key, &message_id);
        (commitment, header_tag, frame, tag)
    }
}

fn random() -> [u8; 32] {
    let mut random = [0; 32];
    getrandom::fill(&mut random).expect("random");
    random
}

fn seal_frame(key: &Aes256Gcm, message_id: &[u8; 32]) -> ([u8; 16], [u8; TAG_LENGTH]) {
    let mut frame = PLAINTEXT;
    let aad = Aad::of_only(message_id, frame.len());
    let tag = bare::seal(key, [1; IV_LENGTH], aad.bytes(), &mut frame);
    (frame, tag)
}

fn encrypt(session: &mut Session, name: &str, case: &Case) {
    let allocated = Counting::count(|| case.encrypt());
    let key = Aes256Gcm::new(&Array(case.data_key));
    let mut contenders = [
        Contender::new("floor", |(): &mut ()| case.encrypt_floor()),
        Contender::new("blocking", |(): &mut ()| case.encrypt()),
        Contender::new("async, polled once", |(): &mut ()| {
            ready(case.client.encrypt(&PLAINTEXT, &case.context)).expect("encrypts")
        }),
    ];
    session.compare(name, &mut contenders, GOAL);
    let mut parts = [
        Contender::new("32 random bytes", |(): &mut ()| random()),
        Contender::new("HKDF: one extract, two expands", |(): &mut ()| {
            bare::derive(&case.data_key, &case.bare.message_id)
        }),
        Contender::new("key set-up", |(): &mut ()| {
            Aes256Gcm::new(&Array(case.data_key))
        }),
        Contender::new("seal of 0 bytes: the header", |(): &mut ()| {
            bare::seal(&key, [0; IV_LENGTH], &case.bare.header, &mut [])
        }),
        Contender::new("seal of 16 bytes: the frame", |(): &mut ()| {
            seal_frame(&key, &case.bare.message_id)
        }),
        Contender::new("beyond the floor: canonical context", |(): &mut ()| {
            case.context.to_bytes()
        }),
        Contender::new("beyond: 100 bytes of the identifier", |(): &mut ()| {
            Sha256::digest([7; 100])
        }),
        Contender::new("beyond: the clock", |(): &mut ()| SystemClock.elapsed()),
        as_many_allocations(allocated),
    ];
    if let Some(measured) = session.measure(name, &mut (), &mut parts) {
        for (index, part) in parts.iter().enumerate() {
            println!("    {:40} {:6.0} ns", part.name(), measured.time(index));
        }
        println!(
            "    allocations: {} ({} bytes)\n",
            allocated.calls, allocated.bytes
        );
    }
}

fn decrypt(session: &mut Session, name: &str, case: &Case) {
    let bare = &case.bare;
    let (rest, tag) = case.message.split_last_chunk().expect("has a tag");
    let ciphertext: [u8; 16] = *rest.last_chunk().expect("has a frame");
    let frame_iv = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut contenders = [
        Contender::new("floor", |(): &mut ()| {
            let (key, commitment) = bare::derive(&case.data_key, &bare.message_id);
            let key = Aes256Gcm::new(&Array(key));
            bare::open(&key, [0; IV_LENGTH], &bare.header, &mut [], bare.header_tag);
            let mut frame = ciphertext;
            let aad = Aad::of_only(&bare.message_id, frame.len());
            bare::open(&key, frame_iv, aad.bytes(), &mut frame, *tag);
            (commitment, frame)
        }),
        Contender::new("blocking", |(): &mut ()| case.decrypt()),
        Contender::new("async, polled once", |(): &mut ()| {
            ready(case.client.decrypt(&case.message, &case.context)).expect("decrypts")
        }),
    ];
    session.compare(name, &mut contenders, GOAL);
}

/// A cache that is full of data keys, each for a tenant.
struct Many {
    client: blocking::Client,
    contexts: Vec<EncryptionContext>,
}

impl Many {
    fn new() -> Self {
        let client = cached(MANY_KEYS).blocking();
        let context = |tenant: usize| EncryptionContext::from([("tenant", tenant.to_string())]);
        let contexts: Vec<_> = (0..MANY_KEYS).map(context).collect();
        let many = Many { client, contexts };
        (0..MANY_KEYS).for_each(|tenant| drop(many.encrypt(tenant)));
        many
    }

    fn encrypt(&self, tenant: usize) -> Vec<u8> {
        let message = self.client.encrypt(&PLAINTEXT, &self.contexts[tenant]);
        message.expect("encrypts")
    }

    /// One after another, far apart, so that no CPU cache helps.
    fn encrypt_in_turn(&self, turn: usize) -> Vec<u8> {
        self.encrypt(turn.wrapping_mul(7919) % MANY_KEYS)
    }
}

fn keys(session: &mut Session, many: &Many) {
    let mut turn = 0;
    let mut contenders = [
        Contender::new("one of 10,000 data keys", |(): &mut ()| many.encrypt(0)),
        Contender::new("10,000 data keys, in turn", |(): &mut ()| {
            turn += 1;
            many.encrypt_in_turn(turn)
        }),
    ];
    session.compare("encrypt/data keys", &mut contenders, Goal::AtMost(1.5));
}

fn threads(session: &Session, many: &Many) {
    const NAME: &str = "encrypt/two threads";
    const CALLS: u32 = 20_000;
    if !session.measures() || !session.wants(NAME) {
        return;
    }
    let case = Case::new(many.contexts[0].clone());
    gains(
        NAME,
        CALLS,
        |_, _| case.encrypt_floor(),
        &[
            ("on one hot data key", &|_, _| drop(many.encrypt(0))),
            ("on 10,000 data keys", &|thread, call| {
                drop(many.encrypt_in_turn(thread * MANY_KEYS / 2 + call as usize));
            }),
        ],
    );
}
