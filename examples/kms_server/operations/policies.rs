//! Key policies.

use serde_json::{Value as Json, json};

use super::key::By;
use super::paging::Page;
use super::session::Session;
use crate::protocol::{ApiError, ApiResult, Fields};

/// The only name that a key's policy has.
const NAME: &str = "default";
const POLICIES_IN_PAGE: usize = 100;
/// AWS's limit for a key's policy, in bytes.
const MAX_POLICY_LENGTH: usize = 32 * 1024;

/// AWS's model lets more through than a key can have.
pub(super) fn check_length(policy: &str) -> ApiResult<()> {
    if policy.len() <= MAX_POLICY_LENGTH {
        return Ok(());
    }
    Err(ApiError::new(
        "LimitExceededException",
        format!("A key policy has at most {MAX_POLICY_LENGTH} bytes."),
    ))
}

fn check_name(fields: &Fields) -> ApiResult<()> {
    match fields.text("PolicyName") {
        None | Some(NAME) => Ok(()),
        Some(_) => Err(ApiError::new("NotFoundException", "No such policy exists")),
    }
}

pub(super) async fn get(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    check_name(fields)?;
    let key = session.key(fields, By::Id).await?;
    let policy = key.kms(session, fields).get_key_policy(&key.name).await;
    let policy = policy.map_err(|error| key.refusal(error))?;
    Ok(json!({ "Policy": policy, "PolicyName": NAME }))
}

pub(super) async fn list(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let page = Page::read(session, fields, POLICIES_IN_PAGE)?;
    let key = session.key(fields, By::Id).await?;
    let names = key.kms(session, fields).list_key_policies(&key.name).await;
    let names = names.map_err(|error| key.refusal(error))?;
    Ok(page.of("PolicyNames", names, String::clone, Json::from))
}

pub(super) async fn put(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let policy = fields.need("Policy")?;
    check_name(fields)?;
    check_length(policy)?;
    let key = session.key(fields, By::Id).await?;
    let kms = key.kms(session, fields);
    let put = match fields.is_set("BypassPolicyLockoutSafetyCheck") {
        true => kms.put_key_policy_unchecked(&key.name, policy).await,
        false => kms.put_key_policy(&key.name, policy).await,
    };
    put.map_err(|error| key.refusal(error))
}
