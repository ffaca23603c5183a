//! Records that are sealed as they should be, and hold what no KMS has written.

use super::*;
use crate::client::blocking::block_on;
use crate::kms::CreateKey;

/// A KMS with a key, its id, and its record's name.
fn with_key() -> (LocalKms, String, String) {
    let kms = LocalKms::in_memory().unwrap();
    let key = block_on(kms.create_key(CreateKey::new().alias("alias/one"))).unwrap();
    let name = key_name(&key.id);
    (kms, key.id, name)
}

/// Changes a key's record behind the back of its rules.
fn forge(kms: &LocalKms, name: &str, change: impl FnOnce(KeyEntry) -> KeyEntry) {
    let stored = block_on(kms.0.vault.read::<KeyEntry>(name))
        .unwrap()
        .unwrap();
    let entry = change(stored.value);
    block_on(kms.0.vault.write(name, &entry, Some(&stored.stamp))).unwrap();
    kms.0.keys.forget_all();
}

#[track_caller]
fn assert_damaged<T>(result: KmsResult<T>, name: &str) {
    match result {
        Err(KmsError::Record {
            name: named,
            problem: RecordProblem::Damaged,
        }) => assert_eq!(named, name),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("no error"),
    }
}

#[test]
fn a_key_with_anothers_arn() {
    let (kms, id, name) = with_key();
    forge(&kms, &name, |entry| match entry {
        KeyEntry::Live(mut record) => {
            record.arn.push('0');
            KeyEntry::Live(record)
        }
        deleted => deleted,
    });
    assert_damaged(block_on(kms.describe_key(&id)), &name);
}

#[test]
fn a_tombstone_with_anothers_arn() {
    let (kms, id, name) = with_key();
    forge(&kms, &name, |entry| match entry {
        KeyEntry::Live(record) => {
            let mut tombstone = record.tombstone();
            tombstone.arn.push('0');
            KeyEntry::Deleted(tombstone)
        }
        deleted => deleted,
    });
    assert_damaged(block_on(kms.deleted_key(&id)), &name);
}

#[test]
fn an_alias_under_anothers_name() {
    let (kms, id, _) = with_key();
    let name = alias::record_name(&kms.0.backend, "alias/two");
    let now = kms.0.now();
    let record = AliasRecord {
        name: "alias/three".to_owned(),
        target: Some(id),
        created: now,
        updated: now,
    };
    block_on(kms.0.vault.write(&name, &record, None)).unwrap();
    let mut list = block_on(kms.list_aliases(None)).unwrap();
    assert_damaged::<()>(Err(list.damaged.remove(0)), &name);
    assert_damaged(block_on(kms.resolve("alias/two")), &name);
}

/// What a record may not say: another id, a floor that is none, no material.
#[test]
fn a_key_that_no_kms_has_written() {
    let forgeries: [fn(&mut KeyRecord); 4] = [
        |record| record.id.replace_range(..1, "x"),
        |record| record.minimum_version = 0,
        |record| record.minimum_version = 2,
        |record| record.backing_keys.clear(),
    ];
    for change in forgeries {
        let (kms, id, name) = with_key();
        forge(&kms, &name, |entry| match entry {
            KeyEntry::Live(mut record) => {
                change(&mut record);
                KeyEntry::Live(record)
            }
            deleted => deleted,
        });
        assert_damaged(block_on(kms.describe_key(&id)), &name);
    }
}
