#!/usr/bin/env bash
# Runs a command beside an emulator of AWS KMS:
#
#   aws-kms.sh DIR moto|localstack COMMAND [ARGUMENT]...
#
# installs the emulator into DIR/moto or DIR/localstack, and the AWS Encryption SDK for
# Python into DIR/sdk (each skipped if it is up to date), starts the emulator on a free
# port of 127.0.0.1, and runs the command with
#
#   WAXSEAL_KMS_ENDPOINT  the emulator's address
#   WAXSEAL_KMS_SERVER    which one it is: what it gets wrong is listed by name
#   WAXSEAL_KMS_PYTHON    a Python with the Encryption SDK
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION
#
# The emulator ends with this script, however that ends. The exit code is the command's.
set -euo pipefail

usage() {
    echo 'usage: aws-kms.sh DIR moto|localstack COMMAND [ARGUMENT]...' >&2
    exit 2
}

if [ $# -lt 3 ]; then
    usage
fi
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/aws-kms"
mkdir -p "$1"
dir="$(cd "$1" && pwd)"
name="$2"
shift 2
case "$name" in
moto) import=moto ;;
localstack) import=localstack ;;
*) usage ;;
esac

# install NAME MODULE: a virtual environment DIR/NAME with NAME.txt in it. The list is
# whole, and pip is not to resolve it: LocalStack runs only with versions that its own
# package says it does not want.
install() {
    local venv="$dir/$1" requirements="$here/$1.txt"
    if cmp -s "$requirements" "$venv/.installed" && "$venv/bin/python" -c "import $2" 2>/dev/null; then
        echo "aws-kms.sh: $venv is up to date" >&2
        return
    fi
    rm -f "$venv/.installed"
    "${PYTHON:-python3}" -m venv --clear "$venv"
    # Once more after a failure, since most of them are the network's.
    pip_install "$venv" "$requirements" || {
        echo 'aws-kms.sh: failed, trying once more' >&2
        sleep 5
        pip_install "$venv" "$requirements"
    }
    "$venv/bin/python" -c "import $2"
    cp "$requirements" "$venv/.installed"
    echo "aws-kms.sh: $venv is ready" >&2
}

pip_install() {
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --requirement "$2" >&2
}

# Two may start at once: one installs, the other waits for it.
(
    if command -v flock >/dev/null 2>&1; then
        flock 9
    fi
    install "$name" "$import"
    install sdk aws_encryption_sdk
) 9>"$dir/.lock"

# Its standard input is a pipe from this script: it ends when that is closed.
log="$dir/$name.log"
coproc server { exec "$dir/$name/bin/python" "$here/emulator.py" "$name" "$dir" 2>"$log"; }
server_process=$server_PID
trap 'kill "$server_process" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
if ! read -r -t 120 WAXSEAL_KMS_ENDPOINT <&"${server[0]}"; then
    echo "aws-kms.sh: $name does not start:" >&2
    tail -n 20 "$log" >&2
    exit 1
fi
export WAXSEAL_KMS_ENDPOINT WAXSEAL_KMS_SERVER="$name"
export WAXSEAL_KMS_PYTHON="$dir/sdk/bin/python"
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
echo "aws-kms.sh: $name is at $WAXSEAL_KMS_ENDPOINT" >&2
status=0
"$@" </dev/null || status=$?
if [ "$status" != 0 ]; then
    echo "aws-kms.sh: exit code $status; the log of $name ends:" >&2
    tail -n 20 "$log" >&2
fi
exit "$status"
