//! What each operation does: a request's members in, the answer's JSON out.

mod aliases;
mod cryptography;
mod grants;
mod import;
mod key;
mod keys;
mod metadata;
mod paging;
mod policies;
mod refusal;
mod rotation;
mod session;
mod tags;

use std::time::SystemTime;

use serde_json::{Value as Json, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

pub(crate) use cryptography::Materials;
pub(crate) use session::Session;

use crate::protocol::{ApiError, ApiResult, Fields, Operation};

/// Performs an operation: the answer's body.
pub(crate) async fn perform(session: &Session<'_>, fields: &Fields) -> ApiResult<Vec<u8>> {
    use Operation as O;

    match session.operation {
        // Often, and from memory.
        O::Decrypt => cryptography::decrypt(session, fields).await,
        O::Encrypt => cryptography::encrypt(session, fields).await,
        O::GenerateDataKey => cryptography::generate_data_key(session, fields).await,
        O::GenerateDataKeyWithoutPlaintext => {
            cryptography::generate_data_key_without_plaintext(session, fields).await
        }
        O::GenerateRandom => cryptography::generate_random(session, fields),
        O::ReEncrypt => cryptography::re_encrypt(session, fields).await,
        // These read and write the store, and one makes an RSA key: other
        // requests go on meanwhile.
        _ => block_in_place(|| Handle::current().block_on(manage(session, fields)))
            .map(|answer| answer.map_or_else(Vec::new, |json| json.to_string().into_bytes())),
    }
}

/// Those that tell about keys or change them. `None` where AWS answers with no
/// body.
async fn manage(session: &Session<'_>, fields: &Fields) -> ApiResult<Option<Json>> {
    use Operation as O;

    let answer = match session.operation {
        O::CancelKeyDeletion => keys::cancel_deletion(session, fields).await?,
        O::CreateKey => keys::create(session, fields).await?,
        O::DescribeKey => keys::describe(session, fields).await?,
        O::ListKeys => keys::list(session, fields).await?,
        O::ScheduleKeyDeletion => keys::schedule_deletion(session, fields).await?,
        O::DisableKey => return keys::disable(session, fields).await.map(|()| None),
        O::EnableKey => return keys::enable(session, fields).await.map(|()| None),
        O::UpdateKeyDescription => {
            return keys::update_description(session, fields)
                .await
                .map(|()| None);
        }
        O::CreateAlias => return aliases::create(session, fields).await.map(|()| None),
        O::DeleteAlias => return aliases::delete(session, fields).await.map(|()| None),
        O::UpdateAlias => return aliases::update(session, fields).await.map(|()| None),
        O::ListAliases => aliases::list(session, fields).await?,
        O::ListResourceTags => tags::list(session, fields).await?,
        O::TagResource => return tags::add(session, fields).await.map(|()| None),
        O::UntagResource => return tags::remove(session, fields).await.map(|()| None),
        O::DisableKeyRotation => return rotation::disable(session, fields).await.map(|()| None),
        O::EnableKeyRotation => return rotation::enable(session, fields).await.map(|()| None),
        O::GetKeyRotationStatus => rotation::status(session, fields).await?,
        O::ListKeyRotations => rotation::list(session, fields).await?,
        O::RotateKeyOnDemand => rotation::on_demand(session, fields).await?,
        O::DeleteImportedKeyMaterial => import::delete(session, fields).await?,
        O::GetParametersForImport => import::parameters(session, fields).await?,
        O::ImportKeyMaterial => import::import(session, fields).await?,
        O::CreateGrant => grants::create(session, fields).await?,
        O::ListGrants => grants::list(session, fields).await?,
        O::ListRetirableGrants => grants::list_retirable(session, fields).await?,
        O::RetireGrant => return grants::retire(session, fields).await.map(|()| None),
        O::RevokeGrant => return grants::revoke(session, fields).await.map(|()| None),
        O::GetKeyPolicy => policies::get(session, fields).await?,
        O::ListKeyPolicies => policies::list(session, fields).await?,
        O::PutKeyPolicy => return policies::put(session, fields).await.map(|()| None),
        O::Decrypt
        | O::Encrypt
        | O::GenerateDataKey
        | O::GenerateDataKeyWithoutPlaintext
        | O::GenerateRandom
        | O::ReEncrypt => return Err(ApiError::bare("KMSInternalException")),
    };
    Ok(Some(answer))
}

/// A date, as the protocol has it: seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> Json {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    json!(millis as f64 / 1000.0)
}
