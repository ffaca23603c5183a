//! How a request names a key: by id, ARN, alias or the alias's ARN; and which
//! account's it is.

use waxseal::EncryptionContext;
use waxseal::kms::{self, KmsError, LocalKms};

use super::refusal::refusal;
use super::session::Session;
use crate::accounts::Account;
use crate::protocol::{ApiError, ApiResult, Fields, Operation};
use crate::sigv4::SERVICE;

const PARTITION: &str = "aws";
const ALIAS: &str = "alias/";
const KEY: &str = "key/";

/// What an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// An id or a key's ARN.
    Id,
    /// Also an alias or its ARN.
    IdOrAlias,
}

/// A key, as a request names it.
pub(super) struct Key<'a> {
    pub(super) account: &'a Account,
    /// For the account's KMS.
    pub(super) name: String,
    region: &'a str,
    /// What a caller of another account is told where it may not.
    denied: Option<ApiError>,
}

/// The parts of an ARN of this service.
struct Arn<'t> {
    account: &'t str,
    resource: &'t str,
}

impl<'a> Session<'a> {
    /// The key that the member `KeyId` names.
    pub(super) async fn key(&self, fields: &Fields, by: By) -> ApiResult<Key<'a>> {
        self.key_named(fields.need("KeyId")?, by).await
    }

    pub(super) async fn key_named(&self, given: &str, by: By) -> ApiResult<Key<'a>> {
        let region = &self.server.region;
        let (account, resource) = match Arn::parse(given, region)? {
            Some(arn) => (self.account_of(&arn).await?, arn.resource),
            None => (self.home()?, given),
        };
        let is_arn = resource.len() != given.len();
        let is_alias = resource.starts_with(ALIAS);
        let id = match is_arn {
            true => resource.strip_prefix(KEY).unwrap_or_default(),
            false => resource,
        };
        if is_alias && by == By::Id {
            return Err(match is_arn {
                true => ApiError::new("InvalidArnException", format!("Invalid arn {given}")),
                false => invalid_id(given),
            });
        }
        if !is_alias && !is_uuid(id) {
            return Err(match is_arn && !resource.starts_with(KEY) {
                true => ApiError::new("InvalidArnException", format!("Invalid arn {given}")),
                false => invalid_id(given),
            });
        }
        Ok(Key {
            account,
            name: if is_alias { resource } else { id }.to_owned(),
            region,
            denied: (account.id != self.caller.principal().account()).then(|| self.denied()),
        })
    }

    /// The account of an ARN, where the operation may reach it.
    async fn account_of(&self, arn: &Arn<'_>) -> ApiResult<&'a Account> {
        let is_own = arn.account == self.caller.principal().account();
        if let Some(account) = self.server.accounts.get(arn.account) {
            let name = arn.resource.strip_prefix(KEY).unwrap_or(arn.resource);
            if is_own || crosses_accounts(self.operation) && account.has(name).await {
                return Ok(account);
            }
        }
        Err(self.denied())
    }

    /// Of what is not its own, a caller learns no more than this.
    pub(super) fn denied(&self) -> ApiError {
        ApiError::new(
            "AccessDeniedException",
            format!(
                "User: {} is not authorized to perform: kms:{} on this resource because the \
                 resource does not exist in this Region, no resource-based policies allow \
                 access, or a resource-based policy explicitly denies access",
                self.caller.principal().arn(),
                self.operation.name()
            ),
        )
    }
}

impl Key<'_> {
    /// The key's KMS, as the caller.
    pub(super) fn kms(&self, session: &Session<'_>, fields: &Fields) -> LocalKms {
        session.kms(self.account, fields)
    }

    /// An error of its KMS, as AWS tells it.
    pub(super) fn refusal(&self, error: KmsError) -> ApiError {
        if let (KmsError::AccessDenied { .. }, Some(denied)) = (&error, &self.denied) {
            // Neither which key an alias means, nor whether there is one.
            return denied.clone().recorded();
        }
        refusal(&error, self.region, &self.account.id)
    }

    /// Whether the caller may do this with the key: of the server's own limits
    /// nobody else is told.
    pub(super) async fn allows(
        &self,
        session: &Session<'_>,
        fields: &Fields,
        operation: kms::Operation,
    ) -> bool {
        let (kms, context) = (self.kms(session, fields), EncryptionContext::new());
        let explained = kms.explain(operation, &self.name, &context).await;
        explained.is_ok_and(|explained| explained.is_allowed())
    }

    /// The ARN of a key that was named by its id.
    pub(super) fn arn(&self) -> String {
        format!(
            "arn:aws:kms:{}:{}:{KEY}{}",
            self.region, self.account.id, self.name
        )
    }
}

impl<'t> Arn<'t> {
    /// `None` for what is no ARN at all.
    fn parse(text: &'t str, own_region: &str) -> ApiResult<Option<Self>> {
        if !text.starts_with("arn:") {
            return Ok(None);
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [_, partition, service, region, account, resource] = parts[..] else {
            return Err(ApiError::new(
                "InvalidArnException",
                format!("Invalid arn {text}"),
            ));
        };
        if partition != PARTITION || service != SERVICE {
            return Err(ApiError::new(
                "InvalidArnException",
                format!("Invalid arn {text}"),
            ));
        }
        if region != own_region {
            return Err(ApiError::new(
                "NotFoundException",
                format!("Invalid arn {region}"),
            ));
        }
        Ok(Some(Arn { account, resource }))
    }
}

/// AWS KMS's table of permissions, "Cross-account use".
fn crosses_accounts(operation: Operation) -> bool {
    use Operation as O;

    matches!(
        operation,
        O::CreateGrant
            | O::Decrypt
            | O::DescribeKey
            | O::Encrypt
            | O::GenerateDataKey
            | O::GenerateDataKeyWithoutPlaintext
            | O::GetKeyRotationStatus
            | O::ListGrants
            | O::ReEncrypt
            | O::RetireGrant
            | O::RevokeGrant
    )
}

fn invalid_id(given: &str) -> ApiError {
    ApiError::new("NotFoundException", format!("Invalid keyId '{given}'"))
}

pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
