//! A key, as AWS shows it.

use serde_json::{Value as Json, json};
use waxseal::kms::{BackingKeyInfo, KeyState, Keyring, Origin, Owner};

use super::seconds;

/// `KeyMetadata`.
pub(super) fn metadata(keyring: &Keyring, account: &str) -> Json {
    let mut shown = json!({
        "AWSAccountId": account,
        "Arn": keyring.arn,
        "CreationDate": seconds(keyring.created),
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "Description": keyring.description,
        "Enabled": keyring.state == KeyState::Enabled,
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "KeyId": keyring.id,
        "KeyManager": match keyring.owner {
            Owner::Customer => "CUSTOMER",
            _ => "AWS",
        },
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyState": state(keyring.state),
        "KeyUsage": "ENCRYPT_DECRYPT",
        "MultiRegion": false,
        "Origin": match keyring.origin {
            Origin::External => "EXTERNAL",
            _ => "AWS_KMS",
        },
    });
    if let Some(date) = keyring.deletion {
        shown["DeletionDate"] = seconds(date);
    }
    if let Some(current) = keyring.backing_keys.last() {
        shown["CurrentKeyMaterialId"] = current.material_id.as_str().into();
        if keyring.origin == Origin::External && current.is_present {
            add_expiry(&mut shown, current);
        }
    }
    shown
}

/// Of imported material.
pub(super) fn add_expiry(shown: &mut Json, key: &BackingKeyInfo) {
    match key.expires {
        Some(date) => {
            shown["ExpirationModel"] = "KEY_MATERIAL_EXPIRES".into();
            shown["ValidTo"] = seconds(date);
        }
        None => shown["ExpirationModel"] = "KEY_MATERIAL_DOES_NOT_EXPIRE".into(),
    }
}

fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Enabled => "Enabled",
        KeyState::Disabled => "Disabled",
        KeyState::PendingImport => "PendingImport",
        KeyState::PendingDeletion => "PendingDeletion",
        _ => "Unavailable",
    }
}
