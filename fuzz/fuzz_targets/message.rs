//! Messages made by their parts under a known key, edited before and after
//! they are sealed: what the library says of each is what the model says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal::{DecryptionDetails, EncryptionContext, Error, blocking::Client};
use waxseal_fuzz::caller::{context, edk, kind};
use waxseal_fuzz::craft::{Crafted, craft};
use waxseal_fuzz::model::{self, End, Kind, Reading, Way};
use waxseal_fuzz::recipe::Recipe;
use waxseal_fuzz::tape::read;

/// What buffers hold before the library writes to them.
const UNTOUCHED: u8 = 0xa5;

fuzz_target!(|data: &[u8]| {
    let recipe: Recipe = read(data);
    let crafted = craft(&recipe);
    let known = crafted.known.as_ref();
    let expected = model::read(&crafted.message, &crafted.caller, Way::Whole, known);
    model_is_right(&crafted, &expected);

    let client = crafted.caller.client();
    let context = crafted.caller.context();
    // Signatures are slow: of a signed message one way at a time.
    let chosen = known.map(|_| recipe.key_seed % 3);
    let is_chosen = |way| chosen.is_none_or(|chosen| chosen == way);
    if is_chosen(0) {
        one_shot(&client, &context, &crafted.message, &expected);
    }
    if is_chosen(1) {
        prefix(&client, &context, &crafted.message, &expected);
    }
    if is_chosen(2) {
        into_buffer(&client, &context, &crafted, &expected);
    }
});

/// What is known of a message by how it was made.
fn model_is_right(crafted: &Crafted, reading: &Reading) {
    let message = &crafted.message;
    if let Some(plaintext) = &crafted.plaintext {
        assert_eq!(reading.alone(message), Ok(()));
        assert_eq!(&reading.plaintext(), plaintext);
    }
    if reading.result.is_ok() && !message.starts_with(&crafted.sealed[..crafted.authentic]) {
        // Then what was changed is behind the message's end, or it was no
        // message before.
        let known = crafted.known.as_ref();
        let sealed = model::read(&crafted.sealed, &crafted.caller, Way::Whole, known);
        if let Ok(end) = sealed.result {
            let authentic = end.consumed.min(crafted.authentic);
            let is_same = message.starts_with(&crafted.sealed[..authentic]);
            assert!(is_same, "a change went unnoticed");
        }
    }
}

fn one_shot(client: &Client, context: &EncryptionContext, message: &[u8], expected: &Reading) {
    match (client.decrypt(message, context), expected.alone(message)) {
        (Ok(decrypted), Ok(())) => {
            assert_eq!(decrypted.plaintext, expected.plaintext());
            same_details(&decrypted.details, expected);
        }
        (Err(error), Err(expected)) => assert_eq!(kind(&error), expected),
        (found, expected) => panic!("found {found:?}, expected {expected:?}"),
    }
}

fn prefix(client: &Client, context: &EncryptionContext, message: &[u8], expected: &Reading) {
    match (client.decrypt_prefix(message, context), &expected.result) {
        (Ok((decrypted, rest)), Ok(end)) => {
            assert_eq!(decrypted.plaintext, expected.plaintext());
            assert_eq!(rest, &message[end.consumed..]);
            same_details(&decrypted.details, expected);
        }
        (Err(error), Err(expected)) => assert_eq!(kind(&error), *expected),
        (found, expected) => panic!("found {found:?}, expected {expected:?}"),
    }
}

fn into_buffer(
    client: &Client,
    context: &EncryptionContext,
    crafted: &Crafted,
    expected: &Reading,
) {
    let message = &crafted.message;
    let plaintext = expected.plaintext();
    let length = crafted.output_length.unwrap_or(plaintext.len());
    let mut out = vec![UNTOUCHED; length];
    let verdict = expected.alone(message);
    match client.decrypt_into(message, context, &mut out) {
        Ok((written, details)) => {
            assert_eq!(verdict, Ok(()));
            assert_eq!(out[..written], plaintext);
            assert!(out[written..].iter().all(|byte| *byte == UNTOUCHED));
            same_details(&details, expected);
        }
        Err(error) => {
            // A frame needs room before its tag says what it is worth; a
            // buffer of the message's length always has it.
            let enough = match verdict {
                Ok(()) | Err(Kind::Trailing) => plaintext.len(),
                Err(_) => message.len(),
            };
            match error {
                Error::OutputTooSmall { needed, available } if length < enough => {
                    assert!(available == length && needed > length as u64);
                    assert!(needed <= message.len() as u64);
                }
                error => assert_eq!(Err(kind(&error)), verdict),
            }
            let left = |byte: &u8| *byte != UNTOUCHED && *byte != 0;
            assert!(!out.iter().any(left), "plaintext is left after an error");
        }
    }
}

fn same_details(details: &DecryptionDetails, expected: &Reading) {
    let End {
        header,
        context: pairs,
        index,
        ..
    } = expected.result.as_ref().expect("a good message");
    assert_eq!(details.suite.id(), header.suite.id);
    assert_eq!(details.message_id(), header.message_id);
    assert_eq!(details.context, context(pairs));
    assert_eq!(details.encrypted_data_key_index, *index);
    assert_eq!(edk(&details.encrypted_data_key), header.edks[*index]);
    assert_eq!(details.key, "static key");
    assert_eq!(details.key_version, None);
}
