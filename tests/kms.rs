//! The embedded KMS through its public face.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use waxseal::blocking::{Client, wait};
use waxseal::kms::store::{
    Blob, BlobEntry, BlobStore, BlobVersion, ChangeToken, Expected, MemoryStore, StoreFuture,
};
use waxseal::kms::{
    CreateKey, DataKeySpec, ImportOptions, ImportType, KeyState, KmsError, KmsResult, LocalKms,
    RootKey,
};
use waxseal::test_util::ManualClock;
use waxseal::{Clock, EncryptionContext, SecretBytes};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn kms() -> (LocalKms, ManualClock) {
    let clock = ManualClock::default();
    let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
    let builder = LocalKms::builder(MemoryStore::new(), root).clock(clock.clone());
    (wait(builder.open()).unwrap(), clock)
}

#[test]
fn a_key_lives_rotates_and_dies() {
    let (kms, clock) = kms();
    let key = wait(kms.create_key(CreateKey::new().alias("alias/app").rotate_every(90))).unwrap();
    let context = EncryptionContext::from([("tenant", "7")]);
    let client = Client::new(kms.provider("alias/app"));
    let message = client.encrypt(b"text", &context).unwrap();
    clock.advance(DAY * 365);
    let report = wait(kms.run_due()).unwrap();
    assert_eq!(report.rotated, [(key.arn.clone(), 2)]);
    assert!(wait(kms.run_due()).unwrap().is_empty());
    let opened = client.decrypt(&message, &context).unwrap();
    assert_eq!(opened.plaintext, b"text");
    assert_eq!(opened.details.key_version.as_deref(), Some("1"));
    let new = client.encrypt(b"text", &context).unwrap();
    let opened = client.decrypt(&new, &context).unwrap();
    assert_eq!(opened.details.key_version.as_deref(), Some("2"));

    let generated = wait(kms.generate_data_key(&key.id, DataKeySpec::Aes256, &context)).unwrap();
    let blob = &generated.ciphertext.blob;
    let opened = wait(kms.decrypt(blob, Some("alias/app"), &context)).unwrap();
    assert_eq!(opened.plaintext.expose(), generated.plaintext.expose());
    let other = EncryptionContext::new();
    let refused = wait(kms.decrypt(blob, None, &other)).unwrap_err();
    assert!(matches!(refused, KmsError::InvalidCiphertext), "{refused}");

    let usage = wait(kms.usage("alias/app")).unwrap();
    assert_eq!(usage.versions[&2].wraps, 2);
    assert_eq!(usage.versions[&1].unwraps, 1);

    let scheduled = wait(kms.schedule_deletion("alias/app", Some(7))).unwrap();
    assert!(scheduled.is_in_recent_use);
    assert_eq!(
        wait(kms.describe_key(&key.id)).unwrap().state,
        KeyState::PendingDeletion
    );
    assert!(client.decrypt(&message, &context).is_err());
    clock.advance(DAY * 7);
    let gone = wait(kms.describe_key(&key.id)).unwrap_err();
    assert!(matches!(gone, KmsError::NotFound { .. }));
    let report = wait(kms.run_due()).unwrap();
    assert_eq!(report.deleted, std::slice::from_ref(&key.arn));
    assert!(wait(kms.deleted_key(&key.id)).unwrap().is_some());
    assert!(wait(kms.list_aliases(None)).unwrap().aliases.is_empty());
}

fn is_invalid<T>(result: KmsResult<T>) -> bool {
    matches!(result, Err(KmsError::InvalidArgument { .. }))
}

fn is_limited<T>(result: KmsResult<T>) -> bool {
    matches!(result, Err(KmsError::LimitExceeded { limit: 1000, .. }))
}

fn is_not_found<T>(result: KmsResult<T>) -> bool {
    matches!(result, Err(KmsError::NotFound { .. }))
}

