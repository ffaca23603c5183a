#!/usr/bin/env python3
"""Makes seal.json: vectors for the KMS's sealing (src/kms/seal.rs).

Written from the construction in that module's documentation alone, with
Python's hmac and hashlib for HKDF and the package `cryptography` for AES-GCM.
Nothing is random: each run writes the same file.
"""

import hashlib
import hmac
import json
import pathlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LABEL = b"waxseal local-kms"
ZERO_IV = bytes(12)


def some(name, length):
    """Bytes that look random."""
    return hashlib.shake_256(name.encode()).digest(length)


def number(value, length=4):
    return value.to_bytes(length, "big")


def prefixed(*parts):
    """L(...) of each."""
    return b"".join(number(len(part)) + part for part in parts)


def hkdf(salt, secret, info, length, hash="sha512"):
    """RFC 5869."""
    extracted = hmac.new(salt, secret, hash).digest()
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = hmac.new(extracted, block + info + bytes([count]), hash).digest()
        out, count = out + block, count + 1
    return out[:length]


# What a sealer does. Each step can be replaced by a wrong one.

def parts(s):
    """What a seal is bound to, the context last."""
    form, version = bytes([s["format"]]), number(s["version"])
    return [LABEL, s["purpose"], form, s["key_id"], version, s["context"]]


def bound(s):
    return prefixed(*parts(s))


def derived(s):
    return hkdf(s["salt"], s["material"], s["info"](s), 64)


def encrypted(s, keys):
    return AESGCM(keys[:32]).encrypt(s["iv"], s["plaintext"], s["aad"](s))


def header(s):
    return (
        bytes([s["format"], len(s["key_id"])])
        + s["key_id"]
        + number(s["version"])
        + s["salt"]
    )


GOOD = {
    "purpose": b"ciphertext",
    "format": 1,
    "key_id": b"3f0a7c1e-52b4-4d0e-9a55-0c8e2f6b7d11",
    "version": 3,
    "material": some("material", 32),
    "salt": some("salt", 32),
    "context": b"the context",
    "plaintext": b"attack at dawn",
    "iv": ZERO_IV,
    "info": bound,
    "aad": bound,
    "derived": derived,
    "encrypted": encrypted,
    "header": header,
}


def seal(**changes):
    """The seal of GOOD with these changes, and what was sealed."""
    s = {**GOOD, **changes}
    keys = s["derived"](s)
    return s["header"](s) + keys[32:] + s["encrypted"](s, keys), s


# Positions in a seal of GOOD, for vectors with a byte changed afterwards.

SALT = 2 + len(GOOD["key_id"]) + 4
COMMITMENT = SALT + 32
CIPHERTEXT = COMMITMENT + 32


def flipped(sealed, at):
    changed = bytearray(sealed)
    changed[at] ^= 1
    return bytes(changed)


# A ciphertext and tag that are valid under two AES-GCM keys: Dodis, Grubbs,
# Ristenpart, Woodage, "Fast Message Franking: From Invisible Salamanders to
# Encryptment", CRYPTO 2018. The tag is a polynomial in the key's H, and known
# keys leave an equation that is linear in each block of the ciphertext.

def multiply(x, y):
    """In GF(2^128), in GCM's order of bits (NIST SP 800-38D, 6.3)."""
    product, v = 0, y
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= v
        v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
    return product


def inverse(x):
    """x^(2^128 - 2)."""
    result = 1 << 127
    for _ in range(127):
        x = multiply(x, x)
        result = multiply(result, x)
    return result


def block_cipher(key, block):
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def ghash(h, additional, ciphertext):
    y = 0
    lengths = number(8 * len(additional), 8) + number(8 * len(ciphertext), 8)
    for part in (additional, ciphertext, lengths):
        for at in range(0, len(part), 16):
            block = int.from_bytes(part[at : at + 16].ljust(16, b"\0"), "big")
            y = multiply(y ^ block, h)
    return y


