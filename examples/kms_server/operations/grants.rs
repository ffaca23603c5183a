//! Grants.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};
use waxseal::EncryptionContext;
use waxseal::kms::{CreateGrant, Grant, GrantOperation, KmsError, Principal};

use super::key::{By, Key};
use super::paging::Page;
use super::seconds;
use super::session::Session;
use crate::protocol::{ApiError, ApiResult, Fields};

const GRANTS_IN_PAGE: usize = 50;

pub(super) async fn create(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    check_services(fields)?;
    let request = request(fields)?;
    let key = session.key(fields, By::Id).await?;
    let created = key
        .kms(session, fields)
        .create_grant(&key.name, request)
        .await;
    let created = created.map_err(|error| key.refusal(error))?;
    Ok(json!({ "GrantId": created.id, "GrantToken": created.token }))
}

fn request(fields: &Fields) -> ApiResult<CreateGrant> {
    let grantee = fields.need("GranteePrincipal")?;
    let mut operations = Vec::new();
    for name in fields.texts("Operations") {
        let operation = GrantOperation::from_name(name).ok_or_else(|| {
            ApiError::validation(format!(
                "The operation {name} is not valid for a grant on a symmetric encryption key"
            ))
        })?;
        operations.push(operation);
    }
    let mut request = CreateGrant::new(principal(grantee)?, operations);
    if let Some(retiring) = fields.text("RetiringPrincipal") {
        request = request.retiring_principal(principal(retiring)?);
    }
    if let Some(name) = fields.text("Name") {
        request = request.name(name);
    }
    let Some(constraints) = fields.structure("Constraints") else {
        return Ok(request);
    };
    if constraints.has("SourceArn") {
        return Err(ApiError::unsupported(
            "The grant constraint SourceArn is not supported by this server",
        ));
    }
    let pairs = |member| {
        let pairs = constraints.map(member)?;
        Some(EncryptionContext::from_iter(pairs.clone()))
    };
    if let Some(context) = pairs("EncryptionContextEquals") {
        request = request.context_equals(&context);
    }
    if let Some(context) = pairs("EncryptionContextSubset") {
        request = request.context_subset(&context);
    }
    Ok(request)
}

/// A principal, as AWS tells a wrong one.
fn principal(arn: &str) -> ApiResult<Principal> {
    arn.parse().map_err(|_| {
        ApiError::new(
            "InvalidArnException",
            "ARN does not refer to a valid principal",
        )
    })
}

/// AWS's own services are not here.
fn check_services(fields: &Fields) -> ApiResult<()> {
    for member in ["GranteeServicePrincipal", "RetiringServicePrincipal"] {
        if fields.has(member) {
            return Err(ApiError::unsupported(format!(
                "{member} is not supported by this server"
            )));
        }
    }
    Ok(())
}

pub(super) async fn list(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    check_services(fields)?;
    let page = Page::read(session, fields, GRANTS_IN_PAGE)?;
    let grantee = fields.text("GranteePrincipal").map(principal).transpose()?;
    let key = session.key(fields, By::Id).await?;
    let grants = key.kms(session, fields).list_grants(&key.name).await;
    let mut grants = grants.map_err(|error| key.refusal(error))?;
    if let Some(id) = fields.text("GrantId") {
        grants.retain(|grant| grant.id == id);
    }
    if let Some(grantee) = grantee {
        grants.retain(|grant| grant.grantee == grantee.arn());
    }
    Ok(shown(&page, grants))
}

pub(super) async fn list_retirable(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    check_services(fields)?;
    let page = Page::read(session, fields, GRANTS_IN_PAGE)?;
    let retiring = principal(fields.need("RetiringPrincipal")?)?;
    let account = session.home()?;
    // By AWS's documentation it is one of the caller's account, and the
    // permission is asked for in that account alone.
    if retiring.account() != account.id {
        return Err(session.denied());
    }
    let mut grants = Vec::new();
    // The others before: once its own KMS has been asked, the event is written.
    let others = session.server.accounts.iter();
    for other in others.filter(|other| other.id != account.id) {
        let found = other.retirable_by(&retiring).await;
        grants.extend(found.map_err(|error| ApiError {
            is_recorded: false,
            ..session.refusal(other)(error)
        })?);
    }
    let kms = session.kms(account, fields);
    let own = kms.list_retirable_grants(&retiring).await;
    grants.extend(own.map_err(session.refusal(account))?);
    Ok(shown(&page, grants))
}