#[test]
fn keys_are_listed_in_pages() {
    let (kms, clock) = kms();
    let mut ids: Vec<_> = (0..7)
        .map(|_| wait(kms.create_key(CreateKey::new())).unwrap().id)
        .collect();
    ids.push(wait(kms.service_key("s3")).unwrap().id);
    wait(kms.owned_key("s3")).unwrap();
    let gone = ids.remove(3);
    wait(kms.schedule_deletion(&gone, Some(7))).unwrap();
    ids.sort_unstable();
    for is_purged in [false, true] {
        clock.advance(DAY * 7);
        if is_purged {
            assert_eq!(wait(kms.run_due()).unwrap().deleted.len(), 1);
        }
        for limit in [0, 1, 2, 3, 6, 7, 8, 1000, usize::MAX] {
            let (mut found, mut next): (Vec<String>, Option<String>) = (Vec::new(), None);
            loop {
                let page = wait(kms.list_keys(next.as_deref(), limit)).unwrap();
                assert!(page.keyrings.len() <= limit.max(1) && page.damaged.is_empty());
                // A page that is not the last is full.
                assert!(page.next.is_none() || page.keyrings.len() == limit.max(1));
                assert!(
                    page.next.is_none()
                        || page.next.as_ref() == Some(&page.keyrings.last().unwrap().id)
                );
                found.extend(page.keyrings.into_iter().map(|key| key.id));
                match page.next {
                    Some(after) => next = Some(after),
                    None => break,
                }
            }
            assert_eq!(found, ids, "by {limit}");
        }
    }
    for wrong in ["", "x", "keys/x", "00000000-0000-4000-8000-00000000000G"] {
        assert!(is_invalid(wait(kms.list_keys(Some(wrong), 1))), "{wrong}");
    }
    // What ended a page need not be there any more.
    let page = wait(kms.list_keys(Some(&gone), 1000)).unwrap();
    let after: Vec<_> = ids.iter().filter(|id| **id > gone).cloned().collect();
    let found: Vec<_> = page.keyrings.into_iter().map(|key| key.id).collect();
    assert_eq!(found, after);
    let all = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    assert!(
        wait(kms.list_keys(Some(all), 1))
            .unwrap()
            .keyrings
            .is_empty()
    );
}

#[test]
fn more_keys_than_the_store_lists_at_once() {
    let (kms, _) = kms();
    for number in 0..501 {
        let request = CreateKey::new().alias(format!("alias/{number}"));
        wait(kms.create_key(request)).unwrap();
    }
    let page = wait(kms.list_keys(None, 1000)).unwrap();
    assert_eq!((page.keyrings.len(), page.next), (501, None));
    assert_eq!(wait(kms.list_aliases(None)).unwrap().aliases.len(), 501);
    for key in &page.keyrings {
        wait(kms.schedule_deletion(&key.id, None)).unwrap();
    }
    assert!(wait(kms.run_due()).unwrap().is_empty());
}

#[test]
fn run_due_reaches_every_key() {
    let (kms, clock) = kms();
    for _ in 0..501 {
        wait(kms.create_key(CreateKey::new().rotate_every(90))).unwrap();
    }
    clock.advance(DAY * 90 - Duration::from_millis(1));
    assert!(wait(kms.run_due()).unwrap().is_empty());
    clock.advance(Duration::from_millis(1));
    assert_eq!(wait(kms.run_due()).unwrap().rotated.len(), 501);
}

