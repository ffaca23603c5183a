#!/usr/bin/env bash
# AWS's own clients against the example `kms_server`: boto3 drives every
# operation, right and wrong; the SDK for JavaScript's client and the Encryption
# SDK for Python with its KMS keyring use keys; and the audit trail of all that
# is looked at.
#
#   kms.sh DIR SERVER [WAXSEAL [COMMAND [ARGUMENT]...]]
#
# installs the clients into DIR (as `setup.sh`), and runs them against the program
# SERVER. With the program WAXSEAL, the trail is verified by it too. A command is
# run beside a server of its own, with
#
#   WAXSEAL_KMS_ENDPOINT                      the server's address
#   WAXSEAL_KMS_SERVER                        kms_server
#   WAXSEAL_KMS_PYTHON                        a Python with the Encryption SDK
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY  of an account's root
#   AWS_REGION
#
# The servers end with this script.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: kms.sh DIR SERVER [WAXSEAL [COMMAND [ARGUMENT]...]]" >&2
    exit 2
fi
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
"$here/setup.sh" "$1"
dir="$(cd "$1" && pwd)"
server="$2"
shift 2
waxseal=()
if [ $# -gt 0 ]; then
    waxseal=(--waxseal "$1")
    shift
fi
exec "$dir/venv/bin/python" "$here/kms/run.py" --server "$server" --node "$dir/node" \
    "${waxseal[@]}" -- "$@"
