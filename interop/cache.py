#!/usr/bin/env python3
"""Replays a trace through the Python SDK's data-key cache, on a virtual clock.

The trace, and what is printed, are those of waxseal's `cache_sim --json`
(README.md beside this file describes both), so that the two can be compared
line by line. No message is made: the materials manager is asked as the SDK's
client asks it.
"""

import argparse
import json
import logging
import sys
import warnings

from aws_encryption_sdk import CommitmentPolicy, caches
from aws_encryption_sdk.caches.local import LocalCryptoMaterialsCache
from aws_encryption_sdk.identifiers import AlgorithmSuite, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKey, RawMasterKeyProvider
from aws_encryption_sdk.materials_managers import (
    DecryptionMaterialsRequest,
    EncryptionMaterialsRequest,
)
from aws_encryption_sdk.materials_managers.caching import CachingCryptoMaterialsManager

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

SUITES = {suite.algorithm_id: suite for suite in AlgorithmSuite}
OUTCOMES = ("hit", "miss", "bypass", "coalesced", "refresh")  # the last two never happen here


class Clock:
    """Stands where the SDK's cache looks for the module `time`."""

    now = 0.0

    def time(self):
        return self.now


class CountingKey(RawMasterKey):
    """A raw AES key that counts the data keys it was asked for."""

    calls = 0

    def _generate_data_key(self, algorithm, encryption_context):
        CountingKey.calls += 1
        return super()._generate_data_key(algorithm, encryption_context)

    def _decrypt_data_key(self, encrypted_data_key, algorithm, encryption_context):
        CountingKey.calls += 1
        return super()._decrypt_data_key(encrypted_data_key, algorithm, encryption_context)


class Provider(RawMasterKeyProvider):
    provider_id = "trace"
    _master_key_class = CountingKey

    def __init__(self):
        super().__init__()
        self.add_master_key("key-1")

    def _get_raw_key(self, key_id):
        return WrappingKey(
            wrapping_algorithm=WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
            wrapping_key=b"\x5a" * 32,
            wrapping_key_type=EncryptionKeyType.SYMMETRIC,
        )


class WatchedCache(LocalCryptoMaterialsCache):
    """The SDK's cache, with a note of whether it was looked into."""

    looked = False

    def get_encryption_materials(self, cache_key, plaintext_length):
        self.looked = True
        return super().get_encryption_materials(cache_key, plaintext_length)

    def get_decryption_materials(self, cache_key):
        self.looked = True
        return super().get_decryption_materials(cache_key)


def policy(suite):
    """A commitment policy that allows the suite; the SDK's default commits, too."""
    if suite is None or suite.is_committing():
        return CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    return CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT


class Replay:
    def __init__(self, limits, clock):
        self.limits = limits
        self.clock = clock
        self.cache = WatchedCache(capacity=limits.capacity)
        self.provider = Provider()
        self.managers = {}
        self.lines = []  # each line's partition, and an encrypt line's materials

    def manager(self, partition):
        """One for each partition, all over one cache and one provider."""
        # A partition that is named is never the one without a name.
        name = "none" if partition is None else "named " + partition
        if name not in self.managers:
            self.managers[name] = CachingCryptoMaterialsManager(
                master_key_provider=self.provider,
                cache=self.cache,
                partition_name=name,
                max_age=self.limits.max_age,
                max_messages_encrypted=self.limits.max_messages,
                max_bytes_encrypted=self.limits.max_bytes,
            )
        return self.managers[name]

    def encrypt(self, line):
        suite = SUITES[int(line["suite"], 16)] if line.get("suite") is not None else None
        partition = line.get("partition")
        materials = self.manager(partition).get_encryption_materials(
            EncryptionMaterialsRequest(
                encryption_context=line.get("context") or {},
                frame_length=4096,
                commitment_policy=policy(suite),
                algorithm=suite,
                plaintext_length=line.get("bytes"),
            )
        )
        self.lines.append((partition, materials))

    def decrypt(self, line):
        of = line["of"]
        partition, materials = self.lines[of] if 0 <= of < len(self.lines) else (None, None)
        if materials is None:
            raise ValueError("no encrypt line %d came before" % of)
        if line.get("partition") is not None:
            partition = line["partition"]
        self.manager(partition).decrypt_materials(
            DecryptionMaterialsRequest(
                algorithm=materials.algorithm,
                encrypted_data_keys=materials.encrypted_data_keys,
                encryption_context=materials.encryption_context,
                commitment_policy=policy(materials.algorithm),
            )
        )
        self.lines.append((partition, None))

    def step(self, line):
        """The line's outcome and how often the provider was asked."""
        self.clock.now = float(line["t"])
        self.cache.looked = False
        before = CountingKey.calls
        {"encrypt": self.encrypt, "decrypt": self.decrypt}[line["op"]](line)
        calls = CountingKey.calls - before
        if not self.cache.looked:
            return "bypass", calls
        return ("miss" if calls else "hit"), calls


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", nargs="?", default="-", metavar="TRACE|-")
    parser.add_argument("--capacity", type=int, required=True)
    parser.add_argument("--max-age", type=float, required=True)
    parser.add_argument("--max-messages", type=int, default=2**32)
    parser.add_argument("--max-bytes", type=int, default=2**63 - 1)
    return parser.parse_args()


def main():
    limits = arguments()
    clock = Clock()
    caches.time = clock  # where its entries read it
    replay = Replay(limits, clock)
    totals = dict.fromkeys(OUTCOMES, 0)
    totals["provider_calls"] = 0
    source = sys.stdin if limits.trace == "-" else open(limits.trace, encoding="utf-8")
    with source:
        lines = [line for line in source if line.strip()]
    for index, line in enumerate(lines):
        try:
            outcome, calls = replay.step(json.loads(line))
        except Exception as error:
            sys.exit("line %d: %s: %s" % (index, type(error).__name__, error))
        totals[outcome] += 1
        totals["provider_calls"] += calls
        print(json.dumps({"i": index, "outcome": outcome, "provider_calls": calls}))
    print(json.dumps({"totals": totals}))


if __name__ == "__main__":
    main()
