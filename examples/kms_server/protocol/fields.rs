//! The members of a request, by AWS's names.

use std::collections::BTreeMap;
use std::time::SystemTime;

use waxseal::SecretBytes;

use super::error::{ApiError, ApiResult};

/// What a member holds.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Blob(SecretBytes),
    Integer(i64),
    Boolean(bool),
    Timestamp(SystemTime),
    List(Vec<Value>),
    Map(BTreeMap<String, String>),
    Structure(Fields),
}

/// The members that a request has, all of the types and within the bounds of
/// AWS's model.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub(super) BTreeMap<&'static str, Value>);

impl Fields {
    /// A text, if it was given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A text that must be there.
    pub(crate) fn need(&self, name: &str) -> ApiResult<&str> {
        self.text(name).ok_or_else(|| missing(name))
    }

    pub(crate) fn blob(&self, name: &str) -> Option<&SecretBytes> {
        match self.0.get(name) {
            Some(Value::Blob(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Bytes that must be there.
    pub(crate) fn need_blob(&self, name: &str) -> ApiResult<&SecretBytes> {
        self.blob(name).ok_or_else(|| missing(name))
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        match self.0.get(name) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// Whether a flag was given, and is true.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Value::Boolean(true)))
    }

    pub(crate) fn timestamp(&self, name: &str) -> Option<SystemTime> {
        match self.0.get(name) {
            Some(Value::Timestamp(time)) => Some(*time),
            _ => None,
        }
    }

    /// The texts of a list; none where there is no list.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.list(name).iter().filter_map(|value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The structures of a list; none where there is no list.
    pub(crate) fn structures(&self, name: &str) -> impl Iterator<Item = &Fields> {
        self.list(name).iter().filter_map(|value| match value {
            Value::Structure(fields) => Some(fields),
            _ => None,
        })
    }

    pub(crate) fn structure(&self, name: &str) -> Option<&Fields> {
        match self.0.get(name) {
            Some(Value::Structure(fields)) => Some(fields),
            _ => None,
        }
    }

    pub(crate) fn map(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        match self.0.get(name) {
            Some(Value::Map(map)) => Some(map),
            _ => None,
        }
    }

    /// Whether a member was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn list(&self, name: &str) -> &[Value] {
        match self.0.get(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }
}

fn missing(name: &str) -> ApiError {
    ApiError::validation(format!("{name} is required."))
}
