//! Stores that released versions have written: `tests/stores/VERSION`. They
//! must all open, and everything in them must be what it was.
//!
//! A release adds its own:
//!
//! ```sh
//! cargo test --features test-util --test kms_formats -- --ignored write
//! ```
//!
//! Each folder holds a store under a root of bytes, one under a passphrase, a
//! backup under a passphrase, and what was made with them (`made.json`). Their
//! keys protect nothing.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use waxseal::blocking::{Client, wait};
use waxseal::kms::store::{DirectoryStore, MemoryStore};
use waxseal::kms::{
    CreateKey, ImportOptions, ImportType, KeyState, KmsError, LocalKms, Origin, Owner,
    PassphraseCost, RootKey,
};
use waxseal::{EncryptionContext, SecretBytes};

const ROOT: [u8; 32] = [0x42; 32];
const PASSPHRASE: &[u8] = b"correct horse battery staple";
const PLAINTEXT: &[u8] = b"attack at dawn";

fn stores() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores")
}

fn root() -> RootKey {
    RootKey::bytes(SecretBytes::copy_from(&ROOT))
}

/// What is read says what it cost.
fn passphrase() -> RootKey {
    RootKey::passphrase(SecretBytes::copy_from(PASSPHRASE))
}

fn cheap_passphrase() -> RootKey {
    let cost = PassphraseCost {
        memory: 1024,
        passes: 1,
        lanes: 1,
    };
    RootKey::passphrase_with_cost(SecretBytes::copy_from(PASSPHRASE), cost)
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("tenant", "7"), ("purpose", "formats")])
}

/// A copy, since opening a store may write to it. Version control keeps no
/// empty folders, and neither does this.
fn copy_of(folder: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let temporary = tempfile::tempdir().unwrap();
    copy(folder, temporary.path());
    temporary
}

