"""The AWS Encryption SDK for Python with its AWS KMS keyrings, behind a line protocol.

One JSON object a line on standard input, one JSON answer a line on standard output:

    {"op": "encrypt", "keyring": KEYRING, "context": {...}, "plaintext_b64": "..."}
    {"op": "decrypt", "keyring": KEYRING, "context": {...}, "message_b64": "..."}

where KEYRING is one of

    {"kind": "strict" | "mrk", "region": R, "keys": [GENERATOR, MORE...]}
    {"kind": "discovery" | "mrk-discovery", "region": R, "partition": P, "accounts": [...]}

The address of the service is in WAXSEAL_KMS_ENDPOINT.
"""

import base64
import json
import logging
import os
import sys
import warnings

import boto3
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    CreateAwsKmsDiscoveryKeyringInput,
    CreateAwsKmsKeyringInput,
    CreateAwsKmsMrkDiscoveryKeyringInput,
    CreateAwsKmsMrkKeyringInput,
    CreateMultiKeyringInput,
    DiscoveryFilter,
)
from aws_encryption_sdk import EncryptionSDKClient

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)  # a refused message is an answer, not a trace

MPL = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
CLIENT = EncryptionSDKClient()


def keyring(wanted):
    kms = boto3.client(
        "kms", region_name=wanted["region"], endpoint_url=os.environ["WAXSEAL_KMS_ENDPOINT"]
    )
    kind = wanted["kind"]
    if kind.endswith("discovery"):
        only = DiscoveryFilter(account_ids=wanted["accounts"], partition=wanted["partition"])
        if kind == "discovery":
            return MPL.create_aws_kms_discovery_keyring(
                CreateAwsKmsDiscoveryKeyringInput(kms_client=kms, discovery_filter=only)
            )
        return MPL.create_aws_kms_mrk_discovery_keyring(
            CreateAwsKmsMrkDiscoveryKeyringInput(
                kms_client=kms, discovery_filter=only, region=wanted["region"]
            )
        )
    create, shape = {
        "strict": (MPL.create_aws_kms_keyring, CreateAwsKmsKeyringInput),
        "mrk": (MPL.create_aws_kms_mrk_keyring, CreateAwsKmsMrkKeyringInput),
    }[kind]
    rings = [create(shape(kms_client=kms, kms_key_id=key)) for key in wanted["keys"]]
    return MPL.create_multi_keyring(
        CreateMultiKeyringInput(generator=rings[0], child_keyrings=rings[1:])
    )


def encrypt(request):
    message, _header = CLIENT.encrypt(
        source=base64.b64decode(request["plaintext_b64"]),
        keyring=keyring(request["keyring"]),
        encryption_context=request["context"],
    )
    return {"message_b64": base64.b64encode(message).decode()}


def decrypt(request):
    plaintext, _header = CLIENT.decrypt(
        source=base64.b64decode(request["message_b64"]),
        keyring=keyring(request["keyring"]),
        encryption_context=request["context"],
    )
    return {"plaintext_b64": base64.b64encode(plaintext).decode()}


def describe(error):
    """`Type: text`, with the errors that a keyring collected behind it."""
    text = "%s: %s" % (type(error).__name__, error)
    inner = error.args[0] if error.args else None
    for item in getattr(inner, "list", None) or getattr(error, "list", None) or []:
        text += " [%s: %s]" % (type(item).__name__, item)
    return text[:2000]


def answer(line):
    try:
        request = json.loads(line)
        operation = {"encrypt": encrypt, "decrypt": decrypt}[request["op"]]
        return {"ok": True, **operation(request)}
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the runtime below the SDK has errors of its own
        return {"ok": False, "error": describe(error)}


def main():
    # The SDKs may print; only answers are to reach the caller.
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        out.write(json.dumps(answer(line)) + "\n")
        out.flush()


main()
