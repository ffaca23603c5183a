//! The KMS's errors, by AWS's names and in AWS's words, where these are known.

use waxseal::kms::{KeyState, KmsError, Operation};

use crate::protocol::ApiError;

/// What AWS says where `LocalKms` gives this error. The KMS has recorded it
/// itself.
pub(super) fn refusal(error: &KmsError, region: &str, account: &str) -> ApiError {
    told(error, region, account).recorded()
}

fn told(error: &KmsError, region: &str, account: &str) -> ApiError {
    let told = error.to_string();
    match error {
        KmsError::NotFound { key } => {
            ApiError::new("NotFoundException", missing(key, region, account))
        }
        KmsError::Disabled { key } => {
            ApiError::new("DisabledException", format!("{key} is disabled."))
        }
        KmsError::InvalidState {
            key,
            state,
            operation,
        } => ApiError::new(
            "KMSInvalidStateException",
            state_of(key, *state, *operation),
        ),
        KmsError::Unsupported { .. } => ApiError::unsupported(told),
        // AWS gives no reason, and so this must not.
        KmsError::InvalidCiphertext => ApiError::bare("InvalidCiphertextException"),
        KmsError::IncorrectKey { .. } => ApiError::new(
            "IncorrectKeyException",
            "The key ID in the request does not identify a CMK that can perform this operation.",
        ),
        KmsError::VersionCutOff { .. } => ApiError::new("KMSInvalidStateException", told),
        KmsError::AlreadyExists { alias } => ApiError::new(
            "AlreadyExistsException",
            format!("An alias with the name arn:aws:kms:{region}:{account}:{alias} already exists"),
        ),
        KmsError::InvalidAlias { .. } => ApiError::new("InvalidAliasNameException", told),
        KmsError::InvalidArgument { .. } | KmsError::Context(_) => ApiError::validation(told),
        KmsError::LimitExceeded { .. } => ApiError::new("LimitExceededException", told),
        KmsError::IncorrectKeyMaterial { .. } => {
            ApiError::new("IncorrectKeyMaterialException", told)
        }
        KmsError::InvalidImportToken { .. } => ApiError::new("InvalidImportTokenException", told),
        KmsError::ExpiredImportToken { .. } => ApiError::new("ExpiredImportTokenException", told),
        KmsError::AccessDenied {
            principal,
            action,
            resource,
            reason,
        } => ApiError::new(
            "AccessDeniedException",
            format!(
                "User: {principal} is not authorized to perform: kms:{action} on resource: \
                 {resource} because {reason}"
            ),
        ),
        KmsError::Throttled { .. } => ApiError::new(
            "ThrottlingException",
            "You have exceeded the rate at which you may call KMS. Reduce the frequency of your \
             calls.",
        ),
        KmsError::MalformedPolicy { .. } => ApiError::new("MalformedPolicyDocumentException", told),
        KmsError::InvalidGrantToken => ApiError::new("InvalidGrantTokenException", told),
        KmsError::DryRun => ApiError::new(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        ),
        KmsError::Root(_) => ApiError::bare("KeyUnavailableException"),
        error if error.is_retryable() => ApiError::bare("DependencyTimeoutException"),
        // Paths and records are the operator's business.
        error => {
            eprintln!("account {account}: {error}");
            ApiError::bare("KMSInternalException")
        }
    }
}

fn missing(key: &str, region: &str, account: &str) -> String {
    let arn = match key.starts_with("arn:") {
        true => key.to_owned(),
        false if key.starts_with("alias/") => format!("arn:aws:kms:{region}:{account}:{key}"),
        false => format!("arn:aws:kms:{region}:{account}:key/{key}"),
    };
    match arn.contains(":alias/") {
        true => format!("Alias {arn} is not found."),
        false => format!("Key '{arn}' does not exist"),
    }
}

fn state_of(key: &str, state: KeyState, operation: Operation) -> String {
    let is = match state {
        _ if operation == Operation::CancelKeyDeletion => "not pending deletion",
        KeyState::PendingDeletion => "pending deletion",
        KeyState::PendingImport => "pending import",
        KeyState::Disabled => "disabled",
        KeyState::Enabled => "enabled",
        _ => "unavailable",
    };
    format!("{key} is {is}.")
}
