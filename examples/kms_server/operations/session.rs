//! One request: who makes it, and the accounts that it can reach.

use waxseal::kms::{Caller, KmsError, LocalKms};

use super::key::is_uuid;
use super::refusal::refusal;
use crate::accounts::Account;
use crate::protocol::{ApiError, ApiResult, Fields, Operation};
use crate::server::Server;

/// One request.
pub(crate) struct Session<'a> {
    pub(crate) server: &'a Server,
    /// Who makes it, from where, and by which id, without what only some
    /// requests have.
    pub(crate) caller: &'a Caller,
    pub(crate) operation: Operation,
}

impl<'a> Session<'a> {
    /// The caller's own account.
    pub(super) fn home(&self) -> ApiResult<&'a Account> {
        self.server
            .accounts
            .get(self.caller.principal().account())
            // Each account that a credential names was opened.
            .ok_or_else(|| ApiError::bare("KMSInternalException"))
    }

    /// The account that has a key of this id: the caller's own, or the first of
    /// the others.
    pub(super) async fn account_with(&self, id: &str) -> ApiResult<Option<&'a Account>> {
        let home = self.home()?;
        // A ciphertext or a token may be made up, and name an alias.
        if !is_uuid(id) {
            return Ok(None);
        }
        let others = self.server.accounts.iter();
        let others = others.filter(|account| account.id != home.id);
        for account in std::iter::once(home).chain(others) {
            if account.has(id).await {
                return Ok(Some(account));
            }
        }
        Ok(None)
    }

    /// An account's KMS, with the caller as whom calls are made, with the grant
    /// tokens of the request, and as a trial only, if it asks for that.
    pub(super) fn kms(&self, account: &Account, fields: &Fields) -> LocalKms {
        let tokens = fields.texts("GrantTokens");
        let caller = tokens.fold(self.caller.clone(), Caller::grant_token);
        account
            .kms
            .acting_as(caller.dry_run(fields.is_set("DryRun")))
    }

    /// An error of an account's KMS, as AWS tells it.
    pub(super) fn refusal<'s>(
        &'s self,
        account: &'s Account,
    ) -> impl Fn(KmsError) -> ApiError + 's {
        move |error| refusal(&error, &self.server.region, &account.id)
    }
}
