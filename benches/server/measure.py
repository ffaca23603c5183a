"""Measures the KMS at WAXSEAL_KMS_ENDPOINT: `measure.py NAME LOAD FOLDER`.

Signs one request of each kind, which is valid for five minutes, and has LOAD
send it again and again. Writes `NAME OPERATION REQUESTS_A_SECOND` to standard
output.
"""

import os
import pathlib
import subprocess
import sys
import urllib.parse

import boto3
from botocore.config import Config

CONNECTIONS, SECONDS = "64", os.environ.get("SECONDS_EACH", "5")

name, load, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
endpoint = os.environ["WAXSEAL_KMS_ENDPOINT"]
address = urllib.parse.urlsplit(endpoint).netloc
kms = boto3.client(
    "kms",
    endpoint_url=endpoint,
    region_name=os.environ.get("AWS_REGION", "us-east-1"),
    config=Config(retries={"total_max_attempts": 1}),
)
signed = {}


def keep(request, **_):
    """The request as it is sent, with its signature."""
    signed["request"] = request


kms.meta.events.register("before-send.kms", keep)


def bytes_of(call, **arguments):
    call(**arguments)
    request = signed["request"]
    body = request.body if isinstance(request.body, bytes) else request.body.encode()
    headers = {key.lower(): value for key, value in request.headers.items()}
    headers = {k: v.decode() if isinstance(v, bytes) else v for k, v in headers.items()}
    headers.setdefault("host", address)
    headers["content-length"] = str(len(body))
    lines = [f"{key}: {value}" for key, value in headers.items() if key != "expect"]
    return ("POST / HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode() + body


key = kms.create_key()["KeyMetadata"]["Arn"]
context = {"purpose": "bench", "tenant": "7"}
blob = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)
for operation, call, arguments in [
    ("GenerateDataKey", kms.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
    ("Decrypt", kms.decrypt, {"CiphertextBlob": blob["CiphertextBlob"], "KeyId": key}),
]:
    file = folder / f"{name}.{operation}"
    file.write_bytes(bytes_of(call, EncryptionContext=context, **arguments))
    rate = subprocess.check_output([load, address, CONNECTIONS, SECONDS, file], text=True)
    print(name, operation, rate.strip(), flush=True)
