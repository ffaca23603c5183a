"""A `kms_server` for one run, and clients of it that write down each request."""

import json
import select
import subprocess
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "us-east-1"
ACCOUNT, OTHER = "111122223333", "444455556666"
# Access key id: secret, account, user.
CREDENTIALS = {
    "AKIAROOT": ("root-secret/+8L4pWq2", ACCOUNT, None),
    "AKIAALICE": ("alice-secret/+9bD3xYz", ACCOUNT, "alice"),
    "AKIABOB": ("bob-secret/+1kV7mNc", ACCOUNT, "bob"),
    "AKIAOTHER": ("other-secret/+5tG6rHj", OTHER, None),
}
BOB_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "kms:ScheduleKeyDeletion", "Resource": "*"},
    ],
}


class Server:
    """Runs the program, with an audit trail and a clock that can be moved."""

    def __init__(self, program, folder, options=()):
        policy = folder / "bob.json"
        policy.write_text(json.dumps(BOB_POLICY))
        self.audit = folder / "audit.jsonl"
        command = [program, "--listen", "127.0.0.1:0", "--clock", "virtual", *options]
        command += ["--audit", self.audit, "--identity-policy", f"{ACCOUNT}:bob={policy}"]
        for access_key, (secret, account, user) in CREDENTIALS.items():
            user = f":{user}" if user else ""
            command += ["--credential", f"{access_key}:{secret}:{account}{user}"]
        self.log = folder / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True
            )
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        line = self.process.stdout.readline() if ready else ""
        if not line.startswith("listening on "):
            self.stop()
            raise SystemExit(f"the server does not start: {line!r}\n{self.log.read_text()}")
        self.endpoint = line.split()[-1]
        # What was asked: the request's id, the operation, the error or None.
        self.requests = []
        # What must stand in no line of the trail.
        self.secrets = [secret.encode() for secret, _, _ in CREDENTIALS.values()]

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def public_key(self):
        """The key that signs the trail, as the server has told it."""
        return self.log.read_text().splitlines()[0].split()[-1]

    def advance(self, days):
        """Moves the time of the keys."""
        body = json.dumps({"advance_seconds": days * 86400}).encode()
        with urllib.request.urlopen(f"{self.endpoint}/clock", data=body, timeout=60) as answer:
            return json.load(answer)["now"]

    def client(self, access_key="AKIAROOT", secret=None, region=REGION):
        """A client whose requests are written down. It sends also what the
        service refuses: the model's own checks are off."""
        client = boto3.client(
            "kms",
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret or CREDENTIALS[access_key][0],
            config=Config(
                retries={"total_max_attempts": 1}, parameter_validation=False, read_timeout=60
            ),
        )

        def note(parsed, model, **_):
            metadata = parsed["ResponseMetadata"]
            error = parsed.get("Error", {}).get("Code")
            self.requests.append((metadata["RequestId"], model.name, error))
            if "Plaintext" in parsed:
                self.secrets.append(parsed["Plaintext"])

        client.meta.events.register("after-call.kms", note)
        return client


def message_of(call, **arguments):
    """The error's message."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Message"]
    raise AssertionError("it is not refused")


def error_of(call, **arguments):
    """The error's name and its status; `None` when the call succeeds."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    return None
