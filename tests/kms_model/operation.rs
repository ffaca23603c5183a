//! What is done to a KMS, and how it is drawn. Numbers are indices, taken
//! modulo what there is.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A key in a call: which handle, which key, and how it is named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) handle: usize,
    pub(crate) key: u8,
    pub(crate) form: Form,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Id,
    Arn,
    Alias,
    /// An id of no key.
    Unknown,
}

/// The key that a decryption is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given {
    None,
    /// The ciphertext's own.
    Own(Form),
    Any(Target),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pass {
    Seconds(u64),
    Hours(u64),
    Days(u64),
    Years(u64),
    /// To one of the dates to come, or to a millisecond before.
    Date {
        which: u8,
        just_before: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    pub(crate) handle: usize,
    pub(crate) which: u16,
    pub(crate) given: Given,
    pub(crate) wrong_context: bool,
    pub(crate) damage: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create {
        handle: usize,
        external: bool,
        alias: Option<u8>,
        rotation: Option<u16>,
    },
    ServiceKey {
        handle: usize,
        name: u8,
    },
    OwnedKey {
        handle: usize,
        name: u8,
    },
    CreateAlias {
        alias: u8,
        on: Target,
    },
    UpdateAlias {
        alias: u8,
        on: Target,
    },
    DeleteAlias {
        handle: usize,
        alias: u8,
    },
    Describe {
        on: Target,
        text: u8,
    },
    Tag {
        on: Target,
        tag: u8,
    },
    Untag {
        on: Target,
        tag: u8,
    },
    Encrypt {
        on: Target,
        context: u8,
    },
    GenerateDataKey {
        on: Target,
        context: u8,
        shown: bool,
    },
    Decrypt(Sealed),
    ReEncrypt {
        from: Sealed,
        to: Target,
        context: u8,
    },
    EncryptMessage {
        on: Target,
        context: u8,
    },
    DecryptMessage {
        on: Target,
        which: u16,
        own: bool,
        any: bool,
        context: Option<u8>,
    },
    Rotate(Target),
    EnableRotation {
        on: Target,
        days: Option<u16>,
    },
    DisableRotation(Target),
    Enable(Target),
    Disable(Target),
    Schedule {
        on: Target,
        days: Option<u16>,
    },
    Cancel(Target),
    SetMinimum {
        on: Target,
        minimum: u32,
    },
    Import {
        on: Target,
        material: u8,
        is_new: Option<bool>,
        days: Option<u16>,
        length: usize,
    },
    DeleteMaterial {
        on: Target,
        which: Option<u8>,
    },
    Pass(Pass),
    RunDue {
        handle: usize,
    },
    Disconnect {
        handle: usize,
    },
    Connect {
        handle: usize,
    },
    Reopen {
        handle: usize,
    },
    RotateStoreKey {
        handle: usize,
    },
    ChangeRoot {
        handle: usize,
    },
    Backup {
        handle: usize,
    },
    CheckAll {
        handle: usize,
    },
}

impl Op {
    /// Every operation's name.
    pub(crate) const ALL: &'static [&'static str] = &[
        "Create",
        "ServiceKey",
        "OwnedKey",
        "CreateAlias",
        "UpdateAlias",
        "DeleteAlias",
        "Describe",
        "Tag",
        "Untag",
        "Encrypt",
        "GenerateDataKey",
        "Decrypt",
        "ReEncrypt",
        "EncryptMessage",
        "DecryptMessage",
        "Rotate",
        "EnableRotation",
        "DisableRotation",
        "Enable",
        "Disable",
        "Schedule",
        "Cancel",
        "SetMinimum",
        "Import",
        "DeleteMaterial",
        "Pass",
        "RunDue",
        "Disconnect",
        "Connect",
        "Reopen",
        "RotateStoreKey",
        "ChangeRoot",
        "Backup",
        "CheckAll",
    ];

    /// Its name: that of the variant.
    pub(crate) fn name(&self) -> &'static str {
        let text = format!("{self:?}");
        let end = text.find(|c: char| !c.is_alphanumeric());
        let name = &text[..end.unwrap_or(text.len())];
        let known = Self::ALL.iter().find(|known| **known == name);
        known.expect("every operation is in the list")
    }
}

fn handle() -> impl Strategy<Value = usize> {
    0..2_usize
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        6 => Just(Form::Id),
        3 => Just(Form::Arn),
        4 => Just(Form::Alias),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    let form = prop_oneof![40 => form(), 1 => Just(Form::Unknown)];
    (handle(), any::<u8>(), form).prop_map(|(handle, key, form)| Target { handle, key, form })
}

fn given() -> impl Strategy<Value = Given> {
    prop_oneof![
        4 => Just(Given::None),
        4 => form().prop_map(Given::Own),
        2 => target().prop_map(Given::Any),
    ]
}

fn sealed() -> impl Strategy<Value = Sealed> {
    let (wrong, damage) = (prop::bool::weighted(0.1), prop::bool::weighted(0.05));
    (handle(), any::<u16>(), given(), wrong, damage).prop_map(
        |(handle, which, given, wrong_context, damage)| Sealed {
            handle,
            which,
            given,
            wrong_context,
            damage,
        },
    )
}

