//! Key material that is imported.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};
use waxseal::kms::{
    BackingKeyInfo, ImportOptions, ImportType, Keyring, Origin, WrappingAlgorithm, WrappingKeySpec,
};

use super::key::By;
use super::seconds;
use super::session::Session;
use crate::protocol::{ApiError, ApiResult, Fields};

pub(super) async fn parameters(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let (algorithm, spec) = (
        fields.need("WrappingAlgorithm")?,
        fields.need("WrappingKeySpec")?,
    );
    let key = session.key(fields, By::Id).await?;
    let unsupported = |what: &str| {
        ApiError::unsupported(format!("{what} is not supported for symmetric keys here"))
    };
    let algorithm: WrappingAlgorithm = algorithm.parse().map_err(|_| unsupported(algorithm))?;
    let spec: WrappingKeySpec = spec.parse().map_err(|_| unsupported(spec))?;
    let kms = key.kms(session, fields);
    let given = kms.get_parameters_for_import(&key.name, algorithm, spec);
    let given = given.await.map_err(|error| key.refusal(error))?;
    Ok(json!({
        "KeyId": given.key_arn,
        "ImportToken": BASE64.encode(&given.import_token),
        "PublicKey": BASE64.encode(&given.public_key),
        "ParametersValidTo": seconds(given.valid_until),
    }))
}

pub(super) async fn import(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let (token, wrapped) = (
        fields.need_blob("ImportToken")?,
        fields.need_blob("EncryptedKeyMaterial")?,
    );
    let options = options(fields)?;
    let key = session.key(fields, By::Id).await?;
    let kms = key.kms(session, fields);
    let _one_at_a_time = key.account.changing.lock().await;
    let before = key.account.look_at(&key.name).await;
    let imported =
        kms.import_wrapped_key_material(&key.name, token.expose(), wrapped.expose(), options);
    imported.await.map_err(|error| key.refusal(error))?;
    let after = key.account.look_at(&key.name).await;
    let mut answer = json!({ "KeyId": key.arn() });
    if let Some(material) = before
        .zip(after)
        .and_then(|both| imported_id(&both.0, &both.1))
    {
        answer["KeyMaterialId"] = material.into();
    }
    Ok(answer)
}

fn materials(keyring: &Keyring) -> impl Iterator<Item = &BackingKeyInfo> {
    keyring.backing_keys.iter().chain(&keyring.next)
}

/// The material that an import has brought: that which is new, or there again,
/// or expires at another time. `None` if one of several was imported that was
/// there all the same: it is not known which.
fn imported_id(before: &Keyring, after: &Keyring) -> Option<String> {
    let is_as_before = |info: &BackingKeyInfo| {
        let mut all = materials(before);
        let was = all.find(|was| was.material_id == info.material_id);
        was.is_some_and(|was| was.is_present == info.is_present && was.expires == info.expires)
    };
    let present = || materials(after).filter(|info| info.is_present);
    let changed = present().find(|info| !is_as_before(info));
    let only = || {
        let mut all = present();
        all.next().filter(|_| all.next().is_none())
    };
    let imported = changed.or_else(only)?;
    Some(imported.material_id.clone())
}

fn options(fields: &Fields) -> ApiResult<ImportOptions> {
    let mut options = ImportOptions::new();
    let does_expire = fields.text("ExpirationModel") != Some("KEY_MATERIAL_DOES_NOT_EXPIRE");
    match fields.timestamp("ValidTo") {
        Some(date) if does_expire => options = options.expires(date),
        Some(_) => {
            return Err(ApiError::validation(
                "A validTo date must not be set if the ExpirationModel is \
                 KEY_MATERIAL_DOES_NOT_EXPIRE",
            ));
        }
        None if does_expire => {
            return Err(ApiError::validation(
                "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES",
            ));
        }
        None => {}
    }
    match fields.text("ImportType") {
        Some("NEW_KEY_MATERIAL") => options = options.import_type(ImportType::New),
        Some(_) => options = options.import_type(ImportType::Existing),
        None => {}
    }
    // Neither would be kept, or checked.
    for member in ["KeyMaterialDescription", "KeyMaterialId"] {
        if fields.text(member).is_some_and(|text| !text.is_empty()) {
            return Err(ApiError::unsupported(format!(
                "{member} is not supported by this server"
            )));
        }
    }
    Ok(options)
}

pub(super) async fn delete(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let key = session.key(fields, By::Id).await?;
    let kms = key.kms(session, fields);
    let _one_at_a_time = key.account.changing.lock().await;
    let material = match fields.text("KeyMaterialId") {
        Some(material) => Some(material.to_owned()),
        // AWS deletes the current one then, where `LocalKms` deletes all.
        None => key.account.look_at(&key.name).await.and_then(current_id),
    };
    let deleted = kms.delete_imported_key_material(&key.name, material.as_deref());
    let deleted = deleted.await;
    deleted.map_err(|error| key.refusal(error))?;
    let mut answer = json!({ "KeyId": key.arn() });
    if let Some(material) = material {
        answer["KeyMaterialId"] = material.into();
    }
    Ok(answer)
}

/// The current material of a key whose material is imported.
fn current_id(keyring: Keyring) -> Option<String> {
    let mut infos = keyring.backing_keys.into_iter();
    let current = infos
        .next_back()
        .filter(|_| keyring.origin == Origin::External);
    current.map(|info| info.material_id)
}
