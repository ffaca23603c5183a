//! Keys: made, looked at, listed, enabled and disabled, deleted.

use serde_json::{Value as Json, json};
use waxseal::kms::CreateKey;

use super::key::By;
use super::metadata::metadata;
use super::paging::Page;
use super::policies;
use super::seconds;
use super::session::Session;
use super::tags;
use crate::protocol::{ApiError, ApiResult, Fields};

const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
const KEYS_IN_PAGE: usize = 100;
const DEFAULT_WINDOW_DAYS: u16 = 30;

pub(super) async fn create(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    check_kind(fields)?;
    let account = session.home()?;
    let mut request = CreateKey::new();
    if let Some(description) = fields.text("Description") {
        request = request.description(description);
    }
    for (key, value) in tags::read(fields)? {
        request = request.tag(key, value);
    }
    if fields.text("Origin") == Some("EXTERNAL") {
        request = request.external();
    }
    if let Some(policy) = fields.text("Policy") {
        policies::check_length(policy)?;
        request = request
            .policy(policy)
            .bypass_lockout_check(fields.is_set("BypassPolicyLockoutSafetyCheck"));
    }
    let created = session.kms(account, fields).create_key(request).await;
    let keyring = created.map_err(session.refusal(account))?;
    Ok(json!({ "KeyMetadata": metadata(&keyring, &account.id) }))
}

/// Only symmetric keys of one Region, with material of the KMS's own or
/// imported, are made here.
fn check_kind(fields: &Fields) -> ApiResult<()> {
    let spec = match (fields.text("KeySpec"), fields.text("CustomerMasterKeySpec")) {
        (Some(_), Some(_)) => {
            return Err(ApiError::validation(
                "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. \
                 CustomerMasterKeySpec is deprecated.",
            ));
        }
        (spec, older) => spec.or(older).unwrap_or(SYMMETRIC),
    };
    match fields.text("KeyUsage") {
        None if spec != SYMMETRIC => {
            return Err(ApiError::validation(
                "You must specify a KeyUsage value for all KMS keys except for symmetric \
                 encryption keys.",
            ));
        }
        Some(usage) if spec == SYMMETRIC && usage != "ENCRYPT_DECRYPT" => {
            return Err(ApiError::validation(format!(
                "KeyUsage {usage} is not compatible with KeySpec {spec}"
            )));
        }
        _ => {}
    }
    if spec != SYMMETRIC {
        return Err(ApiError::unsupported(format!(
            "KeySpec {spec} is not supported in this Region"
        )));
    }
    if fields.is_set("MultiRegion") {
        return Err(ApiError::unsupported(
            "Multi-Region keys are not supported by this server",
        ));
    }
    let origin = fields.text("Origin").unwrap_or("AWS_KMS");
    let has_own_store = matches!(origin, "AWS_CLOUDHSM" | "EXTERNAL_KEY_STORE");
    match fields.text("CustomKeyStoreId") {
        Some(_) if !has_own_store => Err(ApiError::validation(format!(
            "CustomKeyStoreId is not valid with the Origin {origin}"
        ))),
        Some(store) => Err(ApiError::new(
            "CustomKeyStoreNotFoundException",
            format!("Custom key store '{store}' does not exist"),
        )),
        None if has_own_store => Err(ApiError::validation(format!(
            "The Origin {origin} requires a CustomKeyStoreId"
        ))),
        None if fields.has("XksKeyId") => Err(ApiError::validation(
            "XksKeyId is only valid with the Origin EXTERNAL_KEY_STORE",
        )),
        None => Ok(()),
    }
}

pub(super) async fn describe(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let key = session.key(fields, By::IdOrAlias).await?;
    let described = key.kms(session, fields).describe_key(&key.name).await;
    let keyring = described.map_err(|error| key.refusal(error))?;
    Ok(json!({ "KeyMetadata": metadata(&keyring, &key.account.id) }))
}

pub(super) async fn list(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let page = Page::read(session, fields, KEYS_IN_PAGE)?;
    let account = session.home()?;
    let listed = session
        .kms(account, fields)
        .list_keys(page.after.as_deref(), page.limit)
        .await;
    let listed = listed.map_err(session.refusal(account))?;
    for error in &listed.damaged {
        eprintln!("account {}: {error}", account.id);
    }
    let shown = listed
        .keyrings
        .iter()
        .map(|keyring| json!({ "KeyId": keyring.id, "KeyArn": keyring.arn }));
    Ok(page.answer("Keys", shown.collect(), listed.next.as_deref()))
}

pub(super) async fn enable(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let key = session.key(fields, By::Id).await?;
    let enabled = key.kms(session, fields).enable_key(&key.name).await;
    enabled.map_err(|error| key.refusal(error))
}

pub(super) async fn disable(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let key = session.key(fields, By::Id).await?;
    let disabled = key.kms(session, fields).disable_key(&key.name).await;
    disabled.map_err(|error| key.refusal(error))
}

pub(super) async fn update_description(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let description = fields.need("Description")?;
    let key = session.key(fields, By::Id).await?;
    let kms = key.kms(session, fields);
    let updated = kms.update_description(&key.name, description).await;
    updated.map_err(|error| key.refusal(error))
}

pub(super) async fn schedule_deletion(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let key = session.key(fields, By::Id).await?;
    let days = fields
        .integer("PendingWindowInDays")
        .and_then(|days| u16::try_from(days).ok())
        .unwrap_or(DEFAULT_WINDOW_DAYS);
    let kms = key.kms(session, fields);
    let scheduled = kms.schedule_deletion(&key.name, Some(days)).await;
    let scheduled = scheduled.map_err(|error| key.refusal(error))?;
    Ok(json!({
        "KeyId": scheduled.key_arn,
        "DeletionDate": seconds(scheduled.date),
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    }))
}

pub(super) async fn cancel_deletion(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let key = session.key(fields, By::Id).await?;
    let cancelled = key.kms(session, fields).cancel_deletion(&key.name).await;
    cancelled.map_err(|error| key.refusal(error))?;
    Ok(json!({ "KeyId": key.arn() }))
}
