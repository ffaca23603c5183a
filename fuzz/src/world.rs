//! A small store of the embedded KMS, made once in a process and always the
//! same: keys in every state, what was encrypted under them, and what the
//! store was like at several moments.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use waxseal::blocking::wait;
use waxseal::kms::{
    CreateKey, DataKeySpec, ImportOptions, ImportType, KmsResult, LocalKms, LocalKmsBuilder,
    RootKey,
};
use waxseal::test_util::ManualClock;
use waxseal::{CryptoBackend, EncryptionContext, SecretBytes};

use crate::lying::{Blobs, LyingStore};
use crate::random::Seeded;

pub const ROOT_KEY: [u8; 32] = [9; 32];
pub const BACKUP_KEY: [u8; 32] = [8; 32];
pub const ARN_PREFIX: &str = "arn:waxseal:kms:local:000000000000:key/";
/// Known to whoever imported them.
pub const IMPORTED: [[u8; 32]; 2] = [[21; 32], [22; 32]];
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a use of a key comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Allowed,
    Disabled,
    InvalidState,
    Deleted,
}

#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub usable: Use,
    pub minimum: u32,
    pub current: u32,
    /// It can be used, and not be looked at.
    pub is_owned: bool,
}

impl Key {
    pub fn arn(&self) -> String {
        format!("{ARN_PREFIX}{}", self.id)
    }

    pub fn record(&self) -> String {
        format!("keys/{}", self.id)
    }
}

/// Something that was encrypted.
#[derive(Clone, Debug)]
pub struct Known {
    pub blob: Vec<u8>,
    /// In [`World::keys`].
    pub key: usize,
    pub version: u32,
    /// Which of the [`context`]s.
    pub context: u8,
    pub plaintext: Vec<u8>,
}

pub struct World {
    /// The first key is the plain one, the second has the [`IMPORTED`]
    /// material.
    pub keys: Vec<Key>,
    /// The key whose material was deleted.
    pub emptied: usize,
    /// Also those that were deleted.
    pub aliases: Vec<Alias>,
    pub known: Vec<Known>,
    /// The store at several moments, the last one last.
    pub moments: Vec<Blobs>,
    /// A backup of each moment.
    pub backups: Vec<Vec<u8>>,
    /// The records of another store, under the same root.
    pub foreign: Blobs,
    /// What was encrypted with it.
    pub foreign_known: Vec<Known>,
    /// Every name in use, and some that are not.
    pub names: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Alias {
    pub name: &'static str,
    /// Its key now, in [`World::keys`].
    pub target: Option<usize>,
    /// All keys that it ever named.
    pub ever: BTreeSet<usize>,
}

pub fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(make);
    &WORLD
}

/// Which of three contexts.
pub fn context(which: u8) -> EncryptionContext {
    match which % 3 {
        0 => EncryptionContext::new(),
        1 => EncryptionContext::from([("tenant", "7")]),
        _ => EncryptionContext::from([("tenant", "7"), ("purpose", "test")]),
    }
}

pub fn root_key() -> RootKey {
    RootKey::bytes(SecretBytes::from(ROOT_KEY.to_vec()))
}

pub fn backup_key() -> RootKey {
    RootKey::bytes(SecretBytes::from(BACKUP_KEY.to_vec()))
}

/// A handle that sees every change at once.
pub fn builder(store: LyingStore, seed: u32, clock: &ManualClock) -> LocalKmsBuilder {
    let random = Arc::new(Seeded::new(seed, None));
    LocalKms::builder(store, root_key())
        .crypto(CryptoBackend::default().with_random(random))
        .clock(clock.clone())
        .max_staleness(Duration::ZERO)
}

pub fn open(store: LyingStore, seed: u32, clock: &ManualClock) -> KmsResult<LocalKms> {
    wait(builder(store, seed, clock).create(false).open())
}

/// The date of all moments.
pub fn clock() -> ManualClock {
    let clock = ManualClock::default();
    clock.advance(60 * DAY);
    clock
}

struct Making {
    kms: LocalKms,
    store: LyingStore,
    clock: ManualClock,
    world: World,
}

impl Making {
    fn new(seed: u32) -> Self {
        let (store, clock) = (LyingStore::default(), ManualClock::default());
        let kms = wait(builder(store.clone(), seed, &clock).open()).expect("a store");
        let world = World {
            keys: Vec::new(),
            emptied: 0,
            aliases: Vec::new(),
            known: Vec::new(),
            moments: Vec::new(),
            backups: Vec::new(),
            foreign: Blobs::new(),
            foreign_known: Vec::new(),
            names: Vec::new(),
        };
        Making {
            kms,
            store,
            clock,
            world,
        }
    }

    fn create(&mut self, request: CreateKey) -> usize {
        let keyring = wait(self.kms.create_key(request)).expect("a key");
        self.add(keyring.id)
    }

    fn add(&mut self, id: String) -> usize {
        self.world.keys.push(Key {
            id,
            usable: Use::Allowed,
            minimum: 1,
            current: 1,
            is_owned: false,
        });
        self.world.keys.len() - 1
    }

    fn rotate(&mut self, key: usize) {
        let key = &mut self.world.keys[key];
        key.current = wait(self.kms.rotate(&key.id)).expect("a rotation");
    }

    fn import(&self, key: usize, material: [u8; 32], import_type: ImportType) {
        let options = ImportOptions::new().import_type(import_type);
        let material = SecretBytes::from(material.to_vec());
        let id = &self.world.keys[key].id;
        wait(self.kms.import_key_material(id, &material, options)).expect("an import");
    }