#[test]
fn tags_and_descriptions_have_limits() {
    let (kms, _) = kms();
    let tags = |count: usize| -> BTreeMap<String, String> {
        (0..count)
            .map(|tag| (format!("tag {tag}"), String::new()))
            .collect()
    };
    let tagged = |count| {
        let all = tags(count);
        let request = all
            .into_iter()
            .fold(CreateKey::new(), |request, (tag, value)| {
                request.tag(tag, value)
            });
        wait(kms.create_key(request))
    };
    let key = tagged(1000).unwrap().id;
    assert!(is_limited(tagged(1001)));
    assert!(is_limited(wait(kms.tag(&key, &tags(1001)))));
    let one = |tag: &str, value: &str| BTreeMap::from([(tag.to_owned(), value.to_owned())]);
    assert!(is_limited(wait(kms.tag(&key, &one("another", "")))));
    let before = wait(kms.describe_key(&key)).unwrap();
    assert_eq!(before.tags, tags(1000));
    // One in place of another, and then room for one.
    wait(kms.tag(&key, &one("tag 0", "new"))).unwrap();
    assert_eq!(wait(kms.describe_key(&key)).unwrap().tags["tag 0"], "new");
    wait(kms.untag(&key, &["tag 1", "none"])).unwrap();
    wait(kms.tag(&key, &one("another", ""))).unwrap();
    assert!(is_limited(wait(kms.tag(&key, &one("tag 1", "")))));
    wait(kms.untag(&key, &["another"])).unwrap();

    // Characters, not bytes.
    let of = |count| "ü".repeat(count);
    wait(kms.tag(&key, &one(&of(128), &of(256)))).unwrap();
    wait(kms.untag(&key, &[&of(128)])).unwrap();
    for (tag, value) in [
        (String::new(), String::new()),
        (of(129), String::new()),
        ("x".to_owned(), of(257)),
        ("aws:x".to_owned(), String::new()),
    ] {
        assert!(is_invalid(wait(kms.tag(&key, &one(&tag, &value)))), "{tag}");
        assert!(is_invalid(wait(
            kms.create_key(CreateKey::new().tag(tag, value))
        )));
    }

    wait(kms.update_description(&key, &of(8192))).unwrap();
    assert!(is_invalid(wait(kms.update_description(&key, &of(8193)))));
    assert_eq!(wait(kms.describe_key(&key)).unwrap().description, of(8192));
    let request = CreateKey::new().description(of(8193));
    assert!(is_invalid(wait(kms.create_key(request))));
    // None of those that were refused is there.
    assert_eq!(wait(kms.list_keys(None, 10)).unwrap().keyrings.len(), 1);
}

#[test]
fn aliases_have_rules() {
    let (kms, clock) = kms();
    let key = wait(kms.create_key(CreateKey::new())).unwrap();
    let longest = format!("alias/{}", "x".repeat(250));
    for good in [longest.as_str(), "alias/A/b_c-9", "alias/awsome"] {
        wait(kms.create_alias(good, &key.id)).unwrap();
        assert_eq!(wait(kms.resolve(good)).unwrap(), key.arn);
        // Names of aliases are as they are written.
        assert!(is_not_found(wait(kms.resolve(&good.to_uppercase()))));
    }
    for bad in [
        "",
        "alias/",
        "x",
        "alias/a b",
        "alias/ü",
        "alias/aws/x",
        &key.id,
        &format!("{longest}x"),
    ] {
        let request = CreateKey::new().alias(bad);
        for refused in [
            wait(kms.create_alias(bad, &key.id)),
            wait(kms.update_alias(bad, &key.id)),
            wait(kms.delete_alias(bad)),
            wait(kms.create_key(request)).map(drop),
        ] {
            assert!(
                matches!(refused, Err(KmsError::InvalidAlias { .. })),
                "{bad}"
            );
        }
    }
    let taken = wait(kms.create_alias("alias/awsome", &key.id));
    assert!(matches!(taken, Err(KmsError::AlreadyExists { .. })));
    let taken = wait(kms.create_key(CreateKey::new().alias("alias/awsome")));
    assert!(matches!(taken, Err(KmsError::AlreadyExists { .. })));
    assert!(is_not_found(wait(kms.update_alias("alias/none", &key.id))));
    assert!(is_not_found(wait(
        kms.create_alias("alias/new", "alias/none")
    )));
    let names = |of: &str| -> Vec<String> {
        let aliases = wait(kms.list_aliases(Some(of))).unwrap();
        let names = aliases.aliases.into_iter();
        names.map(|alias| alias.name).collect()
    };
    assert_eq!(names(&key.id), ["alias/A/b_c-9", "alias/awsome", &longest]);

    // Moved, deleted, and given again.
    let other = wait(kms.create_key(CreateKey::new())).unwrap();
    assert!(names(&other.id).is_empty());
    clock.advance(DAY);
    wait(kms.update_alias("alias/awsome", &other.arn)).unwrap();
    assert_eq!(names("alias/awsome"), ["alias/awsome"]);
    let alias = &wait(kms.list_aliases(Some(&other.id))).unwrap().aliases[0];
    assert_eq!(alias.updated, alias.created + DAY);
    wait(kms.delete_alias("alias/awsome")).unwrap();
    assert!(is_not_found(wait(kms.delete_alias("alias/awsome"))));
    wait(kms.create_alias("alias/awsome", &key.id)).unwrap();
    let alias = &wait(kms.list_aliases(Some(&key.id))).unwrap().aliases[1];
    assert_eq!((alias.created, alias.updated), (clock.now(), clock.now()));

    // The name of a key that is gone is free before anybody cleans up.
    wait(kms.schedule_deletion(&key.id, Some(7))).unwrap();
    let taken = wait(kms.create_alias("alias/awsome", &other.id));
    assert!(matches!(taken, Err(KmsError::AlreadyExists { .. })));
    clock.advance(DAY * 7);
    wait(kms.create_alias("alias/awsome", &other.id)).unwrap();
    assert_eq!(wait(kms.resolve("alias/awsome")).unwrap(), other.arn);
}

