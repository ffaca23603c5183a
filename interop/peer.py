#!/usr/bin/env python3
"""The Python peer: the AWS Encryption SDK for Python behind a line protocol.

One JSON object a line on standard input, one JSON answer a line on standard
output; README.md beside this file describes both. Nothing else is written to
standard output, and no request ends the loop: only the end of the input does.
"""

import base64
import importlib.metadata
import json
import logging
import os
import sys
import warnings

from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    AesWrappingAlg,
    CreateDefaultCryptographicMaterialsManagerInput,
    CreateMultiKeyringInput,
    CreateRawAesKeyringInput,
    CreateRequiredEncryptionContextCMMInput,
)
from aws_encryption_sdk import CommitmentPolicy, EncryptionSDKClient
from aws_encryption_sdk.identifiers import AlgorithmSuite, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)  # a refused message is an answer, not a trace

MPL = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())

POLICIES = {
    "require-encrypt-require-decrypt": CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
    "require-encrypt-allow-decrypt": CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT,
    "forbid-encrypt-allow-decrypt": CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT,
}
DEFAULT_POLICY = "require-encrypt-require-decrypt"

SUITES = {"%04x" % suite.algorithm_id: suite for suite in AlgorithmSuite}

MPL_WRAPPING = {
    16: AesWrappingAlg.ALG_AES128_GCM_IV12_TAG16,
    24: AesWrappingAlg.ALG_AES192_GCM_IV12_TAG16,
    32: AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16,
}
LEGACY_WRAPPING = {
    16: WrappingAlgorithm.AES_128_GCM_IV12_TAG16_NO_PADDING,
    24: WrappingAlgorithm.AES_192_GCM_IV12_TAG16_NO_PADDING,
    32: WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
}


def raw_keyring(key):
    secret = bytes.fromhex(key["hex"])
    return MPL.create_raw_aes_keyring(
        input=CreateRawAesKeyringInput(
            key_namespace=key["namespace"],
            key_name=key["name"],
            wrapping_key=secret,
            wrapping_alg=MPL_WRAPPING[len(secret)],
        )
    )


def keyring(keys):
    """One raw AES keyring, or a multi-keyring whose generator is the first key."""
    rings = [raw_keyring(key) for key in keys]
    if len(rings) == 1:
        return rings[0]
    return MPL.create_multi_keyring(
        input=CreateMultiKeyringInput(generator=rings[0], child_keyrings=rings[1:])
    )


class LegacyProvider(RawMasterKeyProvider):
    """The SDK's older API: a master key provider with one raw AES key."""

    provider_id = None  # the base class wants it on the class; each instance has its own

    def __new__(cls, key):
        instance = super().__new__(cls)
        instance.provider_id = key["namespace"]
        return instance

    def __init__(self, key):
        super().__init__()
        self.secret = bytes.fromhex(key["hex"])
        self.add_master_key(key["name"])

    def _get_raw_key(self, key_id):
        return WrappingKey(
            wrapping_algorithm=LEGACY_WRAPPING[len(self.secret)],
            wrapping_key=self.secret,
            wrapping_key_type=EncryptionKeyType.SYMMETRIC,
        )


def legacy_provider(keys):
    providers = [LegacyProvider(key) for key in keys]
    for child in providers[1:]:
        providers[0].add_master_key_provider(child)
    return providers[0]


def key_arguments(request):
    """The keyword arguments that name the keys of a call."""
    keys = request["keys"]
    required = request.get("required") or []
    if request.get("legacy"):
        if required:
            raise ValueError("unsupported: required context keys through the legacy API")
        return {"key_provider": legacy_provider(keys)}
    if not required:
        return {"keyring": keyring(keys)}
    default = MPL.create_default_cryptographic_materials_manager(
        CreateDefaultCryptographicMaterialsManagerInput(keyring=keyring(keys))
    )
    return {
        "materials_manager": MPL.create_required_encryption_context_cmm(
            CreateRequiredEncryptionContextCMMInput(
                underlying_cmm=default, required_encryption_context_keys=required
            )
        )
    }


def chosen(what, table, name):
    if name not in table:
        raise ValueError("unsupported: %s %s" % (what, name))
    return table[name]


def client(request):
    return EncryptionSDKClient(
        commitment_policy=chosen("policy", POLICIES, request.get("policy") or DEFAULT_POLICY),
        max_encrypted_data_keys=request.get("max_encrypted_data_keys"),
    )


def hello(_request):
    return {"sdk": "aws-encryption-sdk " + importlib.metadata.version("aws-encryption-sdk")}


def encrypt(request):
    suite = request.get("suite")
    message, _header = client(request).encrypt(
        source=base64.b64decode(request["plaintext_b64"]),
        algorithm=chosen("suite", SUITES, suite) if suite else None,
        frame_length=request.get("frame_length", 4096),
        encryption_context=request.get("context") or {},
        **key_arguments(request),
    )
    return {"message_b64": base64.b64encode(message).decode()}


def decrypt(request):
    arguments = key_arguments(request)
    context = request.get("context")
    if context and not request.get("legacy"):
        arguments["encryption_context"] = context
    plaintext, header = client(request).decrypt(
        source=base64.b64decode(request["message_b64"]), **arguments
    )
    stored = dict(header.encryption_context)
    if request.get("legacy"):
        # The older API checks no context, so it is checked here.
        for name, value in (context or {}).items():
            if stored.get(name) != value:
                raise ValueError("the message's context has no such pair: " + name)
    return {"plaintext_b64": base64.b64encode(plaintext).decode(), "context": stored}


OPERATIONS = {"hello": hello, "encrypt": encrypt, "decrypt": decrypt}


def describe(error):
    """`Type: text`, with the errors that a keyring collected behind it."""
    text = "%s: %s" % (type(error).__name__, error)
    inner = error.args[0] if error.args else None
    for item in getattr(inner, "list", None) or getattr(error, "list", None) or []:
        text += " [%s: %s]" % (type(item).__name__, item)
    return text[:2000]


def answer(line):
    try:
        request = json.loads(line.decode("utf-8"))
        operation = OPERATIONS.get(request["op"])
        if operation is None:
            raise ValueError("unsupported: op %r" % (request["op"],))
        return {"ok": True, **operation(request)}
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the runtime below the SDK has errors of its own
        return {"ok": False, "error": describe(error)}


def main():
    # The answers keep the real standard output to themselves: whatever a
    # library prints goes to standard error.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        if not line.strip():
            continue
        answers.write(json.dumps(answer(line)).encode("ascii") + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
