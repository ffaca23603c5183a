#!/usr/bin/env python3
"""The Python SDK with its data-key cache, for `waxseal-peers`, which starts it.

Arguments: the raw AES key's namespace, its name, the key in hex, the frame
length, and the context's keys and values. A line of standard input is answered
with a line of standard output:

    hello                 the SDK's name and version
    prepare HEX HEX       takes a plaintext and a message; "ok"
    sample                checks that the message has the plaintext, and that
                          messages come from the cache; a message, in hex
    encrypt N             nanoseconds of processor time for N messages
    decrypt N             the same
"""

import importlib.metadata
import logging
import sys
import time
import warnings

from aws_encryption_sdk import (
    CachingCryptoMaterialsManager,
    CommitmentPolicy,
    EncryptionSDKClient,
    LocalCryptoMaterialsCache,
)
from aws_encryption_sdk.identifiers import Algorithm, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKey, RawMasterKeyProvider

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

NAMESPACE, KEY_NAME, KEY, FRAME_LENGTH, *PAIRS = sys.argv[1:]
CONTEXT = dict(zip(PAIRS[::2], PAIRS[1::2]))


class CountingKey(RawMasterKey):
    calls = 0

    def _generate_data_key(self, algorithm, encryption_context):
        CountingKey.calls += 1
        return super()._generate_data_key(algorithm, encryption_context)

    def _decrypt_data_key(self, encrypted_data_key, algorithm, encryption_context):
        CountingKey.calls += 1
        return super()._decrypt_data_key(encrypted_data_key, algorithm, encryption_context)


class Provider(RawMasterKeyProvider):
    provider_id = NAMESPACE
    _master_key_class = CountingKey

    def __init__(self):
        super().__init__()
        self.add_master_key(KEY_NAME)

    def _get_raw_key(self, key_id):
        return WrappingKey(
            wrapping_algorithm=WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
            wrapping_key=bytes.fromhex(KEY),
            wrapping_key_type=EncryptionKeyType.SYMMETRIC,
        )


class Peer:
    def __init__(self):
        self.client = EncryptionSDKClient(
            commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
        )
        self.manager = CachingCryptoMaterialsManager(
            master_key_provider=Provider(),
            cache=LocalCryptoMaterialsCache(capacity=100),
            max_age=300.0,
        )
        self.plaintext = self.message = b""

    def encrypt(self):
        message, _header = self.client.encrypt(
            source=self.plaintext,
            materials_manager=self.manager,
            algorithm=Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
            frame_length=int(FRAME_LENGTH),
            encryption_context=CONTEXT,
        )
        return message

    def decrypt(self):
        plaintext, header = self.client.decrypt(
            source=self.message, materials_manager=self.manager
        )
        # What the others check, too.
        for key, value in CONTEXT.items():
            if header.encryption_context.get(key) != value:
                raise ValueError("another context")
        return plaintext

    def sample(self):
        for _ in range(2):
            calls = CountingKey.calls
            if self.decrypt() != self.plaintext:
                raise ValueError("another plaintext came out")
            message = self.encrypt()
        if CountingKey.calls != calls:
            raise ValueError("the second time did not come from the cache")
        return message.hex()


def nanoseconds(run, count):
    start = time.process_time_ns()
    for _ in range(count):
        run()
    return time.process_time_ns() - start


def main():
    peer = Peer()
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "hello":
            answer = "aws-encryption-sdk %s (Python %d.%d)" % (
                importlib.metadata.version("aws-encryption-sdk"),
                *sys.version_info[:2],
            )
        elif command == "prepare":
            peer.plaintext, peer.message = map(bytes.fromhex, arguments)
            answer = "ok"
        elif command == "sample":
            answer = peer.sample()
        elif command in ("encrypt", "decrypt"):
            answer = nanoseconds(getattr(peer, command), int(arguments[0]))
        else:
            raise ValueError("no such command: " + command)
        print(answer, flush=True)


if __name__ == "__main__":
    main()
