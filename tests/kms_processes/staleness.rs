//! How soon a process sees what another has done.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use waxseal::blocking::wait;
use waxseal::kms::{CreateKey, KmsError, LocalKms};

use crate::child::{Child, PATIENCE, hear, root, say, store};
use crate::trial;
use crate::writer::context;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("staleness::changes_are_seen", changes_are_seen)]
}

fn open(folder: &Path, max_staleness: Duration) -> LocalKms {
    let builder = LocalKms::builder(store(folder), root(0)).max_staleness(max_staleness);
    wait(builder.open()).unwrap()
}

/// The process that looks: encrypts whenever it is asked, and says how.
pub(crate) fn answer(folder: &Path, milliseconds: &str) {
    let kms = open(folder, Duration::from_millis(milliseconds.parse().unwrap()));
    while hear().is_some() {
        match wait(kms.encrypt("alias/watched", b"x", &context())) {
            Ok(sealed) => say(&format!("version {}", sealed.key_version)),
            Err(KmsError::Disabled { .. }) => say("disabled"),
            Err(KmsError::NotFound { .. }) => say("unknown"),
            Err(error) => panic!("{error}"),
        }
    }
}

fn changes_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let kms = open(folder.path(), Duration::ZERO);
    let mut looking = [
        (Child::start("answer", folder.path(), "0"), true),
        (Child::start("answer", folder.path(), "200"), false),
    ];
    let mut see = |answer: &str| {
        for (child, at_once) in &mut looking {
            let began = Instant::now();
            loop {
                child.tell("look");
                let seen = child.line().unwrap();
                if seen == answer {
                    break;
                }
                assert!(!*at_once, "{seen}, not {answer}");
                assert!(began.elapsed() < PATIENCE, "{seen}, not {answer}");
                thread::sleep(Duration::from_millis(10));
            }
        }
    };
    see("unknown");
    let keys = ["1", "2"].map(|description| {
        let request = CreateKey::new().description(description);
        wait(kms.create_key(request)).unwrap().id
    });
    wait(kms.create_alias("alias/watched", &keys[0])).unwrap();
    see("version 1");
    for version in 2..5 {
        wait(kms.rotate(&keys[0])).unwrap();
        see(&format!("version {version}"));
    }
    wait(kms.disable_key(&keys[0])).unwrap();
    see("disabled");
    wait(kms.enable_key(&keys[0])).unwrap();
    see("version 4");
    wait(kms.update_alias("alias/watched", &keys[1])).unwrap();
    see("version 1");
    wait(kms.delete_alias("alias/watched")).unwrap();
    see("unknown");
    for (child, _) in looking {
        assert!(child.finish().is_empty());
    }
}
