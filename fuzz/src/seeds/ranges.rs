//! Inputs of the target `ranges`: each message with one of a few ways to read
//! it, from one of a few sources.

use super::recipes;
use crate::primitives::SUITES;
use crate::source::Planned;
use crate::splice::Splice;
use crate::steps::{Amount, Claim, Input, Step, What};
use crate::tape::write;

pub(super) fn all(messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let raw = messages.into_iter().map(|raw| Input {
        is_raw: true,
        is_unverified: true,
        raw,
        ..Input::default()
    });
    let made = recipes().into_iter().enumerate().map(|(number, recipe)| {
        let is_signed = SUITES[usize::from(recipe.suite)].curve.is_some();
        Input {
            is_unverified: is_signed,
            more: [0, 3, 0, 30, 200][number % 5],
            recipe,
            ..Input::default()
        }
    });
    raw.chain(made)
        .enumerate()
        .map(|(number, input)| write(read(number, input)))
        .collect()
}

/// The input with a source and steps.
fn read(number: usize, input: Input) -> Input {
    let (steps, source) = (number % 7, number / 7);
    Input {
        // One in many refuses what is signed.
        is_unverified: input.is_unverified && source % 13 != 12,
        claim: match source % 8 {
            5 => claim(1, 40),
            6 => claim(2, 9),
            7 => claim(3, !(number as u32 % 256)),
            _ => Claim::default(),
        },
        base: [0, 5][source % 2],
        piece: [0, 0, 50, 1][source % 4],
        faults: if source % 3 == 2 {
            vec![fault(source as u8 % 4, source as u8 % 6, 7)]
        } else {
            Vec::new()
        },
        changes: if source % 5 == 4 {
            vec![Splice::new(300, 0, 1, b"")]
        } else {
            Vec::new()
        },
        steps: steps_of(steps),
        ..input
    }
}

fn claim(how: u8, number: u32) -> Claim {
    Claim { how, number }
}

fn fault(after: u8, what: u8, by: u8) -> Planned {
    Planned { after, what, by }
}

fn steps_of(which: usize) -> Vec<Step> {
    let step = |what: What, from: (u32, i8), length: (u32, i8)| Step {
        what: what as u8,
        from: Amount::new(from.0, from.1),
        length: Amount::new(length.0, length.1),
    };
    let nothing = (0, 0);
    let all = (0xffff_ffff, 0);
    match which {
        0 => vec![
            step(What::ReadRange, nothing, all),
            step(What::VerifyLength, nothing, nothing),
        ],
        1 => vec![
            step(What::ReadAt, (1, -1), (1, 2)),
            step(What::ReadAt, (2, 3), (0, 1)),
            step(What::ReadAt, nothing, (2, 0)),
            step(What::ReadRange, (1, 0), (2, -2)),
        ],
        2 => vec![
            step(What::SeekStart, (1, 0), nothing),
            step(What::ReadOn, nothing, (0, 5)),
            step(What::ReadOn, nothing, (1, 5)),
            step(What::ReadOn, nothing, (3, 0)),
            step(What::SeekCurrent, (1, 1), (1, 0)),
            step(What::ReadOn, nothing, (9, 0)),
        ],
        3 => vec![
            step(What::SeekEnd, (1, 2), (1, 0)),
            step(What::ReadOn, nothing, (5, 0)),
            step(What::ReadOn, nothing, (5, 0)),
            step(What::SeekEnd, (3, 0), nothing),
            step(What::ReadOn, nothing, (0, 1)),
        ],
        4 => vec![
            step(What::ReadAt, (3, 0), (1, 0)),
            step(What::ReadAt, (2, 0), (1, 0)),
            step(What::ReadAt, (1, 0), (1, 0)),
            step(What::ReadAt, nothing, (1, 0)),
            step(What::VerifyLength, nothing, nothing),
            step(What::ReadAt, (0xffff_ffff, 0), (1, 0)),
        ],
        5 => vec![
            step(What::ReadOn, nothing, (1, 0)),
            step(What::Change, nothing, nothing),
            step(What::ReadOn, nothing, (2, 1)),
            step(What::ReadRange, nothing, all),
            step(What::Change, nothing, nothing),
            step(What::ReadRange, nothing, all),
            step(What::VerifyLength, nothing, nothing),
        ],
        _ => vec![
            step(What::VerifyLength, nothing, nothing),
            step(What::ReadRange, (100, 0), (20, 1)),
            step(What::ReadRange, (2, 0), (1, 0)),
            step(What::ReadRange, (4, 0), all),
        ],
    }
}
