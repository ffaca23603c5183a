//! The states of a key, and which operation each of them allows.

use std::fmt;

/// The state of a key (AWS KMS developer guide, "Key states of AWS KMS keys").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// It may be used.
    Enabled,
    /// It was disabled, or its deletion was cancelled: enable it.
    Disabled,
    /// It has no key material, or not all that it had: import it.
    PendingImport,
    /// It is going to be deleted, and cannot be used meanwhile.
    PendingDeletion,
    /// The KMS is [disconnected](super::LocalKms::disconnect) from its root.
    Unavailable,
}

impl KeyState {
    /// All states.
    pub const ALL: [KeyState; 5] = [
        Self::Enabled,
        Self::Disabled,
        Self::PendingImport,
        Self::PendingDeletion,
        Self::Unavailable,
    ];
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::PendingImport => "pending import",
            Self::PendingDeletion => "pending deletion",
            Self::Unavailable => "unavailable",
        })
    }
}

macro_rules! operations {
    ($($name:ident: $doc:literal,)*) => {
        /// An operation of the KMS, by AWS KMS's names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Operation {
            $(#[doc = $doc] $name,)*
        }

        impl Operation {
            /// All operations.
            pub const ALL: &'static [Operation] = &[$(Self::$name,)*];

            /// Its name, as AWS KMS's.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

operations! {
    CancelKeyDeletion: "Keeps a key that was to be deleted.",
    ChangeRoot: "Seals the store under another root (not in AWS KMS).",
    CreateAlias: "Gives a key a name.",
    CreateGrant: "Lets a principal use a key.",
    CreateKey: "Makes a key.",
    Decrypt: "Decrypts, and unwraps data keys.",
    DeleteAlias: "Takes a name away.",
    DeleteExpiredKeyMaterial: "Deletes imported material that has expired; done by the KMS itself.",
    DeleteImportedKeyMaterial: "Deletes material that was imported.",
    DeleteKey: "Deletes a key whose date has come; done by the KMS itself.",
    DescribeKey: "Tells about a key.",
    DisableKey: "Forbids the use of a key.",
    DisableKeyRotation: "Stops automatic rotation.",
    EnableKey: "Allows the use of a key again.",
    EnableKeyRotation: "Starts automatic rotation.",
    Encrypt: "Encrypts, and wraps given data keys.",
    ExportStore: "Makes a backup (not in AWS KMS).",
    GenerateDataKey: "Makes a data key, in the clear and wrapped.",
    GenerateDataKeyWithoutPlaintext: "Makes a data key, wrapped only.",
    GenerateRandom: "Gives random bytes.",
    GetKeyPolicy: "Tells a key's policy.",
    GetKeyRotationStatus: "Tells when a key is rotated.",
    GetParametersForImport: "Gives the key and the token for an import.",
    ImportKeyMaterial: "Imports key material.",
    ImportStore: "Restores a backup (not in AWS KMS).",
    ListAliases: "Lists a key's names.",
    ListGrants: "Lists a key's grants.",
    ListKeyPolicies: "Lists the names of a key's policies.",
    ListKeyRotations: "Lists a key's rotations.",
    ListKeys: "Lists the keys.",
    ListRetirableGrants: "Lists the grants that a principal may retire.",
    ListResourceTags: "Lists a key's tags.",
    PutKeyPolicy: "Gives a key another policy.",
    ReEncrypt: "Decrypts and encrypts again, without giving the plaintext away.",
    RetireGrant: "Ends a grant, by whom it was made for.",
    RevokeGrant: "Ends a grant.",
    RotateKey: "Adds a backing key on its date; done by the KMS itself.",
    RotateKeyOnDemand: "Adds a backing key now.",
    RotateStoreKey: "Seals the records under a new store key (not in AWS KMS).",
    ScheduleKeyDeletion: "Has a key deleted later.",
    SetMinimumVersion: "Sets the least backing-key version that may decrypt (not in AWS KMS).",
    TagResource: "Adds tags to a key.",
    UntagResource: "Removes tags from a key.",
    UpdateAlias: "Moves a name to a key.",
    UpdateKeyDescription: "Changes a key's description.",
}

#[cfg(feature = "kms-policy")]
impl Operation {
    /// Whether another account may be let do it with a key: "If you give a user
    /// in a different account permission for other operations, those permissions
    /// have no effect" (AWS KMS developer guide, "Allowing users in other
    /// accounts to use a KMS key").
    pub(super) fn crosses_accounts(self) -> bool {
        matches!(
            self,
            Self::CreateGrant
                | Self::Decrypt
                | Self::DescribeKey
                | Self::Encrypt
                | Self::GenerateDataKey
                | Self::GenerateDataKeyWithoutPlaintext
                | Self::GetKeyRotationStatus
                | Self::ListGrants
                | Self::ReEncrypt
                | Self::RetireGrant
                | Self::RevokeGrant
        )
    }

    /// Whether it leaves the keys as they are: what CloudTrail calls read-only.
    pub(super) fn is_read_only(self) -> bool {
        matches!(
            self,
            Self::Decrypt
                | Self::DescribeKey
                | Self::Encrypt
                | Self::ExportStore
                | Self::GenerateDataKey
                | Self::GenerateDataKeyWithoutPlaintext
                | Self::GenerateRandom
                | Self::GetKeyPolicy
                | Self::GetKeyRotationStatus
                | Self::GetParametersForImport
                | Self::ListAliases
                | Self::ListGrants
                | Self::ListKeyPolicies
                | Self::ListKeyRotations
                | Self::ListKeys
                | Self::ListResourceTags
                | Self::ListRetirableGrants
                | Self::ReEncrypt
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a state says to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    /// `DisabledException`.
    Disabled,
    /// `KMSInvalidStateException`.
    InvalidState,
}

impl Operation {
    /// Whether a key in this state allows it: AWS KMS's table ("Key states of
    /// AWS KMS keys"), one row for each operation. What depends on the key's
    /// kind (only imported material can be deleted, for example) is decided
    /// before, by [`Keyring`](super::Keyring)'s own rules.
    pub(super) fn verdict(self, state: KeyState) -> Verdict {
        use KeyState::{Disabled, Enabled, PendingDeletion, PendingImport, Unavailable};
        use Verdict::{Allowed, InvalidState};
        match (self, state) {
            // These tell and change nothing, or concern the name or the whole
            // store and not the key, or have looked at the key themselves.
            (
                Self::ChangeRoot
                | Self::CreateKey
                | Self::DeleteExpiredKeyMaterial
                | Self::DeleteKey
                | Self::ExportStore
                | Self::GenerateRandom
                | Self::ImportStore
                | Self::ListKeys
                | Self::RotateKey
                | Self::RotateStoreKey
                | Self::DeleteAlias
                | Self::DescribeKey
                | Self::GetKeyPolicy
                | Self::GetKeyRotationStatus
                | Self::ListGrants
                | Self::ListKeyPolicies
                | Self::ListRetirableGrants
                | Self::PutKeyPolicy
                | Self::RetireGrant
                | Self::RevokeGrant
                | Self::ListAliases
                | Self::ListKeyRotations
                | Self::ListResourceTags,
                _,
            ) => Allowed,
            (Self::CancelKeyDeletion, PendingDeletion) => Allowed,
            (Self::CancelKeyDeletion, _) => InvalidState,
            // Managing stays possible as long as the key stays.
            (
                Self::CreateAlias
                | Self::ScheduleKeyDeletion
                | Self::SetMinimumVersion
                | Self::TagResource
                | Self::UntagResource
                | Self::UpdateAlias
                | Self::UpdateKeyDescription,
                PendingDeletion,
            ) => InvalidState,
            (
                Self::CreateAlias
                | Self::ScheduleKeyDeletion
                | Self::SetMinimumVersion
                | Self::TagResource
                | Self::UntagResource
                | Self::UpdateAlias
                | Self::UpdateKeyDescription,
                _,
            ) => Allowed,
            (Self::EnableKey | Self::DisableKey, Enabled | Disabled | Unavailable) => Allowed,
            (Self::EnableKey | Self::DisableKey, PendingImport | PendingDeletion) => InvalidState,
            // Taking material away early does not change that the key goes.
            (
                Self::DeleteImportedKeyMaterial,
                Enabled | Disabled | PendingImport | PendingDeletion,
            ) => Allowed,
            (Self::DeleteImportedKeyMaterial, Unavailable) => InvalidState,
            (
                Self::GetParametersForImport | Self::ImportKeyMaterial,
                Enabled | Disabled | PendingImport,
            ) => Allowed,
            (
                Self::GetParametersForImport | Self::ImportKeyMaterial,
                PendingDeletion | Unavailable,
            ) => InvalidState,
            (Self::CreateGrant, Enabled | Unavailable) => Allowed,
            (Self::CreateGrant, Disabled) => Verdict::Disabled,
            (Self::CreateGrant, PendingImport | PendingDeletion) => InvalidState,
            // Using a key, and giving it new material to use.
            (
                Self::Decrypt
                | Self::DisableKeyRotation
                | Self::EnableKeyRotation
                | Self::Encrypt
                | Self::GenerateDataKey
                | Self::GenerateDataKeyWithoutPlaintext
                | Self::ReEncrypt
                | Self::RotateKeyOnDemand,
                state,
            ) => match state {
                Enabled => Allowed,
                Disabled => Verdict::Disabled,
                PendingImport | PendingDeletion | Unavailable => InvalidState,
            },
        }
    }
}
