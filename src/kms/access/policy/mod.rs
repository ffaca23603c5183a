//! Policies: who may do what with a key, in AWS's JSON.
//!
//! A [`KeyPolicy`] belongs to a key, an [`IdentityPolicy`] to a principal. They
//! are read by [`parse`](KeyPolicy::parse), which refuses what it does not know:
//! nothing in a policy is ever skipped. [`simulate`] tells what policies come to
//! without a KMS, so that they can be tested before they are put to use:
//!
//! ```
//! use waxseal::kms::Principal;
//! use waxseal::kms::policy::{IdentityPolicy, KeyPolicy, PolicyRequest, simulate};
//!
//! let key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd";
//! let alice = Principal::user("111122223333", "alice")?;
//! let request = PolicyRequest::new(&alice, "kms:Decrypt", key);
//!
//! // The default policy lets alice's own policies decide, and she has none.
//! let policy = KeyPolicy::default_for("111122223333")?;
//! assert!(!simulate(Some(&policy), &[], &request).is_allowed());
//!
//! let own = IdentityPolicy::parse(&format!(
//!     r#"{{"Version": "2012-10-17",
//!         "Statement": {{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "{key}"}}}}"#
//! ))?;
//! let explanation = simulate(Some(&policy), &[own], &request);
//! assert!(explanation.is_allowed());
//! assert_eq!(
//!     explanation.to_string(),
//!     "arn:aws:iam::111122223333:user/alice, kms:Decrypt on \
//!      arn:aws:kms:us-east-1:111122223333:key/1234abcd: allowed by \
//!      Statement[0] ('Enable IAM User Permissions') of the key policy and \
//!      Statement[0] of identity policy 0"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is known
//! - Versions `2012-10-17` and, without policy variables, `2008-10-17`, which is
//!   also what a policy without a version is.
//! - The elements `Id`, `Sid`, `Effect`, `Principal`, `NotPrincipal` (only to
//!   deny), `Action`, `NotAction`, `Resource`, `NotResource` and `Condition`.
//! - The operators `String…`, `Numeric…`, `Date…`, `Bool`, `Null` and `Arn…`,
//!   with `ForAllValues:` or `ForAnyValue:` before and `IfExists` after.
//! - The condition keys `kms:EncryptionContext:…`, `kms:EncryptionContextKeys`,
//!   `kms:EncryptionAlgorithm`, `kms:CallerAccount`, `kms:ViaService`,
//!   `kms:GrantOperations`, `kms:GrantConstraintType`,
//!   `kms:GrantIsForAWSResource`, `kms:GranteePrincipal`,
//!   `kms:RetiringPrincipal`, `kms:ScheduleKeyDeletionPendingWindowInDays`,
//!   `kms:RotationPeriodInDays`, `kms:BypassPolicyLockoutSafetyCheck`,
//!   `kms:ReEncryptOnSameKey`, `kms:KeySpec`, `kms:KeyUsage`, `kms:KeyOrigin`,
//!   `kms:RequestAlias`, `kms:ResourceAliases`, `aws:PrincipalArn`,
//!   `aws:PrincipalAccount`, `aws:PrincipalType`, `aws:username`,
//!   `aws:CurrentTime` and `aws:EpochTime`. As in AWS, their names are not
//!   case-sensitive, and neither is the encryption context's key in the first.
//! - Policy variables of these keys, `${aws:username}` or
//!   `${aws:username, 'default'}`, in the last part of a resource's ARN and in
//!   the values of string and ARN operators; `${*}`, `${?}` and `${$}`.

mod condition;
mod context;
mod date;
mod document;
mod error;
mod evaluate;
mod explain;
mod json;
mod pattern;
mod simulate;
mod statement;
#[cfg(test)]
mod tests;
mod work;

pub(crate) use context::{ConditionContext, Request};
pub use document::{IdentityPolicy, KeyPolicy, MAX_POLICY_LENGTH};
pub use error::PolicyError;
pub(crate) use evaluate::evaluate;
pub(crate) use explain::explain;
pub use explain::{DecidedBy, Explanation};
pub use simulate::{PolicyRequest, simulate};
