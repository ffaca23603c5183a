//! Every call of the KMS's, to be made by whom one likes.

use waxseal::blocking::{Client, wait};
use waxseal::kms::{
    CreateGrant, CreateKey, DataKeySpec, GrantOperation, ImportOptions, KmsResult, LocalKms,
    Operation,
};
use waxseal::{EncryptionContext, SecretBytes};

use crate::scene::{Scene, context, material, policy_with, root, tags, user};

/// What a call gives that the trail must not have.
pub(crate) type Secrets = Vec<Vec<u8>>;

/// Which key a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Key,
    Other,
    External,
    Doomed,
    /// No key, or one that is new.
    None,
}

pub(crate) struct Case {
    /// The name of the event.
    pub(crate) operation: &'static str,
    pub(crate) about: About,
    /// Something that the event's request parameters have.
    pub(crate) parameter: Option<&'static str>,
    pub(crate) read_only: bool,
    /// Whether it needs a policy's leave; else it is the application's own.
    pub(crate) by_policy: bool,
    pub(crate) call: fn(&Scene, &LocalKms) -> KmsResult<Secrets>,
}

const fn case(
    operation: &'static str,
    about: About,
    parameter: &'static str,
    call: fn(&Scene, &LocalKms) -> KmsResult<Secrets>,
) -> Case {
    Case {
        operation,
        about,
        parameter: if parameter.is_empty() {
            None
        } else {
            Some(parameter)
        },
        read_only: false,
        by_policy: true,
        call,
    }
}

impl Case {
    const fn reading(mut self) -> Self {
        self.read_only = true;
        self
    }

    const fn of_the_application(mut self) -> Self {
        self.by_policy = false;
        self
    }
}

fn none<T>(result: KmsResult<T>) -> KmsResult<Secrets> {
    result.map(|_| Secrets::new())
}

fn one(result: KmsResult<SecretBytes>) -> KmsResult<Secrets> {
    result.map(|secret| vec![secret.expose().to_vec()])
}

pub(crate) fn grant_request() -> CreateGrant {
    CreateGrant::new(user("bob"), [GrantOperation::Decrypt])
        .retiring_principal(user("carol"))
        .name("nightly")
        .context_subset(&EncryptionContext::from([("tenant", "7")]))
}

