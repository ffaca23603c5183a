//! What fuzzing found, one test for each.

use waxseal::blocking::Client;
use waxseal::{EncryptionContext, Error, RawAesProvider, SecretBytes};

fn provider() -> RawAesProvider {
    RawAesProvider::new("ns", "key", &SecretBytes::from(vec![7; 32])).unwrap()
}

/// A field that ends beyond the longest header and is wrong besides: whether
/// it was there when its length was read must not decide the error.
#[test]
fn header_too_long_whole_and_in_pieces() {
    let context = EncryptionContext::from([("tenant", "7"), ("purpose", "test")]);
    let mut message = Client::new(provider()).encrypt(b"", &context).unwrap();
    // More pairs than there are.
    let pair_count = 1 + 2 + 32 + 2;
    message[pair_count + 1] = 9;
    let client = Client::builder(provider())
        .max_header_length(pair_count + 10)
        .build()
        .unwrap()
        .blocking();
    let too_long =
        |result: Result<(), Error>| assert!(matches!(result, Err(Error::HeaderTooLong { .. })));

    too_long(client.decrypt(&message, &context).map(|_| ()));
    for length in [1, 7, message.len()] {
        let mut decryptor = client.decryptor(&context);
        let mut out = Vec::new();
        let pushed = message
            .chunks(length)
            .try_for_each(|piece| decryptor.push(piece, &mut out));
        too_long(pushed);
    }
}
