//! Using keys: encrypt, decrypt, re-encrypt, data keys, random bytes.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lru::LruCache;
use serde_json::json;
use waxseal::EncryptionContext;
use waxseal::kms::{Ciphertext, DataKeySpec, Operation};

use super::key::{By, Key};
use super::session::Session;
use crate::accounts::Account;
use crate::protocol::{ApiError, ApiResult, Fields};

const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";

/// What backing keys are called, which never changes: a data key's answer
/// tells it, and to look each time would double the work.
pub(crate) struct Materials(Mutex<LruCache<(String, u32), String>>);

const MAX_MATERIALS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

impl Default for Materials {
    fn default() -> Self {
        Materials(Mutex::new(LruCache::new(MAX_MATERIALS)))
    }
}

impl Materials {
    async fn id(&self, account: &Account, arn: &str, version: u32) -> Option<String> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = (arn.to_owned(), version);
        if let Some(id) = known().get(&wanted) {
            return Some(id.clone());
        }
        let id = arn.rsplit('/').next().unwrap_or_default();
        let keyring = account.look_at(id).await?;
        let mut infos = keyring.backing_keys.into_iter();
        let id = infos.find(|info| info.version == version)?.material_id;
        known().put(wanted, id.clone());
        Some(id)
    }
}

pub(super) async fn encrypt(session: &Session<'_>, fields: &Fields) -> ApiResult<Vec<u8>> {
    check_algorithm(fields, "EncryptionAlgorithm")?;
    let plaintext = fields.need_blob("Plaintext")?;
    let context = context(fields, "EncryptionContext");
    let key = session.key(fields, By::IdOrAlias).await?;
    let kms = key.kms(session, fields);
    let encrypted = kms.encrypt(&key.name, plaintext.expose(), &context).await;
    let encrypted = encrypted.map_err(|error| key.refusal(error))?;
    Ok(body(&json!({
        "CiphertextBlob": BASE64.encode(&encrypted.blob),
        "KeyId": encrypted.key_arn,
        "EncryptionAlgorithm": SYMMETRIC,
    })))
}

pub(super) async fn decrypt(session: &Session<'_>, fields: &Fields) -> ApiResult<Vec<u8>> {
    check_algorithm(fields, "EncryptionAlgorithm")?;
    check_unsupported(fields)?;
    let blob = fields.need_blob("CiphertextBlob")?.expose();
    let context = context(fields, "EncryptionContext");
    let key = source(session, fields, "KeyId", blob).await?;
    let kms = key.kms(session, fields);
    let named = key.is_named.then_some(key.key.name.as_str());
    let decrypted = kms.decrypt(blob, named, &context).await;
    let decrypted = decrypted.map_err(|error| key.key.refusal(error))?;
    let mut answer = json!({
        "KeyId": decrypted.key_arn,
        "Plaintext": BASE64.encode(decrypted.plaintext.expose()),
        "EncryptionAlgorithm": SYMMETRIC,
    });
    let (arn, version) = (&decrypted.key_arn, decrypted.key_version);
    let materials = &session.server.materials;
    if let Some(id) = materials.id(key.key.account, arn, version).await {
        answer["KeyMaterialId"] = id.into();
    }
    Ok(body(&answer))
}

