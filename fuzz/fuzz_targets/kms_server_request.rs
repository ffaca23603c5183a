//! Requests to the example `kms_server`, as they are before anything is done
//! with them: the header that names the operation, a newline, and the body. What
//! passes is within AWS's bounds, whatever else was in the body; what does not
//! is one of three errors, in short.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[allow(dead_code, unreachable_pub, unused_imports)] // reason: the server uses the rest
#[path = "../../examples/kms_server/protocol/mod.rs"]
mod protocol;

use protocol::{Request, operation_of};

/// The longest text that an error may have: twenty faults, each of which shows
/// at most 256 characters.
const MAX_MESSAGE: usize = 20 * (256 * 4 + 1024);

fuzz_target!(|data: &[u8]| {
    let (target, body) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (&data[..0], data),
    };
    let target = String::from_utf8_lossy(target);
    let operation = match operation_of(&target) {
        Ok(operation) => operation,
        Err(error) => {
            assert_eq!(error.code, "UnknownOperationException");
            return;
        }
    };
    assert_eq!(target, format!("TrentService.{}", operation.name()));
    let request = match Request::decode(operation, body) {
        Ok(request) => request,
        Err(error) => {
            assert!(
                ["ValidationException", "SerializationException"].contains(&error.code),
                "{error:?}"
            );
            let message = error.message.expect("a reason");
            assert!(message.len() <= MAX_MESSAGE, "{}", message.len());
            return;
        }
    };
    let Ok(Value::Object(given)) = serde_json::from_slice::<Value>(body) else {
        assert!(body.iter().all(u8::is_ascii_whitespace), "it was no object");
        return;
    };
    let fields = &request.fields;
    for (name, value) in &given {
        // Passed over, or kept as it is.
        if let (Some(kept), Value::String(text)) = (fields.text(name), value) {
            assert_eq!(kept, text);
        }
        if let Some(number) = fields.integer(name) {
            assert_eq!(value.as_i64(), Some(number));
            assert!((1..=2560).contains(&number));
        }
        if let Some(bytes) = fields.blob(name) {
            let text = value.as_str().expect("base64");
            assert_eq!(bytes.len(), text.len() / 4 * 3 - text.matches('=').count());
            assert!((1..=262_144).contains(&bytes.len()));
        }
        assert!(!fields.has(name) || !value.is_null());
    }
    // What AWS does not know changes nothing.
    let mut more = given;
    more.insert("NoSuchMember".to_owned(), Value::Bool(true));
    let more = Value::Object(more).to_string();
    assert!(Request::decode(operation, more.as_bytes()).is_ok());
});
