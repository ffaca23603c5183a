#!/usr/bin/env python3
"""Makes rsa_oaep.json: RSA keys, and key material wrapped under each of them.

It is written by the Python package `cryptography` (OpenSSL underneath), which
shares no code with what is tested. Keys and ciphertexts are random, so each run
writes another file. The private keys are for these tests alone.
"""

import json
import pathlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

HASHES = {"RSAES_OAEP_SHA_1": hashes.SHA1(), "RSAES_OAEP_SHA_256": hashes.SHA256()}


def wrap(public, name, material):
    digest = HASHES[name]
    oaep = padding.OAEP(mgf=padding.MGF1(digest), algorithm=digest, label=None)
    return {
        "algorithm": name,
        "material": material.hex(),
        "wrapped": public.encrypt(material, oaep).hex(),
    }


def key_pair(bits):
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    public_der = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # As an importer has it: from the DER alone.
    public = serialization.load_der_public_key(public_der)
    cases = []
    for name, digest in HASHES.items():
        longest = bits // 8 - 2 * digest.digest_size - 2
        for length in (0, 1, 16, 32, 33, 64, longest):
            material = bytes((7 * at + length) % 256 for at in range(length))
            cases.append(wrap(public, name, material))
    return {
        "private_key": private.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).hex(),
        "public_key": public_der.hex(),
        "cases": cases,
    }


def refused(bits):
    """A key of a size that AWS KMS does not wrap under."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).hex()


def main():
    vectors = {
        "keys": {f"RSA_{bits}": key_pair(bits) for bits in (2048, 3072, 4096)},
        "other_sizes": {str(bits): refused(bits) for bits in (1024, 2056, 5120)},
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
