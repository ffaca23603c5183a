//! From bytes to a request that holds nothing but what its operation takes.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;
use waxseal::SecretBytes;

use super::error::{ApiError, ApiResult};
use super::fields::{Fields, Value};
use super::model::Operation;
use super::shape::{Length, Member, Shape};

/// What stands before the operation in the header `X-Amz-Target`.
const TARGET: &str = "TrentService.";
/// An error repeats no more of a caller's text than this.
const MAX_SHOWN: usize = 256;
/// 9999-12-31, the last date of the library's.
const LAST_SECOND: f64 = 253_402_300_799.0;
/// Of the faults of one request, so many are told.
const MAX_FAULTS: usize = 20;

/// A request, checked against AWS's model.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    pub(crate) fields: Fields,
}

/// The operation that the header `X-Amz-Target` names.
pub(crate) fn operation_of(target: &str) -> ApiResult<Operation> {
    target
        .strip_prefix(TARGET)
        .and_then(Operation::from_name)
        .ok_or_else(|| ApiError::bare("UnknownOperationException"))
}

impl Request {
    /// Reads the body of a request. Members that AWS's model does not have are
    /// passed over, as AWS does.
    pub(crate) fn decode(operation: Operation, body: &[u8]) -> ApiResult<Request> {
        let json = match body.iter().all(u8::is_ascii_whitespace) {
            true => Json::Object(Default::default()),
            // Nested no deeper than serde_json allows: 128.
            false => serde_json::from_slice(body)
                .map_err(|_| ApiError::serialization("The body is not valid JSON"))?,
        };
        let mut faults = Faults::default();
        let fields = structure(&json, operation.members(), "", &mut faults)?;
        match faults.count {
            0 => Ok(Request { operation, fields }),
            _ => Err(ApiError::validation(faults.to_string())),
        }
    }
}

/// What is wrong with the values of a request, in AWS's words.
#[derive(Default)]
struct Faults {
    count: usize,
    /// The first of them.
    told: Vec<String>,
}

