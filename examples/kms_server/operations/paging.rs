//! Lists in parts: `Limit`, `Marker`, `NextMarker`, `Truncated`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use crate::protocol::{ApiError, ApiResult, Fields};

const PREFIX: &str = "after:";

/// Which part of a list is asked for.
pub(super) struct Page {
    pub(super) limit: usize,
    /// The name of the last element of the part before.
    pub(super) after: Option<String>,
}

impl Page {
    /// `default` elements at most, where the request says no number.
    pub(super) fn read(fields: &Fields, default: usize) -> ApiResult<Self> {
        let limit = fields
            .integer("Limit")
            .and_then(|limit| usize::try_from(limit).ok());
        let after = fields.text("Marker").map(unmarked).transpose()?;
        Ok(Page {
            limit: limit.unwrap_or(default).max(1),
            after,
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
        answer(member, elements.collect(), next.as_deref())
    }
}

/// A part of a list, and where the next one begins.
pub(super) fn answer(member: &str, elements: Vec<Json>, next: Option<&str>) -> Json {
    let mut answer = json!({ member: elements, "Truncated": next.is_some() });
    if let Some(next) = next {
        let marker = URL_SAFE_NO_PAD.encode(format!("{PREFIX}{next}"));
        answer["NextMarker"] = marker.into();
    }
    answer
}

fn unmarked(marker: &str) -> ApiResult<String> {
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.as_deref()
        .and_then(|text| text.strip_prefix(PREFIX))
        .map(str::to_owned)
        .ok_or_else(|| ApiError::new("InvalidMarkerException", "Could not deserialize marker"))
}
