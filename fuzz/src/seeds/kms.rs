//! Those of the embedded KMS's targets, in the order that each reads them.

use crate::sealed::{Record, Root};
use crate::splice::Splice;
use crate::tape::{Text, write};
use crate::world::{ROOT_KEY, world};

fn list(splices: Vec<Splice>) -> Vec<u8> {
    let mut bytes = vec![splices.len() as u8];
    splices
        .into_iter()
        .for_each(|splice| bytes.extend(write(splice)));
    bytes
}

/// Everything known as it is, given to every kind of caller; then with each
/// part changed; what is made of imported material; blobs as they are.
pub(super) fn blobs() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let controls = |source: u8, which: u8, context: u8, number: u8| {
        let version = which % 2 + 1;
        let (key, name) = (number % 5, number % 9);
        let (destination, destination_name) = ((number + 1) % 5, number / 2 % 9);
        [
            source,
            which,
            version,
            context,
            context + number / 3 % 2,
            key,
            name,
            destination,
            destination_name,
            number / 5 % 4,
            // For the purpose of ciphertexts; opening any key.
            0,
            1 - number % 2,
        ]
    };
    for (which, known) in world().known.iter().enumerate() {
        for number in 0..4 {
            let number = which as u8 * 4 + number;
            let text = write(Text::Word(1));
            let head = controls(0, which as u8, known.context, number);
            all.push([&head[..], &text, &[0]].concat());
        }
        let version = 2 + 36 + 3;
        for (at, cut, flip) in [
            (0, 0, 1),
            (1, 0, 1),
            (2, 0, 1),
            (version, 0, 3),
            (version + 1, 0, 1),
            (version + 33, 0, 1),
            (version + 65, 0, 1),
            (version + 1, u8::MAX, 0),
        ] {
            let splices = list(vec![Splice::new(at, cut, flip, &[])]);
            let head = controls(0, which as u8, known.context, at as u8);
            all.push([&head[..], &write(Text::Word(1)), &splices].concat());
        }
        let mut head = controls(3, 0, known.context, 0);
        head[1] = 0;
        all.push([&head[..], &write(Text::Word(1)), &[0], &known.blob].concat());
    }
    for number in 0..16 {
        let text = write(Text::Repeat(7, if number % 4 == 0 { 9 } else { 32 }));
        let head = controls(2, number, 1, number);
        all.push([&head[..], &text, &[0]].concat());
        let head = controls(1, number, 0, number);
        all.push([&head[..], &text, &[0]].concat());
    }
    all
}

/// Each change of each blob, before and after the store is open, and
/// everything that can be done, also after a change of what it is done with.
pub(super) fn stores() -> Vec<Vec<u8>> {
    let names = world().names.len() as u8;
    let step = |what: u8, name: u8, other: u8| {
        let mut bytes = vec![what, name, other];
        if what < 2 {
            let at = u16::from(other) * 5;
            bytes.extend(write(Splice::new(at, other / 8, 1 << (other % 8), &[])));
        }
        bytes
    };
    let mut all = Vec::new();
    for moment in 0..2 {
        for name in 0..names {
            for what in 0..11 {
                for other in [name / 2, name + 1] {
                    let change = step(what, name, other % names);
                    // Then some work, and a look.
                    let work = step(13 + (name + what) % 19, name % 9, other);
                    all.push([&[moment, 3][..], &change, &work, &[12, 0, 0]].concat());
                }
            }
        }
        for first in 13..32 {
            for second in 13..32 {
                let (first, second) = (step(first, second % 9, 1), step(second, first % 3, first));
                all.push([&[moment, 2][..], &first, &second].concat());
            }
        }
    }
    all
}

/// Each record as it is, under its own name and under others, and with its
/// payload as plain bytes, for the fuzzer to change.
pub(super) fn records() -> Vec<Vec<u8>> {
    let world = world();
    let blobs = world.moments.last().expect("a moment");
    let root = Root::open(&blobs["root"], &ROOT_KEY).expect("the root record");
    let mut all = Vec::new();
    for (place, name) in (0u8..).zip(&world.names) {
        let record = blobs
            .get(name)
            .and_then(|blob| Record::open(&root, name, blob));
        let plaintext = record.map(|record| record.plaintext).unwrap_or_default();
        for number in 0..8 {
            let mut bytes = vec![1, place];
            let generation = [0, 1, 9, 255, 254, 253, 0, 0][usize::from(number)];
            let base = match number {
                0..6 => place + 1,
                6 => place,
                _ => 0,
            };
            bytes.extend([base, generation, number % 3 / 2, number % 2]);
            bytes.extend(list(match number {
                1 => vec![Splice::new(u16::from(place) * 7, 1, 0, &[])],
                2 => vec![Splice::new(9 + u16::from(place) * 3, 0, 1, &[])],
                _ => Vec::new(),
            }));
            if base == 0 {
                let payload = plaintext.get(9..).unwrap_or_default();
                bytes.extend((payload.len() as u16).to_be_bytes());
                bytes.extend_from_slice(payload);
            } else {
                bytes.extend([0, 0]);
            }
            bytes.extend([number, number * 30]);
            all.push(bytes);
        }
    }
    all
}

