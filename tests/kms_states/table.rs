//! AWS KMS's table of key states, its footnotes, and where this KMS differs.

use waxseal::kms::KeyState;

use Kind::{Expired, External, Local, NeverImported};

/// An operation, and its cells: Enabled, Disabled, PendingImport,
/// PendingDeletion, Unavailable.
pub(crate) type Row = (&'static str, [&'static str; 5]);

#[rustfmt::skip]
pub(crate) const TABLE: &[Row] = &[
    ("CancelKeyDeletion",                   ["X [4]", "X [4]", "X [4]", "✓", "X [4] [13]"]),
    ("CreateAlias",                         ["✓", "✓", "✓", "X [3]", "✓"]),
    ("CreateGrant",                         ["✓", "X [1]", "X [5]", "X [2] or [3]", "✓"]),
    ("Decrypt",                             ["✓", "X [1]", "X [5]", "X [2] or [3]", "X [11]"]),
    ("DeleteAlias",                         ["✓", "✓", "✓", "✓", "✓"]),
    ("DeleteImportedKeyMaterial",           ["? [9]", "? [9]", "✓ (No effect)", "X [9]", "X [9]"]),
    ("DescribeKey",                         ["✓", "✓", "✓", "✓", "✓"]),
    ("DisableKey",                          ["✓", "✓", "X [5]", "X [3]", "✓ [12]"]),
    ("DisableKeyRotation",                  ["? [7]", "X [1] or [7]", "X [6]", "X [3] or [7]", "X [7]"]),
    ("EnableKey",                           ["✓", "✓", "X [5]", "X [3]", "✓ [12]"]),
    ("EnableKeyRotation",                   ["? [7]", "X [1] or [7]", "X [6]", "X [3] or [7]", "X [7]"]),
    ("Encrypt",                             ["✓", "X [1]", "X [5]", "X [2] or [3]", "X [11]"]),
    ("GenerateDataKey",                     ["✓", "X [1]", "X [5]", "X [2] or [3]", "X [11]"]),
    ("GenerateDataKeyPair",                 ["✓", "X [1]", "X [5]", "X [2] or [3]", "X [11]"]),
    ("GenerateDataKeyPairWithoutPlaintext", ["✓", "X [1]", "X [5]", "X [2] or [3]", "X [11]"]),
    ("GenerateDataKeyWithoutPlaintext",     ["✓", "X [1]", "X [5]", "X [2] or [3]", "X [11]"]),
    ("GetKeyPolicy",                        ["✓", "✓", "✓", "✓", "✓"]),
    ("GetKeyRotationStatus",                ["? [7]", "? [7]", "X [6]", "? [7]", "X [7]"]),
    ("GetParametersForImport",              ["? [9]", "? [9]", "✓", "X [8] or [9]", "X [9]"]),
    ("GetPublicKey",                        ["✓", "X [1]", "N/A", "X [2] or [3]", "N/A"]),
    ("ImportKeyMaterial",                   ["? [9]", "? [9]", "✓", "X [8] or [9]", "X [9]"]),
    ("ListAliases",                         ["✓", "✓", "✓", "✓", "✓"]),
    ("ListGrants",                          ["✓", "✓", "✓", "✓", "✓"]),
    ("ListKeyPolicies",                     ["✓", "✓", "✓", "✓", "✓"]),
    ("ListKeys",                            ["✓", "✓", "✓", "✓", "✓"]),
    ("ListResourceTags",                    ["✓", "✓", "✓", "✓", "✓"]),
    ("ListRetirableGrants",                 ["✓", "✓", "✓", "✓", "✓"]),
    ("PutKeyPolicy",                        ["✓", "✓", "✓", "✓", "✓"]),
    ("ReEncrypt",                           ["✓", "X [1]", "X [5]", "X [2] or [3]", "X [11]"]),
    ("RetireGrant",                         ["✓", "✓", "✓", "✓", "✓"]),
    ("RevokeGrant",                         ["✓", "✓", "✓", "✓", "✓"]),
    ("ScheduleKeyDeletion",                 ["✓", "✓", "✓", "X [3]", "✓"]),
    ("Sign",                                ["✓", "X [1]", "N/A", "X [2] or [3]", "N/A"]),
    ("TagResource",                         ["✓", "✓", "✓", "X [3]", "✓"]),
    ("UntagResource",                       ["✓", "✓", "✓", "X [3]", "✓"]),
    ("UpdateAlias",                         ["✓", "✓", "✓", "? [10]", "✓"]),
    ("UpdateKeyDescription",                ["✓", "✓", "✓", "X [3]", "✓"]),
    ("Verify",                              ["✓", "X [1]", "N/A", "X [2] or [3]", "N/A"]),
];

