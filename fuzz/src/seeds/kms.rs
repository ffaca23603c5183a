//! Those of the embedded KMS's targets, in the order that each reads them.

use crate::splice::Splice;
use crate::tape::{Text, write};
use crate::world::world;

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
