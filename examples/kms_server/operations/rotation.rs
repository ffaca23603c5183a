//! Rotation: automatic, on demand, and what was done.

use serde_json::{Value as Json, json};
use waxseal::kms::{BackingKeyCause, BackingKeyInfo, Keyring, Operation, Origin};

use super::key::By;
use super::metadata::add_expiry;
use super::paging::Page;
use super::seconds;
use super::session::Session;
use crate::protocol::{ApiError, ApiResult, Fields};

const ROTATIONS_IN_PAGE: usize = 100;
/// AWS's limit for one key.
const MAX_ON_DEMAND: usize = 25;

pub(super) async fn enable(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let key = session.key(fields, By::Id).await?;
    let days = fields
        .integer("RotationPeriodInDays")
        .and_then(|days| u16::try_from(days).ok());
    let enabled = key
        .kms(session, fields)
        .enable_rotation(&key.name, days)
        .await;
    enabled.map_err(|error| key.refusal(error))
}

pub(super) async fn disable(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let key = session.key(fields, By::Id).await?;
    let disabled = key.kms(session, fields).disable_rotation(&key.name).await;
    disabled.map_err(|error| key.refusal(error))
}

pub(super) async fn status(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let key = session.key(fields, By::Id).await?;
    let rotation = key.kms(session, fields).rotation_status(&key.name).await;
    let rotation = rotation.map_err(|error| key.refusal(error))?;
    let mut answer = json!({
        "KeyId": key.arn(),
        "KeyRotationEnabled": rotation.is_some(),
    });
    if let Some(rotation) = rotation {
        answer["RotationPeriodInDays"] = rotation.days.into();
        answer["NextRotationDate"] = seconds(rotation.due);
    }
    Ok(answer)
}

pub(super) async fn on_demand(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let key = session.key(fields, By::Id).await?;
    // Of two at once, the second must count the first.
    let _one_at_a_time = key.account.changing.lock().await;
    if let Some(keyring) = key.account.look_at(&key.name).await {
        let by_hand = |info: &&BackingKeyInfo| info.cause == BackingKeyCause::OnDemandRotation;
        if keyring.backing_keys.iter().filter(by_hand).count() >= MAX_ON_DEMAND
            && key
                .allows(session, fields, Operation::RotateKeyOnDemand)
                .await
        {
            let reached = format!(
                "The on-demand rotation limit of {MAX_ON_DEMAND} for {} is reached.",
                keyring.arn
            );
            return Err(ApiError::new("LimitExceededException", reached).about(keyring.arn));
        }
    }
    let rotated = key.kms(session, fields).rotate(&key.name).await;
    rotated.map_err(|error| key.refusal(error))?;
    Ok(json!({ "KeyId": key.arn() }))
}

pub(super) async fn list(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let page = Page::read(session, fields, ROTATIONS_IN_PAGE)?;
    let key = session.key(fields, By::Id).await?;
    let rotations = key.kms(session, fields).rotations(&key.name).await;
    let rotations = rotations.map_err(|error| key.refusal(error))?;
    let internal = || ApiError::bare("KMSInternalException");
    let keyring = key.account.look_at(&key.name).await.ok_or_else(internal)?;
    let listed = match fields.text("IncludeKeyMaterial") {
        Some("ALL_KEY_MATERIAL") => {
            let all = keyring.backing_keys.iter().chain(&keyring.next);
            all.cloned().collect()
        }
        _ => rotations,
    };
    // By number, with a width so that names sort as numbers do.
    let name = |info: &BackingKeyInfo| format!("{:010}", info.version);
    let shown = |info| entry(&keyring, &info);
    Ok(page.of("Rotations", listed, name, shown))
}

fn entry(keyring: &Keyring, info: &BackingKeyInfo) -> Json {
    let current = keyring.current_version();
    let mut shown = json!({
        "KeyId": keyring.arn,
        "KeyMaterialId": info.material_id,
        "KeyMaterialState": match info.version {
            version if version == current => "CURRENT",
            version if version < current => "NON_CURRENT",
            _ => "PENDING_ROTATION",
        },
    });
    let rotation_type = match info.cause {
        BackingKeyCause::AutomaticRotation => Some("AUTOMATIC"),
        BackingKeyCause::OnDemandRotation => Some("ON_DEMAND"),
        _ => None,
    };
    if let Some(rotation_type) = rotation_type.filter(|_| info.version <= current) {
        shown["RotationDate"] = seconds(info.created);
        shown["RotationType"] = rotation_type.into();
    }
    if keyring.origin == Origin::External {
        shown["ImportState"] = match info.is_present {
            true => "IMPORTED",
            false => "PENDING_IMPORT",
        }
        .into();
        if info.is_present {
            add_expiry(&mut shown, info);
        }
    }
    shown
}
