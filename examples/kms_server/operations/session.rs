//! One request: who makes it, and the accounts that it can reach.

use std::net::IpAddr;

use waxseal::kms::{KmsError, LocalKms, Principal};

use super::refusal::refusal;
use crate::accounts::Account;
use crate::protocol::{ApiError, ApiResult, Fields, Operation};
use crate::server::Server;

/// One request.
pub(crate) struct Session<'a> {
    pub(crate) server: &'a Server,
    pub(crate) principal: &'a Principal,
    pub(crate) request_id: &'a str,
    pub(crate) source_ip: IpAddr,
    pub(crate) user_agent: String,
    pub(crate) operation: Operation,
}

impl<'a> Session<'a> {
    /// The caller's own account.
    pub(super) fn home(&self) -> ApiResult<&'a Account> {
        self.server
            .accounts
            .get(self.principal.account())
            // Each account that a credential names was opened.
            .ok_or_else(|| ApiError::bare("KMSInternalException"))
    }

    /// An account's KMS, with the caller as whom calls are made, with the grant
    /// tokens of the request, and as a trial only, if it asks for that.
    pub(super) fn kms(&self, account: &Account, fields: &Fields) -> LocalKms {
        let _ = (self.request_id, self.source_ip, &self.user_agent, fields);
        account.kms.clone()
    }

    /// An error of an account's KMS, as AWS tells it.
    pub(super) fn refusal<'s>(
        &'s self,
        account: &'s Account,
    ) -> impl Fn(KmsError) -> ApiError + 's {
        move |error| refusal(&error, &self.server.region, &account.id)
    }
}
