"""The audit trail of a run: one event for each request, and no secret in it."""

import base64
import collections
import json

# CloudTrail's names of two errors, which are not the protocol's.
CODES = {"AccessDeniedException": "AccessDenied"}
# Shorter ones are in any text by chance.
SHORTEST_SECRET = 8


# What a request is refused with while nobody knows who has sent it.
STRANGERS = {"InvalidSignatureException", "UnrecognizedClientException"}


def once(pairs):
    """An object, none of whose keys stands in it twice."""
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise ValueError(f"a key stands twice in an object: {names}")
    return dict(pairs)


def records(path):
    """The records of the file's lines, out of their envelopes."""
    for line in path.read_text().splitlines():
        envelope = json.loads(line, object_pairs_hook=once)
        record = envelope.get("record", envelope)
        if isinstance(record, dict) and "eventName" in record:
            yield record


def forms(secret):
    """How bytes can stand in a text."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield json.dumps(secret.decode("latin-1"))[1:-1].encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # At each of the three places that a byte can have in base64, without
        # what depends on its neighbours.
        for before in range(3):
            encoded = encode(b"\0" * before + secret).rstrip(b"=")
            start = (0, 2, 3)[before]
            yield encoded[start : len(encoded) - 1]


def check(path, requests, secrets):
    """The faults that are found, as texts."""
    faults = []
    try:
        all_records = list(records(path))
    except ValueError as error:
        return [f"the trail: {error}"]
    by_request = collections.defaultdict(list)
    for record in all_records:
        if record["eventType"] == "AwsApiCall":
            by_request[record["requestID"]].append(record)
    asked = collections.Counter(request for request, _, _ in requests)
    for request, operation, error in requests:
        found = by_request.get(request, [])
        if asked[request] != 1 or len(found) != 1:
            faults.append(f"{operation} ({error}): {len(found)} events")
            continue
        record = found[0]
        wanted = CODES.get(error, error)
        if (record["eventName"], record.get("errorCode")) != (operation, wanted):
            faults.append(
                f"{operation} ({error}): {record['eventName']} ({record.get('errorCode')})"
            )
        # By CloudTrail's reference, userIdentity: whom AWS does not know, and no
        # service of its own.
        identity = record["userIdentity"]["type"]
        is_stranger = error in STRANGERS
        if (identity == "Unknown") != is_stranger or identity == "AWSService":
            faults.append(f"{operation} ({error}): its identity is {identity}")
    for request in by_request.keys() - asked.keys():
        faults.append(f"an event of no request: {by_request[request][0]['eventName']}")
    text = path.read_bytes()
    searched = 0
    for secret in set(secrets):
        if len(secret) < SHORTEST_SECRET:
            continue
        searched += 1
        for form in forms(secret):
            if form in text:
                faults.append(f"a secret of {len(secret)} bytes stands in the trail: {form[:20]!r}")
    automatic = sum(record["eventType"] == "AwsServiceEvent" for record in all_records)
    print(
        f"trail: {len(requests)} requests, {sum(map(len, by_request.values()))} events of them, "
        f"{automatic} of the KMS's own; {searched} secrets looked for"
    )
    if automatic == 0:
        faults.append("no rotation, expiry or deletion is in the trail")
    return faults
