"""What each operation answers when it is right: every member of its answer."""

import datetime
import json
import os

from operations import DENIED, LIMIT, NOT_FOUND, arn, import_material, policy_for, wrap
from server import ACCOUNT, OTHER, error_of, message_of

UTC = datetime.timezone.utc
METADATA = {
    "AWSAccountId": ACCOUNT,
    "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
    "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
    "KeyManager": "CUSTOMER",
    "KeySpec": "SYMMETRIC_DEFAULT",
    "KeyUsage": "ENCRYPT_DECRYPT",
    "MultiRegion": False,
}


def has(found, **wanted):
    for name, value in wanted.items():
        assert found[name] == value, f"{name} is {found[name]!r}, not {value!r}"


def pages(call, member, **arguments):
    """All parts of a list, one element at a time."""
    elements, marker = [], {}
    while True:
        page = call(Limit=1, **marker, **arguments)
        assert len(page[member]) <= 1, page
        elements += page[member]
        if not page["Truncated"]:
            assert "NextMarker" not in page, page
            return elements
        marker = {"Marker": page["NextMarker"]}


def keys_and_aliases(server):
    kms = server.client()
    created = kms.create_key(
        Description="first", Tags=[{"TagKey": "a", "TagValue": "b"}], KeyUsage="ENCRYPT_DECRYPT"
    )["KeyMetadata"]
    key = created["KeyId"]
    has(created, Description="first", Enabled=True, KeyState="Enabled", Origin="AWS_KMS",
        Arn=arn(ACCOUNT, f"key/{key}"), **METADATA)
    assert len(created["CurrentKeyMaterialId"]) == 64
    kms.update_key_description(KeyId=key, Description="second")
    kms.create_alias(AliasName="alias/one", TargetKeyId=key)
    kms.create_alias(AliasName="alias/two", TargetKeyId=created["Arn"])
    for name in [key, created["Arn"], "alias/one", arn(ACCOUNT, "alias/two")]:
        described = kms.describe_key(KeyId=name)["KeyMetadata"]
        has(described, KeyId=key, Description="second", **METADATA)
    everything = kms.list_keys(Limit=1000)["Keys"]
    assert {"KeyId": key, "KeyArn": created["Arn"]} in everything
    assert pages(kms.list_keys, "Keys") == everything
    listed = pages(kms.list_aliases, "Aliases", KeyId=key)
    assert [entry["AliasName"] for entry in listed] == ["alias/one", "alias/two"], listed
    has(listed[0], AliasArn=arn(ACCOUNT, "alias/one"), TargetKeyId=key)
    assert listed[0] in kms.list_aliases()["Aliases"]
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName="alias/one", TargetKeyId=other)
    assert kms.describe_key(KeyId="alias/one")["KeyMetadata"]["KeyId"] == other
    kms.delete_alias(AliasName="alias/two")
    assert error_of(kms.describe_key, KeyId="alias/two") == NOT_FOUND
    kms.disable_key(KeyId=key)
    has(kms.describe_key(KeyId=key)["KeyMetadata"], Enabled=False, KeyState="Disabled")
    kms.enable_key(KeyId=key)
    has(kms.describe_key(KeyId=key)["KeyMetadata"], Enabled=True, KeyState="Enabled")


def tags(server):
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": f"k{n:02}", "TagValue": "v"} for n in range(50)])
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "k00", "TagValue": ""}])
    more = [{"TagKey": "one-more", "TagValue": "v"}]
    assert error_of(kms.tag_resource, KeyId=key, Tags=more) == LIMIT
    # Who may not is told that, and nothing of limits.
    alice = server.client("AKIAALICE")
    assert error_of(alice.tag_resource, KeyId=key, Tags=more) == DENIED
    listed = pages(kms.list_resource_tags, "Tags", KeyId=key)
    assert len(listed) == 50 and listed[0] == {"TagKey": "k00", "TagValue": ""}, listed
    kms.untag_resource(KeyId=key, TagKeys=["k00", "not-there"])
    assert len(kms.list_resource_tags(KeyId=key)["Tags"]) == 49
    # One that replaces and one that is new; then no more.
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "k01", "TagValue": "w"}, *more])
    both = [{"TagKey": "k01", "TagValue": "x"}, {"TagKey": "k00", "TagValue": "v"}]
    assert error_of(kms.tag_resource, KeyId=key, Tags=both) == LIMIT
    listed = kms.list_resource_tags(KeyId=key)["Tags"]
    assert len(listed) == 50 and {"TagKey": "k01", "TagValue": "w"} in listed


