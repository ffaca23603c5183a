#!/usr/bin/env python3
"""Makes the vectors in this folder. README.md says how to run it.

Three kinds of message:

- written by the AWS Encryption SDK for Python,
- written by `craft()` below, byte by byte, for what that SDK never writes
  (a full final frame, a frame length of 1, an unsorted context, and messages
  that are well sealed and yet wrong),
- mutated from one of those.

The verdict of every case is checked against the Python SDK before anything is
written; a case on which the two differ has to say so (`python_accepts`).
Messages hold random values, so each run writes another folder.
"""

import base64
import collections
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import shutil
import struct
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "interop"))
sys.dont_write_bytecode = True  # leave no cache beside the peer
import peer  # noqa: E402

# ---------------------------------------------------------------- keys

# Test keys, public by being here.
KEYS = {
    "own-aes-128": "57617873656120746573742d6b657931",
    "own-aes-192": "5761787365616c20746573742d6b6579206f662032342062",
    "own-aes-256": "5761787365616c20746573742d6b6579206f66203332206279746573212121aa",
    "own-aes-256-second": "5365636f6e64207761787365616c20746573742d6b65792c20333220622e2e55",
    "own-aes-256-other": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
}
KEYS = {name: bytes.fromhex(text) for name, text in KEYS.items()}


def ring(key, namespace="waxseal-own", name=None):
    """A KEYRING of the manifest."""
    return {
        "type": "raw-aes",
        "key": key,
        "provider_id": namespace,
        "key_name": key if name is None else name,
    }


AES_128, AES_192, AES_256 = ring("own-aes-128"), ring("own-aes-192"), ring("own-aes-256")
SECOND = ring("own-aes-256-second", namespace="waxseal-own-second")
NON_ASCII = ring("own-aes-256", namespace="naméspace-🦀", name="ключ-\ufffd-🔑")

# ---------------------------------------------------------------- suites

# id: data key bytes, key derivation hash, signature curve and hash
SUITES = {
    "0014": (16, None, None),
    "0046": (24, None, None),
    "0078": (32, None, None),
    "0114": (16, hashes.SHA256, None),
    "0146": (24, hashes.SHA256, None),
    "0178": (32, hashes.SHA256, None),
    "0214": (16, hashes.SHA256, (ec.SECP256R1, hashes.SHA256)),
    "0346": (24, hashes.SHA384, (ec.SECP384R1, hashes.SHA384)),
    "0378": (32, hashes.SHA384, (ec.SECP384R1, hashes.SHA384)),
    "0478": (32, hashes.SHA512, None),
    "0578": (32, hashes.SHA512, (ec.SECP384R1, hashes.SHA384)),
}


def committing(suite):
    return suite in ("0478", "0578")


def signed(suite):
    return SUITES[suite][2] is not None


# ---------------------------------------------------------------- plaintexts and contexts


def text(length):
    """Plaintext of that length, the same in each run."""
    out, count = b"", 0
    while len(out) < length:
        out += hashlib.sha256(b"waxseal plaintext %d" % count).digest()
        count += 1
    return out[:length]


ASCII = {"purpose": "test", "origin": "waxseal", "Case": "upper before lower"}
UNICODE = {"ключ": "значение", "键": "值", "ünïcode": "🦀🔐", "plain": "ascii"}
# By UTF-8 bytes, U+E000..U+FFFF come before the astral planes; by UTF-16 units
# they come after.
SORT_ORDER = {
    "\ue000": "private use",
    "\uffff": "last of the basic plane",
    "\ufb01": "ligature",
    "\U00010000": "first astral",
    "\U0001f980": "crab",
    "\U0010ffff": "last",
    "z": "ascii",
}

# ---------------------------------------------------------------- reading a message

Edk = collections.namedtuple("Edk", "provider info ciphertext info_at ciphertext_at")
Frame = collections.namedtuple("Frame", "start seq_at iv_at len_at content_at tag_at end final")


