//! Tags of keys.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use waxseal::kms::{KeyState, Operation};

use super::key::By;
use super::paging::Page;
use super::session::Session;
use crate::protocol::{ApiError, ApiResult, Fields};

const TAGS_IN_PAGE: usize = 50;
/// AWS's limit for one key.
const MAX_TAGS: usize = 50;

/// The tags of a request: each key once, and none of AWS's own.
pub(super) fn read(fields: &Fields) -> ApiResult<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for tag in fields.structures("Tags") {
        let (key, value) = (tag.need("TagKey")?, tag.need("TagValue")?);
        check_key(key)?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ApiError::new("TagException", "Duplicate tag keys"));
        }
    }
    match tags.len() > MAX_TAGS {
        true => Err(ApiError::new("TagException", "Too many tags")),
        false => Ok(tags),
    }
}

fn check_key(key: &str) -> ApiResult<()> {
    match key.to_ascii_lowercase().starts_with("aws:") {
        true => Err(ApiError::new(
            "TagException",
            "Tag keys must not start with aws:",
        )),
        false => Ok(()),
    }
}

pub(super) async fn add(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let tags = read(fields)?;
    let key = session.key(fields, By::Id).await?;
    // Of two at once, the second must count the first's.
    let _one_at_a_time = key.account.changing.lock().await;
    if let Some(keyring) = key.account.look_at(&key.name).await {
        let new = tags.keys().filter(|tag| !keyring.tags.contains_key(*tag));
        if keyring.tags.len() + new.count() > MAX_TAGS
            && keyring.state != KeyState::PendingDeletion
            && key.allows(session, fields, Operation::TagResource).await
        {
            let reached = format!("A key has at most {MAX_TAGS} tags.");
            return Err(ApiError::new("LimitExceededException", reached).about(keyring.arn));
        }
    }
    let tagged = key.kms(session, fields).tag(&key.name, &tags).await;
    tagged.map_err(|error| key.refusal(error))
}

pub(super) async fn remove(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let tags: Vec<&str> = fields.texts("TagKeys").collect();
    for tag in &tags {
        check_key(tag)?;
    }
    let key = session.key(fields, By::Id).await?;
    let untagged = key.kms(session, fields).untag(&key.name, &tags).await;
    untagged.map_err(|error| key.refusal(error))
}

pub(super) async fn list(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let page = Page::read(session, fields, TAGS_IN_PAGE)?;
    let key = session.key(fields, By::Id).await?;
    let tags = key.kms(session, fields).tags(&key.name).await;
    let tags = tags.map_err(|error| key.refusal(error))?;
    let shown = |(key, value)| json!({ "TagKey": key, "TagValue": value });
    let name = |tag: &(String, String)| tag.0.clone();
    Ok(page.of("Tags", tags, name, shown))
}
