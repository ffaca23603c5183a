//! The operations, and what a request to each may hold: AWS KMS's service model
//! (2014-11-01), as botocore 1.44.8 has it, and the bounds of `Limit` that only
//! its documentation has. Members that this server knows only to refuse them are
//! here too, since AWS would act on them.

use super::shape::Shape::{Blob, Boolean, Choice, Integer, List, Map, Structure, Text, Timestamp};
use super::shape::{Length, Member, Pattern, Shape};

macro_rules! operations {
    ($($name:ident: [$($member:expr),* $(,)?],)*) => {
        /// An operation that this server has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Operation {
            $($name,)*
        }

        impl Operation {
            /// By AWS's name.
            pub(crate) fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// AWS's name.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What a request may hold.
            pub(super) fn members(self) -> &'static [Member] {
                match self {
                    $(Self::$name => {
                        const MEMBERS: &[Member] = &[$($member),*];
                        MEMBERS
                    })*
                }
            }
        }
    };
}

const KEY: Shape = Text(Length(1, 2048), Pattern::Any);
const ALIAS: Shape = Text(Length(1, 256), Pattern::NAME);
const DESCRIPTION: Shape = Text(Length(0, 8192), Pattern::Any);
const POLICY: Shape = Text(Length(1, 131_072), Pattern::LATIN);
const POLICY_NAME: Shape = Text(Length(1, 128), Pattern::WORD);
const PRINCIPAL: Shape = Text(Length(1, 256), Pattern::PRINCIPAL);
const SERVICE_PRINCIPAL: Shape = Text(Length(1, 128), Pattern::SERVICE);
const GRANT_ID: Shape = Text(Length(1, 128), Pattern::Any);
const GRANT_TOKEN: Shape = Text(Length(1, 8192), Pattern::Any);
const TOKEN: Shape = GRANT_TOKEN;
const MATERIAL_ID: Shape = Text(Length(64, 64), Pattern::HEX);
const STORE_ID: Shape = Text(Length(1, 64), Pattern::Any);
const PLAINTEXT: Shape = Blob(Length(1, 4096));
const CIPHERTEXT: Shape = Blob(Length(1, 6144));
const TAG_KEY: Shape = Text(Length(1, 128), Pattern::Any);
const TAG: Shape = Structure(&[
    Member::required("TagKey", TAG_KEY),
    Member::required("TagValue", Text(Length(0, 256), Pattern::Any)),
]);
const RECIPIENT: Shape = Structure(&[
    Member::optional("KeyEncryptionAlgorithm", Choice(&["RSAES_OAEP_SHA_256"])),
    Member::optional("AttestationDocument", Blob(Length(1, 262_144))),
]);
const ALGORITHM: Shape = Choice(&[
    "SYMMETRIC_DEFAULT",
    "RSAES_OAEP_SHA_1",
    "RSAES_OAEP_SHA_256",
    "SM2PKE",
]);
const KEY_SPEC: Shape = Choice(&[
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "SYMMETRIC_DEFAULT",
    "HMAC_224",
    "HMAC_256",
    "HMAC_384",
    "HMAC_512",
    "SM2",
    "ML_DSA_44",
    "ML_DSA_65",
    "ML_DSA_87",
    "ECC_NIST_EDWARDS25519",
]);
const GRANT_OPERATION: Shape = Choice(&[
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "Sign",
    "Verify",
    "GetPublicKey",
    "CreateGrant",
    "RetireGrant",
    "DescribeKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateMac",
    "VerifyMac",
    "DeriveSharedSecret",
]);

const KEY_ID: Member = Member::required("KeyId", KEY);
const MAYBE_KEY_ID: Member = Member::optional("KeyId", KEY);
const LIMIT: Member = Member::optional("Limit", Integer(1, 1000));
const LIMIT_100: Member = Member::optional("Limit", Integer(1, 100));
const LIMIT_50: Member = Member::optional("Limit", Integer(1, 50));
const MARKER: Member = Member::optional("Marker", Text(Length(1, 1024), Pattern::MARKER));
const CONTEXT: Member = Member::optional("EncryptionContext", Map);
const GRANT_TOKENS: Member = Member::optional("GrantTokens", List(Length(0, 10), &TOKEN));
const DRY_RUN: Member = Member::optional("DryRun", Boolean);
const DRY_RUN_MODIFIERS: Member = Member::optional(
    "DryRunModifiers",
    List(Length::ANY, &Choice(&["IGNORE_CIPHERTEXT"])),
);
const BYPASS: Member = Member::optional("BypassPolicyLockoutSafetyCheck", Boolean);
const DATA_KEY_SPEC: Member = Member::optional("KeySpec", Choice(&["AES_256", "AES_128"]));
const NUMBER_OF_BYTES: Member = Member::optional("NumberOfBytes", Integer(1, 1024));

