//! Records of the embedded KMS that hold what no KMS has written, sealed as
//! they should be: by whoever knows the store key, or by a fault. They are
//! refused by name, or all that is told of them fits together; memory and time
//! stay in proportion, and nothing panics.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use waxseal::SecretBytes;
use waxseal::blocking::wait;
use waxseal::kms::store::StoreError;
use waxseal::kms::{CreateKey, ImportOptions, ImportType, KmsError, KmsResult, LocalKms};
use waxseal_fuzz::lying::{Blobs, LyingStore};
use waxseal_fuzz::sealed::{Record, Root};
use waxseal_fuzz::splice::Splice;
use waxseal_fuzz::subject::{Subject, Touched, aliases};
use waxseal_fuzz::tape::{self, Coded, Tape};
use waxseal_fuzz::world::{
    DAY, IMPORTED, ROOT_KEY, World, backup_key, clock, context, open, root_key, world,
};

#[derive(Default)]
struct Input {
    forged: Vec<Forged>,
    /// What is done first, and with which of the records.
    order: u8,
    days: u8,
}

/// A record that is put there.
#[derive(Default)]
struct Forged {
    /// Its name, of the world's.
    name: u8,
    /// Whose payload it starts from: none, or a name's.
    base: u8,
    generation: u8,
    /// Whether it is under the first store key.
    is_old: bool,
    /// Whether it replaces another while the store is open.
    is_late: bool,
    splices: Vec<Splice>,
    /// What comes after that.
    bytes: Vec<u8>,
}

impl Coded for Forged {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.name);
        tape.byte(&mut self.base);
        tape.byte(&mut self.generation);
        tape.flag(&mut self.is_old);
        tape.flag(&mut self.is_late);
        tape.list(&mut self.splices, 4);
        let mut length = self.bytes.len() as u16;
        tape.u16(&mut length);
        let length = usize::from(length).min(tape.left().max(self.bytes.len()));
        self.bytes.resize(length, 0);
        self.bytes.iter_mut().for_each(|byte| tape.byte(byte));
    }
}

impl Coded for Input {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.list(&mut self.forged, 3);
        tape.byte(&mut self.order);
        tape.byte(&mut self.days);
    }
}

/// The world, with its seals open.
struct Open {
    world: &'static World,
    blobs: &'static Blobs,
    root: Root,
    /// In the order of [`World::names`].
    records: Vec<Option<Record>>,
}

fn opened() -> &'static Open {
    static OPEN: LazyLock<Open> = LazyLock::new(|| {
        let world = world();
        let blobs = world.moments.last().expect("a moment");
        let root = Root::open(&blobs["root"], &ROOT_KEY).expect("the root record");
        let open = |name: &String| Record::open(&root, name, blobs.get(name)?);
        let records: Vec<_> = world.names.iter().map(open).collect();
        assert_eq!(records.iter().flatten().count() + 1, blobs.len());
        Open {
            world,
            blobs,
            root,
            records,
        }
    });
    &OPEN
}

impl Forged {
    fn name(&self) -> Option<&'static str> {
        let names = &opened().world.names;
        let name = &names[usize::from(self.name) % names.len()];
        (name != "root").then_some(name)
    }

    fn blob(&self, name: &str) -> Vec<u8> {
        let Open { root, records, .. } = opened();
        let base = usize::from(self.base) % (records.len() + 1);
        let base = base.checked_sub(1).and_then(|base| records[base].clone());
        let mut record = base.unwrap_or(Record {
            generation: 1,
            // A birth, and the schema.
            plaintext: vec![0, 0, 0, 0, 0, 0, 0, self.base, 1],
        });
        for splice in &self.splices {
            splice.apply(&mut record.plaintext);
        }
        record.plaintext.extend_from_slice(&self.bytes);
        record.generation = match self.generation {
            0 => record.generation,
            u8::MAX => u64::MAX,
            254 => u64::MAX - 1,
            253 => 0,
            generation => generation.into(),
        };
        let version = if self.is_old { 1 } else { root.current };
        record.seal(root, version, name)
    }
}