class Layout:
    """Where the fields of a well-formed message are."""

    def __init__(self, message):
        self.at = 0
        self.message = message
        self.version = self.number(1)
        if self.version not in (1, 2):
            raise ValueError("version")
        if self.version == 1:
            self.type_at = self.at
            if self.number(1) != 0x80:
                raise ValueError("type")
        self.suite_at = self.at
        self.suite = "%04x" % self.number(2)
        self.id_at = self.at
        self.message_id = self.take(16 if self.version == 1 else 32)
        self.context_at = self.at + 2
        self.context = self.read_context(self.take(self.number(2)))
        self.edks = []
        for _ in range(self.number(2)):
            provider = self.take(self.number(2))
            length = self.number(2)
            info_at = self.at
            info = self.take(length)
            length = self.number(2)
            at = self.at
            self.edks.append(Edk(provider.decode(), info, self.take(length), info_at, at))
        self.content_type_at = self.at
        self.framed = {1: False, 2: True}[self.number(1)]
        if self.version == 1:
            self.reserved_at = self.at
            if self.number(4) != 0:
                raise ValueError("reserved")
            self.iv_length_at = self.at
            if self.number(1) != 12:
                raise ValueError("IV length")
        self.frame_length_at = self.at
        self.frame_length = self.number(4)
        if self.version == 2:
            self.commitment_at = self.at
            self.take(32)
        self.body_end = self.at  # of the header's body
        if self.version == 1:
            self.header_iv_at = self.at
            self.take(12)
        self.header_tag_at = self.at
        self.take(16)
        self.header_end = self.at

    def take(self, count):
        if self.at + count > len(self.message):
            raise ValueError("truncated")
        self.at += count
        return self.message[self.at - count : self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def read_context(self, raw):
        if not raw:
            return []
        (count,), at, pairs = struct.unpack(">H", raw[:2]), 2, []
        for _ in range(count):
            pair = []
            for _ in range(2):
                if at + 2 > len(raw):
                    raise ValueError("context")
                (length,) = struct.unpack(">H", raw[at : at + 2])
                if at + 2 + length > len(raw):
                    raise ValueError("context")
                pair.append(raw[at + 2 : at + 2 + length].decode())
                at += 2 + length
            pairs.append(pair)
        if at != len(raw):
            raise ValueError("context")
        return pairs

    def body(self):
        """Reads on behind the header: the frames, or the one un-framed body."""
        self.frames = []
        if not self.framed:
            self.body_iv_at = self.at
            self.take(12)
            self.body_length_at = self.at
            length = self.number(8)
            self.content_at = self.at
            self.take(length)
            self.body_tag_at = self.at
            self.take(16)
        final = not self.framed
        while not final:
            start = seq_at = self.at
            length_at, length = None, self.frame_length
            if self.number(4) == 0xFFFFFFFF:
                final, seq_at = True, self.at
                self.take(4)
            iv_at = self.at
            self.take(12)
            if final:
                length_at = self.at
                length = self.number(4)
            content_at = self.at
            self.take(length)
            tag_at = self.at
            self.take(16)
            self.frames.append(
                Frame(start, seq_at, iv_at, length_at, content_at, tag_at, self.at, final)
            )
        self.footer_at = self.at
        if signed(self.suite):
            self.signature_at = self.at + 2
            self.take(self.number(2))
        if self.at != len(message := self.message):
            raise ValueError("%d bytes behind the message" % (len(message) - self.at))
        return self


def header_fields(message):
    """The fields of a case that are read from its header as stored."""
    fields = dict.fromkeys(
        "message_version suite_id framed frame_length signed committing edks "
        "header_encryption_context".split()
    )
    with contextlib.suppress(ValueError, KeyError):
        layout = Layout(message)
        known = layout.suite in SUITES
        fields.update(
            message_version=layout.version,
            suite_id=layout.suite,
            framed=layout.framed,
            frame_length=layout.frame_length,
            signed=signed(layout.suite) if known else None,
            committing=committing(layout.suite) if known else None,
            edks=[
                {
                    "provider_id": edk.provider,
                    "key_info_hex": edk.info.hex(),
                    "ciphertext_len": len(edk.ciphertext),
                }
                for edk in layout.edks
            ],
            header_encryption_context=layout.context,
        )
    return fields


# ---------------------------------------------------------------- writing a message by hand


def pairs_bytes(pairs):
    """Count and pairs in the order given; nothing at all for no pairs."""
    if not pairs:
        return b""
    out = struct.pack(">H", len(pairs))
    for pair in pairs:
        for part in pair:
            raw = part.encode()
            out += struct.pack(">H", len(raw)) + raw
    return out


def derive(suite, data_key, message_id):
    """The key that seals the message, and the commitment ("" if none)."""
    length, kdf, _ = SUITES[suite]
    if kdf is None:
        return data_key, b""
    raw_suite = bytes.fromhex(suite)
    if not committing(suite):
        return HKDF(kdf(), length, None, raw_suite + message_id).derive(data_key), b""
    return (
        HKDF(kdf(), length, message_id, raw_suite + b"DERIVEKEY").derive(data_key),
        HKDF(kdf(), 32, message_id, b"COMMITKEY").derive(data_key),
    )


def craft(
    suite,
    keyring,
    frames=(),
    *,
    pairs=(),
    frame_length=16,
    foreign_edks=0,
    random_ivs=False,
    unframed=None,
    public_key=None,
    bad_commitment=False,
    signer=None,
    stored_pairs=None,
):
    """A message, sealed correctly over whatever it is told to hold.

    `frames` is a list of (sequence number, final, content). `pairs` is the
    context in the order of the wire; the wrapping's AAD is the sorted one.
    `public_key` True/False forces or forbids the signed suites' pair, `signer`
    signs in the place of the key that this pair names.
    """
    data_length, _, signature = SUITES[suite]
    data_key = os.urandom(data_length)
    message_id = os.urandom(32 if committing(suite) else 16)
    pairs = [list(pair) for pair in pairs]
    key = None
    if signature is not None or public_key:
        curve, digest = signature or (ec.SECP384R1, hashes.SHA384)
        key = ec.generate_private_key(curve())
        if public_key is not False:
            point = key.public_key().public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
            )
            pairs.append(["aws-crypto-public-key", base64.b64encode(point).decode()])
    in_order = sorted(pairs, key=lambda pair: pair[0].encode())
    iv = os.urandom(12)
    sealed = AESGCM(KEYS[keyring["key"]]).encrypt(iv, data_key, pairs_bytes(in_order))
    info = keyring["key_name"].encode() + struct.pack(">II", 128, 12) + iv
    edks = [(b"foreign-%d" % n, b"nobody's key", os.urandom(24)) for n in range(foreign_edks)]
    edks.append((keyring["provider_id"].encode(), info, sealed))

    content_key, commitment = derive(suite, data_key, message_id)
    if bad_commitment:
        commitment = os.urandom(32)
    context = pairs_bytes(pairs if stored_pairs is None else stored_pairs)
    header = b"\x02" if committing(suite) else b"\x01\x80"
    header += bytes.fromhex(suite) + message_id + struct.pack(">H", len(context)) + context
    header += struct.pack(">H", len(edks))
    for edk in edks:
        for part in edk:
            header += struct.pack(">H", len(part)) + part
    header += b"\x02" if unframed is None else b"\x01"
    if not committing(suite):
        header += bytes(4) + b"\x0c"
    header += struct.pack(">I", frame_length) + commitment

    gcm = AESGCM(content_key)
    message = (
        header + (b"" if committing(suite) else bytes(12)) + gcm.encrypt(bytes(12), b"", header)
    )
    if unframed is not None:
        iv = os.urandom(12)
        aad = message_id + b"AWSKMSEncryptionClient Single Block"
        aad += struct.pack(">IQ", 1, len(unframed))
        message += iv + struct.pack(">Q", len(unframed)) + gcm.encrypt(iv, unframed, aad)
    for number, final, content in frames:
        iv = os.urandom(12) if random_ivs else struct.pack(">QI", 0, number)
        aad = message_id + b"AWSKMSEncryptionClient " + (b"Final Frame" if final else b"Frame")
        aad += struct.pack(">IQ", number, len(content))
        message += b"\xff\xff\xff\xff" if final else b""
        message += struct.pack(">I", number) + iv
        message += struct.pack(">I", len(content)) if final else b""
        message += gcm.encrypt(iv, content, aad)
    if signature is not None:
        der = (signer or key).sign(message, ec.ECDSA(digest()))
        message += struct.pack(">H", len(der)) + der
    return message