/// All calls but `service_key`, `owned_key` and those of the provider.
#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    case("CancelKeyDeletion", About::Doomed, "keyId", |s, kms| none(wait(kms.cancel_deletion(&s.doomed.id)))),
    case("ChangeRoot", About::None, "", |_, kms| none(wait(kms.change_root(root())))).of_the_application(),
    case("CreateAlias", About::Key, "aliasName", |s, kms| none(wait(kms.create_alias("alias/new", &s.key.id)))),
    case("CreateGrant", About::Key, "granteePrincipal", |s, kms| none(wait(kms.create_grant(&s.key.id, grant_request())))),
    case("CreateKey", About::None, "description", |_, kms| {
        let request = CreateKey::new().alias("alias/created").tag("a", "b").description("new");
        none(wait(kms.create_key(request.policy(policy_with("")))))
    }),
    case("Decrypt", About::Key, "encryptionContext", |s, kms| one(wait(kms.decrypt(&s.blob, None, &context())).map(|o| o.plaintext))).reading(),
    case("Decrypt", About::Key, "keyId", |s, kms| one(wait(kms.decrypt(&s.blob, Some("alias/key"), &context())).map(|o| o.plaintext))).reading(),
    case("DeleteAlias", About::Key, "aliasName", |_, kms| none(wait(kms.delete_alias("alias/key")))),
    case("DeleteImportedKeyMaterial", About::External, "keyId", |s, kms| none(wait(kms.delete_imported_key_material(&s.external.id, None)))),
    case("DescribeKey", About::Key, "keyId", |_, kms| none(wait(kms.describe_key("alias/key")))).reading(),
    case("DescribeKey", About::Key, "keyId", |_, kms| none(wait(kms.resolve("alias/key")))).reading(),
    case("DescribeKey", About::Key, "keyId", |s, kms| none(wait(kms.usage(&s.key.arn)))).reading(),
    case("DescribeKey", About::Key, "keyId", |s, kms| none(wait(kms.deleted_key(&s.key.id)))).reading(),
    case("DisableKey", About::Key, "keyId", |s, kms| none(wait(kms.disable_key(&s.key.id)))),
    case("DisableKeyRotation", About::Key, "keyId", |s, kms| none(wait(kms.disable_rotation(&s.key.id)))),
    case("EnableKey", About::Key, "keyId", |s, kms| none(wait(kms.enable_key(&s.key.id)))),
    case("EnableKeyRotation", About::Key, "rotationPeriodInDays", |s, kms| none(wait(kms.enable_rotation(&s.key.id, Some(180))))),
    case("Encrypt", About::Key, "encryptionContext", |s, kms| {
        let text = b"a text that nobody is told";
        wait(kms.encrypt(&s.key.id, text, &context())).map(|_| vec![text.to_vec()])
    }).reading(),
    case("ExportStore", About::None, "", |_, kms| none(wait(kms.export(&root())))).reading().of_the_application(),
    case("GenerateDataKey", About::Key, "keySpec", |s, kms| {
        one(wait(kms.generate_data_key(&s.key.id, DataKeySpec::Aes256, &context())).map(|made| made.plaintext))
    }).reading(),
    case("GenerateDataKeyWithoutPlaintext", About::Key, "numberOfBytes", |s, kms| {
        none(wait(kms.generate_data_key_without_plaintext(&s.key.id, DataKeySpec::Bytes(40), &context())))
    }).reading(),
    case("GenerateRandom", About::None, "numberOfBytes", |_, kms| one(kms.generate_random(24))).reading(),
    case("GetKeyPolicy", About::Key, "keyId", |s, kms| none(wait(kms.get_key_policy(&s.key.id)))).reading(),
    case("GetKeyRotationStatus", About::Key, "keyId", |s, kms| none(wait(kms.rotation_status(&s.key.id)))).reading(),
    case("ImportKeyMaterial", About::External, "keyId", |s, kms| {
        let material = material(1);
        wait(kms.import_key_material(&s.external.id, &material, ImportOptions::new()))
            .map(|()| vec![material.expose().to_vec()])
    }),
    case("ImportStore", About::None, "", |s, kms| none(wait(kms.import(&s.backup, &root())))).of_the_application(),
    case("ListAliases", About::None, "", |_, kms| none(wait(kms.list_aliases(None)))).reading(),
    case("ListAliases", About::Key, "keyId", |s, kms| none(wait(kms.list_aliases(Some(&s.key.id))))).reading(),
    case("ListGrants", About::Key, "keyId", |s, kms| none(wait(kms.list_grants(&s.key.id)))).reading(),
    case("ListKeyPolicies", About::Key, "keyId", |s, kms| none(wait(kms.list_key_policies(&s.key.id)))).reading(),
    case("ListKeyRotations", About::Key, "keyId", |s, kms| none(wait(kms.rotations(&s.key.id)))).reading(),
    case("ListKeys", About::None, "", |_, kms| none(wait(kms.list_keys(None, 10)))).reading(),
    case("ListResourceTags", About::Key, "keyId", |s, kms| none(wait(kms.tags(&s.key.id)))).reading(),
    case("ListRetirableGrants", About::None, "retiringPrincipal", |_, kms| none(wait(kms.list_retirable_grants(&user("carol"))))).reading(),
    case("PutKeyPolicy", About::Key, "policy", |s, kms| none(wait(kms.put_key_policy(&s.key.id, &policy_with(""))))),
    case("PutKeyPolicy", About::Key, "bypassPolicyLockoutSafetyCheck", |s, kms| none(wait(kms.put_key_policy_unchecked(&s.key.id, &policy_with(""))))),
    case("RetireGrant", About::Key, "grantId", |s, kms| none(wait(kms.retire_grant(&s.key.id, &s.grant.id)))),
    case("RetireGrant", About::Key, "grantId", |s, kms| none(wait(kms.retire_grant_by_token(&s.grant.token)))),
    case("RevokeGrant", About::Key, "grantId", |s, kms| none(wait(kms.revoke_grant(&s.key.id, &s.grant.id)))),
    case("RotateKeyOnDemand", About::Key, "keyId", |s, kms| none(wait(kms.rotate(&s.key.id)))),
    case("RotateStoreKey", About::None, "", |_, kms| none(wait(kms.rotate_store_key()))).of_the_application(),
    case("RotateStoreKey", About::None, "", |_, kms| none(wait(kms.reseal()))).of_the_application(),
    case("ScheduleKeyDeletion", About::Key, "pendingWindowInDays", |s, kms| none(wait(kms.schedule_deletion(&s.key.id, Some(9))))),
    case("SetMinimumVersion", About::Key, "minimumVersion", |s, kms| none(wait(kms.set_minimum_version(&s.key.id, 1)))),
    case("TagResource", About::Key, "tags", |s, kms| none(wait(kms.tag(&s.key.id, &tags(&[("new", "tag")]))))),
    case("UntagResource", About::Key, "tagKeys", |s, kms| none(wait(kms.untag(&s.key.id, &["tag"])))),
    case("UpdateAlias", About::Other, "aliasName", |s, kms| none(wait(kms.update_alias("alias/key", &s.other.id)))),
    case("UpdateKeyDescription", About::Key, "description", |s, kms| none(wait(kms.update_description(&s.key.id, "other")))),
];