operations! {
    CancelKeyDeletion: [KEY_ID],
    CreateAlias: [Member::required("AliasName", ALIAS), Member::required("TargetKeyId", KEY)],
    CreateGrant: [
        KEY_ID,
        Member::optional("GranteePrincipal", PRINCIPAL),
        Member::optional("RetiringPrincipal", PRINCIPAL),
        Member::required("Operations", List(Length::ANY, &GRANT_OPERATION)),
        Member::optional("Constraints", Structure(&[
            Member::optional("EncryptionContextSubset", Map),
            Member::optional("EncryptionContextEquals", Map),
            Member::optional("SourceArn", Text(Length(20, 512), Pattern::Any)),
        ])),
        GRANT_TOKENS,
        Member::optional("Name", Text(Length(1, 256), Pattern::NAME)),
        DRY_RUN,
        Member::optional("GranteeServicePrincipal", SERVICE_PRINCIPAL),
        Member::optional("RetiringServicePrincipal", SERVICE_PRINCIPAL),
    ],
    CreateKey: [
        Member::optional("Policy", POLICY),
        Member::optional("Description", DESCRIPTION),
        Member::optional("KeyUsage", Choice(&[
            "SIGN_VERIFY",
            "ENCRYPT_DECRYPT",
            "GENERATE_VERIFY_MAC",
            "KEY_AGREEMENT",
        ])),
        Member::optional("CustomerMasterKeySpec", KEY_SPEC),
        Member::optional("KeySpec", KEY_SPEC),
        Member::optional("Origin", Choice(&[
            "AWS_KMS",
            "EXTERNAL",
            "AWS_CLOUDHSM",
            "EXTERNAL_KEY_STORE",
        ])),
        Member::optional("CustomKeyStoreId", STORE_ID),
        BYPASS,
        Member::optional("Tags", List(Length::ANY, &TAG)),
        Member::optional("MultiRegion", Boolean),
        Member::optional("XksKeyId", Text(Length(1, 128), Pattern::XKS_KEY)),
    ],
    Decrypt: [
        Member::optional("CiphertextBlob", CIPHERTEXT),
        CONTEXT,
        GRANT_TOKENS,
        MAYBE_KEY_ID,
        Member::optional("EncryptionAlgorithm", ALGORITHM),
        Member::optional("Recipient", RECIPIENT),
        DRY_RUN,
        DRY_RUN_MODIFIERS,
    ],
    DeleteAlias: [Member::required("AliasName", ALIAS)],
    DeleteImportedKeyMaterial: [KEY_ID, Member::optional("KeyMaterialId", MATERIAL_ID)],
    DescribeKey: [KEY_ID, GRANT_TOKENS],
    DisableKey: [KEY_ID],
    DisableKeyRotation: [KEY_ID],
    EnableKey: [KEY_ID],
    EnableKeyRotation: [KEY_ID, Member::optional("RotationPeriodInDays", Integer(90, 2560))],
    Encrypt: [
        KEY_ID,
        Member::required("Plaintext", PLAINTEXT),
        CONTEXT,
        GRANT_TOKENS,
        Member::optional("EncryptionAlgorithm", ALGORITHM),
        DRY_RUN,
    ],
    GenerateDataKey: [
        KEY_ID,
        CONTEXT,
        NUMBER_OF_BYTES,
        DATA_KEY_SPEC,
        GRANT_TOKENS,
        Member::optional("Recipient", RECIPIENT),
        DRY_RUN,
    ],
    GenerateDataKeyWithoutPlaintext: [
        KEY_ID,
        CONTEXT,
        DATA_KEY_SPEC,
        NUMBER_OF_BYTES,
        GRANT_TOKENS,
        DRY_RUN,
    ],
    GenerateRandom: [
        NUMBER_OF_BYTES,
        Member::optional("CustomKeyStoreId", STORE_ID),
        Member::optional("Recipient", RECIPIENT),
    ],
    GetKeyPolicy: [KEY_ID, Member::optional("PolicyName", POLICY_NAME)],
    GetKeyRotationStatus: [KEY_ID],
    GetParametersForImport: [
        KEY_ID,
        Member::required("WrappingAlgorithm", Choice(&[
            "RSAES_PKCS1_V1_5",
            "RSAES_OAEP_SHA_1",
            "RSAES_OAEP_SHA_256",
            "RSA_AES_KEY_WRAP_SHA_1",
            "RSA_AES_KEY_WRAP_SHA_256",
            "SM2PKE",
        ])),
        Member::required("WrappingKeySpec", Choice(&["RSA_2048", "RSA_3072", "RSA_4096", "SM2"])),
    ],
    ImportKeyMaterial: [
        KEY_ID,
        Member::required("ImportToken", CIPHERTEXT),
        Member::required("EncryptedKeyMaterial", CIPHERTEXT),
        Member::optional("ValidTo", Timestamp),
        Member::optional("ExpirationModel", Choice(&[
            "KEY_MATERIAL_EXPIRES",
            "KEY_MATERIAL_DOES_NOT_EXPIRE",
        ])),
        Member::optional("ImportType", Choice(&["NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL"])),
        Member::optional(
            "KeyMaterialDescription",
            Text(Length(0, 256), Pattern::MATERIAL_DESCRIPTION),
        ),
        Member::optional("KeyMaterialId", MATERIAL_ID),
    ],
    ListAliases: [MAYBE_KEY_ID, LIMIT_100, MARKER],
    ListGrants: [
        LIMIT_100,
        MARKER,
        KEY_ID,
        Member::optional("GrantId", GRANT_ID),
        Member::optional("GranteePrincipal", PRINCIPAL),
        Member::optional("GranteeServicePrincipal", SERVICE_PRINCIPAL),
    ],
    ListKeyPolicies: [KEY_ID, LIMIT, MARKER],
    ListKeyRotations: [
        KEY_ID,
        Member::optional("IncludeKeyMaterial", Choice(&["ALL_KEY_MATERIAL", "ROTATIONS_ONLY"])),
        LIMIT,
        MARKER,
    ],
    ListKeys: [LIMIT, MARKER],
    ListResourceTags: [KEY_ID, LIMIT_50, MARKER],
    ListRetirableGrants: [
        LIMIT_100,
        MARKER,
        Member::optional("RetiringPrincipal", PRINCIPAL),
        Member::optional("RetiringServicePrincipal", SERVICE_PRINCIPAL),
    ],
    PutKeyPolicy: [
        KEY_ID,
        Member::optional("PolicyName", POLICY_NAME),
        Member::required("Policy", POLICY),
        BYPASS,
    ],
    ReEncrypt: [
        Member::optional("CiphertextBlob", CIPHERTEXT),
        Member::optional("SourceEncryptionContext", Map),
        Member::optional("SourceKeyId", KEY),
        Member::required("DestinationKeyId", KEY),
        Member::optional("DestinationEncryptionContext", Map),
        Member::optional("SourceEncryptionAlgorithm", ALGORITHM),
        Member::optional("DestinationEncryptionAlgorithm", ALGORITHM),
        GRANT_TOKENS,
        DRY_RUN,
        DRY_RUN_MODIFIERS,
    ],
    RetireGrant: [
        Member::optional("GrantToken", GRANT_TOKEN),
        MAYBE_KEY_ID,
        Member::optional("GrantId", GRANT_ID),
        DRY_RUN,
    ],
    RevokeGrant: [KEY_ID, Member::required("GrantId", GRANT_ID), DRY_RUN],
    RotateKeyOnDemand: [KEY_ID],
    ScheduleKeyDeletion: [KEY_ID, Member::optional("PendingWindowInDays", Integer(1, 365))],
    TagResource: [KEY_ID, Member::required("Tags", List(Length::ANY, &TAG))],
    UntagResource: [KEY_ID, Member::required("TagKeys", List(Length::ANY, &TAG_KEY))],
    UpdateAlias: [Member::required("AliasName", ALIAS), Member::required("TargetKeyId", KEY)],
    UpdateKeyDescription: [KEY_ID, Member::required("Description", DESCRIPTION)],
}