fn shown(page: &Page, grants: Vec<Grant>) -> Json {
    // By age, and then by what tells them apart.
    let name = |grant: &Grant| {
        let since = grant.created.duration_since(SystemTime::UNIX_EPOCH);
        format!("{:020}:{}", since.unwrap_or_default().as_millis(), grant.id)
    };
    page.of("Grants", grants, name, |grant| entry(&grant))
}

fn entry(grant: &Grant) -> Json {
    let operations: Vec<&str> = grant.operations.iter().map(|op| op.name()).collect();
    let issuing = grant.issuer.parse::<Principal>();
    let account = issuing.as_ref().map_or("", Principal::account);
    let mut shown = json!({
        "KeyId": grant.key_arn,
        "GrantId": grant.id,
        "Name": grant.name.as_deref().unwrap_or_default(),
        "CreationDate": seconds(grant.created),
        "GranteePrincipal": grant.grantee,
        "IssuingAccount": format!("arn:aws:iam::{account}:root"),
        "Operations": operations,
    });
    if let Some(retiring) = &grant.retiring {
        shown["RetiringPrincipal"] = retiring.as_str().into();
    }
    for (name, pairs) in [
        ("EncryptionContextEquals", &grant.context_equals),
        ("EncryptionContextSubset", &grant.context_subset),
    ] {
        if let Some(pairs) = pairs {
            shown["Constraints"][name] = json!(pairs);
        }
    }
    shown
}

pub(super) async fn retire(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let (token, id) = (fields.text("GrantToken"), fields.text("GrantId"));
    let (key, id) = match (token, fields.has("KeyId"), id) {
        (Some(token), false, None) => by_token(session, token).await?,
        (None, true, Some(id)) => {
            // AWS asks for an ARN here, since grants are retired across
            // accounts.
            let given = fields.need("KeyId")?;
            if !given.starts_with("arn:") {
                return Err(ApiError::new(
                    "InvalidArnException",
                    format!("Invalid arn {given}"),
                ));
            }
            (session.key(fields, By::Id).await?, id.to_owned())
        }
        _ => {
            return Err(ApiError::validation(
                "Either a grant token, or a key ARN and a grant id must be specified.",
            ));
        }
    };
    let retired = key.kms(session, fields).retire_grant(&key.name, &id).await;
    retired.map_err(|error| ended(&key, error))
}

/// The key and the grant of a token, as the library makes it: in base64, the
/// key's id and the grant's id. It may be another account's key.
async fn by_token<'a>(session: &Session<'a>, token: &str) -> ApiResult<(Key<'a>, String)> {
    let invalid = || ApiError::new("InvalidGrantTokenException", "Invalid grant token");
    let bytes = BASE64.decode(token).map_err(|_| invalid())?;
    let text = String::from_utf8(bytes).map_err(|_| invalid())?;
    let (key, grant) = text.split_once(':').ok_or_else(invalid)?;
    let account = session.account_with(key).await?.ok_or_else(invalid)?;
    let region = &session.server.region;
    let arn = format!("arn:aws:kms:{region}:{}:key/{key}", account.id);
    Ok((session.key_named(&arn, By::Id).await?, grant.to_owned()))
}

pub(super) async fn revoke(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let id = fields.need("GrantId")?;
    let key = session.key(fields, By::Id).await?;
    let revoked = key.kms(session, fields).revoke_grant(&key.name, id).await;
    revoked.map_err(|error| ended(&key, error))
}

/// A grant that there is not is told as such.
fn ended(key: &Key<'_>, error: KmsError) -> ApiError {
    match &error {
        KmsError::NotFound { key: missing } if !missing.contains(&key.name) => {
            ApiError::new("NotFoundException", format!("Grant ID {missing} not found")).recorded()
        }
        _ => key.refusal(error),
    }
}