impl Faults {
    fn push(&mut self, fault: String) {
        self.count += 1;
        if self.told.len() < MAX_FAULTS {
            self.told.push(fault);
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.count == 1 { "" } else { "s" };
        let told = self.told.join("; ");
        write!(f, "{} validation error{s} detected: {told}", self.count)
    }
}

fn structure(
    json: &Json,
    members: &'static [Member],
    path: &str,
    faults: &mut Faults,
) -> ApiResult<Fields> {
    let Json::Object(given) = json else {
        return Err(wrong_type(json, "a structure"));
    };
    let mut fields = BTreeMap::new();
    for member in members {
        let path = join(path, member.name);
        match given.get(member.name) {
            None | Some(Json::Null) if member.is_required => faults.push(format!(
                "Value null at '{path}' failed to satisfy constraint: Member must not be null"
            )),
            None | Some(Json::Null) => {}
            Some(json) => {
                let value = value(json, &member.shape, &path, faults)?;
                fields.insert(member.name, value);
            }
        }
    }
    Ok(Fields(fields))
}

fn value(json: &Json, shape: &'static Shape, path: &str, faults: &mut Faults) -> ApiResult<Value> {
    Ok(match shape {
        Shape::Text(length, pattern) => {
            let text = string(json)?;
            let shown = shown(text);
            check_length(text.chars().count(), *length, Some(&shown), path, faults);
            if let Some(expression) = pattern.refuses(text) {
                faults.push(format!(
                    "Value '{shown}' at '{path}' failed to satisfy constraint: Member must satisfy \
                     regular expression pattern: {expression}"
                ));
            }
            Value::Text(text.to_owned())
        }
        Shape::Choice(words) => {
            let text = string(json)?;
            if !words.contains(&text) {
                faults.push(format!(
                    "Value '{}' at '{path}' failed to satisfy constraint: Member must satisfy enum \
                     value set: [{}]",
                    shown(text),
                    words.join(", ")
                ));
            }
            Value::Text(text.to_owned())
        }
        Shape::Blob(length) => {
            let bytes = BASE64.decode(string(json)?).map_err(|_| {
                ApiError::serialization(format!("The value of '{path}' is not valid base64"))
            })?;
            check_length(bytes.len(), *length, None, path, faults);
            Value::Blob(SecretBytes::from(bytes))
        }
        Shape::Integer(least, most) => {
            let number = integer(json)?;
            for (is_wrong, bound, what) in [
                (number < *least, least, "greater"),
                (number > *most, most, "less"),
            ] {
                if is_wrong {
                    faults.push(format!(
                        "Value '{number}' at '{path}' failed to satisfy constraint: Member must \
                         have value {what} than or equal to {bound}"
                    ));
                }
            }
            Value::Integer(number)
        }
        Shape::Boolean => match json {
            Json::Bool(flag) => Value::Boolean(*flag),
            _ => return Err(wrong_type(json, "Boolean")),
        },
        Shape::Timestamp => Value::Timestamp(timestamp(json)?),
        Shape::List(length, element) => {
            let Json::Array(elements) = json else {
                return Err(wrong_type(json, "a list"));
            };
            check_length(elements.len(), *length, None, path, faults);
            let mut list = Vec::with_capacity(elements.len());
            for (index, json) in elements.iter().enumerate() {
                let path = format!("{path}.{}.member", index + 1);
                list.push(value(json, element, &path, faults)?);
            }
            Value::List(list)
        }
        Shape::Map => {
            let Json::Object(entries) = json else {
                return Err(wrong_type(json, "a map"));
            };
            let mut map = BTreeMap::new();
            for (key, json) in entries {
                map.insert(key.clone(), string(json)?.to_owned());
            }
            Value::Map(map)
        }
        Shape::Structure(members) => Value::Structure(structure(json, members, path, faults)?),
    })
}

fn string(json: &Json) -> ApiResult<&str> {
    json.as_str().ok_or_else(|| wrong_type(json, "String"))
}

fn integer(json: &Json) -> ApiResult<i64> {
    match json {
        // One that no i64 holds is out of every range.
        Json::Number(number) if number.is_u64() => Ok(number.as_i64().unwrap_or(i64::MAX)),
        Json::Number(number) => number.as_i64().ok_or_else(|| wrong_type(json, "Integer")),
        _ => Err(wrong_type(json, "Integer")),
    }
}

fn timestamp(json: &Json) -> ApiResult<SystemTime> {
    let seconds = json.as_f64().ok_or_else(|| wrong_type(json, "Timestamp"))?;
    let seconds = seconds.clamp(0.0, LAST_SECOND);
    // Whole milliseconds: what the library keeps.
    let millis = Duration::from_millis((seconds * 1000.0) as u64);
    Ok(SystemTime::UNIX_EPOCH + millis)
}

/// Bytes are told without their value: they may be secret.
fn check_length(
    found: usize,
    allowed: Length,
    shown: Option<&str>,
    path: &str,
    faults: &mut Faults,
) {
    for (is_wrong, bound, what) in [
        (found < allowed.0, allowed.0, "greater"),
        (found > allowed.1, allowed.1, "less"),
    ] {
        if is_wrong {
            let mut fault = "Value ".to_owned();
            if let Some(shown) = shown {
                // Writing to a String cannot fail.
                let _ = write!(fault, "'{shown}' ");
            }
            let _ = write!(
                fault,
                "at '{path}' failed to satisfy constraint: Member must have length {what} than or \
                 equal to {bound}"
            );
            faults.push(fault);
        }
    }
}

fn wrong_type(json: &Json, wanted: &str) -> ApiError {
    let found = match json {
        Json::Null => "NULL_VALUE",
        Json::Bool(true) => "TRUE_VALUE",
        Json::Bool(false) => "FALSE_VALUE",
        Json::Number(number) if number.is_f64() => "DECIMAL_VALUE",
        Json::Number(_) => "NUMBER_VALUE",
        Json::String(_) => "STRING_VALUE",
        Json::Array(_) => "START_ARRAY",
        Json::Object(_) => "START_OBJECT",
    };
    ApiError::serialization(format!("{found} can not be converted to {wanted}"))
}

/// AWS's paths begin with a small letter.
fn join(path: &str, name: &str) -> String {
    let mut joined = path.to_owned();
    if !joined.is_empty() {
        joined.push('.');
    }
    let mut letters = name.chars();
    joined.extend(letters.next().map(|first| first.to_ascii_lowercase()));
    joined.push_str(letters.as_str());
    joined
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}