def collision(first, second, start):
    """A ciphertext of this first block and another one, and a tag, that open
    under both (key, AAD)."""
    def tag(key, additional, ciphertext):
        h = int.from_bytes(block_cipher(key, bytes(16)), "big")
        mask = int.from_bytes(block_cipher(key, ZERO_IV + number(1)), "big")
        return h, ghash(h, additional, ciphertext) ^ mask

    open_end = start + bytes(16)
    h1, t1 = tag(*first, open_end)
    h2, t2 = tag(*second, open_end)
    # The second block's factor is H^2, that of the lengths being H.
    factor = multiply(h1, h1) ^ multiply(h2, h2)
    ciphertext = start + number(multiply(t1 ^ t2, inverse(factor)), 16)
    tags = [number(tag(*one, ciphertext)[1], 16) for one in (first, second)]
    assert tags[0] == tags[1]
    texts = [AESGCM(k).decrypt(ZERO_IV, ciphertext + tags[0], a) for k, a in (first, second)]
    assert texts[0] != texts[1]
    return ciphertext + tags[0], texts


def valid():
    ids = [b"k", GOOD["key_id"], ("\u00e9" * 127 + "x").encode()]
    assert [len(key_id) for key_id in ids] == [1, 36, 255]
    plaintexts = [b"", b"x", some("block", 16), some("text", 37)]
    contexts = [b"", b"c", some("long context", 1_000)]
    yield "good", seal()
    count = 0
    for purpose in (b"ciphertext", b"record"):
        for key_id in ids:
            for version in (0, 1, 2**32 - 1):
                name = f"{purpose.decode()}, id of {len(key_id)}, version {version}"
                yield name, seal(
                    purpose=purpose,
                    key_id=key_id,
                    version=version,
                    material=some(f"material {count}", 32),
                    salt=some(f"salt {count}", 32),
                    context=contexts[count % 3 if count < 9 else (count + 1) % 3],
                    plaintext=plaintexts[count % 4],
                )
                count += 1
        yield f"{purpose.decode()}, 4,096 bytes", seal(
            purpose=purpose, context=contexts[2], plaintext=some("4096", 4_096)
        )


def invalid():
    """Seals with one thing wrong: a name, what has to refuse it (the format,
    the commitment or the tag), the seal, and what it is opened with."""
    good, s = seal()

    def wrong(refused_by, name, sealed=None, opened_with=(), **changes):
        """This seal, or that of GOOD with these changes."""
        if sealed is None:
            sealed = seal(**changes)[0]
        return name, refused_by, sealed, {**s, **dict(opened_with)}

    keys = derived(s)

    # The format.
    yield wrong("format", "nothing", b"")
    yield wrong("format", "format byte 0, else good", b"\0" + good[1:])
    yield wrong("format", "format byte 2, else good", b"\2" + good[1:])
    yield wrong("format", "format 2 throughout", format=2)
    yield wrong("format", "a key id of no bytes, sealed so", key_id=b"")
    yield wrong("format", "a key id that is not UTF-8, sealed so", key_id=b"\xff\xfe")
    yield wrong("format", "a key id beyond the end", b"\1\xff" + good[2:])
    yield wrong("format", "no room for a tag", good[: CIPHERTEXT + 15])

    # The commitment.
    yield wrong("commitment", "the commitment's first bit, else good", flipped(good, COMMITMENT))
    yield wrong("commitment", "the commitment's last bit, else good", flipped(good, CIPHERTEXT - 1))
    yield wrong("commitment", "a commitment of zeros, else good",
                good[:COMMITMENT] + bytes(32) + good[CIPHERTEXT:])
    yield wrong("commitment", "the key and the commitment the other way round",
                derived=lambda s: keys[32:] + keys[:32])
    yield wrong("commitment", "the key as the commitment",
                good[:COMMITMENT] + keys[:32] + good[CIPHERTEXT:])
    yield wrong("commitment", "a record, opened as a ciphertext", purpose=b"record")
    yield wrong("commitment", "a ciphertext, opened as a record", good, {"purpose": b"record"})
    yield wrong("commitment", "another version in the header",
                header=lambda s: header({**s, "version": 4}))
    yield wrong("commitment", "another key id in the header",
                header=lambda s: header({**s, "key_id": s["key_id"][:-1] + b"2"}))
    yield wrong("commitment", "another salt in the header", flipped(good, SALT))
    yield wrong("commitment", "another material", good, {"material": some("other", 32)})
    yield wrong("commitment", "another context", good, {"context": b"the contexu"})
    yield wrong("commitment", "no context", good, {"context": b""})
    yield wrong("commitment", "the version with the low byte first", info=lambda s: prefixed(
        *parts(s)[:4], s["version"].to_bytes(4, "little"), s["context"]))
    yield wrong("commitment", "an info without lengths", info=lambda s: b"".join(parts(s)))
    yield wrong("commitment", "an info with lengths of two bytes", info=lambda s: b"".join(
        number(len(part), 2) + part for part in parts(s)))
    yield wrong("commitment", "an info without the label", info=lambda s: prefixed(*parts(s)[1:]))
    yield wrong("commitment", "an info without the context", info=lambda s: prefixed(*parts(s)[:-1]))
    yield wrong("commitment", "an empty info", info=lambda s: b"")
    yield wrong("commitment", "derived by SHA-256",
                derived=lambda s: hkdf(s["salt"], s["material"], s["info"](s), 64, "sha256"))
    yield wrong("commitment", "derived without the salt",
                derived=lambda s: hkdf(b"", s["material"], s["info"](s), 64))
    for length in (0, 31, 33):
        short = {"material": some("short", length)}
        yield wrong("commitment", f"a material of {length} bytes, sealed so", None, short, **short)

    # The tag.
    yield wrong("tag", "the tag's first bit, else good", flipped(good, len(good) - 16))
    yield wrong("tag", "the tag's last bit, else good", flipped(good, len(good) - 1))
    yield wrong("tag", "the ciphertext's first bit, else good", flipped(good, CIPHERTEXT))
    yield wrong("tag", "a byte before the tag", good[:-16] + b"\0" + good[-16:])
    yield wrong("tag", "a byte after the tag", good + b"\0")
    yield wrong("tag", "a tag of 15 bytes", good[:-1])
    yield wrong("tag", "an IV of one", iv=number(1, 12))
    yield wrong("tag", "no AAD", aad=lambda s: b"")
    yield wrong("tag", "the context alone as AAD", aad=lambda s: s["context"])
    yield wrong("tag", "an AAD without the context", aad=lambda s: prefixed(*parts(s)[:-1]))
    yield wrong("tag", "an AAD without lengths", aad=lambda s: b"".join(parts(s)))
    yield wrong("tag", "an AAD without the context's length",
                aad=lambda s: prefixed(*parts(s)[:-1]) + s["context"])


