//! Lists in parts: `Limit`, `Marker`, `NextMarker`, `Truncated`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use super::session::Session;
use crate::protocol::{ApiError, ApiResult, Fields, Operation};

/// Which part of a list is asked for.
pub(super) struct Page {
    pub(super) limit: usize,
    /// The name of the last element of the part before.
    pub(super) after: Option<String>,
    operation: Operation,
}

impl Page {
    /// `default` elements at most, where the request says no number.
    pub(super) fn read(session: &Session<'_>, fields: &Fields, default: usize) -> ApiResult<Self> {
        let operation = session.operation;
        let limit = fields
            .integer("Limit")
            .and_then(|limit| usize::try_from(limit).ok());
        let marker = fields.text("Marker");
        let after = marker
            .map(|marker| unmarked(marker, operation))
            .transpose()?;
        Ok(Page {
            limit: limit.unwrap_or(default).max(1),
            after,
            operation,
        })
    }

    /// This part of a list whose elements have these names, sorted here.
    pub(super) fn of<T>(
        &self,
        member: &str,
        elements: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> String,
        shown: impl Fn(T) -> Json,
    ) -> Json {
        let mut elements: Vec<(String, T)> = elements
            .into_iter()
            .map(|element| (name(&element), element))
            .filter(|(name, _)| self.after.as_ref().is_none_or(|after| name > after))
            .collect();
        elements.sort_by(|(one, _), (other, _)| one.cmp(other));
        let more = elements.len() > self.limit;
        elements.truncate(self.limit);
        let last = elements.last().filter(|_| more);
        let next = last.map(|(name, _)| name.clone());
        let elements = elements.into_iter().map(|(_, element)| shown(element));
        self.answer(member, elements.collect(), next.as_deref())
    }

    /// This part of a list, and where the next one begins.
    pub(super) fn answer(&self, member: &str, elements: Vec<Json>, next: Option<&str>) -> Json {
        let mut answer = json!({ member: elements, "Truncated": next.is_some() });
        if let Some(next) = next {
            let marker = format!("{}{next}", prefix(self.operation));
            answer["NextMarker"] = URL_SAFE_NO_PAD.encode(marker).into();
        }
        answer
    }
}

/// A marker is of use to the operation that gave it, and to no other.
fn prefix(operation: Operation) -> String {
    format!("{}:", operation.name())
}

fn unmarked(marker: &str, operation: Operation) -> ApiResult<String> {
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.as_deref()
        .and_then(|text| text.strip_prefix(&prefix(operation)))
        .map(str::to_owned)
        .ok_or_else(|| ApiError::new("InvalidMarkerException", "Could not deserialize marker"))
}
