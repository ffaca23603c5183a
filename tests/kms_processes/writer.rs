//! The process that is killed: it does what comes to its mind with the KMS,
//! and says before each change what it begins, and after it that it is done.
//!
//! Each writer has keys and aliases of its own, so that what they must be is
//! known exactly; all share the store, its root and its store key, one key
//! that all rotate, and a service's key.

use std::path::Path;
use std::time::Duration;

use waxseal::blocking::wait;
use waxseal::kms::{
    CreateKey, ImportOptions, ImportType, KeyState, Keyring, KmsError, KmsResult, LocalKms, Origin,
};
use waxseal::test_util::ManualClock;
use waxseal::{Clock, EncryptionContext, SecretBytes, SystemClock};

use crate::child::{Random, hex, root, say, store};

/// How many roots there are to change between. Only writer 0 changes it.
pub(crate) const ROOTS: u8 = 3;
pub(crate) const SHARED: &str = "alias/shared";
const ALIASES: usize = 3;
const ENOUGH_KEYS: usize = 6;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn context() -> EncryptionContext {
    EncryptionContext::from([("test", "kills")])
}

/// What a writer's keys are described as, each followed by a number.
pub(crate) fn mark(slot: usize) -> String {
    format!("writer-{slot}/")
}

/// Opens the KMS with whichever root it has now; `None` if there is none, and
/// none is to be made. Panics if more than one opens it.
pub(crate) fn open(
    folder: &Path,
    clock: impl Clock + Clone + 'static,
    create: bool,
) -> Option<(LocalKms, u8)> {
    let try_root = |number: u8| {
        let builder = LocalKms::builder(store(folder), root(number))
            .clock(clock.clone())
            .max_staleness(Duration::from_millis(2))
            .usage_flush_interval(DAY)
            .create(create && number == 0);
        match wait(builder.open()) {
            Ok(kms) => Some(Some(kms)),
            Err(KmsError::NoKms) => Some(None),
            Err(KmsError::WrongRoot { .. }) => None,
            Err(error) => panic!("root {number}: {error}"),
        }
    };
    // The root may be changed from one that is still to be tried to one that
    // was.
    for _ in 0..1000 {
        for number in 0..ROOTS {
            if let Some(opened) = try_root(number) {
                return opened.map(|kms| (kms, number));
            }
        }
    }
    panic!("no root opens the store");
}

pub(crate) fn work(folder: &Path, argument: &str) {
    let (slot, seed) = argument.split_once(' ').unwrap();
    let (slot, seed) = (slot.parse().unwrap(), seed.parse().unwrap());
    let mut writer = Writer::open(folder, slot, Random(seed));
    loop {
        if let Err(error) = writer.change_something() {
            // A neighbour changed the root.
            let excused = matches!(error, KmsError::WrongRoot { .. });
            assert!(excused, "{error}");
            say("failed");
            writer = Writer::open(folder, slot, writer.random);
        }
    }
}

struct Writer<'a> {
    folder: &'a Path,
    slot: usize,
    random: Random,
    kms: LocalKms,
    shared: String,
    keys: Vec<Keyring>,
}