pub(super) async fn re_encrypt(session: &Session<'_>, fields: &Fields) -> ApiResult<Vec<u8>> {
    check_algorithm(fields, "SourceEncryptionAlgorithm")?;
    check_algorithm(fields, "DestinationEncryptionAlgorithm")?;
    check_unsupported(fields)?;
    let blob = fields.need_blob("CiphertextBlob")?.expose();
    let source_context = context(fields, "SourceEncryptionContext");
    let destination_context = context(fields, "DestinationEncryptionContext");
    let source = source(session, fields, "SourceKeyId", blob).await?;
    let to = session
        .key_named(fields.need("DestinationKeyId")?, By::IdOrAlias)
        .await?;
    if to.account.id != source.key.account.id {
        let kms = to.kms(session, fields);
        let explained = kms.explain(Operation::ReEncrypt, &to.name, &destination_context);
        // Nothing has been recorded by that.
        let explained = explained.await.map_err(|error| ApiError {
            is_recorded: false,
            ..to.refusal(error)
        })?;
        if !explained.is_allowed() {
            return Err(session.denied());
        }
        return Err(ApiError::unsupported(
            "Re-encryption from one account to another is not supported by this server",
        ));
    }
    let kms = to.kms(session, fields);
    let named = source.is_named.then_some(source.key.name.as_str());
    let encrypted = kms
        .re_encrypt(blob, named, &source_context, &to.name, &destination_context)
        .await;
    let encrypted = encrypted.map_err(|error| to.refusal(error))?;
    let (ciphertext, source_arn) = (encrypted.ciphertext, encrypted.source_key_arn);
    let mut answer = json!({
        "CiphertextBlob": BASE64.encode(&ciphertext.blob),
        "SourceKeyId": source_arn,
        "KeyId": ciphertext.key_arn,
        "SourceEncryptionAlgorithm": SYMMETRIC,
        "DestinationEncryptionAlgorithm": SYMMETRIC,
    });
    let (from, to_arn) = (encrypted.source_key_version, &ciphertext.key_arn);
    for (member, arn, version) in [
        ("SourceKeyMaterialId", &source_arn, from),
        ("DestinationKeyMaterialId", to_arn, ciphertext.key_version),
    ] {
        if let Some(id) = session.server.materials.id(to.account, arn, version).await {
            answer[member] = id.into();
        }
    }
    Ok(body(&answer))
}

pub(super) async fn generate_data_key(
    session: &Session<'_>,
    fields: &Fields,
) -> ApiResult<Vec<u8>> {
    check_unsupported(fields)?;
    let spec = data_key_spec(fields)?;
    let context = context(fields, "EncryptionContext");
    let key = session.key(fields, By::IdOrAlias).await?;
    let kms = key.kms(session, fields);
    let generated = kms.generate_data_key(&key.name, spec, &context).await;
    let generated = generated.map_err(|error| key.refusal(error))?;
    let mut answer = wrapped(session, &key, &generated.ciphertext).await;
    answer["Plaintext"] = BASE64.encode(generated.plaintext.expose()).into();
    Ok(body(&answer))
}

pub(super) async fn generate_data_key_without_plaintext(
    session: &Session<'_>,
    fields: &Fields,
) -> ApiResult<Vec<u8>> {
    let spec = data_key_spec(fields)?;
    let context = context(fields, "EncryptionContext");
    let key = session.key(fields, By::IdOrAlias).await?;
    let kms = key.kms(session, fields);
    let generated = kms.generate_data_key_without_plaintext(&key.name, spec, &context);
    let generated = generated.await.map_err(|error| key.refusal(error))?;
    Ok(body(&wrapped(session, &key, &generated).await))
}

pub(super) fn generate_random(session: &Session<'_>, fields: &Fields) -> ApiResult<Vec<u8>> {
    check_unsupported(fields)?;
    if let Some(store) = fields.text("CustomKeyStoreId") {
        return Err(ApiError::new(
            "CustomKeyStoreNotFoundException",
            format!("Custom key store '{store}' does not exist"),
        ));
    }
    let length =
        length(fields)?.ok_or_else(|| ApiError::validation("NumberOfBytes is required."))?;
    let account = session.home()?;
    let random = session.kms(account, fields).generate_random(length);
    let random = random.map_err(session.refusal(account))?;
    Ok(body(
        &json!({ "Plaintext": BASE64.encode(random.expose()) }),
    ))
}