/// Each backup as it is and sealed again, changed and made of parts, into
/// stores of each moment.
pub(super) fn backups() -> Vec<Vec<u8>> {
    let world = world();
    let names = world.names.len() as u8;
    let mut all = Vec::new();
    for which in 0..world.backups.len() as u8 {
        for number in 0..24u8 {
            let head = |source: u8, mistakes: u8| {
                let (moment, has_seen) = (number % 3, number / 3 % 2);
                let mut bytes = vec![source, which, mistakes, moment, has_seen];
                bytes.push(number % 3);
                for damage in 0..number % 3 {
                    let name = (number * 5 + which * 7 + damage) % names;
                    bytes.extend([name, number / 2 % 4]);
                    bytes.extend(write(Splice::new(50, 0, 1, &[])));
                }
                bytes
            };
            let splice = |at| list(vec![Splice::new(at, number % 2, 1 << (number % 8), &[])]);
            let at = u16::from(number) * 6;
            all.push([&head(0, 0)[..], &[0, 0]].concat());
            all.push([&head(0, 0)[..], &splice(at), &[0]].concat());
            all.push([&head(1, 0)[..], &[0, 0]].concat());
            all.push([&head(1, 0)[..], &splice(at), &[0]].concat());
            let mistakes = [0, 1, 2, 4, 8, 0][usize::from(number) % 6];
            let mut made = head(2, mistakes);
            made.extend([0, 4]);
            for part in 0..4 {
                let base = number * 4 + part + which;
                let name = if part == 3 { number % names + 1 } else { 0 };
                made.extend([name, base, [0, 0, 3, 254, 255, 9][usize::from(number) % 6]]);
                made.extend(if part == 2 { splice(at / 6) } else { vec![0] });
            }
            all.push(made);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::Backup;
    use crate::world::{BACKUP_KEY, root_key};
    use waxseal::blocking::wait;
    use waxseal::kms::LocalKms;

    /// The second reader opens all that the KMS has written, and the KMS all
    /// that it seals.
    #[test]
    fn both_readers_agree() {
        let world = world();
        for (moment, backup) in world.moments.iter().zip(&world.backups) {
            let root = Root::open(&moment["root"], &ROOT_KEY).expect("the root record");
            let mut records = Vec::new();
            let mut again = moment.clone();
            again.insert("root".to_owned(), root.seal(&ROOT_KEY));
            for (name, blob) in moment.iter().filter(|(name, _)| *name != "root") {
                let record = Record::open(&root, name, blob).expect("a record");
                again.insert(name.clone(), record.seal(&root, root.current, name));
                records.push((
                    name.clone(),
                    record.generation,
                    record.plaintext[8..].to_vec(),
                ));
            }
            let backup = Backup::open(backup, &BACKUP_KEY).expect("a backup");
            assert_eq!(Backup::decode(&backup.encode()), Some(backup.clone()));
            let found = backup.records.into_iter();
            let found = found.map(|record| (record.name, record.generation, record.payload));
            assert!(found.eq(records));

            let store = crate::lying::LyingStore::of(&again);
            let kms = wait(LocalKms::builder(store, root_key()).create(false).open());
            let kms = kms.expect("a root record");
            let page = wait(kms.list_keys(None, 100)).expect("keys");
            assert!(page.damaged.is_empty() && !page.keyrings.is_empty());
        }
    }

    /// The seeds are few enough to be run in CI, and small enough not to let
    /// inputs grow.
    #[test]
    fn seeds_are_small() {
        for seeds in [blobs(), stores(), records(), backups()] {
            assert!(seeds.len() < 3000, "{}", seeds.len());
            assert!(seeds.iter().all(|seed| seed.len() <= 4096));
        }
    }
}