impl<'a> Writer<'a> {
    fn open(folder: &'a Path, slot: usize, random: Random) -> Self {
        loop {
            let (kms, _) = open(folder, SystemClock, true).unwrap();
            say("open");
            let prepared = shared_key(&kms).and_then(|shared| {
                let service = wait(kms.service_key("kills"))?.id;
                let page = wait(kms.list_keys(None, 1000))?;
                assert!(page.damaged.is_empty(), "{:?}", page.damaged);
                Ok((shared, service, page.keyrings))
            });
            let (shared, service, mut keys) = match prepared {
                Ok(prepared) => prepared,
                Err(KmsError::WrongRoot { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            say(&format!("common {shared} {service}"));
            keys.retain(|key| {
                key.description.starts_with(&mark(slot)) && key.state != KeyState::PendingDeletion
            });
            return Writer {
                folder,
                slot,
                random,
                kms,
                shared,
                keys,
            };
        }
    }

    fn change_something(&mut self) -> KmsResult<()> {
        match self.random.below(100) {
            0..12 if self.keys.len() < ENOUGH_KEYS => self.create(false),
            12..20 if self.keys.len() < ENOUGH_KEYS => self.create(true),
            20..32 => self.rotate(),
            32..44 => self.rotate_shared(),
            44..52 => self.import_material(),
            52..62 => self.move_alias(),
            62..68 if self.keys.len() > 2 => self.delete(),
            68..74 => self.purge(),
            74..80 => self.flush(),
            80..82 => self.rotate_store_key(),
            82..90 if self.slot == 0 => self.change_root(),
            90..93 => self.import_backup(),
            _ => self.encrypt(),
        }
    }

    fn own(&mut self) -> Option<Keyring> {
        let count = self.keys.len();
        (count > 0).then(|| self.keys[self.random.below(count)].clone())
    }

    /// What the key is like now.
    fn look(&self, id: &str) -> KmsResult<Keyring> {
        wait(self.kms.describe_key(id))
    }

    fn create(&mut self, external: bool) -> KmsResult<()> {
        let description = format!("{}{:016x}", mark(self.slot), self.random.next());
        let alias = match self.random.below(2) {
            0 => format!("alias/{description}"),
            _ => "-".to_owned(),
        };
        let kind = if external { "external" } else { "local" };
        say(&format!("begin create {description} {alias} {kind}"));
        let mut request = CreateKey::new().description(description);
        if alias != "-" {
            request = request.alias(alias);
        }
        if external {
            request = request.external();
        }
        let key = wait(self.kms.create_key(request))?;
        say(&format!("done {}", key.id));
        self.keys.push(key);
        Ok(())
    }

    fn rotate(&mut self) -> KmsResult<()> {
        let Some(key) = self.own() else { return Ok(()) };
        let key = self.look(&key.id)?;
        if key.origin == Origin::External && key.next.is_none() {
            return Ok(());
        }
        say(&format!("begin rotate {}", key.id));
        let version = wait(self.kms.rotate(&key.id))?;
        say(&format!("done {version}"));
        Ok(())
    }

    fn rotate_shared(&mut self) -> KmsResult<()> {
        say("begin rotate-shared");
        let version = wait(self.kms.rotate(SHARED))?;
        say(&format!("done {version}"));
        Ok(())
    }

    fn import_material(&mut self) -> KmsResult<()> {
        let Some(key) = self.own() else { return Ok(()) };
        let key = self.look(&key.id)?;
        if key.origin == Origin::Local || key.next.is_some() {
            return Ok(());
        }
        let mut words = (0..4).map(|_| self.random.next());
        let material: Vec<u8> = words.by_ref().flat_map(u64::to_be_bytes).collect();
        let material = SecretBytes::from(material);
        say(&format!("begin material {}", key.id));
        let options = ImportOptions::new().import_type(ImportType::New);
        wait(self.kms.import_key_material(&key.id, &material, options))?;
        say("done");
        Ok(())
    }

    fn move_alias(&mut self) -> KmsResult<()> {
        let Some(key) = self.own() else { return Ok(()) };
        let alias = format!("alias/{}{}", mark(self.slot), self.random.below(ALIASES));
        let is_there = match wait(self.kms.resolve(&alias)) {
            Ok(_) => true,
            Err(KmsError::NotFound { .. }) => false,
            Err(error) => return Err(error),
        };
        let delete = is_there && self.random.below(3) == 0;
        let target = if delete { "-" } else { &*key.id };
        say(&format!("begin alias {alias} {target}"));
        let moved = match (delete, is_there) {
            (true, _) => wait(self.kms.delete_alias(&alias)),
            (false, true) => wait(self.kms.update_alias(&alias, &key.id)),
            (false, false) => wait(self.kms.create_alias(&alias, &key.id)),
        };
        match moved {
            // A neighbour purged the key that it named.
            Err(KmsError::NotFound { .. }) if is_there => say("failed"),
            moved => {
                moved?;
                say("done");
            }
        }
        Ok(())
    }

    fn delete(&mut self) -> KmsResult<()> {
        let Some(key) = self.own() else { return Ok(()) };
        say(&format!("begin delete {}", key.id));
        wait(self.kms.schedule_deletion(&key.id, Some(7)))?;
        say("done");
        self.keys.retain(|own| own.id != key.id);
        Ok(())
    }

    /// Deletes whatever is scheduled to be, by whomever.
    fn purge(&mut self) -> KmsResult<()> {
        let clock = ManualClock::new(SystemClock.now() + 8 * DAY);
        let (kms, _) = open(self.folder, clock, false).unwrap();
        say("begin purge");
        let report = wait(kms.run_due())?;
        if let Some(error) = report.failed.into_iter().next() {
            return Err(error);
        }
        say("done");
        Ok(())
    }

    fn flush(&mut self) -> KmsResult<()> {
        say("begin flush");
        wait(self.kms.flush_usage())?;
        say("done");
        Ok(())
    }

    fn rotate_store_key(&mut self) -> KmsResult<()> {
        say("begin store-key");
        wait(self.kms.rotate_store_key())?;
        say("done");
        Ok(())
    }

    fn change_root(&mut self) -> KmsResult<()> {
        let number = self.random.below(usize::from(ROOTS)) as u8;
        say(&format!("begin root {number}"));
        wait(self.kms.change_root(root(number)))?;
        say("done");
        Ok(())
    }

    /// Imports a backup of a store of another machine's, so to say.
    fn import_backup(&mut self) -> KmsResult<()> {
        let other = LocalKms::in_memory()?;
        let mut line = "begin import".to_owned();
        for _ in 0..3 {
            let alias = format!("alias/import/{:016x}", self.random.next());
            let request = CreateKey::new().description("imported").alias(&alias);
            let key = wait(other.create_key(request))?;
            wait(other.rotate(&key.id))?;
            let blob = wait(other.encrypt(&key.id, b"imported", &context()))?.blob;
            line = format!("{line} {} {alias} {}", key.id, hex(&blob));
        }
        let backup = wait(other.export(&root(100)))?;
        say(&line);
        wait(self.kms.import(&backup, &root(100)))?;
        say("done");
        Ok(())
    }

    fn encrypt(&mut self) -> KmsResult<()> {
        let id = match self.own() {
            Some(key) if self.random.below(3) > 0 => key.id,
            _ => self.shared.clone(),
        };
        if self.look(&id)?.current_version() == 0 {
            return Ok(());
        }
        let plaintext = self.random.next().to_be_bytes();
        let sealed = wait(self.kms.encrypt(&id, &plaintext, &context()))?;
        let version = sealed.key_version;
        let (plaintext, blob) = (hex(&plaintext), hex(&sealed.blob));
        say(&format!("blob {id} {version} {plaintext} {blob}"));
        Ok(())
    }
}

fn shared_key(kms: &LocalKms) -> KmsResult<String> {
    let request = CreateKey::new().description("shared").alias(SHARED);
    let created = match wait(kms.describe_key(SHARED)) {
        Err(KmsError::NotFound { .. }) => wait(kms.create_key(request)),
        described => return described.map(|key| key.id),
    };
    match created {
        Ok(key) => Ok(key.id),
        Err(KmsError::AlreadyExists { .. }) => Ok(wait(kms.describe_key(SHARED))?.id),
        Err(error) => Err(error),
    }
}