def cut(plaintext, length):
    """Frames of that length, the last one final and not empty (unless all is)."""
    parts = [plaintext[at : at + length] for at in range(0, len(plaintext), length)] or [b""]
    return [(n, n == len(parts), part) for n, part in enumerate(parts, 1)]


# ---------------------------------------------------------------- the Python SDK

ALLOW = "require-encrypt-allow-decrypt"
REQUIRE = "require-encrypt-require-decrypt"


def peer_keys(keyrings):
    return [
        {"namespace": item["provider_id"], "name": item["key_name"], "hex": KEYS[item["key"]].hex()}
        for item in keyrings
    ]


def sdk_encrypt(suite, keyrings, plaintext, context, frame_length, required=(), legacy=False):
    answer = peer.encrypt(
        {
            "suite": suite,
            "frame_length": frame_length,
            "context": context,
            "required": list(required),
            "keys": peer_keys(keyrings),
            "policy": REQUIRE if committing(suite) else "forbid-encrypt-allow-decrypt",
            "plaintext_b64": base64.b64encode(plaintext).decode(),
            "legacy": legacy,
        }
    )
    return base64.b64decode(answer["message_b64"])


def sdk_decrypt(case, message, legacy=False):
    answer = peer.decrypt(
        {
            "context": case["reproduced_encryption_context"],
            "required": case["required_encryption_context_keys"],
            "keys": peer_keys(case["keyrings"]),
            "policy": case["commitment_policy"],
            "max_encrypted_data_keys": case["max_encrypted_data_keys"],
            "message_b64": base64.b64encode(message).decode(),
            "legacy": legacy,
        }
    )
    return base64.b64decode(answer["plaintext_b64"])


# ---------------------------------------------------------------- cases

CASES = []
FILES = {}
DISAGREEMENTS = []


def store(folder, content):
    name = "%s/%s.bin" % (folder, hashlib.sha256(content).hexdigest()[:24])
    FILES[name] = content
    return name


