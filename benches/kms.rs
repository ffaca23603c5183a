//! The embedded KMS: a data key generated and wrapped, and unwrapped, against
//! the primitives that this takes; with many backing keys, many keys and two
//! threads; and opening a folder of 10,000 keys.

use std::time::{Duration, Instant};

use aes_gcm::aead::array::Array;
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha512;
use waxseal::blocking::wait;
use waxseal::kms::store::DirectoryStore;
use waxseal::kms::{CreateKey, DataKeySpec, GeneratedKey, LocalKms, RootKey};
use waxseal::{EncryptionContext, SecretBytes};
use waxseal_bench::bare::{self, IV_LENGTH, TAG_LENGTH};
use waxseal_bench::{Contender, Goal, Session, Spread, gains};

const MANY_BACKING_KEYS: usize = 1_000;
const MANY_KEYS: usize = 10_000;
const ZERO_IV: [u8; IV_LENGTH] = [0; IV_LENGTH];

fn main() {
    let mut session = Session::from_args();
    let kms = LocalKms::in_memory().expect("a KMS");
    let key = create(&kms);
    let pairs = [("tenant", "7"), ("purpose", "backup")];
    for (name, context) in [
        ("two context pairs", EncryptionContext::from(pairs)),
        ("empty context", EncryptionContext::new()),
    ] {
        floor(&mut session, name, &kms, &key, &context);
    }
    let context = EncryptionContext::from(pairs);
    backing_keys(&mut session, &kms, &key, &context);
    keys(&mut session, &kms, &key, &context);
    threads(&session, &kms, &key, &context);
    opening(&session);
    session.finish();
}

fn create(kms: &LocalKms) -> String {
    wait(kms.create_key(CreateKey::new())).expect("a key").id
}

fn generate(kms: &LocalKms, key: &str, context: &EncryptionContext) -> GeneratedKey {
    wait(kms.generate_data_key(key, DataKeySpec::Aes256, context)).expect("generates")
}

fn decrypt(kms: &LocalKms, blob: &[u8], context: &EncryptionContext) -> SecretBytes {
    let decrypted = wait(kms.decrypt(blob, None, context));
    decrypted.expect("decrypts").plaintext
}

/// What one wrap and one unwrap are made of: `kms/seal.rs` in bare primitives.
struct Bare {
    material: [u8; 32],
    bound: Vec<u8>,
}

impl Bare {
    fn new(key: &str, context: &EncryptionContext) -> Self {
        let context = context.to_bytes().expect("short enough");
        let parts: [&[u8]; 6] = [
            b"waxseal local-kms",
            b"ciphertext",
            &[1],
            key.as_bytes(),
            &[0, 0, 0, 1],
            &context,
        ];
        let mut bound = Vec::new();
        for part in parts {
            bound.extend_from_slice(&(part.len() as u32).to_be_bytes());
            bound.extend_from_slice(part);
        }
        Bare {
            material: [7; 32],
            bound,
        }
    }

    fn derive(&self, salt: &[u8; 32]) -> (Aes256Gcm, [u8; 32]) {
        let mut derived = [0; 64];
        Hkdf::<Sha512>::new(Some(salt), &self.material)
            .expand(&self.bound, &mut derived)
            .expect("short enough");
        let (key, commitment) = derived.split_first_chunk::<32>().expect("64 bytes");
        let commitment = *commitment.first_chunk().expect("32 bytes");
        (Aes256Gcm::new(&Array(*key)), commitment)
    }

    /// A data key in the clear and wrapped, with salt, commitment and tag.
    fn generate(&self) -> ([u8; 64], [u8; 32], [u8; 32], [u8; TAG_LENGTH]) {
        let mut random = [0; 64];
        getrandom::fill(&mut random).expect("random");
        let (mut data_key, salt) = (
            *random.first_chunk::<32>().expect("64 bytes"),
            *random.last_chunk::<32>().expect("64 bytes"),
        );
        let (key, commitment) = self.derive(&salt);
        let tag = bare::seal(&key, ZERO_IV, &self.bound, &mut data_key);
        (random, data_key, commitment, tag)
    }

    fn open(&self, salt: &[u8; 32], wrapped: &[u8; 32], tag: [u8; TAG_LENGTH]) -> [u8; 32] {
        let (key, commitment) = self.derive(salt);
        std::hint::black_box(commitment);
        let mut data_key = *wrapped;
        bare::open(&key, ZERO_IV, &self.bound, &mut data_key, tag);
        data_key
    }
}