fn pass() -> impl Strategy<Value = Pass> {
    prop_oneof![
        2 => (1..100_u64).prop_map(Pass::Seconds),
        2 => (1..48_u64).prop_map(Pass::Hours),
        3 => (1..40_u64).prop_map(Pass::Days),
        2 => (1..9_u64).prop_map(Pass::Years),
        8 => (any::<u8>(), any::<bool>())
            .prop_map(|(which, just_before)| Pass::Date { which, just_before }),
    ]
}

fn rotation_days() -> impl Strategy<Value = u16> {
    prop_oneof![
        8 => 90..=400_u16,
        2 => Just(90_u16),
        2 => Just(2560_u16),
        1 => Just(89_u16),
        1 => Just(2561_u16),
    ]
}

fn deletion_days() -> impl Strategy<Value = u16> {
    prop_oneof![8 => 7..=30_u16, 1 => Just(6_u16), 1 => Just(31_u16)]
}

#[rustfmt::skip]
fn manage() -> impl Strategy<Value = Op> {
    let create = (handle(), prop::bool::weighted(0.4), option::of(any::<u8>()),
        option::weighted(0.4, rotation_days()));
    prop_oneof![
        5 => create.prop_map(|(handle, external, alias, rotation)| {
            Op::Create { handle, external, alias, rotation }
        }),
        1 => (handle(), any::<u8>()).prop_map(|(handle, name)| Op::ServiceKey { handle, name }),
        1 => (handle(), any::<u8>()).prop_map(|(handle, name)| Op::OwnedKey { handle, name }),
        4 => (any::<u8>(), target()).prop_map(|(alias, on)| Op::CreateAlias { alias, on }),
        3 => (any::<u8>(), target()).prop_map(|(alias, on)| Op::UpdateAlias { alias, on }),
        2 => (handle(), any::<u8>()).prop_map(|(handle, alias)| Op::DeleteAlias { handle, alias }),
        1 => (target(), any::<u8>()).prop_map(|(on, text)| Op::Describe { on, text }),
        1 => (target(), any::<u8>()).prop_map(|(on, tag)| Op::Tag { on, tag }),
        1 => (target(), any::<u8>()).prop_map(|(on, tag)| Op::Untag { on, tag }),
        5 => target().prop_map(Op::Enable),
        3 => target().prop_map(Op::Disable),
        2 => (target(), option::of(deletion_days())).prop_map(|(on, days)| Op::Schedule { on, days }),
        3 => target().prop_map(Op::Cancel),
        4 => (target(), prop_oneof![3 => Just(1_u32), 6 => 2..4_u32, 1 => 0..9_u32])
            .prop_map(|(on, minimum)| Op::SetMinimum { on, minimum }),
    ]
}

#[rustfmt::skip]
fn using() -> impl Strategy<Value = Op> {
    let message = (target(), any::<u16>(), any::<bool>(), any::<bool>(), option::weighted(0.3, any::<u8>()));
    prop_oneof![
        5 => (target(), any::<u8>()).prop_map(|(on, context)| Op::Encrypt { on, context }),
        4 => (target(), any::<u8>(), any::<bool>())
            .prop_map(|(on, context, shown)| Op::GenerateDataKey { on, context, shown }),
        8 => sealed().prop_map(Op::Decrypt),
        4 => (sealed(), target(), any::<u8>())
            .prop_map(|(from, to, context)| Op::ReEncrypt { from, to, context }),
        3 => (target(), any::<u8>()).prop_map(|(on, context)| Op::EncryptMessage { on, context }),
        4 => message.prop_map(|(on, which, own, any, context)| {
            Op::DecryptMessage { on, which, own, any, context }
        }),
    ]
}

#[rustfmt::skip]
fn material() -> impl Strategy<Value = Op> {
    let length = prop_oneof![20 => Just(32_usize), 1 => Just(31_usize), 1 => Just(33_usize)];
    let import = (target(), 0..5_u8, option::of(any::<bool>()), option::of(0..60_u16), length);
    prop_oneof![
        6 => target().prop_map(Op::Rotate),
        3 => (target(), option::of(rotation_days()))
            .prop_map(|(on, days)| Op::EnableRotation { on, days }),
        1 => target().prop_map(Op::DisableRotation),
        14 => import.prop_map(|(on, material, is_new, days, length)| {
            Op::Import { on, material, is_new, days, length }
        }),
        3 => (target(), option::of(any::<u8>()))
            .prop_map(|(on, which)| Op::DeleteMaterial { on, which }),
    ]
}

#[rustfmt::skip]
fn whole() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => handle().prop_map(|handle| Op::Disconnect { handle }),
        6 => handle().prop_map(|handle| Op::Connect { handle }),
        3 => handle().prop_map(|handle| Op::Reopen { handle }),
        1 => handle().prop_map(|handle| Op::RotateStoreKey { handle }),
        1 => handle().prop_map(|handle| Op::ChangeRoot { handle }),
        1 => handle().prop_map(|handle| Op::Backup { handle }),
        1 => handle().prop_map(|handle| Op::CheckAll { handle }),
    ]
}

pub(crate) fn operations() -> impl Strategy<Value = Vec<Op>> {
    let one = prop_oneof![
        7 => manage(),
        8 => using(),
        5 => material(),
        2 => whole(),
        5 => pass().prop_map(Op::Pass),
        3 => handle().prop_map(|handle| Op::RunDue { handle }),
    ];
    // From none, so that a failure shrinks to what it needs.
    vec(one, 0..=220)
}