/// Of two keys; and those that take an RSA key.
#[rustfmt::skip]
pub(crate) const MORE_CASES: &[Case] = &[
    case("ReEncrypt", About::Key, "destinationKeyId", |s, kms| {
        none(wait(kms.re_encrypt(&s.blob, Some(&s.key.id), &context(), &s.other.id, &context())))
    }).reading(),
    #[cfg(feature = "aws-lc-rs")]
    case("GetParametersForImport", About::External, "keyId", |s, kms| none(parameters(s, kms))).reading(),
    #[cfg(feature = "aws-lc-rs")]
    case("ImportKeyMaterial", About::External, "keyId", |s, kms| {
        none(wait(kms.import_wrapped_key_material(&s.external.id, &[0; 32], &[0; 256], ImportOptions::new())))
    }),
];

#[cfg(feature = "aws-lc-rs")]
fn parameters(scene: &Scene, kms: &LocalKms) -> KmsResult<waxseal::kms::ImportParameters> {
    use waxseal::kms::{WrappingAlgorithm, WrappingKeySpec};
    let (algorithm, spec) = (WrappingAlgorithm::RsaesOaepSha256, WrappingKeySpec::Rsa2048);
    wait(kms.get_parameters_for_import(&scene.external.id, algorithm, spec))
}

/// Every operation is in the tables, but what the KMS does by itself.
#[test]
fn every_operation_is_called() {
    let automatic = ["DeleteExpiredKeyMaterial", "DeleteKey", "RotateKey"];
    let wrapped = if cfg!(feature = "aws-lc-rs") {
        ""
    } else {
        "GetParametersForImport"
    };
    for operation in Operation::ALL {
        let name = operation.name();
        let mut cases = CASES.iter().chain(MORE_CASES);
        let is_called = cases.any(|case| case.operation == name);
        assert_eq!(
            is_called,
            !automatic.contains(&name) && name != wrapped,
            "{name}"
        );
    }
}

impl Scene {
    pub(crate) fn arn(&self, about: About) -> Option<&str> {
        match about {
            About::Key => Some(&self.key.arn),
            About::Other => Some(&self.other.arn),
            About::External => Some(&self.external.arn),
            About::Doomed => Some(&self.doomed.arn),
            About::None => None,
        }
    }
}

pub(crate) fn client(kms: &LocalKms, key: &str) -> Client {
    let builder = Client::builder(kms.provider(key)).signed(false);
    builder.build().expect("good settings").blocking()
}
