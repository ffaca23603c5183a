"""The official Encryption SDK for Python with its KMS keyring."""

import logging

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    CreateAwsKmsDiscoveryKeyringInput,
    CreateAwsKmsKeyringInput,
    CreateAwsKmsMultiKeyringInput,
    DiscoveryFilter,
)

from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError

from server import ACCOUNT, OTHER

CONTEXTS = [{}, {"a": "b"}, {"purpose": "test", "ключ": "значение", "b": "2"}]


def run(server):
    # Of each refusal that is expected, it would log a trace.
    logging.getLogger("aws_encryption_sdk").setLevel(logging.CRITICAL)
    kms = server.client()
    keys = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    client = aws_encryption_sdk.EncryptionSDKClient()
    providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    strict = [
        providers.create_aws_kms_keyring(CreateAwsKmsKeyringInput(kms_key_id=key, kms_client=kms))
        for key in keys
    ]
    discovery = lambda account: providers.create_aws_kms_discovery_keyring(
        CreateAwsKmsDiscoveryKeyringInput(
            kms_client=kms,
            discovery_filter=DiscoveryFilter(account_ids=[account], partition="aws"),
        )
    )
    for context in CONTEXTS:
        for plaintext in [b"", b"a message of the Encryption SDK " * 1000]:
            message, _ = client.encrypt(
                source=plaintext, keyring=strict[0], encryption_context=context
            )
            for keyring in [strict[0], discovery(ACCOUNT)]:
                found, header = client.decrypt(source=message, keyring=keyring)
                assert found == plaintext
                assert context.items() <= header.encryption_context.items()
            for keyring in [strict[1], discovery(OTHER)]:
                try:
                    client.decrypt(source=message, keyring=keyring)
                except AWSEncryptionSDKClientError:
                    continue
                raise AssertionError("it decrypts with another key")
    print(f"Encryption SDK for Python: {2 * len(CONTEXTS)} messages")