#[test]
fn lengths_have_limits() {
    let (kms, _) = kms();
    let key = wait(kms.create_key(CreateKey::new())).unwrap().id;
    let context = EncryptionContext::new();
    let generate = |spec| {
        let shown = wait(kms.generate_data_key(&key, spec, &context))?;
        let length = shown.plaintext.len();
        let hidden = kms.generate_data_key_without_plaintext(&key, spec, &context);
        assert_eq!(wait(hidden)?.blob.len(), shown.ciphertext.blob.len());
        Ok(length)
    };
    assert_eq!(generate(DataKeySpec::Aes128).unwrap(), 16);
    assert_eq!(generate(DataKeySpec::Aes256).unwrap(), 32);
    for length in [1, 1024] {
        assert_eq!(generate(DataKeySpec::Bytes(length)).unwrap(), length);
        assert_eq!(kms.generate_random(length).unwrap().len(), length);
    }
    for length in [0, 1025, usize::MAX] {
        assert!(is_invalid(generate(DataKeySpec::Bytes(length))));
        assert!(is_invalid(kms.generate_random(length)));
    }
    assert_ne!(
        kms.generate_random(32).unwrap().expose(),
        kms.generate_random(32).unwrap().expose()
    );
    for length in [0, 1, 4096] {
        let plaintext = vec![7; length];
        let sealed = wait(kms.encrypt(&key, &plaintext, &context)).unwrap();
        assert_eq!(sealed.blob.len(), length + 122);
        let opened = wait(kms.decrypt(&sealed.blob, None, &context)).unwrap();
        assert_eq!(opened.plaintext.expose(), plaintext);
        for cut in [0, 1, sealed.blob.len() - 1] {
            let refused = wait(kms.decrypt(&sealed.blob[..cut], None, &context));
            assert!(matches!(refused, Err(KmsError::InvalidCiphertext)));
        }
    }
    assert!(is_invalid(wait(kms.encrypt(&key, &[7; 4097], &context))));

    let long = EncryptionContext::from([("key", "x".repeat(65_536))]);
    let sealed = wait(kms.encrypt(&key, b"", &context)).unwrap().blob;
    let spec = DataKeySpec::Aes256;
    for refused in [
        wait(kms.encrypt(&key, b"", &long)).map(drop),
        wait(kms.decrypt(&sealed, None, &long)).map(drop),
        wait(kms.generate_data_key(&key, spec, &long)).map(drop),
        wait(kms.re_encrypt(&sealed, None, &long, &key, &context)).map(drop),
        wait(kms.re_encrypt(&sealed, None, &context, &key, &long)).map(drop),
    ] {
        assert!(matches!(refused, Err(KmsError::Context(_))), "{refused:?}");
    }
}

#[test]
fn a_use_thirty_days_ago_is_not_recent() {
    for (since, is_recent) in [
        (DAY * 30 - Duration::from_millis(1), true),
        (DAY * 30, false),
    ] {
        let (kms, clock) = kms();
        let key = wait(kms.create_key(CreateKey::new())).unwrap().id;
        let never = wait(kms.schedule_deletion(&key, None)).unwrap();
        assert_eq!((never.last_used, never.is_in_recent_use), (None, false));
        assert_eq!(never.date, clock.now() + DAY * 30);
        wait(kms.cancel_deletion(&key)).unwrap();
        wait(kms.enable_key(&key)).unwrap();
        wait(kms.encrypt(&key, b"", &EncryptionContext::new())).unwrap();
        let used = clock.now();
        clock.advance(since);
        let scheduled = wait(kms.schedule_deletion(&key, Some(7))).unwrap();
        assert_eq!(scheduled.last_used, Some(used));
        assert_eq!(scheduled.is_in_recent_use, is_recent);
    }
}