/// `RotateKeyOnDemand`: "DisabledException", "KMSInvalidStateException", and not
/// for a custom key store; imported material since 2025. `ListKeyRotations`: for
/// every key that can be rotated, whatever its state. `SetMinimumVersion` is
/// not in AWS KMS: it manages, like `TagResource`.
#[rustfmt::skip]
pub(crate) const NEWER: &[Row] = &[
    ("ListKeyRotations",                    ["✓", "✓", "✓", "✓", "✓"]),
    ("RotateKeyOnDemand",                   ["✓", "X [1]", "X [5]", "X [2] or [3]", "X [14]"]),
    ("SetMinimumVersion",                   ["✓", "✓", "✓", "X [3]", "✓"]),
];

/// Operations of AWS KMS that are not here: there are no asymmetric keys.
pub(crate) const ABSENT: &[&str] = &[
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GetPublicKey",
    "Sign",
    "Verify",
];

/// Operations that take the feature `kms-policy`.
pub(crate) const WITH_POLICY: &[&str] = &[
    "CreateGrant",
    "GetKeyPolicy",
    "ListGrants",
    "ListKeyPolicies",
    "ListRetirableGrants",
    "PutKeyPolicy",
    "RetireGrant",
    "RevokeGrant",
];

/// The table's footnotes, as they apply to keys of this kind: what the
/// operation comes to, where the note decides.
pub(crate) fn footnote(note: u8, kind: Kind, state: KeyState) -> Option<Outcome> {
    let imported = kind != Local;
    match note {
        1 => Some(Outcome::Disabled),
        // "[2] or [3]", DisabledException or KMSInvalidStateException: it is
        // always the latter here (see DIFFERENCES).
        2 => None,
        3 | 4 | 5 | 11 => Some(Outcome::InvalidState(state)),
        6 if imported => Some(Outcome::Unsupported),
        7 if imported || state == KeyState::Unavailable => Some(Outcome::Unsupported),
        8 if imported => Some(Outcome::InvalidState(state)),
        9 if !imported || state == KeyState::Unavailable => Some(Outcome::Unsupported),
        // 10: the destination; the source is another test.
        10 => Some(Outcome::InvalidState(state)),
        6..=9 | 12 | 13 => None,
        14 => Some(Outcome::Unsupported),
        _ => panic!("there is no footnote {note}"),
    }
}

/// Operations, the state and the kinds of keys for which there is another
/// outcome, and why.
pub(crate) type Difference = (
    &'static [&'static str],
    KeyState,
    &'static [Kind],
    Outcome,
    &'static str,
);

