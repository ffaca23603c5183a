"""Every operation of the server, right and wrong, by AWS's own client.

`run` makes keys in every state and then goes through the table of `cases`. What
each case expects is what AWS KMS answers: its API reference, and where that says
too little, what others have recorded of the service.
"""

import json
import os
import uuid

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from server import ACCOUNT, OTHER, REGION, error_of

OPERATIONS = """
CancelKeyDeletion CreateAlias CreateGrant CreateKey Decrypt DeleteAlias DeleteImportedKeyMaterial
DescribeKey DisableKey DisableKeyRotation EnableKey EnableKeyRotation Encrypt GenerateDataKey
GenerateDataKeyWithoutPlaintext GenerateRandom GetKeyPolicy GetKeyRotationStatus
GetParametersForImport ImportKeyMaterial ListAliases ListGrants ListKeyPolicies ListKeyRotations
ListKeys ListResourceTags ListRetirableGrants PutKeyPolicy ReEncrypt RetireGrant RevokeGrant
RotateKeyOnDemand ScheduleKeyDeletion TagResource UntagResource UpdateAlias UpdateKeyDescription
""".split()

# Operations of AWS KMS's that this server has not.
UNKNOWN = [
    ("get_public_key", {"KeyId": "k"}),
    ("sign", {"KeyId": "k", "Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}),
    ("generate_mac", {"KeyId": "k", "Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}),
    ("generate_data_key_pair", {"KeyId": "k", "KeyPairSpec": "RSA_2048"}),
    ("replicate_key", {"KeyId": "k", "ReplicaRegion": "eu-west-1"}),
    ("describe_custom_key_stores", {}),
]

VALIDATION = ("ValidationException", 400)
SERIALIZATION = ("SerializationException", 400)
NOT_FOUND = ("NotFoundException", 400)
INVALID_ARN = ("InvalidArnException", 400)
INVALID_STATE = ("KMSInvalidStateException", 400)
DISABLED = ("DisabledException", 400)
UNSUPPORTED = ("UnsupportedOperationException", 400)
DENIED = ("AccessDeniedException", 400)
INVALID_CIPHERTEXT = ("InvalidCiphertextException", 400)
LIMIT = ("LimitExceededException", 400)
TAG = ("TagException", 400)
DRY_RUN = ("DryRunOperationException", 400)
MARKER = ("InvalidMarkerException", 400)

NO_KEY = str(uuid.UUID(int=0x1111_4111_8111_111111111111, version=4))
WRONG_TYPE = 5


def arn(account, resource):
    return f"arn:aws:kms:{REGION}:{account}:{resource}"


class Keys:
    """Keys in every state, and what was made with them."""

    def __init__(self, server):
        kms = server.client()
        new = lambda **options: kms.create_key(**options)["KeyMetadata"]["KeyId"]
        self.enabled, self.spare = new(), new()
        self.disabled, self.deleting = new(), new()
        self.external, self.imported = new(Origin="EXTERNAL"), new(Origin="EXTERNAL")
        self.other = server.client("AKIAOTHER").create_key()["KeyMetadata"]["Arn"]
        self.alias = "alias/enabled"
        kms.create_alias(AliasName=self.alias, TargetKeyId=self.enabled)
        kms.create_alias(AliasName="alias/spare", TargetKeyId=self.spare)
        self.alias_marker = kms.list_aliases(Limit=1)["NextMarker"]
        self.key_marker = kms.list_keys(Limit=1)["NextMarker"]
        self.secret = b"a plaintext to be encrypted " + os.urandom(8)
        server.secrets.append(self.secret)
        encrypt = lambda key: kms.encrypt(
            KeyId=key, Plaintext=self.secret, EncryptionContext={"a": "b"}
        )["CiphertextBlob"]
        self.blob, self.disabled_blob = encrypt(self.enabled), encrypt(self.disabled)
        self.deleting_blob = encrypt(self.deleting)
        self.material = os.urandom(32)
        server.secrets.append(self.material)
        parameters = import_material(kms, self.imported, self.material)
        self.used_token = parameters["ImportToken"]
        kms.disable_key(KeyId=self.disabled)
        kms.schedule_key_deletion(KeyId=self.deleting, PendingWindowInDays=7)


def wrap(parameters, material, hash=hashes.SHA256):
    key = serialization.load_der_public_key(parameters["PublicKey"])
    return key.encrypt(material, padding.OAEP(padding.MGF1(hash()), hash(), None))


def import_material(kms, key, material, **options):
    parameters = kms.get_parameters_for_import(
        KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
    )
    options = options or {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    imported = kms.import_key_material(
        KeyId=key,
        ImportToken=parameters["ImportToken"],
        EncryptedKeyMaterial=wrap(parameters, material),
        **options,
    )
    return {**parameters, **imported}


def names_of_keys(keys, takes_alias):
    """Wrong ways to name a key, which are the same for each operation."""
    yield NO_KEY, NOT_FOUND
    yield arn(ACCOUNT, f"key/{NO_KEY}"), NOT_FOUND
    yield "no-key-id", NOT_FOUND
    yield arn(ACCOUNT, "key/no-key-id"), NOT_FOUND
    yield "", VALIDATION
    yield "k" * 2049, VALIDATION
    yield WRONG_TYPE, SERIALIZATION
    yield None, VALIDATION
    yield "arn:aws:kms", INVALID_ARN
    yield f"arn:aws:s3:::{keys.enabled}", INVALID_ARN
    yield arn(ACCOUNT, f"thing/{keys.enabled}"), INVALID_ARN
    yield f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{keys.enabled}", NOT_FOUND
    yield arn("999999999999", f"key/{keys.enabled}"), DENIED
    yield keys.other, DENIED
    if takes_alias:
        yield "alias/no-alias", NOT_FOUND
        yield arn(ACCOUNT, "alias/no-alias"), NOT_FOUND
    else:
        yield keys.alias, NOT_FOUND
        yield arn(ACCOUNT, keys.alias), INVALID_ARN


def about_keys(keys):
    """The operations that are about one key: the member that names it, whether
    an alias may, and the other members that it needs."""
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    tag = [{"TagKey": "k", "TagValue": "v"}]
    grant = {"GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:user/alice", "Operations": ["Encrypt"]}
    parameters = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    material = {"ImportToken": b"t", "EncryptedKeyMaterial": b"m", "ExpirationModel":
                "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    spec = {"KeySpec": "AES_256"}
    yield "cancel_key_deletion", "KeyId", False, {}
    yield "create_alias", "TargetKeyId", False, {"AliasName": "alias/new"}
    yield "create_grant", "KeyId", False, grant
    yield "delete_imported_key_material", "KeyId", False, {}
    yield "describe_key", "KeyId", True, {}
    yield "disable_key", "KeyId", False, {}
    yield "disable_key_rotation", "KeyId", False, {}
    yield "enable_key", "KeyId", False, {}
    yield "enable_key_rotation", "KeyId", False, {}
    yield "encrypt", "KeyId", True, {"Plaintext": b"p"}
    yield "generate_data_key", "KeyId", True, spec
    yield "generate_data_key_without_plaintext", "KeyId", True, spec
    yield "get_key_policy", "KeyId", False, {}
    yield "get_key_rotation_status", "KeyId", False, {}
    yield "get_parameters_for_import", "KeyId", False, parameters
    yield "import_key_material", "KeyId", False, material
    yield "list_grants", "KeyId", False, {}
    yield "list_key_policies", "KeyId", False, {}
    yield "list_key_rotations", "KeyId", False, {}
    yield "list_resource_tags", "KeyId", False, {}
    yield "put_key_policy", "KeyId", False, {"Policy": policy}
    yield "re_encrypt", "DestinationKeyId", True, {
        "CiphertextBlob": keys.blob, "SourceEncryptionContext": {"a": "b"}}
    yield "revoke_grant", "KeyId", False, {"GrantId": "g"}
    yield "rotate_key_on_demand", "KeyId", False, {}
    yield "schedule_key_deletion", "KeyId", False, {}
    yield "tag_resource", "KeyId", False, {"Tags": tag}
    yield "untag_resource", "KeyId", False, {"TagKeys": ["k"]}
    yield "update_alias", "TargetKeyId", False, {"AliasName": "alias/enabled"}
    yield "update_key_description", "KeyId", False, {"Description": "d"}


def lists(key):
    """The operations that answer in parts: the members that they need, and the
    largest part that may be asked for."""
    yield "list_keys", {}, 1000
    yield "list_aliases", {}, 100
    yield "list_grants", {"KeyId": key}, 100
    yield "list_key_policies", {"KeyId": key}, 1000
    yield "list_key_rotations", {"KeyId": key}, 1000
    yield "list_resource_tags", {"KeyId": key}, 50
    yield "list_retirable_grants", {"RetiringPrincipal": f"arn:aws:iam::{ACCOUNT}:root"}, 100


def wrong_cases(keys):
    """What is refused by its own rules: operation, members, error."""
    key = keys.enabled
    context = {"EncryptionContext": {"a": "b"}}
    decrypt = {"CiphertextBlob": keys.blob, **context}
    yield "cancel_key_deletion", {"KeyId": key}, INVALID_STATE
    yield "create_alias", {"AliasName": keys.alias, "TargetKeyId": key}, (
        "AlreadyExistsException", 400)
    yield "create_alias", {"AliasName": "no-prefix", "TargetKeyId": key}, VALIDATION
    yield "create_alias", {"AliasName": "alias/", "TargetKeyId": key}, (
        "InvalidAliasNameException", 400)
    yield "create_alias", {"AliasName": "alias/aws/x", "TargetKeyId": key}, (
        "NotAuthorizedException", 400)
    yield "create_alias", {"AliasName": "alias/a:b", "TargetKeyId": key}, VALIDATION
    yield "create_alias", {"AliasName": "alias/a b", "TargetKeyId": key}, VALIDATION
    yield "create_alias", {"AliasName": "alias/" + "x" * 251, "TargetKeyId": key}, VALIDATION
    yield "create_alias", {"AliasName": "alias/d", "TargetKeyId": keys.deleting}, INVALID_STATE
    yield "update_alias", {"AliasName": "alias/none", "TargetKeyId": key}, NOT_FOUND
    yield "delete_alias", {"AliasName": "alias/none"}, NOT_FOUND
    yield "delete_alias", {"AliasName": "none"}, VALIDATION
    yield "delete_alias", {}, VALIDATION
    grant = {"KeyId": key, "GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:user/alice"}
    yield "create_grant", {**grant, "Operations": []}, VALIDATION
    yield "create_grant", {**grant, "Operations": ["Fly"]}, VALIDATION
    yield "create_grant", {**grant, "Operations": ["Sign"]}, VALIDATION
    yield "create_grant", {"KeyId": key, "Operations": ["Encrypt"]}, VALIDATION
    yield "create_grant", {**grant, "GranteePrincipal": "nobody", "Operations": ["Encrypt"]}, (
        "InvalidArnException", 400)
    yield "create_grant", {**grant, "Operations": ["Encrypt"], "Name": "a b"}, VALIDATION
    yield "create_grant", {**grant, "Operations": ["Encrypt"], "DryRun": True}, DRY_RUN
    yield "create_grant", {**grant, "KeyId": keys.disabled, "Operations": ["Encrypt"]}, DISABLED
    yield "create_grant", {**grant, "KeyId": keys.deleting, "Operations": ["Encrypt"]}, (
        INVALID_STATE)
    yield "create_grant", {**grant, "Operations": ["DescribeKey"], "Constraints": {
        "EncryptionContextSubset": {"a": "b"}}}, VALIDATION
    yield "create_grant", {"KeyId": key, "Operations": ["Encrypt"], "GranteePrincipal":
                           f"arn:aws:iam::{ACCOUNT}:user/a", "GranteeServicePrincipal":
                           "dynamodb.us-east-1.amazonaws.com"}, UNSUPPORTED
    yield "create_key", {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}, UNSUPPORTED
    yield "create_key", {"KeySpec": "HMAC_256"}, VALIDATION
    yield "create_key", {"KeySpec": "NO_SPEC"}, VALIDATION
    yield "create_key", {"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec":
                         "SYMMETRIC_DEFAULT"}, VALIDATION
    yield "create_key", {"KeyUsage": "SIGN_VERIFY"}, VALIDATION
    yield "create_key", {"MultiRegion": True}, UNSUPPORTED
    yield "create_key", {"Origin": "AWS_CLOUDHSM"}, VALIDATION
    yield "create_key", {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": "cks-1"}, (
        "CustomKeyStoreNotFoundException", 400)
    yield "create_key", {"CustomKeyStoreId": "cks-1"}, VALIDATION
    yield "create_key", {"Description": "d" * 8193}, VALIDATION
    yield "create_key", {"Description": {}}, SERIALIZATION
    yield "create_key", {"Tags": [{"TagKey": "a"}]}, VALIDATION
    yield "create_key", {"Tags": [{"TagKey": f"k{n}", "TagValue": "v"} for n in range(51)]}, TAG
    yield "create_key", {"Tags": [{"TagKey": "a", "TagValue": "1"}] * 2}, TAG
    yield "create_key", {"Policy": "{"}, ("MalformedPolicyDocumentException", 400)
    yield "create_key", {"Policy": "x" * 32769}, LIMIT
    yield "decrypt", {"CiphertextBlob": keys.blob}, INVALID_CIPHERTEXT
    yield "decrypt", {**decrypt, "EncryptionContext": {"a": "c"}}, INVALID_CIPHERTEXT
    yield "decrypt", {**decrypt, "EncryptionContext": {"a": "b", "c": "d"}}, INVALID_CIPHERTEXT
    yield "decrypt", {**decrypt, "EncryptionContext": {"a": 1}}, SERIALIZATION
    damaged = keys.blob[:-1] + bytes([keys.blob[-1] ^ 1])
    yield "decrypt", {**decrypt, "CiphertextBlob": damaged}, INVALID_CIPHERTEXT
    yield "decrypt", {**decrypt, "CiphertextBlob": b"no ciphertext"}, INVALID_CIPHERTEXT
    yield "decrypt", {**decrypt, "CiphertextBlob": b""}, VALIDATION
    yield "decrypt", {**decrypt, "CiphertextBlob": b"x" * 6145}, VALIDATION
    yield "decrypt", context, VALIDATION
    yield "decrypt", {**decrypt, "KeyId": keys.spare}, ("IncorrectKeyException", 400)
    yield "decrypt", {**decrypt, "KeyId": NO_KEY}, NOT_FOUND
    yield "decrypt", {**decrypt, "KeyId": "alias/none"}, NOT_FOUND
    yield "decrypt", {**decrypt, "EncryptionAlgorithm": "RSAES_OAEP_SHA_1"}, (
        "InvalidKeyUsageException", 400)
    yield "decrypt", {**decrypt, "DryRun": True}, DRY_RUN
    yield "decrypt", {**decrypt, "DryRun": "yes"}, SERIALIZATION
    # A dry run looks at the ciphertext too.
    yield "decrypt", {**decrypt, "CiphertextBlob": damaged, "DryRun": True}, INVALID_CIPHERTEXT
    yield "decrypt", {"CiphertextBlob": keys.blob, "DryRun": True}, INVALID_CIPHERTEXT
    yield "decrypt", {**decrypt, "GrantTokens": ["t"] * 11}, VALIDATION
    yield "decrypt", {**decrypt, "GrantTokens": ["no-token"]}, ("InvalidGrantTokenException", 400)
    yield "decrypt", {**decrypt, "Recipient": {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
                                               "AttestationDocument": b"d"}}, UNSUPPORTED
    yield "decrypt", {"CiphertextBlob": keys.disabled_blob, **context}, DISABLED
    yield "decrypt", {"CiphertextBlob": keys.deleting_blob, **context}, INVALID_STATE
    yield "delete_imported_key_material", {"KeyId": key}, UNSUPPORTED
    yield "delete_imported_key_material", {"KeyId": keys.imported, "KeyMaterialId": "0" * 64}, (
        NOT_FOUND)
    yield "delete_imported_key_material", {"KeyId": keys.imported, "KeyMaterialId": "0"}, (
        VALIDATION)
    yield "disable_key", {"KeyId": keys.deleting}, INVALID_STATE
    yield "enable_key", {"KeyId": keys.deleting}, INVALID_STATE
    yield "enable_key", {"KeyId": keys.external}, INVALID_STATE
    yield "disable_key_rotation", {"KeyId": keys.disabled}, DISABLED
    yield "disable_key_rotation", {"KeyId": keys.imported}, UNSUPPORTED
    yield "enable_key_rotation", {"KeyId": keys.disabled}, DISABLED
    yield "enable_key_rotation", {"KeyId": keys.deleting}, INVALID_STATE
    yield "enable_key_rotation", {"KeyId": keys.imported}, UNSUPPORTED
    yield "enable_key_rotation", {"KeyId": key, "RotationPeriodInDays": 89}, VALIDATION
    yield "enable_key_rotation", {"KeyId": key, "RotationPeriodInDays": 2561}, VALIDATION
    encrypt = {"KeyId": key, "Plaintext": b"plaintext"}
    yield "encrypt", {"KeyId": key}, VALIDATION
    yield "encrypt", {**encrypt, "Plaintext": b""}, VALIDATION
    yield "encrypt", {**encrypt, "Plaintext": b"x" * 4097}, VALIDATION
    yield "encrypt", {**encrypt, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, (
        "InvalidKeyUsageException", 400)
    yield "encrypt", {**encrypt, "EncryptionAlgorithm": "ROT13"}, VALIDATION
    yield "encrypt", {**encrypt, "DryRun": True}, DRY_RUN
    for operation, rest in [("encrypt", {"Plaintext": b"p"}), ("generate_data_key", {"KeySpec":
                            "AES_128"}), ("generate_data_key_without_plaintext", {
                            "NumberOfBytes": 8})]:
        yield operation, {"KeyId": keys.disabled, **rest}, DISABLED
        yield operation, {"KeyId": keys.deleting, **rest}, INVALID_STATE
        yield operation, {"KeyId": keys.external, **rest}, INVALID_STATE
        # A dry run tells of states too.
        yield operation, {"KeyId": keys.disabled, "DryRun": True, **rest}, DISABLED
    for operation in ["generate_data_key", "generate_data_key_without_plaintext"]:
        yield operation, {"KeyId": key}, VALIDATION
        yield operation, {"KeyId": key, "KeySpec": "AES_256", "NumberOfBytes": 32}, VALIDATION
        yield operation, {"KeyId": key, "KeySpec": "AES_192"}, VALIDATION
        yield operation, {"KeyId": key, "NumberOfBytes": 0}, VALIDATION
        yield operation, {"KeyId": key, "NumberOfBytes": 1025}, VALIDATION
        yield operation, {"KeyId": key, "NumberOfBytes": "8"}, SERIALIZATION
        yield operation, {"KeyId": key, "KeySpec": "AES_256", "DryRun": True}, DRY_RUN
    yield "generate_random", {}, VALIDATION
    yield "generate_random", {"NumberOfBytes": 0}, VALIDATION
    yield "generate_random", {"NumberOfBytes": 1025}, VALIDATION
    yield "generate_random", {"NumberOfBytes": 8, "CustomKeyStoreId": "cks-1"}, (
        "CustomKeyStoreNotFoundException", 400)
    yield "get_key_policy", {"KeyId": key, "PolicyName": "other"}, NOT_FOUND
    parameters = {"KeyId": keys.external, "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
                  "WrappingKeySpec": "RSA_2048"}
    yield "get_parameters_for_import", {**parameters, "KeyId": key}, UNSUPPORTED
    yield "get_parameters_for_import", {**parameters, "KeyId": keys.deleting}, UNSUPPORTED
    yield "get_parameters_for_import", {**parameters, "WrappingKeySpec": "RSA_1024"}, VALIDATION
    yield "get_parameters_for_import", {**parameters, "WrappingAlgorithm":
                                        "RSA_AES_KEY_WRAP_SHA_256"}, UNSUPPORTED
    yield "get_parameters_for_import", {"KeyId": keys.external}, VALIDATION
    material = {"KeyId": keys.imported, "ImportToken": b"no token", "EncryptedKeyMaterial": b"x",
                "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    yield "import_key_material", material, ("InvalidImportTokenException", 400)
    yield "import_key_material", {**material, "ImportToken": keys.used_token}, INVALID_CIPHERTEXT
    yield "import_key_material", {**material, "KeyId": key}, UNSUPPORTED
    yield "import_key_material", {**material, "ExpirationModel": "KEY_MATERIAL_EXPIRES"}, (
        VALIDATION)
    yield "import_key_material", {**material, "ValidTo": 2000000000}, VALIDATION
    yield "import_key_material", {"KeyId": keys.imported}, VALIDATION
    # The largest Limit is what the documentation of the member says.
    for operation, rest, largest in lists(key):
        yield operation, {**rest, "Limit": 0}, VALIDATION
        yield operation, {**rest, "Limit": largest + 1}, VALIDATION
        yield operation, {**rest, "Limit": largest}, None
        yield operation, {**rest, "Marker": "no-marker"}, MARKER
        yield operation, {**rest, "Marker": ""}, VALIDATION
        # Of another operation.
        marker = keys.alias_marker if operation != "list_aliases" else keys.key_marker
        yield operation, {**rest, "Marker": marker}, MARKER
    yield "list_aliases", {"KeyId": NO_KEY}, NOT_FOUND
    yield "list_grants", {"KeyId": key, "GranteePrincipal": "nobody"}, INVALID_ARN
    yield "list_key_rotations", {"KeyId": key, "IncludeKeyMaterial": "SOME"}, VALIDATION
    yield "list_retirable_grants", {}, VALIDATION
    yield "list_retirable_grants", {"RetiringPrincipal": "nobody"}, INVALID_ARN
    malformed = ("MalformedPolicyDocumentException", 400)
    policy = {"KeyId": key, "Policy": "{}"}
    yield "put_key_policy", {**policy, "Policy": "no JSON"}, malformed
    yield "put_key_policy", {**policy, "Policy": json.dumps({"Version": "2012-10-17",
                             "Statement": [{"Effect": "Perhaps"}]})}, malformed
    # It would lock its author out.
    yield "put_key_policy", {**policy, "Policy": json.dumps(policy_for("bob"))}, malformed
    yield "put_key_policy", {**policy, "Policy": "x" * 32769}, LIMIT
    yield "put_key_policy", {**policy, "Policy": "x" * 131073}, VALIDATION
    yield "put_key_policy", {**policy, "Policy": ""}, VALIDATION
    yield "put_key_policy", {**policy, "PolicyName": "other"}, NOT_FOUND
    again = {"CiphertextBlob": keys.blob, "SourceEncryptionContext": {"a": "b"},
             "DestinationKeyId": keys.spare}
    yield "re_encrypt", {**again, "SourceEncryptionContext": {}}, INVALID_CIPHERTEXT
    yield "re_encrypt", {**again, "SourceKeyId": keys.spare}, ("IncorrectKeyException", 400)
    yield "re_encrypt", {**again, "DestinationKeyId": keys.disabled}, DISABLED
    yield "re_encrypt", {**again, "DestinationKeyId": keys.deleting}, INVALID_STATE
    yield "re_encrypt", {**again, "CiphertextBlob": keys.disabled_blob}, DISABLED
    yield "re_encrypt", {**again, "DryRun": True}, DRY_RUN
    yield "re_encrypt", {"DestinationKeyId": key}, VALIDATION
    yield "retire_grant", {}, VALIDATION
    yield "retire_grant", {"GrantToken": "no-token"}, ("InvalidGrantTokenException", 400)
    yield "retire_grant", {"KeyId": key, "GrantId": "g"}, INVALID_ARN
    yield "retire_grant", {"KeyId": arn(ACCOUNT, f"key/{key}"), "GrantId": "0" * 64}, NOT_FOUND
    yield "revoke_grant", {"KeyId": key, "GrantId": "0" * 64}, NOT_FOUND
    yield "revoke_grant", {"KeyId": key}, VALIDATION
    yield "revoke_grant", {"KeyId": key, "GrantId": "g" * 129}, VALIDATION
    yield "rotate_key_on_demand", {"KeyId": keys.disabled}, DISABLED
    yield "rotate_key_on_demand", {"KeyId": keys.deleting}, INVALID_STATE
    # There is no new material.
    yield "rotate_key_on_demand", {"KeyId": keys.imported}, UNSUPPORTED
    yield "schedule_key_deletion", {"KeyId": key, "PendingWindowInDays": 6}, VALIDATION
    yield "schedule_key_deletion", {"KeyId": key, "PendingWindowInDays": 31}, VALIDATION
    yield "schedule_key_deletion", {"KeyId": keys.deleting}, INVALID_STATE
    tag = {"TagKey": "k", "TagValue": "v"}
    yield "tag_resource", {"KeyId": key, "Tags": [{**tag, "TagKey": ""}]}, VALIDATION
    yield "tag_resource", {"KeyId": key, "Tags": [{**tag, "TagValue": "v" * 257}]}, VALIDATION
    yield "tag_resource", {"KeyId": key, "Tags": [{**tag, "TagKey": "aws:k"}]}, TAG
    yield "tag_resource", {"KeyId": key, "Tags": [tag, tag]}, TAG
    yield "tag_resource", {"KeyId": keys.deleting, "Tags": [tag]}, INVALID_STATE
    yield "tag_resource", {"KeyId": key}, VALIDATION
    yield "untag_resource", {"KeyId": key, "TagKeys": [""]}, VALIDATION
    yield "untag_resource", {"KeyId": key, "TagKeys": ["aws:k"]}, TAG
    yield "untag_resource", {"KeyId": keys.deleting, "TagKeys": ["k"]}, INVALID_STATE
    yield "update_key_description", {"KeyId": key, "Description": "d" * 8193}, VALIDATION
    yield "update_key_description", {"KeyId": key}, VALIDATION
    yield "update_key_description", {"KeyId": keys.deleting, "Description": "d"}, INVALID_STATE


def policy_for(*users):
    """A key policy for these users alone."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": [f"arn:aws:iam::{ACCOUNT}:user/{user}" for user in users]},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }


def wrong(server, keys, report):
    kms = server.client()
    for operation, member, takes_alias, rest in about_keys(keys):
        for name, error in names_of_keys(keys, takes_alias):
            arguments = {member: name, **rest}
            if name is None:
                del arguments[member]
            report(operation, arguments, error_of(getattr(kms, operation), **arguments), error)
    for operation, arguments, error in wrong_cases(keys):
        report(operation, arguments, error_of(getattr(kms, operation), **arguments), error)
    for operation, arguments in UNKNOWN:
        found = error_of(getattr(kms, operation), **arguments)
        report(operation, arguments, found, ("UnknownOperationException", 404))


def denied(server, keys, report):
    """Who may not: a user without policies, and another account."""
    alice = server.client("AKIAALICE")
    for operation, member, _, rest in about_keys(keys):
        arguments = {member: keys.enabled, **rest}
        if operation in ("cancel_key_deletion",):
            arguments[member] = keys.deleting
        report(operation, arguments, error_of(getattr(alice, operation), **arguments), DENIED)
    decrypt = {"CiphertextBlob": keys.blob, "EncryptionContext": {"a": "b"}}
    for operation, arguments in [
        ("create_key", {}),
        ("decrypt", decrypt),
        ("decrypt", {**decrypt, "DryRun": True}),
        ("delete_alias", {"AliasName": keys.alias}),
        ("generate_random", {"NumberOfBytes": 8}),
        ("list_aliases", {}),
        ("list_keys", {}),
    ]:
        report(operation, arguments, error_of(getattr(alice, operation), **arguments), DENIED)
    other = server.client("AKIAOTHER")
    for arguments in [decrypt, {**decrypt, "KeyId": arn(ACCOUNT, f"key/{keys.enabled}")}]:
        report("decrypt", arguments, error_of(other.decrypt, **arguments), DENIED)
    # Whom an explicit Deny meets.
    bob = server.client("AKIABOB")
    arguments = {"KeyId": keys.enabled}
    report("describe_key", arguments, error_of(bob.describe_key, **arguments), None)
    found = error_of(bob.schedule_key_deletion, **arguments)
    report("schedule_key_deletion", arguments, found, DENIED)
    for name, client, error in [
        ("wrong secret", server.client(secret="wrong"), "InvalidSignatureException"),
        ("unknown key", server.client("AKIANOBODY", secret="x"), "UnrecognizedClientException"),
        ("wrong region", server.client(region="eu-west-1"), "InvalidSignatureException"),
    ]:
        report("list_keys", name, error_of(client.list_keys), (error, 400))
