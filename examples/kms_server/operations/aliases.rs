//! Names of keys.

use serde_json::{Value as Json, json};
use waxseal::kms::Alias;

use super::key::By;
use super::paging::Page;
use super::seconds;
use super::session::Session;
use crate::protocol::{ApiError, ApiResult, Fields};

const ALIASES_IN_PAGE: usize = 50;

pub(super) async fn create(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let alias = name(fields)?;
    let key = session
        .key_named(fields.need("TargetKeyId")?, By::Id)
        .await?;
    let kms = key.kms(session, fields);
    let created = kms.create_alias(alias, &key.name).await;
    created.map_err(|error| key.refusal(error))
}

pub(super) async fn update(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let alias = name(fields)?;
    let key = session
        .key_named(fields.need("TargetKeyId")?, By::Id)
        .await?;
    let kms = key.kms(session, fields);
    let updated = kms.update_alias(alias, &key.name).await;
    updated.map_err(|error| key.refusal(error))
}

pub(super) async fn delete(session: &Session<'_>, fields: &Fields) -> ApiResult<()> {
    let alias = name(fields)?;
    let account = session.home()?;
    let deleted = session.kms(account, fields).delete_alias(alias).await;
    deleted.map_err(session.refusal(account))
}

pub(super) async fn list(session: &Session<'_>, fields: &Fields) -> ApiResult<Json> {
    let page = Page::read(session, fields, ALIASES_IN_PAGE)?;
    let (account, key) = match fields.has("KeyId") {
        true => {
            let key = session.key(fields, By::Id).await?;
            (key.account, Some(key.name))
        }
        false => (session.home()?, None),
    };
    let kms = session.kms(account, fields);
    let listed = kms.list_aliases(key.as_deref()).await;
    let listed = listed.map_err(session.refusal(account))?;
    for error in &listed.damaged {
        eprintln!("account {}: {error}", account.id);
    }
    let region = &session.server.region;
    let shown = |alias: Alias| {
        json!({
            "AliasName": alias.name,
            "AliasArn": format!("arn:aws:kms:{region}:{}:{}", account.id, alias.name),
            "TargetKeyId": alias.key_arn.rsplit('/').next(),
            "CreationDate": seconds(alias.created),
            "LastUpdatedDate": seconds(alias.updated),
        })
    };
    let name = |alias: &Alias| alias.name.clone();
    Ok(page.of("Aliases", listed.aliases, name, shown))
}

/// An alias's name, with AWS's own words for what is none.
fn name(fields: &Fields) -> ApiResult<&str> {
    let alias = fields.need("AliasName")?;
    if !alias.starts_with("alias/") {
        return Err(ApiError::validation(
            "Alias must start with the prefix \"alias/\". Please see \
             https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        ));
    }
    if alias.starts_with("alias/aws/") {
        return Err(ApiError::bare("NotAuthorizedException"));
    }
    if alias.contains(':') {
        return Err(ApiError::validation(format!(
            "{alias} contains invalid characters for an alias"
        )));
    }
    Ok(alias)
}