def cryptography(server):
    kms = server.client()
    key, other = (kms.create_key()["KeyMetadata"] for _ in range(2))
    context = {"purpose": "test", "ключ": "значение", "": "x"}
    del context[""]
    plaintext = b"what is encrypted " + os.urandom(16)
    server.secrets.append(plaintext)
    encrypted = kms.encrypt(KeyId=key["KeyId"], Plaintext=plaintext, EncryptionContext=context)
    has(encrypted, KeyId=key["Arn"], EncryptionAlgorithm="SYMMETRIC_DEFAULT")
    for named in [{}, {"KeyId": key["KeyId"]}, {"KeyId": key["Arn"]},
                  {"EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}]:
        decrypted = kms.decrypt(
            CiphertextBlob=encrypted["CiphertextBlob"], EncryptionContext=context, **named
        )
        has(decrypted, Plaintext=plaintext, KeyId=key["Arn"],
            EncryptionAlgorithm="SYMMETRIC_DEFAULT", KeyMaterialId=key["CurrentKeyMaterialId"])
    again = kms.re_encrypt(
        CiphertextBlob=encrypted["CiphertextBlob"],
        SourceEncryptionContext=context,
        DestinationKeyId=other["Arn"],
        DestinationEncryptionContext={"purpose": "again"},
    )
    has(again, SourceKeyId=key["Arn"], KeyId=other["Arn"],
        SourceKeyMaterialId=key["CurrentKeyMaterialId"],
        SourceEncryptionAlgorithm="SYMMETRIC_DEFAULT",
        DestinationEncryptionAlgorithm="SYMMETRIC_DEFAULT",
        DestinationKeyMaterialId=other["CurrentKeyMaterialId"])
    # The source is told by its ARN, however it is named; and by the material that
    # it had.
    kms.create_alias(AliasName="alias/source", TargetKeyId=key["KeyId"])
    kms.rotate_key_on_demand(KeyId=key["KeyId"])
    former, key = key, kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert key["CurrentKeyMaterialId"] != former["CurrentKeyMaterialId"]
    for named in ["alias/source", arn(ACCOUNT, "alias/source"), key["KeyId"]]:
        within = kms.re_encrypt(
            CiphertextBlob=encrypted["CiphertextBlob"], SourceKeyId=named,
            SourceEncryptionContext=context, DestinationKeyId="alias/source")
        has(within, SourceKeyId=key["Arn"], KeyId=key["Arn"],
            SourceKeyMaterialId=former["CurrentKeyMaterialId"],
            DestinationKeyMaterialId=key["CurrentKeyMaterialId"])
    decrypted = kms.decrypt(
        CiphertextBlob=again["CiphertextBlob"], EncryptionContext={"purpose": "again"}
    )
    has(decrypted, Plaintext=plaintext, KeyId=other["Arn"])
    for spec, length in [
        ({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16),
        ({"NumberOfBytes": 1}, 1), ({"NumberOfBytes": 1024}, 1024),
    ]:
        made = kms.generate_data_key(KeyId=key["KeyId"], EncryptionContext=context, **spec)
        has(made, KeyId=key["Arn"], KeyMaterialId=key["CurrentKeyMaterialId"])
        assert len(made["Plaintext"]) == length
        without = kms.generate_data_key_without_plaintext(
            KeyId=key["Arn"], EncryptionContext=context, **spec
        )
        has(without, KeyId=key["Arn"], KeyMaterialId=key["CurrentKeyMaterialId"])
        assert "Plaintext" not in without
        for blob, wanted in [(made["CiphertextBlob"], made["Plaintext"]),
                             (without["CiphertextBlob"], None)]:
            found = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"]
            assert len(found) == length and wanted in (found, None)
    assert len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024
    largest = os.urandom(4096)
    server.secrets.append(largest)
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=largest)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == largest


def rotation(server):
    kms = server.client()
    created = kms.create_key()["KeyMetadata"]
    key = created["KeyId"]
    has(kms.get_key_rotation_status(KeyId=key), KeyRotationEnabled=False, KeyId=created["Arn"])
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=key)
    has(status, KeyRotationEnabled=True, RotationPeriodInDays=90)
    blob = kms.encrypt(KeyId=key, Plaintext=b"before rotation")["CiphertextBlob"]
    now = datetime.datetime.fromtimestamp(server.advance(91), UTC)
    assert status["NextRotationDate"] <= now
    has(kms.rotate_key_on_demand(KeyId=key), KeyId=created["Arn"])
    rotations = pages(kms.list_key_rotations, "Rotations", KeyId=key)
    assert [entry["RotationType"] for entry in rotations] == ["AUTOMATIC", "ON_DEMAND"], rotations
    has(rotations[1], KeyId=created["Arn"], KeyMaterialState="CURRENT")
    everything = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    assert [entry["KeyMaterialState"] for entry in everything["Rotations"]] == [
        "NON_CURRENT", "NON_CURRENT", "CURRENT"]
    has(everything["Rotations"][0], KeyMaterialId=created["CurrentKeyMaterialId"])
    found = kms.decrypt(CiphertextBlob=blob)
    has(found, Plaintext=b"before rotation", KeyMaterialId=created["CurrentKeyMaterialId"])
    kms.disable_key_rotation(KeyId=key)
    has(kms.get_key_rotation_status(KeyId=key), KeyRotationEnabled=False)
    for _ in range(24):
        kms.rotate_key_on_demand(KeyId=key)
    assert error_of(kms.rotate_key_on_demand, KeyId=key) == LIMIT
    assert error_of(server.client("AKIAALICE").rotate_key_on_demand, KeyId=key) == DENIED


def importing(server):
    kms = server.client()
    created = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    key = created["KeyId"]
    has(created, Origin="EXTERNAL", KeyState="PendingImport", Enabled=False)
    material = os.urandom(32)
    server.secrets.append(material)
    now = server.advance(0)
    expiry = datetime.datetime.fromtimestamp(int(now) + 10 * 86400, UTC)
    parameters = import_material(
        kms, key, material, ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=expiry
    )
    has(parameters, KeyId=created["Arn"])
    first = parameters["KeyMaterialId"]
    assert len(first) == 64
    valid = parameters["ParametersValidTo"].timestamp() - now
    assert 86000 < valid < 86500, valid
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    has(described, KeyState="Enabled", ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=expiry,
        CurrentKeyMaterialId=first)
    blob = kms.encrypt(KeyId=key, Plaintext=b"under imported material")["CiphertextBlob"]
    server.advance(11)
    has(kms.describe_key(KeyId=key)["KeyMetadata"], KeyState="PendingImport")
    assert error_of(kms.decrypt, CiphertextBlob=blob) == ("KMSInvalidStateException", 400)
    # The token of before has expired, too.
    again = dict(KeyId=key, ImportToken=parameters["ImportToken"],
                 EncryptedKeyMaterial=wrap(parameters, material),
                 ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    assert error_of(kms.import_key_material, **again) in [
        ("ExpiredImportTokenException", 400), ("InvalidImportTokenException", 400)]
    parameters = kms.get_parameters_for_import(
        KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_3072"
    )
    other = dict(KeyId=key, ImportToken=parameters["ImportToken"],
                 EncryptedKeyMaterial=wrap(parameters, os.urandom(32)),
                 ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    assert error_of(kms.import_key_material, **other) == ("IncorrectKeyMaterialException", 400)
    # Once when it has expired, and once when it is there.
    for _ in range(2):
        has(import_material(kms, key, material), KeyId=created["Arn"], KeyMaterialId=first)
    has(kms.decrypt(CiphertextBlob=blob), Plaintext=b"under imported material")
    newer = os.urandom(32)
    server.secrets.append(newer)
    second = import_material(kms, key, newer, ImportType="NEW_KEY_MATERIAL",
                             ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")["KeyMaterialId"]
    listed = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert [entry["KeyMaterialState"] for entry in listed] == ["CURRENT", "PENDING_ROTATION"]
    assert [entry["KeyMaterialId"] for entry in listed] == [first, second]
    has(listed[0], ImportState="IMPORTED", ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    kms.rotate_key_on_demand(KeyId=key)
    has(kms.decrypt(CiphertextBlob=blob), Plaintext=b"under imported material")
    has(kms.delete_imported_key_material(KeyId=key, KeyMaterialId=listed[0]["KeyMaterialId"]),
        KeyId=created["Arn"], KeyMaterialId=listed[0]["KeyMaterialId"])
    has(kms.describe_key(KeyId=key)["KeyMetadata"], KeyState="PendingImport")
    has(import_material(kms, key, material), KeyMaterialId=first)
    has(kms.decrypt(CiphertextBlob=blob), Plaintext=b"under imported material")
    # Without an id it is the current one, and no other.
    has(kms.delete_imported_key_material(KeyId=key), KeyId=created["Arn"], KeyMaterialId=second)
    listed = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert [entry["ImportState"] for entry in listed] == ["IMPORTED", "PENDING_IMPORT"], listed


def deletion(server):
    kms = server.client()
    created = kms.create_key()["KeyMetadata"]
    key = created["KeyId"]
    scheduled = kms.schedule_key_deletion(KeyId=key)
    has(scheduled, KeyId=created["Arn"], KeyState="PendingDeletion", PendingWindowInDays=30)
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    has(described, KeyState="PendingDeletion", DeletionDate=scheduled["DeletionDate"])
    has(kms.cancel_key_deletion(KeyId=key), KeyId=created["Arn"])
    has(kms.describe_key(KeyId=key)["KeyMetadata"], KeyState="Disabled")
    kms.enable_key(KeyId=key)
    kms.enable_key_rotation(KeyId=key)
    has(kms.get_key_rotation_status(KeyId=key), KeyRotationEnabled=True, RotationPeriodInDays=365)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    status = kms.get_key_rotation_status(KeyId=key)
    has(status, KeyRotationEnabled=False)
    assert "NextRotationDate" not in status, status
    # AWS restores it with the key.
    kms.cancel_key_deletion(KeyId=key)
    has(kms.get_key_rotation_status(KeyId=key), KeyRotationEnabled=True)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    server.advance(8)
    assert error_of(kms.describe_key, KeyId=key) == NOT_FOUND


def policies(server):
    kms, alice, bob = server.client(), server.client("AKIAALICE"), server.client("AKIABOB")
    other = server.client("AKIAOTHER")
    created = kms.create_key()["KeyMetadata"]
    key = created["KeyId"]
    assert kms.list_key_policies(KeyId=key)["PolicyNames"] == ["default"]
    default = kms.get_key_policy(KeyId=key, PolicyName="default")
    has(default, PolicyName="default")
    statement = json.loads(default["Policy"])["Statement"][0]
    has(statement, Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, Action="kms:*")
    # Naming a user suffices inside the account.
    assert error_of(alice.describe_key, KeyId=key) == DENIED
    told = message_of(alice.describe_key, KeyId=key)
    assert told == (
        f"User: arn:aws:iam::{ACCOUNT}:user/alice is not authorized to perform: kms:DescribeKey "
        f"on resource: {created['Arn']} because no identity-based policy allows the "
        "kms:DescribeKey action"), told
    both = policy_for("alice", "bob")
    both["Statement"].append(statement)
    kms.put_key_policy(KeyId=key, Policy=json.dumps(both))
    assert json.loads(kms.get_key_policy(KeyId=key)["Policy"]) == both
    has(alice.describe_key(KeyId=key)["KeyMetadata"], KeyId=key)
    # A policy for others alone only when it is asked for, and then for ever.
    only_bob = json.dumps(policy_for("bob"))
    found = error_of(kms.put_key_policy, KeyId=key, Policy=only_bob)
    assert found == ("MalformedPolicyDocumentException", 400), found
    kms.put_key_policy(KeyId=key, Policy=only_bob, BypassPolicyLockoutSafetyCheck=True)
    assert error_of(kms.get_key_policy, KeyId=key) == DENIED
    assert json.loads(bob.get_key_policy(KeyId=key)["Policy"]) == policy_for("bob")
    # What the account's root cannot see is found all the same for who may.
    has(bob.rotate_key_on_demand(KeyId=key), KeyId=created["Arn"])
    made = bob.generate_data_key(KeyId=key, KeySpec="AES_256")
    has(bob.decrypt(CiphertextBlob=made["CiphertextBlob"]), Plaintext=made["Plaintext"])
    # Another account's root, by the key's policy.
    shared = json.loads(default["Policy"])
    shared["Statement"].append({
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"], "Resource": "*"})
    created = kms.create_key(Policy=json.dumps(shared))["KeyMetadata"]
    has(other.describe_key(KeyId=created["Arn"])["KeyMetadata"], AWSAccountId=ACCOUNT)
    blob = other.encrypt(KeyId=created["Arn"], Plaintext=b"across accounts")["CiphertextBlob"]
    has(other.decrypt(CiphertextBlob=blob), Plaintext=b"across accounts", KeyId=created["Arn"])
    assert error_of(other.generate_data_key, KeyId=created["Arn"], KeySpec="AES_256") == DENIED
    # What AWS does and this server does not; who may not is told that first.
    own = other.create_key()["KeyMetadata"]["KeyId"]
    across = dict(CiphertextBlob=blob, DestinationKeyId=own)
    assert error_of(other.re_encrypt, **across) == ("UnsupportedOperationException", 400)
    mine = other.encrypt(KeyId=own, Plaintext=b"of another account")["CiphertextBlob"]
    across = dict(CiphertextBlob=mine, DestinationKeyId=created["Arn"])
    assert error_of(other.re_encrypt, **across) == DENIED


def grants(server):
    kms, alice = server.client(), server.client("AKIAALICE")
    created = kms.create_key()["KeyMetadata"]
    key = created["KeyId"]
    to_alice = f"arn:aws:iam::{ACCOUNT}:user/alice"
    made = kms.create_grant(
        KeyId=key, GranteePrincipal=to_alice, RetiringPrincipal=to_alice, Name="first",
        Operations=["Encrypt", "Decrypt", "GenerateDataKey"],
        Constraints={"EncryptionContextSubset": {"tenant": "7"}},
    )
    assert len(made["GrantId"]) == 64
    encrypt = dict(KeyId=key, Plaintext=b"by a grant")
    allowed = {"tenant": "7", "more": "x"}
    assert error_of(alice.encrypt, **encrypt) == DENIED
    blob = alice.encrypt(
        EncryptionContext=allowed, GrantTokens=[made["GrantToken"]], **encrypt
    )["CiphertextBlob"]
    has(alice.decrypt(CiphertextBlob=blob, EncryptionContext=allowed), Plaintext=b"by a grant")
    # The keys of a constraint are not case-sensitive, their values are.
    alice.encrypt(EncryptionContext={"TENANT": "7"}, **encrypt)
    assert error_of(alice.encrypt, EncryptionContext={"TENANT": "8"}, **encrypt) == DENIED
    cased = kms.create_grant(
        KeyId=key, GranteePrincipal=to_alice, Operations=["Encrypt"],
        Constraints={"EncryptionContextEquals": {"Team": "Blue"}})
    alice.encrypt(EncryptionContext={"team": "Blue"}, **encrypt)
    assert error_of(alice.encrypt, EncryptionContext={"Team": "blue"}, **encrypt) == DENIED
    kms.revoke_grant(KeyId=key, GrantId=cased["GrantId"])
    assert error_of(alice.describe_key, KeyId=key) == DENIED
    second = kms.create_grant(KeyId=key, GranteePrincipal=to_alice, Operations=["DescribeKey"])
    has(alice.describe_key(KeyId=key)["KeyMetadata"], KeyId=key)
    listed = pages(kms.list_grants, "Grants", KeyId=key)
    assert sorted(entry["GrantId"] for entry in listed) == sorted(
        [made["GrantId"], second["GrantId"]])
    first = kms.list_grants(KeyId=key, GrantId=made["GrantId"])["Grants"]
    assert len(first) == 1
    has(first[0], KeyId=created["Arn"], Name="first", GranteePrincipal=to_alice,
        RetiringPrincipal=to_alice, IssuingAccount=f"arn:aws:iam::{ACCOUNT}:root",
        Constraints={"EncryptionContextSubset": {"tenant": "7"}})
    assert sorted(first[0]["Operations"]) == ["Decrypt", "Encrypt", "GenerateDataKey"]
    assert len(kms.list_grants(KeyId=key, GranteePrincipal=to_alice)["Grants"]) == 2
    nobody = f"arn:aws:iam::{ACCOUNT}:user/nobody"
    assert kms.list_grants(KeyId=key, GranteePrincipal=nobody)["Grants"] == []
    retirable = kms.list_retirable_grants(RetiringPrincipal=to_alice)["Grants"]
    assert [entry["GrantId"] for entry in retirable] == [made["GrantId"]], retirable
    # Also of another account's key; and of no other account's principal.
    other = server.client("AKIAOTHER")
    to_other = f"arn:aws:iam::{OTHER}:root"
    across = kms.create_grant(
        KeyId=key, GranteePrincipal=to_other, RetiringPrincipal=to_other, Operations=["Encrypt"])
    retirable = other.list_retirable_grants(RetiringPrincipal=to_other)["Grants"]
    assert [entry["GrantId"] for entry in retirable] == [across["GrantId"]], retirable
    has(retirable[0], KeyId=created["Arn"], RetiringPrincipal=to_other)
    assert error_of(kms.list_retirable_grants, RetiringPrincipal=to_other) == DENIED
    assert error_of(alice.list_retirable_grants, RetiringPrincipal=to_alice) == DENIED
    other.retire_grant(KeyId=created["Arn"], GrantId=across["GrantId"])
    assert other.list_retirable_grants(RetiringPrincipal=to_other)["Grants"] == []
    # Who may not, may not; who retires by a token needs nothing else.
    assert error_of(alice.revoke_grant, KeyId=key, GrantId=made["GrantId"]) == DENIED
    dry = error_of(alice.retire_grant, GrantToken=made["GrantToken"], DryRun=True)
    assert dry == ("DryRunOperationException", 400), dry
    alice.retire_grant(GrantToken=made["GrantToken"])
    assert error_of(alice.encrypt, EncryptionContext=allowed, **encrypt) == DENIED
    kms.revoke_grant(KeyId=key, GrantId=second["GrantId"])
    assert error_of(alice.describe_key, KeyId=key) == DENIED
    third = kms.create_grant(
        KeyId=key, GranteePrincipal=to_alice, Operations=["Decrypt"],
        Constraints={"EncryptionContextEquals": {"a": "b"}})
    kms.retire_grant(KeyId=created["Arn"], GrantId=third["GrantId"])
    assert kms.list_grants(KeyId=key)["Grants"] == []


ALL = [keys_and_aliases, tags, cryptography, rotation, importing, deletion, policies, grants]