#[test]
fn material_has_its_length_and_its_dates() {
    let (kms, clock) = kms();
    let key = wait(kms.create_key(CreateKey::new().external()))
        .unwrap()
        .id;
    let material = |length| SecretBytes::from(vec![9; length]);
    let import = |length, options| wait(kms.import_key_material(&key, &material(length), options));
    for length in [0, 16, 31, 33] {
        assert!(is_invalid(import(length, ImportOptions::new())));
    }
    for past in [clock.now(), clock.now() - DAY] {
        assert!(is_invalid(import(32, ImportOptions::new().expires(past))));
    }
    let existing = ImportOptions::new().import_type(ImportType::Existing);
    let refused = import(32, existing);
    assert!(matches!(
        refused,
        Err(KmsError::IncorrectKeyMaterial { .. })
    ));
    let state = || wait(kms.describe_key(&key)).unwrap().state;
    assert_eq!(state(), KeyState::PendingImport);
    import(32, ImportOptions::new().expires(clock.now() + DAY)).unwrap();
    clock.advance(DAY - Duration::from_millis(1));
    assert_eq!(state(), KeyState::Enabled);
    clock.advance(Duration::from_millis(1));
    assert_eq!(state(), KeyState::PendingImport);
    assert!(is_invalid(import(
        32,
        ImportOptions::new().import_type(ImportType::New)
    )));
    import(32, existing).unwrap();
    assert_eq!(state(), KeyState::Enabled);
    let request = CreateKey::new().external().rotate_every(90);
    assert!(is_invalid(wait(kms.create_key(request))));
}

#[test]
fn counts_of_messages_and_of_two_handles_add_up() {
    let clock = ManualClock::default();
    let store = MemoryStore::new();
    let open = || {
        let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
        let builder = LocalKms::builder(store.clone(), root).clock(clock.clone());
        wait(builder.open()).unwrap()
    };
    let (one, two) = (open(), open());
    let key = wait(one.create_key(CreateKey::new().alias("alias/app"))).unwrap();
    let context = EncryptionContext::new();
    let sealed = wait(one.encrypt(&key.id, b"", &context)).unwrap();
    let first = clock.now();
    clock.advance(Duration::from_secs(2));
    wait(two.encrypt(&key.id, b"", &context)).unwrap();
    wait(two.decrypt(&sealed.blob, None, &context)).unwrap();
    // Not written yet.
    assert_eq!(wait(one.usage(&key.id)).unwrap().versions[&1].wraps, 1);
    wait(two.flush_usage()).unwrap();
    wait(one.flush_usage()).unwrap();
    wait(one.flush_usage()).unwrap();
    let usage = wait(one.usage(&key.id)).unwrap();
    assert_eq!(usage.versions[&1].wraps, 2);
    assert_eq!(usage.versions[&1].unwraps, 1);
    // The later date stays, whoever writes last.
    assert_eq!(
        usage.versions[&1].last_wrap,
        Some(first + Duration::from_secs(2))
    );
    assert_eq!(usage.last_used(), Some(clock.now()));

    // By itself after five seconds, with the next use; and when it is dropped.
    clock.advance(Duration::from_secs(5));
    wait(two.encrypt(&key.id, b"", &context)).unwrap();
    assert_eq!(wait(one.usage(&key.id)).unwrap().versions[&1].wraps, 3);
    wait(two.encrypt(&key.id, b"", &context)).unwrap();
    assert_eq!(wait(one.usage(&key.id)).unwrap().versions[&1].wraps, 3);
    drop(two);
    assert_eq!(wait(one.usage(&key.id)).unwrap().versions[&1].wraps, 4);

    let client = Client::new(one.provider("alias/app"));
    let message = client.encrypt(b"text", &context).unwrap();
    let inspected = waxseal::inspect(&message).unwrap();
    let found = wait(one.count_messages(inspected.encrypted_data_keys())).unwrap();
    assert_eq!((found.counted, found.foreign), (1, 0));
    assert_eq!(wait(one.usage(&key.id)).unwrap().versions[&1].messages, 1);
    // Another store's.
    let other = LocalKms::in_memory().unwrap();
    let found = wait(other.count_messages(inspected.encrypted_data_keys())).unwrap();
    assert_eq!((found.counted, found.foreign), (0, 1));
}