def two_ways(what, *sides):
    """One ciphertext and tag that AES-GCM opens in two ways; each commitment
    must open in its own way and be refused in the other."""
    sides = [{**GOOD, **side} for side in sides]
    keys = [derived(side) for side in sides]
    both, texts = collision(*((k[:32], bound(s)) for k, s in zip(keys, sides)), some("start", 16))
    for side, text in zip(sides, texts):
        side["plaintext"] = text
    one, other = (header(side) + k[32:] + both for side, k in zip(sides, keys))
    name = f"a ciphertext for two {what}s, "
    opens = [
        (f"{name}with the first one's commitment", one, sides[0]),
        (f"{name}with the second one's commitment", other, sides[1]),
    ]
    refused = [
        (f"{name}the first one's commitment, opened by the second", one, sides[1]),
        (f"{name}the second one's commitment, opened by the first", other, sides[0]),
    ]
    for _, sealed, s in opens + refused:
        # AES-GCM alone accepts it.
        text = AESGCM(derived(s)[:32]).decrypt(ZERO_IV, sealed[CIPHERTEXT:], bound(s))
        assert text == s["plaintext"]
    return opens, refused


def entry(name, sealed, s, **more):
    return {
        "name": name,
        **more,
        "purpose": s["purpose"].decode(),
        "material": s["material"].hex(),
        "context": s["context"].hex(),
        "sealed": sealed.hex(),
    }


def main():
    opens, refused = [], []

    def add(name, sealed, s):
        opens.append(
            entry(
                name, sealed, s,
                key_id=s["key_id"].decode(), version=s["version"],
                salt=s["salt"].hex(), plaintext=s["plaintext"].hex(),
            )
        )

    for name, (sealed, s) in valid():
        add(name, sealed, s)
    for name, refused_by, sealed, s in invalid():
        refused.append(entry(name, sealed, s, refused_by=refused_by))
    for what, *sides in (
        ("key", {"material": some("side 1", 32)}, {"material": some("side 2", 32)}),
        ("context", {"context": b"pay Alice"}, {"context": b"pay Mallory"}),
        ("purpose", {"purpose": b"ciphertext"}, {"purpose": b"record"}),
    ):
        theirs = two_ways(what, *sides)
        for vector in theirs[0]:
            add(*vector)
        for vector in theirs[1]:
            refused.append(entry(*vector, refused_by="commitment"))

    out = pathlib.Path(__file__).with_suffix(".json")
    out.write_text(json.dumps({"opens": opens, "refused": refused}, indent=1) + "\n")


main()