/// Where this KMS differs from the table, and why.
#[rustfmt::skip]
pub(crate) const DIFFERENCES: &[Difference] = &[
    (
        &["Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncrypt",
          "RotateKeyOnDemand"],
        KeyState::PendingDeletion, &[Local, External], Outcome::InvalidState(KeyState::PendingDeletion),
        "AWS: [2] or [3]. One state has one error here, so that a caller can tell what to do.",
    ),
    (
        &["DeleteImportedKeyMaterial"],
        KeyState::PendingDeletion, &[External], Outcome::Success,
        "The table's X [9] has no error for a key with imported material; the API reference says \
         that the operation does not change the state of a key that is PendingDeletion.",
    ),
    (
        &["DeleteImportedKeyMaterial", "GetParametersForImport", "ImportKeyMaterial"],
        KeyState::Unavailable, &[External], Outcome::InvalidState(KeyState::Unavailable),
        "AWS has no imported material in a custom key store; here a disconnected KMS has.",
    ),
    (
        &["DisableKeyRotation", "EnableKeyRotation", "RotateKeyOnDemand"],
        KeyState::Unavailable, &[Local], Outcome::InvalidState(KeyState::Unavailable),
        "AWS does not rotate in a custom key store at all; here it is possible while connected.",
    ),
    (
        &["RotateKeyOnDemand"],
        KeyState::Unavailable, &[External], Outcome::InvalidState(KeyState::Unavailable),
        "As above.",
    ),
    (
        &["GetKeyRotationStatus"],
        KeyState::Enabled, &[External], Outcome::Success,
        "AWS: [7]. A part of describe_key here: there is no rotation, and no error.",
    ),
    (&["GetKeyRotationStatus"], KeyState::Disabled, &[External], Outcome::Success, "As above."),
    (
        &["GetKeyRotationStatus"],
        KeyState::PendingImport, &[External, Expired, NeverImported], Outcome::Success, "As above.",
    ),
    (&["GetKeyRotationStatus"], KeyState::PendingDeletion, &[External], Outcome::Success, "As above."),
    (
        &["GetKeyRotationStatus"],
        KeyState::Unavailable, &[Local, External], Outcome::Success, "As above.",
    ),
];

/// A key's origin, and how it came to be `PendingImport`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Local,
    /// Imported, and for PendingImport deleted again.
    External,
    /// Imported, and expired. PendingImport only.
    Expired,
    /// For imported material that never came. PendingImport only.
    NeverImported,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Local, External, Expired, NeverImported];

    pub(crate) fn can_be(self, state: KeyState) -> bool {
        match self {
            Local => state != KeyState::PendingImport,
            External => true,
            Expired | NeverImported => state == KeyState::PendingImport,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Disabled,
    InvalidState(KeyState),
    Unsupported,
    NotFound,
}

pub(crate) fn expected(operation: &str, cell: &str, kind: Kind, state: KeyState) -> Outcome {
    let different = DIFFERENCES
        .iter()
        .find(|(operations, in_state, of_kind, ..)| {
            operations.contains(&operation) && *in_state == state && of_kind.contains(&kind)
        });
    let by_table = by_table(cell, kind, state);
    match different {
        // A difference that is none has no place in the list; the choice
        // between [2] and [3] is one all the same.
        Some((.., here, why)) => {
            assert!(
                by_table != Some(*here) || cell.contains("[2]"),
                "{operation} {kind:?} {state}: {why}"
            );
            *here
        }
        None => by_table.unwrap_or_else(|| panic!("{operation} {kind:?} {state}: {cell}")),
    }
}

/// What the table says, if it says anything of such a key.
pub(crate) fn by_table(cell: &str, kind: Kind, state: KeyState) -> Option<Outcome> {
    let notes: Vec<u8> = cell
        .split('[')
        .skip(1)
        .map(|note| note.split(']').next().unwrap().parse().unwrap())
        .collect();
    // What depends on the kind of the key comes before what depends on its
    // state: "[1] or [7]" is the latter for imported material.
    let by_kind = notes.iter().filter(|note| (6..=9).contains(*note));
    let by_state = notes.iter().filter(|note| !(6..=9).contains(*note));
    let error = by_kind
        .chain(by_state)
        .find_map(|note| footnote(*note, kind, state));
    match cell.chars().next() {
        Some('✓') => Some(Outcome::Success),
        Some('?') => Some(error.unwrap_or(Outcome::Success)),
        Some('X') => error,
        _ => panic!("a cell begins with ✓, X or ?: {cell}"),
    }
}