fn floor(
    session: &mut Session,
    context_name: &str,
    kms: &LocalKms,
    key: &str,
    context: &EncryptionContext,
) {
    const GOAL: Goal = Goal::AtMost(1.5);
    let bare = Bare::new(key, context);
    let (random, wrapped, _, tag) = bare.generate();
    let salt = *random.last_chunk().expect("64 bytes");
    let sealed = generate(kms, key, context).ciphertext.blob;

    let name = format!("generate a data key/{context_name}");
    let mut contenders = [
        Contender::new("floor", |(): &mut ()| bare.generate()),
        Contender::new("LocalKms", |(): &mut ()| generate(kms, key, context)),
    ];
    session.compare(&name, &mut contenders, GOAL);

    let name = format!("unwrap a data key/{context_name}");
    let mut contenders = [
        Contender::new("floor", |(): &mut ()| bare.open(&salt, &wrapped, tag)),
        Contender::new("LocalKms", |(): &mut ()| decrypt(kms, &sealed, context)),
    ];
    session.compare(&name, &mut contenders, GOAL);
}

fn backing_keys(session: &mut Session, kms: &LocalKms, one: &str, context: &EncryptionContext) {
    let many = create(kms);
    for _ in 1..MANY_BACKING_KEYS {
        wait(kms.rotate(&many)).expect("rotates");
    }
    let mut contenders = [
        Contender::new("1 backing key", |(): &mut ()| generate(kms, one, context)),
        Contender::new("1,000 backing keys", |(): &mut ()| {
            generate(kms, &many, context)
        }),
    ];
    let goal = Goal::AtMost(1.1);
    session.compare("wrap/backing keys", &mut contenders, goal);
}

fn keys(session: &mut Session, kms: &LocalKms, one: &str, context: &EncryptionContext) {
    let other = LocalKms::in_memory().expect("a KMS");
    let many: Vec<String> = (0..MANY_KEYS).map(|_| create(&other)).collect();
    // What is read for the first time is not what is measured here.
    for key in &many {
        generate(&other, key, context);
    }
    let mut next = 0;
    let mut contenders = [
        Contender::new("1 key", |(): &mut ()| generate(kms, one, context)),
        Contender::new("10,000 keys, in turn", |(): &mut ()| {
            // Far apart, so that no cache helps.
            next = (next + 7919) % many.len();
            generate(&other, &many[next], context)
        }),
        Contender::new("one of 10,000 keys", |(): &mut ()| {
            generate(&other, &many[0], context)
        }),
    ];
    let goal = Goal::AtMost(1.25);
    session.compare("wrap/keys", &mut contenders, goal);
}

/// How much more two threads do than one, of wraps under one key, and of the
/// bare primitives. Of the time that goes by, so that the machine must be quiet.
fn threads(session: &Session, kms: &LocalKms, key: &str, context: &EncryptionContext) {
    const NAME: &str = "wrap/two threads";
    const CALLS: u32 = 20_000;
    if !session.measures() || !session.wants(NAME) {
        return;
    }
    let bare = Bare::new(key, context);
    gains(
        NAME,
        CALLS,
        |_, _| bare.generate(),
        &[("on one key", &|_, _| drop(generate(kms, key, context)))],
    );
}

/// Opens a folder of 10,000 keys that this process has not touched and the page
/// cache does not hold, and reads every key.
fn opening(session: &Session) {
    const NAME: &str = "open/10,000 keys in a folder";
    if !session.measures() || !session.wants(NAME) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let root = RootKey::bytes(SecretBytes::random(32).expect("random"));
    // Nobody needs these keys after a power cut.
    let store = || DirectoryStore::builder(folder.path()).without_sync().open();
    let open = || {
        let store = store().expect("a store");
        wait(LocalKms::builder(store, root.clone()).open()).expect("opens")
    };
    let kms = open();
    for _ in 0..MANY_KEYS {
        create(&kms);
    }
    drop(kms);
    let mut times = Vec::new();
    for _ in 0..5 {
        evict(folder.path());
        let start = Instant::now();
        let kms = open();
        let opened = start.elapsed();
        let (mut next, mut count): (Option<String>, usize) = (None, 0);
        loop {
            let page = wait(kms.list_keys(next.as_deref(), 1000)).expect("lists");
            count += page.keyrings.len();
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(count, MANY_KEYS);
        times.push((opened, start.elapsed()));
    }
    let seconds = |pick: fn(&(Duration, Duration)) -> Duration| {
        Spread::of(
            times
                .iter()
                .map(|times| pick(times).as_secs_f64())
                .collect(),
        )
    };
    let (opened, read) = (seconds(|times| times.0), seconds(|times| times.1));
    println!("{NAME}, in seconds");
    println!("  opened {opened}");
    println!(
        "  opened, listed, and every key read {read}, {}\n",
        Goal::AtMost(2.0).verdict(read)
    );
}

/// Has the page cache forget the files' content.
fn evict(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            evict(&path);
        } else {
            #[cfg(target_os = "linux")]
            {
                let file = std::fs::File::open(&path).expect("opens");
                // Only what is on the disk can be forgotten.
                file.sync_all().expect("syncs");
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advises");
            }
        }
    }
}
