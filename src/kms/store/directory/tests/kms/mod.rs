//! Whole operations of the KMS on the simulated disk: power cuts after each
//! file operation, and each file operation failing once.

mod faults;
mod power_cut;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::disk::Disk;
use super::history::STORE;
use crate::clock::Clock;
use crate::context::EncryptionContext;
use crate::crypto::SecretBytes;
use crate::kms::store::{DirectoryStore, MemoryStore};
use crate::kms::{
    CreateKey, ImportOptions, ImportType, KeyState, KmsError, KmsResult, LocalKms, LocalKmsBuilder,
    RootKey,
};

const ROOTS: u8 = 2;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A clock that stands still: what was read of a key is never asked for again,
/// unless the handle knows that it has to.
#[derive(Clone)]
struct Still(Arc<Mutex<SystemTime>>);

impl Still {
    fn new() -> Self {
        Still(Arc::new(Mutex::new(SystemTime::UNIX_EPOCH + 20_000 * DAY)))
    }

    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Still {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// The future of a KMS on a local store is ready at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    crate::client::blocking::block_on(future)
}

fn root(number: u8) -> RootKey {
    RootKey::bytes(SecretBytes::from(vec![number + 1; 32]))
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("test", "disk")])
}

fn store(disk: &Disk) -> KmsResult<DirectoryStore> {
    let mut builder = DirectoryStore::builder(STORE).lock_timeout(Duration::ZERO);
    builder.files = disk.files();
    Ok(builder.open()?)
}

fn builder(disk: &Disk, clock: &Still, number: u8) -> KmsResult<LocalKmsBuilder> {
    let builder = LocalKms::builder(store(disk)?, root(number));
    // The usage is written when a test says so.
    let builder = builder.usage_flush_interval(1000 * DAY);
    Ok(builder.clock(clock.clone()))
}

fn open(disk: &Disk, clock: &Still, number: u8) -> KmsResult<LocalKms> {
    ready(builder(disk, clock, number)?.open())
}

/// All that a KMS shows: keys by their descriptions, and aliases by the keys
/// that they name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct View {
    keys: BTreeMap<String, (KeyState, u32, bool)>,
    aliases: BTreeMap<String, String>,
}

impl View {
    fn of(kms: &LocalKms) -> KmsResult<Self> {
        let page = ready(kms.list_keys(None, 1000))?;
        if let Some(error) = page.damaged.into_iter().next() {
            return Err(error);
        }
        let (mut view, mut names) = (View::default(), BTreeMap::new());
        for key in page.keyrings {
            let facts = (key.state, key.current_version(), key.next.is_some());
            names.insert(key.arn, key.description.clone());
            let before = view.keys.insert(key.description.clone(), facts);
            assert_eq!(before, None, "{} is there twice", key.description);
        }
        for alias in ready(kms.list_aliases(None))?.aliases {
            // By what it was listed and by what it resolves to.
            let target = ready(kms.resolve(&alias.name))?;
            assert_eq!(target, alias.key_arn);
            let key = names.get(&target).expect("an alias names a key");
            view.aliases.insert(alias.name, key.clone());
        }
        Ok(view)
    }

    /// Whether each key and each alias is as it is in one of these.
    fn is_between(&self, before: &View, after: &View) -> bool {
        fn between<T: PartialEq>(
            found: &BTreeMap<String, T>,
            [before, after]: [&BTreeMap<String, T>; 2],
        ) -> bool {
            let mut names = found.keys().chain(before.keys()).chain(after.keys());
            names.all(|name| [before.get(name), after.get(name)].contains(&found.get(name)))
        }
        between(&self.keys, [&before.keys, &after.keys])
            && between(&self.aliases, [&before.aliases, &after.aliases])
    }
}

/// Something that was encrypted.
struct Sealed {
    key: &'static str,
    blob: Vec<u8>,
}

fn seal(kms: &LocalKms, key: &'static str) -> KmsResult<Sealed> {
    let blob = ready(kms.encrypt(key, key.as_bytes(), &context()))?.blob;
    Ok(Sealed { key, blob })
}