def add(
    name,
    description,
    message,
    keyrings,
    *,
    plaintext=None,
    kind=None,
    reason=None,
    base=None,
    required=(),
    reproduced=None,
    policy=ALLOW,
    max_edks=None,
    python_accepts=False,
):
    """One case: `plaintext` if it must decrypt, else `kind` (and `reason`)."""
    case = {"id": "own/" + name, "source": "waxseal-own", "description": description}
    if base is not None:
        case["base"] = "own/" + base
        case["description"] += " (mutated from own/%s)" % base
    case.update(header_fields(message))
    case.update(
        keys=[item["key"] for item in keyrings],
        key_types=["raw-aes-%d" % (8 * len(KEYS[item["key"]])) for item in keyrings],
        keyrings=list(keyrings),
        required_encryption_context_keys=list(required),
        reproduced_encryption_context=reproduced,
        commitment_policy=policy,
        max_encrypted_data_keys=max_edks,
        ciphertext=store("ciphertexts", message),
    )
    error, got = None, None
    try:
        got = sdk_decrypt(case, message)
    except BaseException as caught:
        if isinstance(caught, KeyboardInterrupt):
            raise
        error = peer.describe(caught)
    if plaintext is not None:
        case["expected"] = {"result": "ok", "plaintext": store("plaintexts", plaintext)}
        if got != plaintext:
            DISAGREEMENTS.append("%s: Python: %s" % (name, error or "another plaintext"))
        elif len(keyrings) == 1 and not required and not reproduced:
            if sdk_decrypt(case, message, legacy=True) != plaintext:
                DISAGREEMENTS.append("%s: Python's older API: another plaintext" % name)
    else:
        case["expected"] = {"result": "error", "kind": kind, "reason": reason or description}
        if (error is None) != python_accepts:
            DISAGREEMENTS.append("%s: Python: %s" % (name, error or "accepts"))
        if error is not None:
            case["expected"]["python_esdk_error"] = error[:160]
    CASES.append(case)
    return message


def flip(message, at, bit=0):
    return message[:at] + bytes([message[at] ^ (1 << bit)]) + message[at + 1 :]