fn open(folder: &Path, root: RootKey) -> LocalKms {
    let store = DirectoryStore::builder(folder)
        .create(false)
        .open()
        .unwrap();
    wait(LocalKms::builder(store, root).create(false).open()).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn bytes(value: &Value, key: &str) -> Vec<u8> {
    STANDARD.decode(text(value, key)).unwrap()
}

#[test]
fn every_released_store_opens() {
    let mut versions = 0;
    for entry in fs::read_dir(stores()).unwrap() {
        let folder = entry.unwrap().path();
        println!("{}", folder.display());
        let made: Value =
            serde_json::from_slice(&fs::read(folder.join("made.json")).unwrap()).unwrap();

        let copy = copy_of(&folder.join("store"));
        let kms = open(copy.path(), root());
        check(&kms, &made);

        let copy = copy_of(&folder.join("passphrase"));
        let kms = open(copy.path(), passphrase());
        let opened = wait(kms.decrypt(&bytes(&made, "under passphrase"), None, &context()));
        assert_eq!(opened.unwrap().plaintext.expose(), PLAINTEXT);

        let kms = wait(LocalKms::builder(MemoryStore::new(), root()).open()).unwrap();
        let backup = fs::read(folder.join("backup")).unwrap();
        let report = wait(kms.import(&backup, &passphrase())).unwrap();
        assert!(report.restored > 0 && report.diverged.is_empty());
        check(&kms, &made);
        versions += 1;
    }
    assert!(versions > 0);
}

/// Everything in the store is what it was, and goes on.
fn check(kms: &LocalKms, made: &Value) {
    for key in made["keys"].as_array().unwrap() {
        let id = text(key, "id");
        let keyring = wait(kms.describe_key(id)).unwrap();
        assert_eq!(keyring.description, text(key, "description"));
        assert_eq!(format!("{:?}", keyring.state), text(key, "state"));
        assert_eq!(format!("{:?}", keyring.owner), text(key, "owner"));
        assert_eq!(format!("{:?}", keyring.origin), text(key, "origin"));
        assert_eq!(u64::from(keyring.current_version()), key["version"]);
        assert_eq!(json!(keyring.tags), key["tags"]);
        assert_eq!(keyring.rotation.is_some(), key["rotates"]);
        let aliases: Vec<_> = wait(kms.list_aliases(Some(id)))
            .unwrap()
            .aliases
            .into_iter()
            .map(|alias| alias.name)
            .collect();
        assert_eq!(json!(aliases), key["aliases"]);
        let usage = wait(kms.usage(id)).unwrap();
        assert!(usage.versions.len() >= key["used versions"].as_u64().unwrap() as usize);
    }
    for blob in made["ciphertexts"].as_array().unwrap() {
        let opened = wait(kms.decrypt(&bytes(blob, "blob"), None, &context())).unwrap();
        assert_eq!(opened.plaintext.expose(), PLAINTEXT);
        assert_eq!(u64::from(opened.key_version), blob["version"]);
    }
    let cut_off = wait(kms.decrypt(&bytes(made, "cut off"), None, &context())).unwrap_err();
    assert!(matches!(cut_off, KmsError::VersionCutOff { .. }));
    let deleted = wait(kms.deleted_key(text(made, "deleted"))).unwrap();
    assert!(deleted.is_some());
    let client = Client::new(kms.provider("alias/app"));
    let opened = client.decrypt(&bytes(made, "message"), &context()).unwrap();
    assert_eq!(opened.plaintext, PLAINTEXT);
    wait(kms.rotate("alias/app")).unwrap();
    let sealed = client.encrypt(PLAINTEXT, &context()).unwrap();
    assert_eq!(
        client.decrypt(&sealed, &context()).unwrap().plaintext,
        PLAINTEXT
    );
}

#[test]
#[ignore = "writes the store of this version into the tree"]
fn write() {
    let folder = stores().join(env!("CARGO_PKG_VERSION"));
    assert!(!folder.exists(), "{} is released", folder.display());
    let clock = waxseal::test_util::ManualClock::default();
    let store = DirectoryStore::open(folder.join("store")).unwrap();
    let builder = LocalKms::builder(store, root()).clock(clock.clone());
    let kms = wait(builder.open()).unwrap();
    let context = context();
    let mut ciphertexts = Vec::new();
    let mut seal = |key: &str| {
        let sealed = wait(kms.encrypt(key, PLAINTEXT, &context)).unwrap();
        ciphertexts.push(json!({
            "blob": STANDARD.encode(&sealed.blob),
            "version": sealed.key_version,
        }));
        sealed.blob
    };

    let app = CreateKey::new()
        .alias("alias/app")
        .description("for the application");
    let app = wait(kms.create_key(app.tag("team", "storage").rotate_every(90)))
        .unwrap()
        .id;
    seal(&app);
    clock.advance(std::time::Duration::from_secs(100 * 24 * 60 * 60));
    assert_eq!(wait(kms.run_due()).unwrap().rotated.len(), 1);
    wait(kms.rotate(&app)).unwrap();
    seal(&app);
    wait(kms.create_alias("alias/second", &app)).unwrap();
    wait(kms.create_alias("alias/gone", &app)).unwrap();
    wait(kms.delete_alias("alias/gone")).unwrap();

    let imported = wait(kms.create_key(CreateKey::new().external()))
        .unwrap()
        .id;
    let secret = |byte| SecretBytes::from(vec![byte; 32]);
    wait(kms.import_key_material(&imported, &secret(1), ImportOptions::new())).unwrap();
    seal(&imported);
    let new = ImportOptions::new().import_type(ImportType::New);
    wait(kms.import_key_material(&imported, &secret(2), new)).unwrap();
    wait(kms.rotate(&imported)).unwrap();
    wait(kms.import_key_material(&imported, &secret(3), new)).unwrap();
    seal(&imported);

    let service = wait(kms.service_key("files")).unwrap().id;
    seal(&service);
    seal(&wait(kms.owned_key("internal")).unwrap());

    let floor = wait(kms.create_key(CreateKey::new())).unwrap().id;
    let cut_off = wait(kms.encrypt(&floor, PLAINTEXT, &context)).unwrap().blob;
    wait(kms.rotate(&floor)).unwrap();
    wait(kms.set_minimum_version(&floor, 2)).unwrap();

    let disabled = wait(kms.create_key(CreateKey::new())).unwrap().id;
    wait(kms.disable_key(&disabled)).unwrap();
    let empty = wait(kms.create_key(CreateKey::new().external()))
        .unwrap()
        .id;
    let deleted = wait(kms.create_key(CreateKey::new())).unwrap().id;
    wait(kms.schedule_deletion(&deleted, Some(7))).unwrap();
    clock.advance(std::time::Duration::from_secs(7 * 24 * 60 * 60));
    assert_eq!(wait(kms.run_due()).unwrap().deleted.len(), 1);
    // The root holds more than one store key.
    wait(kms.rotate_store_key()).unwrap();

    let client = Client::new(kms.provider("alias/app"));
    let message = client.encrypt(PLAINTEXT, &context).unwrap();
    wait(kms.flush_usage()).unwrap();
    let keys: Vec<Value> = [app, imported, service, floor, disabled, empty]
        .iter()
        .map(|id| describe(&kms, id))
        .collect();
    assert!(
        keys.iter()
            .any(|key| key["state"] == format!("{:?}", KeyState::PendingImport))
    );
    assert!(
        keys.iter()
            .any(|key| key["origin"] == format!("{:?}", Origin::External))
    );
    let customer = format!("{:?}", Owner::Customer);
    assert!(keys.iter().any(|key| key["owner"] != customer));
    let backup = wait(kms.export(&cheap_passphrase())).unwrap();
    fs::write(folder.join("backup"), backup).unwrap();

    let other = DirectoryStore::open(folder.join("passphrase")).unwrap();
    let other = wait(LocalKms::builder(other, cheap_passphrase()).open()).unwrap();
    let key = wait(other.create_key(CreateKey::new())).unwrap().id;
    let under_passphrase = wait(other.encrypt(&key, PLAINTEXT, &context)).unwrap().blob;

    let made = json!({
        "keys": keys,
        "ciphertexts": ciphertexts,
        "cut off": STANDARD.encode(cut_off),
        "deleted": deleted,
        "message": STANDARD.encode(message),
        "under passphrase": STANDARD.encode(under_passphrase),
    });
    let made = serde_json::to_string_pretty(&made).unwrap() + "\n";
    fs::write(folder.join("made.json"), made).unwrap();
}

fn describe(kms: &LocalKms, id: &str) -> Value {
    let keyring = wait(kms.describe_key(id)).unwrap();
    let aliases = wait(kms.list_aliases(Some(id))).unwrap().aliases;
    let aliases: Vec<_> = aliases.into_iter().map(|alias| alias.name).collect();
    json!({
        "id": keyring.id,
        "description": keyring.description,
        "state": format!("{:?}", keyring.state),
        "owner": format!("{:?}", keyring.owner),
        "origin": format!("{:?}", keyring.origin),
        "version": keyring.current_version(),
        "tags": keyring.tags,
        "rotates": keyring.rotation.is_some(),
        "aliases": aliases,
        "used versions": wait(kms.usage(id)).unwrap().versions.len(),
    })
}
