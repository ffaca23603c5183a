//! Inputs of the target `ranges`: each message with one of a few ways to read
//! it, from one of a few sources.

use super::{plain, recipes};
use crate::primitives::SUITES;
use crate::recipe::{Content, Edit, Recipe, What};
use crate::source::Planned;
use crate::splice::Splice;
use crate::steps::{self, Amount, Claim, Input, Step};
use crate::tape::{Text, write};

/// In how many ways each message may be read.
const WAYS: usize = 7;

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
    let whole = endings().into_iter().flat_map(|recipe| {
        (0..WAYS).map(move |steps| Input {
            is_unverified: true,
            steps: steps_of(steps),
            recipe: recipe.clone(),
            ..Input::default()
        })
    });
    raw.chain(made)
        .enumerate()
        .map(|(number, input)| read(number, input))
        .chain(whole)
        .map(write)
        .collect()
}

/// Messages with final frames that are empty, full, or just as long on the wire
/// as regular ones; and something behind them.
fn endings() -> Vec<Recipe> {
    let framed = plain().into_iter().filter(|recipe| !recipe.is_unframed);
    let endings = framed.flat_map(|recipe| {
        [0, 8, 16].map(|length| Recipe {
            last: Content(Text::Repeat(5, length)),
            ..recipe.clone()
        })
    });
    let with_more = |recipe: Recipe| {
        let trailing = Edit::new(What::Trailing, 0, 0, Text::Repeat(1, 200));
        let more = Recipe {
            edits: vec![trailing],
            ..recipe.clone()
        };
        [recipe, more]
    };
    endings.flat_map(with_more).collect()
}

/// The input with a source and steps.
fn read(number: usize, input: Input) -> Input {
    let (steps, source) = (number % WAYS, number / WAYS);
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
            vec![fault(source as u8 % 4, (source / 3) as u8 % 6, 7)]
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
    let step = |what: steps::What, from: (u32, i8), length: (u32, i8)| Step {
        what: what as u8,
        from: Amount::new(from.0, from.1),
        length: Amount::new(length.0, length.1),
    };
    let nothing = (0, 0);
    let all = (0xffff_ffff, 0);
    match which {
        0 => vec![
            step(steps::What::ReadRange, nothing, all),
            step(steps::What::VerifyLength, nothing, nothing),
        ],
        1 => vec![
            step(steps::What::ReadAt, (1, -1), (1, 2)),
            step(steps::What::ReadAt, (2, 3), (0, 1)),
            step(steps::What::ReadAt, nothing, (2, 0)),
            step(steps::What::ReadRange, (1, 0), (2, -2)),
        ],
        2 => vec![
            step(steps::What::SeekStart, (1, 0), nothing),
            step(steps::What::ReadOn, nothing, (0, 5)),
            step(steps::What::ReadOn, nothing, (1, 5)),
            step(steps::What::ReadOn, nothing, (3, 0)),
            step(steps::What::SeekCurrent, (1, 1), (1, 0)),
            step(steps::What::ReadOn, nothing, (9, 0)),
        ],
        3 => vec![
            step(steps::What::SeekEnd, (1, 2), (1, 0)),
            step(steps::What::ReadOn, nothing, (5, 0)),
            step(steps::What::ReadOn, nothing, (5, 0)),
            step(steps::What::SeekEnd, (3, 0), nothing),
            step(steps::What::ReadOn, nothing, (0, 1)),
        ],
        4 => vec![
            step(steps::What::ReadAt, (3, 0), (1, 0)),
            step(steps::What::ReadAt, (2, 0), (1, 0)),
            step(steps::What::ReadAt, (1, 0), (1, 0)),
            step(steps::What::ReadAt, nothing, (1, 0)),
            step(steps::What::VerifyLength, nothing, nothing),
            step(steps::What::ReadAt, (0xffff_ffff, 0), (1, 0)),
        ],
        5 => vec![
            step(steps::What::ReadOn, nothing, (1, 0)),
            step(steps::What::Change, nothing, nothing),
            step(steps::What::ReadOn, nothing, (2, 1)),
            step(steps::What::ReadRange, nothing, all),
            step(steps::What::Change, nothing, nothing),
            step(steps::What::ReadRange, nothing, all),
            step(steps::What::VerifyLength, nothing, nothing),
        ],
        _ => vec![
            step(steps::What::VerifyLength, nothing, nothing),
            step(steps::What::ReadRange, (100, 0), (20, 1)),
            step(steps::What::ReadRange, (2, 0), (1, 0)),
            step(steps::What::ReadRange, (4, 0), all),
        ],
    }
}