def positives():
    """Returns the messages that the negatives are made from."""
    made = {}

    def sdk(
        name,
        description,
        suite,
        keyrings,
        size,
        context=None,
        frame_length=256,
        legacy=False,
        **rest,
    ):
        plaintext = text(size)
        message = sdk_encrypt(
            suite, keyrings, plaintext, context or {}, frame_length, legacy=legacy
        )
        made[name] = add(name, description, message, keyrings, plaintext=plaintext, **rest)

    wrapping = [AES_256, AES_192, AES_128]
    for number, suite in enumerate(SUITES):
        key = wrapping[number % 3]
        sdk(
            "suite-" + suite,
            "suite %s, %s, three frames and a part" % (suite, key["key"]),
            suite,
            [key],
            3 * 256 + 100,
            ASCII,
            policy=REQUIRE if committing(suite) else ALLOW,
        )
    for key in (AES_128, AES_192):
        name = key["key"].removeprefix("own-")
        sdk("wrap-%s-0478" % name, "wrapped with %s" % key["key"], "0478", [key], 40)
    for label, size in [
        ("empty", 0),
        ("one-byte", 1),
        ("one-frame", 128),
        ("one-frame-and-1", 129),
        ("five-frames", 640),
    ]:
        sdk(
            "size-%s-0478" % label,
            "%d bytes, frame length 128" % size,
            "0478",
            [AES_256],
            size,
            frame_length=128,
        )
    for label, size in [("empty", 0), ("one-frame", 256)]:
        sdk("size-%s-0378" % label, "%d bytes, frame length 256" % size, "0378", [AES_128], size)
    sdk(
        "frame-4096-0578",
        "10000 bytes, frame length 4096",
        "0578",
        [AES_256],
        10000,
        frame_length=4096,
    )
    sdk(
        "frame-65536-0478",
        "300 bytes, frame length 65536",
        "0478",
        [AES_256],
        300,
        frame_length=65536,
    )
    for suite, size in [("0014", 0), ("0178", 1), ("0478", 500), ("0578", 500)]:
        sdk(
            "unframed-" + suite,
            "un-framed, %d bytes, by the SDK's older API" % size,
            suite,
            [AES_256],
            size,
            ASCII,
            frame_length=0,
            legacy=True,
        )
    sdk(
        "legacy-api-0578",
        "framed, by the SDK's older API",
        "0578",
        [AES_192],
        600,
        SORT_ORDER,
        legacy=True,
    )

    for name, context in [
        ("non-ascii", UNICODE),
        ("sort-order", SORT_ORDER),
        ("empty-value", {"empty": "", "": "empty key"}),
        ("long", {"long": "x" * 3000}),
    ]:
        sdk("context-%s-0478" % name, "context: " + name, "0478", [AES_256], 50, context)
    sdk("context-sort-order-0214", "context: sort-order", "0214", [AES_128], 50, SORT_ORDER)
    sdk("key-non-ascii-0478", "namespace and key name beyond ASCII", "0478", [NON_ASCII], 50, ASCII)

    plaintext = text(700)
    three = [AES_256, AES_128, SECOND]
    message = sdk_encrypt("0578", three, plaintext, ASCII, 256)
    made["multi-all"] = message
    for name, keyrings in [
        ("all", three),
        ("generator", [AES_256]),
        ("child-1", [AES_128]),
        ("child-2", [SECOND]),
        ("reversed", [SECOND, AES_128, AES_256]),
        ("stranger-first", [ring("own-aes-256-other"), SECOND]),
    ]:
        add(
            "multi-" + name,
            "three wrapped keys, decrypted by: " + name,
            message,
            keyrings,
            plaintext=plaintext,
        )
    add(
        "max-edks-3",
        "three wrapped keys, three allowed",
        message,
        [AES_128],
        plaintext=plaintext,
        max_edks=3,
    )

    plaintext = text(300)
    context = {**ASCII, "tenant": "42", "ключ": "🦀"}
    for suite in ("0178", "0478", "0578"):
        message = sdk_encrypt(
            suite, [AES_256], plaintext, context, 256, required=["tenant", "ключ"]
        )
        made["required-" + suite] = message
        add(
            "required-" + suite,
            "two pairs left out of the header",
            message,
            [AES_256],
            plaintext=plaintext,
            required=["tenant", "ключ"],
            reproduced={"tenant": "42", "ключ": "🦀"},
        )
    add(
        "required-whole-context",
        "two pairs left out of the header, all pairs reproduced",
        message,
        [AES_256],
        plaintext=plaintext,
        required=["tenant", "ключ"],
        reproduced=context,
    )
    add(
        "required-by-default-cmm",
        "two pairs left out of the header, reproduced without requiring them",
        message,
        [AES_256],
        kind="encryption-context",
        reason="the default CMM of AWS's material providers takes any pair that is not stored"
        " for a required one; here the caller has to list it as required",
        reproduced={"tenant": "42", "ключ": "🦀"},
        python_accepts=True,
    )
    add(
        "required-nothing-stored",
        "every pair left out of the header",
        sdk_encrypt("0478", [AES_256], plaintext, {"a": "1", "b": "2"}, 256, required=["a", "b"]),
        [AES_256],
        plaintext=plaintext,
        required=["a", "b"],
        reproduced={"a": "1", "b": "2"},
    )
    add(
        "reproduced-same",
        "the whole context reproduced, nothing left out of the header",
        made["suite-0578"],
        [wrapping[list(SUITES).index("0578") % 3]],
        plaintext=text(3 * 256 + 100),
        reproduced=ASCII,
    )

    # What the Python SDK never writes.
    plaintext = text(64)
    for suite in ("0178", "0578"):
        made["crafted-full-final-" + suite] = add(
            "crafted-full-final-" + suite,
            "four frames, the final one full",
            craft(suite, AES_256, cut(plaintext, 16), pairs=[("a", "b")]),
            [AES_256],
            plaintext=plaintext,
        )
    for name, description, keyword in [
        ("frame-length-1", "frame length 1", dict(frames=cut(plaintext, 1), frame_length=1)),
        ("random-ivs", "frames with random IVs", dict(frames=cut(plaintext, 16), random_ivs=True)),
        (
            "unsorted-context",
            "a context not in order on the wire",
            dict(frames=cut(plaintext, 16), pairs=[("b", "1"), ("c", "2"), ("a", "3")]),
        ),
        (
            "foreign-edks",
            "five foreign wrapped keys first",
            dict(frames=cut(plaintext, 16), foreign_edks=5),
        ),
        ("unframed", "un-framed", dict(unframed=plaintext, frame_length=0)),
    ]:
        message = craft("0478", AES_256, **keyword)
        add("crafted-" + name, description, message, [AES_256], plaintext=plaintext)
    return made


