"""AWS's own clients against `kms_server`: see `../kms.sh`."""

import argparse
import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import esdk
import operations
import right
import trail
from server import CREDENTIALS, REGION, Server

HERE = pathlib.Path(__file__).parent


def javascript(server, node):
    """The JavaScript SDK's client."""
    environment = client_environment(server)
    command = ["node", HERE / "client.mjs", node]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    requests = [json.loads(line) for line in ran.stdout.splitlines()]
    if ran.returncode != 0:
        raise SystemExit(f"client.mjs fails:\n{ran.stderr}")
    for request in requests:
        server.requests.append((request["id"], request["operation"], request["error"]))
        if request.get("plaintext"):
            server.secrets.append(base64.b64decode(request["plaintext"]))
    print(f"SDK for JavaScript: {len(requests)} requests")


def client_environment(server):
    access_key = "AKIAROOT"
    return {
        **os.environ,
        "WAXSEAL_KMS_ENDPOINT": server.endpoint,
        "WAXSEAL_KMS_SERVER": "kms_server",
        "WAXSEAL_KMS_PYTHON": sys.executable,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS[access_key][0],
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


def boto3_run(server):
    """Every operation, right and wrong."""
    for part in right.ALL:
        part(server)
    faults, count = [], 0

    def report(operation, arguments, found, wanted):
        nonlocal count
        count += 1
        if found != wanted:
            shown = re.sub(r"(\S{60})\S+", r"\1...", str(arguments))
            faults.append(f"{operation}({shown}): {found}, not {wanted}")

    keys = operations.Keys(server)
    operations.wrong(server, keys, report)
    operations.denied(server, keys, report)
    worked = {operation for _, operation, error in server.requests if error is None}
    failed = {operation for _, operation, error in server.requests if error is not None}
    for operation in operations.OPERATIONS:
        if operation not in worked or operation not in failed:
            faults.append(f"{operation} is not tried both right and wrong")
    print(f"boto3: {len(server.requests)} requests, {count} refusals by name")
    return faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True, help="the program kms_server")
    parser.add_argument("--node", required=True, help="the folder of the JavaScript SDK")
    parser.add_argument("--waxseal", help="the program waxseal, to verify the trail")
    parser.add_argument("command", nargs="*", help="what else is to run beside the server")
    arguments = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        server = Server(arguments.server, folder)
        try:
            faults += boto3_run(server)
            javascript(server, arguments.node)
            esdk.run(server)
        finally:
            code = server.stop()
        if code != 0:
            faults.append(f"the server ends with {code}")
        faults += trail.check(server.audit, server.requests, server.secrets)
        if arguments.waxseal:
            verify = [arguments.waxseal, "audit", "verify", server.audit]
            verify += ["--public-key", server.public_key()]
            if subprocess.run(verify, timeout=60).returncode != 0:
                faults.append("waxseal audit verify fails")
    if arguments.command:
        with tempfile.TemporaryDirectory() as folder:
            server = Server(arguments.server, pathlib.Path(folder))
            try:
                ran = subprocess.run(arguments.command, env=client_environment(server))
            finally:
                server.stop()
            if ran.returncode != 0:
                faults.append(f"{arguments.command[0]} ends with {ran.returncode}")
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        raise SystemExit(f"{len(faults)} faults")


main()