fuzz_target!(|data: &[u8]| {
    let input: Input = tape::read(data);
    let Open { world, blobs, .. } = opened();
    let store = LyingStore::of(blobs);
    let mut touched = Touched {
        is_forged: true,
        ..Touched::default()
    };
    let put = |touched: &mut Touched, is_late: bool| {
        for forged in input
            .forged
            .iter()
            .filter(|forged| forged.is_late == is_late)
        {
            if let Some(name) = forged.name() {
                store.put(name, Some(&forged.blob(name)));
                touched.touch(name);
            }
        }
    };
    put(&mut touched, false);
    let clock = clock();
    let kms = open(store.clone(), 5, &clock).expect("the root is as it was");
    let aliases = aliases(world);
    let look = |kms: &LocalKms, touched: &Touched| {
        let subject = Subject {
            kms: kms.clone(),
            keys: &world.keys,
            known: &world.known,
            aliases: &aliases,
            touched,
        };
        subject.look();
    };
    look(&kms, &touched);
    put(&mut touched, true);
    look(&kms, &touched);

    clock.advance(DAY * u32::from(input.days));
    touched.is_later = true;
    let report = allowed(&touched, wait(kms.run_due())).expect("the store lists");
    for error in report.failed {
        allowed::<()>(&touched, Err(error));
    }
    look(&kms, &touched);
    let keys: Vec<&str> = (input.forged.iter())
        .filter_map(|forged| forged.name()?.strip_prefix("keys/"))
        .collect();
    // Everything, beginning somewhere.
    for number in 0..5u8 {
        for key in &keys {
            change(&kms, &touched, key, number.wrapping_add(input.order) % 5);
        }
    }
    look_again(&kms, &touched);
    let _ = allowed(&touched, wait(kms.change_root(root_key())));
    let _ = allowed(&touched, wait(kms.rotate_store_key()));
    if let Some(backup) = allowed(&touched, wait(kms.export(&backup_key()))) {
        match wait(kms.import(&backup, &backup_key())) {
            Ok(report) => assert_eq!((report.restored, report.older), (0, 0)),
            // What a newer version wrote is exported, for that to import.
            Err(KmsError::Backup { reason }) => assert!(reason.contains("has format")),
            Err(error) => panic!("{error:?}"),
        }
    }
    drop(kms);
    let kms = open(store.clone(), 6, &clock).expect("the root is whole");
    look_again(&kms, &touched);
});

/// The value; else an error that such a store may lead to.
fn allowed<T>(touched: &Touched, result: KmsResult<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        // A payload may be longer than a blob may.
        Err(KmsError::Store(StoreError::TooLarge { .. })) => None,
        Err(error) => {
            touched.is_the_stores(&error);
            None
        }
    }
}

/// What can still be told when keys have been changed.
fn look_again(kms: &LocalKms, touched: &Touched) {
    let page = allowed(touched, wait(kms.list_keys(None, 100))).expect("the store lists");
    for keyring in &page.keyrings {
        waxseal_fuzz::subject::check(keyring);
        let described = wait(kms.describe_key(&keyring.id)).expect("it was listed");
        assert_eq!(&described, keyring);
    }
    let _ = allowed(touched, wait(kms.list_aliases(None)));
}

fn change(kms: &LocalKms, touched: &Touched, key: &str, number: u8) {
    let context = context(1);
    match number {
        0 => {
            let rotated = allowed(touched, wait(kms.rotate(key)));
            if let Some(sealed) = allowed(touched, wait(kms.encrypt(key, b"x", &context))) {
                assert!(rotated.is_none_or(|version| version == sealed.key_version));
                let found = wait(kms.decrypt(&sealed.blob, None, &context));
                assert_eq!(found.expect("it was made now").plaintext.expose(), b"x");
            }
        }
        1 => {
            for import_type in [ImportType::Existing, ImportType::New] {
                let options = ImportOptions::new().import_type(import_type);
                let material = SecretBytes::from(IMPORTED[0].to_vec());
                let imported = wait(kms.import_key_material(key, &material, options));
                let _ = allowed(touched, imported);
            }
            let _ = allowed(touched, wait(kms.delete_imported_key_material(key, None)));
        }
        2 => {
            let _ = allowed(touched, wait(kms.disable_key(key)));
            let _ = allowed(touched, wait(kms.enable_key(key)));
            let _ = allowed(touched, wait(kms.enable_rotation(key, None)));
            let _ = allowed(touched, wait(kms.disable_rotation(key)));
            let _ = allowed(touched, wait(kms.set_minimum_version(key, 1)));
        }
        3 => {
            let _ = allowed(touched, wait(kms.schedule_deletion(key, None)));
            let _ = allowed(touched, wait(kms.cancel_deletion(key)));
        }
        _ => {
            let _ = allowed(touched, wait(kms.update_alias("alias/moved", key)));
            let request = CreateKey::new().alias("alias/made");
            let _ = allowed(touched, wait(kms.create_key(request)));
            let _ = allowed(touched, wait(kms.update_description(key, "x")));
            let _ = allowed(touched, wait(kms.untag(key, &["team"])));
            let _ = allowed(touched, wait(kms.flush_usage()));
        }
    }
}