    /// A text and a data key under the current version.
    fn encrypt(&mut self, key: usize) {
        let which = self.world.known.len() as u8 / 2;
        let context = context(which);
        let id = &self.world.keys[key].id;
        let text = format!("text {which}").into_bytes();
        let sealed = wait(self.kms.encrypt(id, &text, &context)).expect("a ciphertext");
        let spec = DataKeySpec::Aes256;
        let made = wait(self.kms.generate_data_key(id, spec, &context)).expect("a data key");
        let data_key = made.plaintext.expose().to_vec();
        for (sealed, plaintext) in [(sealed, text), (made.ciphertext, data_key)] {
            self.world.known.push(Known {
                blob: sealed.blob,
                key,
                version: sealed.key_version,
                context: which % 3,
                plaintext,
            });
        }
    }

    fn moment(&mut self) {
        wait(self.kms.flush_usage()).expect("the usage");
        let backup = wait(self.kms.export(&backup_key())).expect("a backup");
        self.world.backups.push(backup);
        self.world.moments.push(self.store.blobs());
    }
}

fn alias(name: &'static str, target: Option<usize>, ever: &[usize]) -> Alias {
    let ever = ever.iter().copied().chain(target).collect();
    Alias { name, target, ever }
}

fn make() -> World {
    let mut making = Making::new(1);
    let plain = making.create(
        CreateKey::new()
            .alias("alias/one")
            .description("the first")
            .tag("team", "a")
            .rotate_every(365),
    );
    let imported = making.create(CreateKey::new().alias("alias/two").external());
    making.import(imported, IMPORTED[0], ImportType::New);
    making.encrypt(plain);
    making.encrypt(imported);
    let kms = making.kms.clone();
    let id = |making: &Making, key: usize| making.world.keys[key].id.clone();
    wait(kms.create_alias("alias/moved", &id(&making, plain))).expect("an alias");
    wait(kms.create_alias("alias/gone", &id(&making, plain))).expect("an alias");
    making.moment();

    making.rotate(plain);
    making.encrypt(plain);
    making.import(imported, IMPORTED[1], ImportType::New);
    making.rotate(imported);
    making.encrypt(imported);
    making.import(imported, [23; 32], ImportType::New);
    wait(kms.update_alias("alias/moved", &id(&making, imported))).expect("an alias");
    wait(kms.delete_alias("alias/gone")).expect("an alias");

    let cut = making.create(CreateKey::new());
    making.encrypt(cut);
    making.rotate(cut);
    making.encrypt(cut);
    wait(kms.set_minimum_version(&id(&making, cut), 2)).expect("a minimum");
    making.world.keys[cut].minimum = 2;
    making.moment();

    wait(kms.rotate_store_key()).expect("a store key");
    let off = making.create(CreateKey::new().alias("alias/off"));
    making.encrypt(off);
    wait(kms.disable_key(&id(&making, off))).expect("a key");
    making.world.keys[off].usable = Use::Disabled;

    let emptied = making.create(CreateKey::new().external());
    making.import(emptied, [24; 32], ImportType::New);
    making.encrypt(emptied);
    wait(kms.delete_imported_key_material(&id(&making, emptied), None)).expect("a key");
    making.world.keys[emptied].usable = Use::InvalidState;
    making.world.emptied = emptied;

    let deleted = making.create(CreateKey::new().alias("alias/deleted"));
    making.encrypt(deleted);
    wait(kms.schedule_deletion(&id(&making, deleted), Some(7))).expect("a date");
    making.clock.advance(60 * DAY);
    wait(kms.run_due()).expect("what is due");
    making.world.keys[deleted].usable = Use::Deleted;

    let going = making.create(CreateKey::new());
    making.encrypt(going);
    wait(kms.schedule_deletion(&id(&making, going), None)).expect("a date");
    making.world.keys[going].usable = Use::InvalidState;

    let service = wait(kms.service_key("s3")).expect("a key");
    let service = making.add(service.id);
    making.encrypt(service);
    let owned = wait(kms.owned_key("app")).expect("a key");
    let owned = making.add(owned.strip_prefix(ARN_PREFIX).expect("an ARN").to_owned());
    making.world.keys[owned].is_owned = true;
    making.encrypt(owned);
    making.rotate(plain);
    making.encrypt(plain);
    making.moment();

    let mut world = making.world;
    world.aliases = vec![
        alias("alias/one", Some(plain), &[]),
        alias("alias/two", Some(imported), &[]),
        alias("alias/moved", Some(imported), &[plain]),
        alias("alias/gone", None, &[plain]),
        alias("alias/off", Some(off), &[]),
        alias("alias/deleted", None, &[deleted]),
        alias("alias/aws/s3", Some(service), &[]),
        alias("alias/none", None, &[]),
    ];

    let mut foreign = Making::new(2);
    let key = foreign.create(CreateKey::new().alias("alias/one"));
    foreign.encrypt(key);
    foreign.moment();
    world.foreign = foreign.world.moments.remove(0);
    world.backups.append(&mut foreign.world.backups);
    world.foreign_known = foreign.world.known;

    let names: BTreeSet<_> = (world.moments.iter().chain([&world.foreign]))
        .flat_map(|blobs| blobs.keys().cloned())
        .collect();
    world.names = names.into_iter().collect();
    let id = &world.keys[plain].id;
    for name in [
        format!("keys/keys/{id}"),
        format!("imports/{id}"),
        format!("usage/{}", "0".repeat(36)),
        "keys/x".to_owned(),
        "aliases/x".to_owned(),
        "other".to_owned(),
    ] {
        world.names.push(name);
    }
    world
}
