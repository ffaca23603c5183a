//! Eight processes that do the same at once.

use std::collections::BTreeSet;
use std::path::Path;

use libtest_mimic::Trial;
use waxseal::blocking::wait;
use waxseal::kms::{CreateKey, DataKeySpec, KmsError, LocalKms};

use crate::child::{Child, hear, hex, root, say, store, unhex};
use crate::trial;
use crate::writer::context;

const PROCESSES: usize = 8;
const ROUNDS: usize = 10;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("at_once::no_version_is_lost", no_version_is_lost),
        trial("at_once::one_alias_is_one_key", one_alias_is_one_key),
        trial("at_once::one_name_is_one_key", one_name_is_one_key),
    ]
}

/// What the processes do that these tests start.
pub(crate) fn work(work: &str, folder: &Path, argument: &str) {
    let kms = open(folder);
    say("ready");
    assert_eq!(hear().as_deref(), Some("go"));
    match work {
        "rotate" => rotate_and_wrap(&kms),
        "claim" => claim(&kms, argument),
        "name" => name(&kms),
        _ => panic!("no such work: {work}"),
    }
}

fn open(folder: &Path) -> LocalKms {
    wait(LocalKms::builder(store(folder), root(0)).open()).unwrap()
}

/// Starts eight, on a folder that holds no store if they are to make it.
fn start(work: &str, folder: &Path) -> Vec<Child> {
    let mut children: Vec<Child> = (0..PROCESSES)
        .map(|number| Child::start(work, folder, &number.to_string()))
        .collect();
    for child in &children {
        child.expect("ready");
    }
    for child in &mut children {
        child.tell("go");
    }
    children
}

fn no_version_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let kms = open(folder.path());
    let key = wait(kms.create_key(CreateKey::new().alias("alias/all"))).unwrap();
    let mut children = start("rotate", folder.path());
    let (mut versions, mut blobs) = (BTreeSet::new(), Vec::new());
    for child in &children {
        for line in std::iter::from_fn(|| child.line()).take_while(|line| line != "wrapped") {
            match line.split_once(' ').unwrap() {
                ("rotated", version) => {
                    let version: u32 = version.parse().unwrap();
                    assert!(versions.insert(version), "version {version} twice");
                }
                ("blob", blob) => blobs.push(blob.to_owned()),
                _ => panic!("{line}"),
            }
        }
    }
    assert_eq!(blobs.len(), PROCESSES * ROUNDS);
    // Every version was acknowledged once, and is there.
    let last = 1 + (PROCESSES * ROUNDS) as u32;
    assert!(versions.into_iter().eq(2..=last));
    assert_eq!(
        wait(kms.describe_key(&key.id)).unwrap().current_version(),
        last
    );
    // What one has wrapped, all unwrap.
    for child in &mut children {
        for blob in &blobs {
            child.tell(blob);
        }
    }
    for child in children {
        assert_eq!(child.finish(), [format!("opened {}", blobs.len())]);
    }
}

fn rotate_and_wrap(kms: &LocalKms) {
    let mut last = 0;
    for _ in 0..ROUNDS {
        let rotated = wait(kms.rotate("alias/all")).unwrap();
        say(&format!("rotated {rotated}"));
        let key = wait(kms.generate_data_key("alias/all", DataKeySpec::Aes256, &context()));
        let key = key.unwrap();
        // It sees its own rotations at once, and goes back to none.
        let version = key.ciphertext.key_version;
        assert!(version >= rotated && version >= last);
        last = version;
        let (plaintext, blob) = (hex(key.plaintext.expose()), hex(&key.ciphertext.blob));
        say(&format!("blob {plaintext} {blob}"));
    }
    say("wrapped");
    let mut opened = 0;
    while let Some(line) = hear() {
        let (plaintext, blob) = line.split_once(' ').unwrap();
        let found = wait(kms.decrypt(&unhex(blob), None, &context())).unwrap();
        assert_eq!(found.plaintext.expose(), unhex(plaintext));
        opened += 1;
    }
    say(&format!("opened {opened}"));
}

fn one_alias_is_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let children = start("claim", folder.path());
    let mut won: Vec<Vec<String>> = vec![Vec::new(); 2 * ROUNDS];
    for child in children {
        for line in child.finish() {
            let (round, id) = line.split_once(' ').unwrap();
            won[round.parse::<usize>().unwrap()].push(id.to_owned());
        }
    }
    let kms = open(folder.path());
    let aliases = wait(kms.list_aliases(None)).unwrap().aliases;
    assert_eq!(aliases.len(), won.len());
    for (round, winners) in won.iter().enumerate() {
        let [winner] = &winners[..] else {
            panic!("{} have won round {round}", winners.len());
        };
        let arn = wait(kms.resolve(&format!("alias/{round}"))).unwrap();
        assert!(arn.ends_with(winner));
    }
    // Of the keys that did not get their alias nothing is left.
    let keys = wait(kms.list_keys(None, 1000)).unwrap().keyrings;
    assert_eq!(keys.len(), ROUNDS + PROCESSES);
}

/// In each round all want the same alias: at first for a new key, then for one
/// that is there.
fn claim(kms: &LocalKms, number: &str) {
    for round in 0..ROUNDS {
        let request = CreateKey::new().alias(format!("alias/{round}"));
        match wait(kms.create_key(request)) {
            Ok(key) => say(&format!("{round} {}", key.id)),
            Err(KmsError::AlreadyExists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let own = wait(kms.create_key(CreateKey::new().description(number))).unwrap();
    for round in ROUNDS..2 * ROUNDS {
        match wait(kms.create_alias(&format!("alias/{round}"), &own.id)) {
            Ok(()) => say(&format!("{round} {}", own.id)),
            Err(KmsError::AlreadyExists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn one_name_is_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = start("name", folder.path()).into_iter().map(Child::finish);
    let first = all.next().unwrap();
    assert_eq!(first.len(), 2 * ROUNDS);
    let different: BTreeSet<&String> = first.iter().collect();
    assert_eq!(different.len(), first.len());
    for other in all {
        assert_eq!(other, first);
    }
    // Owned keys are not shown.
    let keys = wait(open(folder.path()).list_keys(None, 1000)).unwrap();
    assert_eq!(keys.keyrings.len(), ROUNDS);
}

fn name(kms: &LocalKms) {
    for round in 0..ROUNDS {
        let name = format!("service-{round}");
        let service = wait(kms.service_key(&name)).unwrap();
        assert_eq!(service.current_version(), 1);
        say(&service.arn);
        let owned = wait(kms.owned_key(&name)).unwrap();
        wait(kms.encrypt(&owned, b"x", &context())).unwrap();
        say(&owned);
    }
}
