//! What a change token promises, to a reader that is overtaken at any moment.

use std::sync::{Arc, Mutex};

use super::super::folder::Folder;
use super::disk::Disk;
use super::history::{open, opened_earlier};
use crate::kms::store::Expected;

/// Whoever asks for the token and reads then, and finds the same token later,
/// would read the same.
#[test]
fn the_same_token_means_the_same_content() {
    for delete in [false, true] {
        let disk = Disk::new();
        let store = open(&disk);
        let version = store.write("keys/a", b"first", Expected::Absent).unwrap();
        let reader = Arc::new(opened_earlier(&disk));
        let look = |reader: &Folder| {
            let token = reader.change_token("keys/").unwrap();
            let blob = reader.load("keys/a").unwrap();
            (token, blob.map(|blob| blob.bytes))
        };
        let seen = Arc::new(Mutex::new(vec![look(&reader)]));
        let (noting, by) = (seen.clone(), reader.clone());
        disk.observe(move |_| noting.lock().unwrap().push(look(&by)));
        match delete {
            true => store.delete("keys/a", &version).unwrap(),
            false => {
                let write = store.write("keys/a", b"second", Expected::Version(&version));
                write.map(drop).unwrap();
            }
        }
        disk.stop_observing();
        let (token, content) = look(&reader);
        let seen = seen.lock().unwrap();
        // Before, meanwhile, and after.
        assert!(seen.iter().any(|(_, found)| *found != content));
        assert!(seen.iter().any(|(known, _)| *known == token));
        // The token at one moment, the content at that or a later one.
        for (asked, (known, _)) in seen.iter().enumerate() {
            for (_, found) in &seen[asked..] {
                assert!(*known != token || *found == content, "{found:?}");
            }
        }
    }
}