def negatives(made):
    v1, v2 = made["suite-0178"], made["suite-0578"]
    unframed = made["unframed-0578"]
    at1, at2, atu = Layout(v1).body(), Layout(v2).body(), Layout(unframed).body()
    keys = {item["key"]: item for item in (AES_128, AES_192, AES_256)}
    case_keys = {
        case["id"].removeprefix("own/"): [keys.get(name) for name in case["keys"]] for case in CASES
    }

    def neg(base, name, kind, reason, message, **rest):
        label = {"suite-0178": "v1", "suite-0578": "v2", "unframed-0578": "unframed"}.get(
            base, base
        )
        add(
            "neg-%s-%s" % (label, name),
            reason,
            message,
            rest.pop("keyrings", None) or case_keys[base],
            kind=kind,
            base=base,
            **rest,
        )

    neg_v1 = functools.partial(neg, "suite-0178")
    neg_v2 = functools.partial(neg, "suite-0578")
    neg_unframed = functools.partial(neg, "unframed-0578")

    # A bit of each field of the header.
    for base, raw, at in [("suite-0178", v1, at1), ("suite-0578", v2, at2)]:
        neg(base, "version", "parse", "bit flipped: version", flip(raw, 0, 2))
        neg(
            base,
            "message-id",
            "commitment" if base == "suite-0578" else "header-auth",
            "bit flipped: message id",
            flip(raw, at.id_at + 5),
        )
        neg(
            base,
            "header-tag",
            "header-auth",
            "bit flipped: header tag",
            flip(raw, at.header_tag_at),
        )
        neg(
            base,
            "frame-length",
            "header-auth",
            "bit flipped: frame length",
            flip(raw, at.frame_length_at + 3),
        )
    neg_v1("type", "parse", "bit flipped: message type", flip(v1, at1.type_at))
    neg_v1("suite", "parse", "bit flipped: suite, now unknown", flip(v1, at1.suite_at + 1))
    neg_v1("reserved", "parse", "bit flipped: reserved bytes", flip(v1, at1.reserved_at + 2))
    neg_v1("iv-length", "parse", "bit flipped: IV length", flip(v1, at1.iv_length_at))
    neg_v1("header-iv", "header-auth", "bit flipped: header IV", flip(v1, at1.header_iv_at + 11))
    neg_v2(
        "suite",
        "encryption-context",
        "bit flipped: suite, now the unsigned 0478, with the public key still in the context",
        flip(v2, at2.suite_at),
    )
    neg_v2("context-count", "parse", "bit flipped: pair count", flip(v2, at2.context_at + 1, 3))
    where = v2.index(b"waxseal", at2.context_at)
    neg_v2("context-value", "unwrap", "bit flipped: a context value", flip(v2, where))
    edk = at2.edks[0]
    neg_v2(
        "edk-iv",
        "unwrap",
        "bit flipped: IV in the wrapped key's info",
        flip(v2, edk.info_at + len(edk.info) - 1),
    )
    neg_v2("edk-ciphertext", "unwrap", "bit flipped: wrapped key", flip(v2, edk.ciphertext_at + 3))
    neg_v2("content-type", "parse", "bit flipped: content type", flip(v2, at2.content_type_at))
    neg_v2(
        "commitment", "commitment", "bit flipped: commitment", flip(v2, at2.commitment_at + 31, 7)
    )

    # A bit of each field of the body.
    first, second, final = at2.frames[0], at2.frames[1], at2.frames[-1]
    swapped = v2[second.start : second.end] + v2[first.start : first.end]
    neg_v2(
        "frame-ciphertext",
        "body-auth",
        "bit flipped: second frame's content",
        flip(v2, second.content_at + 40),
    )
    neg_v2(
        "final-ciphertext",
        "body-auth",
        "bit flipped: final frame's content",
        flip(v2, final.content_at),
    )
    neg_v2(
        "sequence",
        "sequence",
        "bit flipped: second frame's number, now 3",
        flip(v2, second.seq_at + 3),
    )
    neg_v2(
        "swapped-frames",
        "sequence",
        "first and second frame swapped",
        v2[: first.start] + swapped + v2[second.end :],
    )
    neg_v2(
        "repeated-frame", "sequence", "second frame twice", v2[: second.end] + v2[second.start :]
    )
    neg_v2(
        "dropped-frame", "sequence", "second frame left out", v2[: second.start] + v2[second.end :]
    )
    one = at1.frames[1]
    neg_v1(
        "frame-ciphertext",
        "body-auth",
        "bit flipped: second frame's content",
        flip(v1, one.content_at + 40),
    )
    neg_v1("dropped-frame", "sequence", "second frame left out", v1[: one.start] + v1[one.end :])
    neg_v2("frame-iv", "body-auth", "bit flipped: first frame's IV", flip(v2, first.iv_at + 11))
    neg_v2("frame-tag", "body-auth", "bit flipped: first frame's tag", flip(v2, first.tag_at))
    neg_v2(
        "final-marker", "sequence", "bit flipped: final frame's marker", flip(v2, final.start + 3)
    )
    neg_v2(
        "final-sequence",
        "sequence",
        "bit flipped: final frame's number",
        flip(v2, final.seq_at + 3),
    )
    neg_v2(
        "final-length",
        "body-auth",
        "bit flipped: final frame's length, 4 bytes less",
        flip(v2, final.len_at + 3, 2),
    )
    neg_v2(
        "final-length-over",
        "parse",
        "bit flipped: final frame's length, over the frame length",
        flip(v2, final.len_at + 2, 1),
    )
    other = Layout(made["suite-0478"]).body().frames[0]
    foreign = made["suite-0478"][other.start : other.end]
    neg_v2(
        "foreign-frame",
        "body-auth",
        "first frame taken from another message",
        v2[: first.start] + foreign + v2[first.end :],
    )
    neg_unframed(
        "length-huge",
        "truncated",
        "bit flipped: body's length, far beyond the message",
        flip(unframed, atu.body_length_at + 4, 6),
    )
    neg_unframed(
        "ciphertext",
        "body-auth",
        "bit flipped: body's content",
        flip(unframed, atu.content_at + 100),
    )
    neg_unframed(
        "tag", "body-auth", "bit flipped: body's tag", flip(unframed, atu.body_tag_at + 15)
    )

    # The signature.
    neg_v2("signature", "signature", "bit flipped: signature's last byte", flip(v2, len(v2) - 1))
    neg_v2(
        "signature-der", "signature", "bit flipped: signature's DER tag", flip(v2, at2.signature_at)
    )
    neg_v2(
        "signature-length",
        "truncated",
        "bit flipped: signature's length, one above",
        v2[: at2.footer_at]
        + struct.pack(">H", len(v2) - at2.signature_at + 1)
        + v2[at2.signature_at :],
    )
    lent = Layout(made["frame-4096-0578"]).body()
    neg_v2(
        "signature-of-another",
        "signature",
        "footer taken from another message",
        v2[: at2.footer_at] + made["frame-4096-0578"][lent.footer_at :],
    )

    # Truncations.
    for name, reason, end in [
        ("empty", "no byte at all", 0),
        ("in-edk", "cut in the wrapped key", edk.ciphertext_at + 7),
        ("before-header-tag", "cut before the header's tag", at2.header_tag_at),
        ("after-header", "cut behind the header", at2.header_end),
        ("in-frame", "cut in the second frame", at2.frames[1].content_at + 10),
        ("before-final", "cut before the final frame", final.start),
        ("before-footer", "cut before the footer", at2.footer_at),
        ("in-signature", "cut in the signature", at2.signature_at + 50),
        ("1-short", "the last byte missing", len(v2) - 1),
    ]:
        neg_v2("cut-" + name, "truncated", reason, v2[:end])
    neg_v1(
        "cut-before-final", "truncated", "cut before the final frame", v1[: at1.frames[-1].start]
    )
    neg_v1("cut-1-short", "truncated", "the last byte missing", v1[:-1])
    neg_unframed(
        "cut-before-tag", "truncated", "cut before the body's tag", unframed[: atu.body_tag_at]
    )

    # Bytes behind the message: a one-shot decrypt has to refuse them.
    more = ": Python's one-shot decrypt ignores them, .NET's refuses them, and so does waxseal"
    for base, raw in [("suite-0178", v1), ("suite-0578", v2), ("unframed-0578", unframed)]:
        neg(
            base,
            "trailing",
            "trailing",
            "one byte behind the message" + more,
            raw + b"\0",
            python_accepts=True,
        )
    neg_v2("twice", "trailing", "the message twice" + more, v2 + v2, python_accepts=True)

    # The caller's side.
    key = case_keys["suite-0578"][0]
    for name, reason, keyring in [
        ("wrong-key", "another key under the right name", dict(key, key="own-aes-256-other")),
        (
            "wrong-key-name",
            "the right key under another name",
            dict(key, key_name=key["key_name"] + "x"),
        ),
        (
            "wrong-key-name-prefix",
            "the right key under the start of its name",
            dict(key, key_name=key["key_name"][:-1]),
        ),
        ("wrong-namespace", "the right key in another namespace", dict(key, provider_id="waxseal")),
    ]:
        neg_v2(name, "unwrap", reason, v2, keyrings=[keyring])
    for suite in ("0178", "0378"):
        neg(
            "suite-" + suite,
            "policy",
            "commitment-policy",
            "a suite without commitment where one is required",
            made["suite-" + suite],
            policy=REQUIRE,
        )
    neg(
        "multi-all",
        "max-edks",
        "max-edks",
        "three wrapped keys, two allowed",
        made["multi-all"],
        keyrings=[AES_256],
        max_edks=2,
    )
    neg_v2("base64", "parse", "base64 text of a message", base64.b64encode(v2))

    # Required context keys.
    both = {"tenant": "42", "ключ": "🦀"}
    for suite in ("0178", "0578"):
        base = "required-" + suite
        for name, kind, reason, keyword in [
            (
                "missing",
                "encryption-context",
                "a required pair not reproduced",
                dict(required=list(both), reproduced={"tenant": "42"}),
            ),
            (
                "wrong-value",
                "unwrap",
                "a required pair reproduced with another value",
                dict(required=list(both), reproduced={**both, "tenant": "43"}),
            ),
            ("not-reproduced", "unwrap", "default materials manager, nothing reproduced", {}),
        ]:
            neg(base, name, kind, reason, made[base], **keyword)
    neg(
        "required-0578",
        "wrong-stored-value",
        "encryption-context",
        "a stored pair reproduced with another value",
        made["required-0578"],
        required=list(both),
        reproduced={**both, "purpose": "else"},
    )
    neg_v2(
        "reproduced-contradicts",
        "encryption-context",
        "a stored pair reproduced with another value",
        v2,
        reproduced={"purpose": "else"},
    )
    neg_v2(
        "reproduced-unknown",
        "unwrap",
        "a pair reproduced that the message was not bound to",
        v2,
        reproduced={**ASCII, "more": "1"},
    )
    neg_v2(
        "required-unknown",
        "encryption-context",
        "a required key that neither the header nor the caller has",
        v2,
        required=["absent"],
        reproduced=ASCII,
    )

    # Sealed well, and wrong all the same.
    body = text(16)
    plain = cut(text(40), 16)

    def bad(name, suite, kind, reason, **keyword):
        add("neg-crafted-" + name, reason, craft(suite, AES_256, **keyword), [AES_256], kind=kind)

    bad(
        "starts-at-2",
        "0478",
        "sequence",
        "the first frame has number 2",
        frames=[(2, False, body), (3, True, body)],
    )
    bad(
        "number-twice",
        "0478",
        "sequence",
        "two frames have number 1",
        frames=[(1, False, body), (1, False, body), (2, True, b"")],
    )
    bad(
        "number-gap",
        "0578",
        "sequence",
        "the final frame has number 3, the one before 1",
        frames=[(1, False, body), (3, True, body)],
    )
    bad(
        "final-too-long",
        "0478",
        "parse",
        "the final frame is longer than the frame length",
        frames=[(1, True, text(17))],
    )
    bad(
        "no-final",
        "0478",
        "truncated",
        "no final frame",
        frames=[(1, False, body), (2, False, body)],
    )
    bad(
        "frame-length-0",
        "0478",
        "parse",
        "framed, frame length 0",
        frames=[(1, True, body)],
        frame_length=0,
    )
    bad("unframed-frame-length", "0478", "parse", "un-framed, frame length 16", unframed=body)
    bad(
        "frame-behind-final",
        "0578",
        "trailing",
        "a frame behind the final one",
        frames=[(1, True, body), (2, True, body)],
    )
    bad(
        "no-public-key",
        "0578",
        "encryption-context",
        "a signed suite without the public key in the context",
        frames=plain,
        public_key=False,
    )
    bad(
        "public-key-unsigned",
        "0478",
        "encryption-context",
        "an unsigned suite with a public key in the context",
        frames=plain,
        public_key=True,
    )
    bad(
        "wrong-signer",
        "0378",
        "signature",
        "signed by another key",
        frames=plain,
        signer=ec.generate_private_key(ec.SECP384R1()),
    )
    bad(
        "bad-commitment",
        "0478",
        "commitment",
        "the commitment is another key's, the header's tag is right",
        frames=plain,
        bad_commitment=True,
    )
    bad(
        "duplicate-context-key",
        "0478",
        "parse",
        "a context key twice",
        frames=plain,
        pairs=[("a", "1"), ("a", "1")],
    )
    bad(
        "context-not-bound",
        "0478",
        "unwrap",
        "the header's context is not the one that the wrapped key is bound to",
        frames=plain,
        pairs=[("a", "1")],
        stored_pairs=[("a", "2")],
    )


