//! The project's test vectors: their keys, their messages, and recipes for the
//! same messages.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

use crate::caller::{Caller, Keys, RawKey};
use crate::model::{Header, Way, read};
use crate::primitives::SUITES;
use crate::recipe::{Content, EdkParts, Recipe};
use crate::tape::{Pair, Text};

static MANIFEST: LazyLock<Value> =
    LazyLock::new(|| json(include_str!("../../tests/vectors/manifest.json")));
static KEYS: LazyLock<Value> =
    LazyLock::new(|| json(include_str!("../../tests/vectors/keys.json")));

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("the project's own JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A message, its reader, and what must come out: `None` for an error.
#[derive(Debug)]
pub struct Case {
    pub id: String,
    pub message: Vec<u8>,
    pub caller: Caller,
    pub plaintext: Option<Vec<u8>>,
}

/// All vectors; their files are read where the source tree is.
pub fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let bytes = |path: &Value| std::fs::read(folder.join(text(path))).expect("a vector's file");
    list(&MANIFEST["cases"])
        .iter()
        .map(|case| Case {
            id: text(&case["id"]).to_owned(),
            message: bytes(&case["ciphertext"]),
            caller: caller(case),
            plaintext: match text(&case["expected"]["result"]) {
                "ok" => Some(bytes(&case["expected"]["plaintext"])),
                _ => None,
            },
        })
        .collect()
}

/// A reader with every key that a vector is for.
pub fn reader_of_all() -> Caller {
    let mut keys: Vec<RawKey> = Vec::new();
    for key in list(&MANIFEST["cases"]).iter().flat_map(raw_keys) {
        let is_known =
            |other: &RawKey| (&other.namespace, &other.name) == (&key.namespace, &key.name);
        if !keys.iter().any(is_known) {
            keys.push(key);
        }
    }
    Caller {
        keys: Keys::Raw(keys),
        ..Caller::default()
    }
}

fn raw_keys(case: &Value) -> Vec<RawKey> {
    list(&case["keyrings"])
        .iter()
        .map(|keyring| {
            let hex = text(&KEYS["keys"][text(&keyring["key"])]["material_hex"]);
            let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            RawKey {
                namespace: text(&keyring["provider_id"]).to_owned(),
                name: text(&keyring["key_name"]).to_owned(),
                key: (0..hex.len()).step_by(2).map(digits).collect(),
            }
        })
        .collect()
}

fn caller(case: &Value) -> Caller {
    let required = list(&case["required_encryption_context_keys"]);
    let expected = case["reproduced_encryption_context"].as_object();
    Caller {
        keys: Keys::Raw(raw_keys(case)),
        requires_commitment: text(&case["commitment_policy"]) == "require-encrypt-require-decrypt",
        required: required.iter().map(|key| text(key).to_owned()).collect(),
        expected: expected
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), text(value).to_owned()))
            .collect(),
        max_edks: case["max_encrypted_data_keys"]
            .as_u64()
            .map(|limit| limit as usize),
        ..Caller::default()
    }
}

/// A recipe for the same message under a key of the recipe's own, as far as a
/// recipe goes: long texts and lists are cut.
pub fn recipe(case: &Case) -> Option<Recipe> {
    let reading = read(&case.message, &case.caller, Way::Whole, None);
    let header: Header = reading.result.ok()?.header;
    let mut frames: Vec<_> = reading
        .frames
        .iter()
        .map(|frame| Content(Text::from(&frame[..])))
        .collect();
    let last = frames.pop()?;
    let pair = |key: &String, value: &String| Pair {
        key: Text::from(key.as_bytes()),
        value: Text::from(value.as_bytes()),
    };
    let is_public_key = |key: &String| key == "aws-crypto-public-key";
    let own = |(key, value): &(String, String)| (!is_public_key(key)).then(|| pair(key, value));
    let required = |(key, value)| case.caller.required.contains(key).then(|| pair(key, value));
    Some(Recipe {
        suite: SUITES.iter().position(|suite| suite == header.suite)? as u8,
        is_unframed: header.frame_length.is_none(),
        frame_length: header.frame_length.unwrap_or(0),
        message_id: Text::from(&header.message_id[..]),
        key_seed: header.message_id[0],
        pairs: header.pairs.iter().filter_map(own).collect(),
        public_key_at: header
            .pairs
            .iter()
            .position(|(key, _)| is_public_key(key))
            .unwrap_or(0) as u8,
        expects: header.message_id[1],
        bound: case.caller.expected.iter().filter_map(required).collect(),
        edks: header
            .edks
            .iter()
            .map(|edk| EdkParts {
                provider_id: Text::from(edk.provider_id.as_bytes()),
                key_info: Text::from(&edk.key_info[..]),
                ciphertext: Text::from(&edk.ciphertext[..]),
            })
            .collect(),
        frames,
        last,
        ..Recipe::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::craft;
    use crate::tape;

    /// The model is held against the vectors before the library is held
    /// against the model.
    #[test]
    fn the_model_agrees_with_the_vectors() {
        let cases = cases();
        for case in &cases {
            for way in [Way::Whole, Way::Stream, Way::StreamUnverified] {
                let reading = read(&case.message, &case.caller, way, None);
                let verdict = reading.alone(&case.message);
                assert_eq!(
                    verdict.is_ok(),
                    case.plaintext.is_some(),
                    "{}: {verdict:?}",
                    case.id
                );
                if let Some(plaintext) = &case.plaintext {
                    assert_eq!(&reading.plaintext(), plaintext, "{}", case.id);
                    assert_eq!(&reading.released, plaintext, "{}", case.id);
                }
            }
        }
        assert!(cases.len() > 100);
    }

    #[test]
    fn recipes_for_vectors_are_good_and_round_trip() {
        let mut good = 0;
        for case in cases() {
            let Some(mut recipe) = recipe(&case) else {
                continue;
            };
            recipe.frames.truncate(8);
            recipe.pairs.truncate(6);
            recipe.edks.truncate(4);
            let bytes = tape::write(recipe.clone());
            assert_eq!(tape::read::<Recipe>(&bytes), recipe, "{}", case.id);
            let crafted = craft(&recipe);
            let reading = read(&crafted.message, &crafted.caller, Way::Whole, None);
            let Some(plaintext) = crafted.plaintext else {
                continue;
            };
            assert_eq!(reading.alone(&crafted.message), Ok(()), "{}", case.id);
            assert_eq!(reading.plaintext(), plaintext, "{}", case.id);
            good += 1;
        }
        assert!(good > 30, "{good}");
    }
}