fn opens(kms: &LocalKms, sealed: &Sealed) -> Result<(), String> {
    match ready(kms.decrypt(&sealed.blob, None, &context())) {
        Ok(opened) if opened.plaintext.expose() == sealed.key.as_bytes() => Ok(()),
        Ok(_) => Err(format!("what '{}' encrypted is something else", sealed.key)),
        Err(error) => Err(format!("what '{}' encrypted: {error}", sealed.key)),
    }
}

fn material(number: u8) -> SecretBytes {
    SecretBytes::from(vec![100 + number; 32])
}

/// A backup of another store: a key with an alias.
fn backup() -> Vec<u8> {
    let other = LocalKms::builder(MemoryStore::new(), root(8)).clock(Still::new());
    let other = ready(other.open()).unwrap();
    let request = CreateKey::new().description("imported");
    ready(other.create_key(request.alias("alias/imported"))).unwrap();
    ready(other.rotate("alias/imported")).unwrap();
    ready(other.export(&root(9))).unwrap()
}

/// A change of the KMS, by its name.
type Change = (&'static str, fn(&LocalKms, &[u8]) -> KmsResult<()>);

fn new_material() -> ImportOptions {
    ImportOptions::new().import_type(ImportType::New)
}

/// What the other changes start from.
const BEFORE: &[Change] = &[
    ("create 'a'", |kms, _| {
        let request = CreateKey::new().description("a").alias("alias/a");
        ready(kms.create_key(request)).map(drop)
    }),
    ("create 'external'", |kms, _| {
        let request = CreateKey::new().description("external").external();
        let key = ready(kms.create_key(request))?;
        ready(kms.create_alias("alias/external", &key.id))
    }),
    ("import the first material", |kms, _| {
        ready(kms.import_key_material("alias/external", &material(1), new_material()))
    }),
    ("create 'doomed'", |kms, _| {
        let request = CreateKey::new().description("doomed").alias("alias/doomed");
        let key = ready(kms.create_key(request))?;
        ready(kms.encrypt(&key.id, b"x", &context()))?;
        ready(kms.flush_usage())
    }),
    ("schedule a deletion", |kms, _| {
        ready(kms.schedule_deletion("alias/doomed", Some(7))).map(drop)
    }),
];

/// Each kind of change.
const CHANGES: &[Change] = &[
    ("create", |kms, _| {
        let request = CreateKey::new().description("new").alias("alias/new");
        ready(kms.create_key(request)).map(drop)
    }),
    ("rotate", |kms, _| ready(kms.rotate("alias/a")).map(drop)),
    ("import more material", |kms, _| {
        ready(kms.import_key_material("alias/external", &material(2), new_material()))
    }),
    ("rotate to imported material", |kms, _| {
        match ready(kms.rotate("alias/external")) {
            // Where the change before is left out.
            Err(KmsError::Unsupported { .. }) => Ok(()),
            rotated => rotated.map(drop),
        }
    }),
    ("make an alias", |kms, _| {
        ready(kms.create_alias("alias/moving", "alias/a"))
    }),
    ("move an alias", |kms, _| {
        ready(kms.update_alias("alias/external", "alias/a"))
    }),
    ("move it back", |kms, _| {
        let external = ready(kms.list_keys(None, 10))?.keyrings;
        let external = external.iter().find(|key| key.description == "external");
        ready(kms.update_alias("alias/external", &external.unwrap().id))
    }),
    ("disable", |kms, _| ready(kms.disable_key("alias/external"))),
    ("enable", |kms, _| ready(kms.enable_key("alias/external"))),
    ("write the usage", |kms, _| {
        ready(kms.encrypt("alias/a", b"x", &context()))?;
        ready(kms.flush_usage())
    }),
    ("make a service's key", |kms, _| {
        let service = ready(kms.service_key("disk"))?;
        ready(kms.encrypt(&service.id, b"x", &context())).map(drop)
    }),
    ("rotate the store key", |kms, _| {
        ready(kms.rotate_store_key()).map(drop)
    }),
    ("change the root", |kms, _| ready(kms.change_root(root(1)))),
    ("import a backup", |kms, backup| {
        ready(kms.import(backup, &root(9))).map(drop)
    }),
    ("delete what is due", |kms, _| {
        let report = ready(kms.run_due())?;
        report.failed.into_iter().next().map_or(Ok(()), Err)
    }),
    ("delete an alias", |kms, _| {
        ready(kms.delete_alias("alias/moving"))
    }),
];
