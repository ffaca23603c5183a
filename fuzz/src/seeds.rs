//! The first inputs of each target: from the project's test vectors, and from
//! recipes with one edit each.

use crate::primitives::SUITES;
use crate::recipe::{Content, Edit, EdkParts, Recipe, What};
use crate::tape::{Cuts, Pair, Text, write};
use crate::vectors::{cases, recipe};

mod audit;
mod kms;
mod policy;
mod ranges;
mod requests;

/// Longer messages are left out: an input in the corpus sets how long all may
/// become.
const LONGEST: usize = 3000;

/// The numbers that edits have, one recipe after the other.
const NUMBERS: [u32; 8] = [1, 0, 2, 0xffff_ffff, 5, 300, 3, 20];

pub const TARGETS: [&str; 12] = [
    "header",
    "message",
    "stream",
    "ranges",
    "roundtrip",
    "kms_blob",
    "kms_store",
    "kms_record",
    "kms_backup",
    "kms_server_request",
    "policy_document",
    "audit_verify",
];

/// The inputs of a target; `None` for a name that is none.
pub fn of_target(target: &str) -> Option<Vec<Vec<u8>>> {
    let messages = || {
        let cases = cases();
        let messages = cases.into_iter().map(|case| case.message);
        messages.filter(|message| message.len() <= LONGEST)
    };
    Some(match target {
        "header" => messages()
            .enumerate()
            // No limits.
            .map(|(number, message)| [write(cuts(number)), vec![0; 3], message].concat())
            .collect(),
        "message" => recipes().into_iter().map(write).collect(),
        "stream" => {
            let raw = messages().map(|message| (true, message));
            let recipes = recipes().into_iter().flat_map(|recipe| {
                let is_signed = SUITES[usize::from(recipe.suite)].curve.is_some();
                let bytes = (false, write(recipe));
                // Signed messages go one way for each input.
                std::iter::repeat_n(bytes, if is_signed { 2 } else { 1 })
            });
            raw.chain(recipes)
                .enumerate()
                .map(|(number, (is_raw, bytes))| {
                    let ways = number as u8;
                    let controls = vec![ways, ways / 4, is_raw.into()];
                    [write(cuts(number)), controls, bytes].concat()
                })
                .collect()
        }
        "ranges" => ranges::all(messages().collect()),
        "roundtrip" => settings(),
        "kms_blob" => kms::blobs(),
        "kms_store" => kms::stores(),
        "kms_record" => kms::records(),
        "kms_backup" => kms::backups(),
        "kms_server_request" => requests::all(),
        "policy_document" => policy::documents(),
        "audit_verify" => audit::trails(),
        _ => return None,
    })
}

fn cuts(number: usize) -> Cuts {
    let cuts: [&[u8]; 5] = [&[], &[1], &[7], &[61, 2], &[255, 0, 16]];
    Cuts::new(cuts[number % cuts.len()])
}

/// Recipes for the vectors, and plain ones with each edit, one at a time.
pub fn recipes() -> Vec<Recipe> {
    let mut recipes: Vec<_> = cases().iter().filter_map(recipe).collect();
    recipes.extend(plain());
    for (row, plain) in plain().into_iter().enumerate() {
        for (column, what) in What::ALL.into_iter().enumerate() {
            let number = NUMBERS[(row + column) % NUMBERS.len()];
            let text = Text::Raw(vec![9; column % 5]);
            recipes.push(Recipe {
                edits: vec![Edit::new(what, row as u16, number, text)],
                ..plain.clone()
            });
        }
    }
    recipes
}

/// A good message of each suite, framed and not.
fn plain() -> Vec<Recipe> {
    let pair = |key: &[u8], value: &[u8]| Pair {
        key: Text::from(key),
        value: Text::from(value),
    };
    let content = |length| Content(Text::Repeat(length as u8, length));
    let recipe = |suite: usize, is_unframed| Recipe {
        suite: suite as u8,
        is_unframed,
        message_id: Text::Repeat(7, 32),
        is_unbound: suite % 2 == 1,
        pairs: vec![pair(b"tenant", b"7"), pair(b"", b"x")],
        public_key_at: 1,
        expects: 1,
        bound: vec![pair(b"b", b"bound"), pair(b"c", b"")],
        edks: vec![EdkParts::default(); 2],
        frames: vec![content(16), content(16)],
        last: content(9),
        ..Recipe::default()
    };
    (0..SUITES.len())
        .flat_map(|suite| [false, true].map(|is_unframed| recipe(suite, is_unframed)))
        .collect()
}

/// Inputs of the target `roundtrip`, in the order that it reads them.
fn settings() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for suite in 0..=SUITES.len() as u8 {
        for policy in 0..3 {
            for way in 0..6 {
                // Suite, policy, what is allowed, and a frame length.
                let mut bytes = vec![suite, policy, 4, 0, 16];
                // Required, providers, limits, a seed.
                bytes.extend([1, suite + way, 0, 0, 0, 0, 0, 0, 7]);
                // The random source, a bound and its shift, the way, who opens,
                // a mistake.
                bytes.extend([0, 0, 0, 0, way, policy, (suite + way) % 4]);
                bytes.extend(write(cuts(way.into())));
                bytes.extend(write(Text::Repeat(b'x', 40)));
                bytes.push(2);
                for word in [1, 4] {
                    bytes.extend(write(Pair {
                        key: Text::Word(word),
                        value: Text::Word(2),
                    }));
                }
                bytes.push(0);
                all.push(bytes);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::craft::craft;
    use crate::model::{Way, read};

    /// The edits come to where they should: past the tags as well as to them.
    #[test]
    fn recipes_lead_to_every_verdict() {
        let mut verdicts = BTreeMap::<String, usize>::new();
        for recipe in recipes() {
            let crafted = craft(&recipe);
            for way in [Way::Whole, Way::Stream] {
                let known = crafted.known.as_ref();
                let reading = read(&crafted.message, &crafted.caller, way, known);
                let verdict = reading.alone(&crafted.message);
                if crafted.plaintext.is_some() {
                    assert_eq!(verdict, Ok(()));
                }
                *verdicts.entry(format!("{verdict:?}")).or_default() += 1;
            }
        }
        println!("{verdicts:#?}");
        for wanted in [
            "Ok(())",
            "Err(Format(UnknownVersion",
            "Err(Format(UnknownType",
            "Err(Format(UnknownSuite",
            "Err(Format(WrongVersion",
            "Err(Format(ContextLength",
            "Err(Format(NoEncryptedDataKeys",
            "Err(Format(UnknownContentType",
            "Err(Format(ReservedBytes",
            "Err(Format(IvLength",
            "Err(Format(FrameLength",
            "Err(Format(FinalFrameLength",
            "Err(Format(BodyLength",
            "Err(Format(PublicKey",
            "Err(Truncated",
            "Err(Trailing",
            "Err(TooManyEdks",
            "Err(HeaderTooLong",
            "Err(Forbidden",
            "Err(UnsignedRefused",
            "Err(SignedStreamRefused",
            "Err(RequiredMissing",
            "Err(Mismatch",
            "Err(NotInMessage",
            "Err(Unwrap",
            "Err(DataKeyLength",
            "Err(Commitment",
            "Err(HeaderTag",
            "Err(Sequence",
            "Err(Buffer",
            "Err(FrameTag",
            "Err(Signature",
        ] {
            assert!(
                verdicts.keys().any(|verdict| verdict.starts_with(wanted)),
                "no recipe leads to {wanted}"
            );
        }
    }
}