async fn wrapped(session: &Session<'_>, key: &Key<'_>, data_key: &Ciphertext) -> serde_json::Value {
    let mut answer = json!({
        "CiphertextBlob": BASE64.encode(&data_key.blob),
        "KeyId": data_key.key_arn,
    });
    let (arn, version) = (&data_key.key_arn, data_key.key_version);
    let materials = &session.server.materials;
    if let Some(id) = materials.id(key.account, arn, version).await {
        answer["KeyMaterialId"] = id.into();
    }
    answer
}

/// The key that a ciphertext is under.
struct Source<'a> {
    key: Key<'a>,
    /// Whether the request names it.
    is_named: bool,
}

impl Source<'_> {
    fn kms(&self, session: &Session<'_>, fields: &Fields) -> waxseal::kms::LocalKms {
        self.key.kms(session, fields)
    }
}

/// The key that the request names; or the one that the ciphertext names, in the
/// first account that has it: the caller's own, then the others.
async fn source<'a>(
    session: &Session<'a>,
    fields: &Fields,
    member: &str,
    blob: &[u8],
) -> ApiResult<Source<'a>> {
    if let Some(given) = fields.text(member) {
        return Ok(Source {
            key: session.key_named(given, By::IdOrAlias).await?,
            is_named: true,
        });
    }
    let invalid = || ApiError::bare("InvalidCiphertextException");
    let id = named_key(blob).ok_or_else(invalid)?;
    let account = session.account_with(id).await?.ok_or_else(invalid)?;
    let region = &session.server.region;
    let arn = format!("arn:aws:kms:{region}:{}:key/{id}", account.id);
    Ok(Source {
        key: session.key_named(&arn, By::Id).await?,
        is_named: false,
    })
}

/// The key that a ciphertext names, as the library documents it (`waxseal::kms`,
/// "How a key seals"): a byte, the length of the id, the id.
fn named_key(blob: &[u8]) -> Option<&str> {
    let (length, rest) = blob.get(1..)?.split_first()?;
    std::str::from_utf8(rest.get(..usize::from(*length))?).ok()
}

fn context(fields: &Fields, member: &str) -> EncryptionContext {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    let pairs = fields.map(member).unwrap_or(&NONE);
    let mut context = EncryptionContext::new();
    for (key, value) in pairs {
        context.insert(key, value);
    }
    context
}

fn data_key_spec(fields: &Fields) -> ApiResult<DataKeySpec> {
    match (fields.text("KeySpec"), length(fields)?) {
        (Some("AES_128"), None) => Ok(DataKeySpec::Aes128),
        (Some(_), None) => Ok(DataKeySpec::Aes256),
        (None, Some(length)) => Ok(DataKeySpec::Bytes(length)),
        _ => Err(ApiError::validation(
            "Please specify either number of bytes or key spec.",
        )),
    }
}

fn length(fields: &Fields) -> ApiResult<Option<usize>> {
    let given = fields.integer("NumberOfBytes");
    given
        .map(usize::try_from)
        .transpose()
        .map_err(|_| ApiError::validation("NumberOfBytes is out of range."))
}

fn check_algorithm(fields: &Fields, member: &str) -> ApiResult<()> {
    match fields.text(member) {
        None | Some(SYMMETRIC) => Ok(()),
        Some(algorithm) => Err(ApiError::new(
            "InvalidKeyUsageException",
            format!("Algorithm {algorithm} is incompatible with key spec {SYMMETRIC}."),
        )),
    }
}

/// What AWS has and this server has not: answers to enclaves, and trials
/// without a ciphertext.
fn check_unsupported(fields: &Fields) -> ApiResult<()> {
    for member in ["Recipient", "DryRunModifiers"] {
        if fields.has(member) {
            return Err(ApiError::unsupported(format!(
                "{member} is not supported by this server"
            )));
        }
    }
    Ok(())
}

fn body(answer: &serde_json::Value) -> Vec<u8> {
    answer.to_string().into_bytes()
}