#[test]
fn a_floor_on_versions_cuts_off_and_gives_back() {
    let (kms, _) = kms();
    let key = wait(kms.create_key(CreateKey::new())).unwrap().id;
    let context = EncryptionContext::new();
    let mut blobs = Vec::new();
    for version in 1..=3 {
        if version > 1 {
            assert_eq!(wait(kms.rotate(&key)).unwrap(), version);
        }
        blobs.push(wait(kms.encrypt(&key, b"text", &context)).unwrap().blob);
    }
    for floor in [1, 3, 2, 1] {
        wait(kms.set_minimum_version(&key, floor)).unwrap();
        assert_eq!(wait(kms.describe_key(&key)).unwrap().minimum_version, floor);
        for (version, blob) in (1..).zip(&blobs) {
            match wait(kms.decrypt(blob, None, &context)) {
                Ok(opened) => assert!(opened.key_version == version && version >= floor),
                Err(KmsError::VersionCutOff {
                    version: cut,
                    minimum,
                    ..
                }) => assert!((cut, minimum) == (version, floor) && version < floor),
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    for wrong in [0, 4, u32::MAX] {
        assert!(is_invalid(wait(kms.set_minimum_version(&key, wrong))));
    }
    let empty = wait(kms.create_key(CreateKey::new().external()))
        .unwrap()
        .id;
    wait(kms.set_minimum_version(&empty, 1)).unwrap();
    for wrong in [0, 2] {
        assert!(is_invalid(wait(kms.set_minimum_version(&empty, wrong))));
    }
}

#[test]
fn a_missed_rotation_is_made_up_for_once() {
    let (kms, clock) = kms();
    let key = wait(kms.create_key(CreateKey::new().rotate_every(90))).unwrap();
    let rotated = || wait(kms.run_due()).unwrap().rotated;
    wait(kms.disable_key(&key.id)).unwrap();
    clock.advance(DAY * 1000);
    assert!(rotated().is_empty(), "a disabled key is not rotated");
    wait(kms.enable_key(&key.id)).unwrap();
    assert_eq!(rotated(), [(key.arn.clone(), 2)]);
    clock.advance(DAY * 90 - Duration::from_millis(1));
    assert!(rotated().is_empty());
    // Neither a rotation in between nor asking for the same again moves it.
    assert_eq!(wait(kms.rotate(&key.id)).unwrap(), 3);
    wait(kms.enable_rotation(&key.id, Some(90))).unwrap();
    clock.advance(Duration::from_millis(1));
    assert_eq!(rotated(), [(key.arn, 4)]);
}

/// With the default `max_staleness` of a second.
#[test]
fn another_handles_changes_are_seen_in_time() {
    let clock = ManualClock::default();
    let store = MemoryStore::new();
    let open = || {
        let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
        let builder = LocalKms::builder(store.clone(), root).clock(clock.clone());
        wait(builder.open()).unwrap()
    };
    let (one, two) = (open(), open());
    let context = EncryptionContext::new();
    let key = wait(one.create_key(CreateKey::new())).unwrap().id;
    let first = wait(two.encrypt(&key, b"text", &context)).unwrap();
    assert_eq!(first.key_version, 1);
    // A new version, and a new key, are looked up at once: a ciphertext names
    // them.
    assert_eq!(wait(one.rotate(&key)).unwrap(), 2);
    let second = wait(one.encrypt(&key, b"text", &context)).unwrap();
    assert_eq!(
        wait(two.encrypt(&key, b"", &context)).unwrap().key_version,
        1
    );
    let opened = wait(two.decrypt(&second.blob, None, &context)).unwrap();
    assert_eq!(opened.key_version, 2);
    let other = wait(one.create_key(CreateKey::new())).unwrap().id;
    let of_other = wait(one.encrypt(&other, b"text", &context)).unwrap();
    wait(two.decrypt(&of_other.blob, None, &context)).unwrap();
    // A key that was disabled may be used for a second.
    wait(one.disable_key(&key)).unwrap();
    let refused = wait(one.encrypt(&key, b"", &context));
    assert!(matches!(refused, Err(KmsError::Disabled { .. })));
    clock.advance(Duration::from_millis(999));
    wait(two.encrypt(&key, b"", &context)).unwrap();
    clock.advance(Duration::from_millis(1));
    let refused = wait(two.encrypt(&key, b"", &context));
    assert!(matches!(refused, Err(KmsError::Disabled { .. })));
    // A change is made to what is there now, not to what was read.
    wait(one.tag(&key, &BTreeMap::from([("one".to_owned(), String::new())]))).unwrap();
    wait(two.tag(&key, &BTreeMap::from([("two".to_owned(), String::new())]))).unwrap();
    let tags = wait(two.describe_key(&key)).unwrap().tags;
    assert!(tags.contains_key("one") && tags.contains_key("two"));
}

/// Two copies of a store that both went on: in one the key was changed more
/// often, in the other it was deleted.
#[test]
fn what_was_deleted_stays_deleted_in_every_copy() {
    let ((one, clock), (other, _)) = (kms(), kms());
    let root = RootKey::bytes(SecretBytes::from(vec![5; 32]));
    let key = wait(one.create_key(CreateKey::new().alias("alias/a")))
        .unwrap()
        .id;
    let copy = |from: &LocalKms, to: &LocalKms| {
        let backup = wait(from.export(&root)).unwrap();
        wait(to.import(&backup, &root)).unwrap()
    };
    copy(&one, &other);
    for _ in 0..10 {
        wait(other.rotate(&key)).unwrap();
    }
    wait(one.schedule_deletion(&key, Some(7))).unwrap();
    clock.advance(DAY * 8);
    assert_eq!(wait(one.run_due()).unwrap().deleted.len(), 1);

    copy(&other, &one);
    assert!(is_not_found(wait(one.describe_key(&key))));
    assert!(wait(one.deleted_key(&key)).unwrap().is_some());
    copy(&one, &other);
    assert!(is_not_found(wait(other.describe_key(&key))));
    assert!(wait(other.deleted_key(&key)).unwrap().is_some());
    // A second time changes nothing.
    assert_eq!(copy(&one, &other).restored, 0);
}

/// Counts that are damaged are no all-clear, stand in nobody's way, and are
/// replaced by the next.
#[test]
fn damaged_counts_are_only_counts() {
    let store = MemoryStore::new();
    let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
    let kms = wait(LocalKms::builder(store.clone(), root).open()).unwrap();
    let key = wait(kms.create_key(CreateKey::new())).unwrap().id;
    let context = EncryptionContext::new();
    let wrap = || wait(kms.encrypt(&key, b"text", &context)).unwrap();
    wrap();
    wait(kms.flush_usage()).unwrap();
    let name = format!("usage/{key}");
    let blob = wait(store.read(&name)).unwrap().unwrap();
    let cut = &blob.bytes[..blob.bytes.len() - 1];
    wait(store.write(&name, cut, Expected::Version(&blob.version))).unwrap();

    let unread = wait(kms.usage(&key)).unwrap_err();
    assert!(matches!(unread, KmsError::Record { name: found, .. } if found == name));
    let scheduled = wait(kms.schedule_deletion(&key, None)).unwrap();
    assert!(scheduled.is_in_recent_use && scheduled.last_used.is_none());
    wait(kms.cancel_deletion(&key)).unwrap();
    wait(kms.enable_key(&key)).unwrap();
    wrap();
    wait(kms.flush_usage()).unwrap();
    assert_eq!(wait(kms.usage(&key)).unwrap().versions[&1].wraps, 1);
}

/// A copy that went on apart: an import takes no backing key away, whatever the
/// generations say, and no name that was given apart.
#[test]
fn an_import_loses_no_backing_key() {
    let ((one, _), (other, clock)) = (kms(), kms());
    let root = RootKey::bytes(SecretBytes::from(vec![5; 32]));
    let key = wait(one.create_key(CreateKey::new().alias("alias/a"))).unwrap();
    clock.advance(DAY);
    let backup = wait(one.export(&root)).unwrap();
    wait(other.import(&backup, &root)).unwrap();
    let context = EncryptionContext::new();

    wait(one.rotate(&key.id)).unwrap();
    let sealed = wait(one.encrypt(&key.id, b"text", &context)).unwrap().blob;
    wait(one.create_key(CreateKey::new().alias("alias/b"))).unwrap();
    for _ in 0..5 {
        wait(other.rotate(&key.id)).unwrap();
    }
    let theirs = wait(other.create_key(CreateKey::new().alias("alias/b"))).unwrap();
    wait(other.update_alias("alias/b", &key.id)).unwrap();
    wait(other.update_alias("alias/b", &theirs.id)).unwrap();

    let before = wait(one.resolve("alias/b")).unwrap();
    let backup = wait(other.export(&root)).unwrap();
    let report = wait(one.import(&backup, &root)).unwrap();
    assert!(report.diverged.contains(&format!("keys/{}", key.id)));
    let opened = wait(one.decrypt(&sealed, None, &context)).unwrap();
    assert_eq!(opened.plaintext.expose(), b"text");
    assert_eq!(
        wait(one.describe_key(&key.id)).unwrap().current_version(),
        2
    );
    assert_eq!(report.diverged.len(), 2, "{:?}", report.diverged);
    assert_eq!(wait(one.resolve("alias/b")).unwrap(), before);
}

#[test]
fn a_dropped_kms_writes_its_counts() {
    let store = MemoryStore::new();
    let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
    let open = || wait(LocalKms::builder(store.clone(), root.clone()).open()).unwrap();
    let kms = open();
    let key = wait(kms.create_key(CreateKey::new())).unwrap().id;
    wait(kms.encrypt(&key, b"text", &EncryptionContext::new())).unwrap();
    drop(kms);
    assert_eq!(wait(open().usage(&key)).unwrap().versions[&1].wraps, 1);
}

/// A callback that panics costs its telling, and nothing else.
#[test]
fn a_scheduler_outlives_its_callback() {
    let (kms, clock) = kms();
    let key = wait(kms.create_key(CreateKey::new().rotate_every(90)))
        .unwrap()
        .id;
    let every = Duration::from_millis(10);
    let _scheduler = kms.start_scheduler(every, |_| panic!("told")).unwrap();
    for version in 2..4 {
        clock.advance(DAY * 90);
        while wait(kms.describe_key(&key)).unwrap().current_version() < version {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A store whose next read is overtaken: something is done after it was read
/// and before the reader has it.
#[derive(Clone)]
struct Overtaken(MemoryStore, Arc<Mutex<Option<Hook>>>);

type Hook = Box<dyn FnOnce() + Send>;

impl BlobStore for Overtaken {
    fn read<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Blob>> {
        Box::pin(async move {
            let blob = self.0.read(name).await;
            let hook = match name.starts_with("keys/") {
                true => self.1.lock().unwrap().take(),
                false => None,
            };
            if let Some(hook) = hook {
                hook();
            }
            blob
        })
    }

    fn write<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a [u8],
        expected: Expected<'a>,
    ) -> StoreFuture<'a, BlobVersion> {
        self.0.write(name, bytes, expected)
    }

    fn delete<'a>(&'a self, name: &'a str, expected: &'a BlobVersion) -> StoreFuture<'a, ()> {
        self.0.delete(name, expected)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BlobEntry>> {
        self.0.list(prefix, after, limit)
    }

    fn change_token<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Option<ChangeToken>> {
        self.0.change_token(prefix)
    }
}

/// What this process has disabled it does not go on using because of a reader
/// that was slower.
#[test]
fn a_slow_reader_hides_nothing() {
    let store = Overtaken(MemoryStore::new(), Arc::default());
    let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
    let open = || {
        let builder = LocalKms::builder(store.clone(), root.clone()).clock(ManualClock::default());
        wait(builder.open()).unwrap()
    };
    let context = EncryptionContext::new();
    let key = wait(open().create_key(CreateKey::new())).unwrap().id;

    let kms = open();
    let (other, id) = (kms.clone(), key.clone());
    *store.1.lock().unwrap() = Some(Box::new(move || wait(other.disable_key(&id)).unwrap()));
    wait(kms.encrypt(&key, b"overtaken", &context)).unwrap();
    let refused = wait(kms.encrypt(&key, b"after it", &context)).unwrap_err();
    assert!(matches!(refused, KmsError::Disabled { .. }), "{refused:?}");
}