def main():
    negatives(positives())
    if DISAGREEMENTS:
        sys.exit("nothing written; the Python SDK disagrees:\n" + "\n".join(DISAGREEMENTS))
    ids = [case["id"] for case in CASES]
    if len(ids) != len(set(ids)):
        sys.exit("nothing written; an id is there twice")

    for folder in ("ciphertexts", "plaintexts"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
        (HERE / folder).mkdir()
    for name, content in FILES.items():
        (HERE / name).write_bytes(content)

    def line(value):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    head = '{"format":"esdk-rust-vectors","version":1,"count":%d,"cases":[\n' % len(CASES)
    manifest = head + ",\n".join(line(case) for case in CASES) + "\n]}\n"
    (HERE / "manifest.json").write_text(manifest, encoding="utf-8")
    keys = {
        name: {"type": "aes", "bits": 8 * len(raw), "material_hex": raw.hex()}
        for name, raw in KEYS.items()
    }
    (HERE / "keys.json").write_text(json.dumps({"keys": keys}, indent=1) + "\n", encoding="utf-8")

    counts = collections.Counter(case["expected"].get("kind", "ok") for case in CASES)
    print("%d cases: %s" % (len(CASES), ", ".join("%s %d" % item for item in counts.most_common())))


if __name__ == "__main__":
    main()
