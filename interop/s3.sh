#!/usr/bin/env bash
# Runs a command beside an S3 server: `s3.sh DIR COMMAND [ARGUMENT]...` installs
# moto into DIR/venv (skipped if it is up to date), starts it on a free port with
# an empty bucket, and runs the command with
#
#   WAXSEAL_S3         the server's address
#   WAXSEAL_S3_BUCKET  the bucket
#
# The server ends with this script, however that ends. The exit code is the
# command's.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: s3.sh DIR COMMAND [ARGUMENT]..." >&2
    exit 2
fi
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
mkdir -p "$1"
dir="$(cd "$1" && pwd)"
shift
venv="$dir/venv"
requirements="$here/s3/requirements.txt"

install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$requirements" >&2
}

# Two may start at once: one installs, the other waits for it.
(
    if command -v flock >/dev/null 2>&1; then
        flock 9
    fi
    if cmp -s "$requirements" "$venv/.installed" && "$venv/bin/python" -c 'import moto' 2>/dev/null; then
        echo "s3.sh: $venv is up to date" >&2
    else
        rm -f "$venv/.installed"
        "${PYTHON:-python3}" -m venv --clear "$venv"
        # Once more after a failure, since most of them are the network's.
        if ! install; then
            echo 's3.sh: failed, trying once more' >&2
            sleep 5
            install
        fi
        cp "$requirements" "$venv/.installed"
        echo "s3.sh: $venv is ready" >&2
    fi
) 9>"$dir/.lock"

# Its standard input is a pipe from this script: it ends when that is closed.
export WAXSEAL_S3_BUCKET=waxseal-test
coproc server { exec "$venv/bin/python" "$here/s3/server.py" "$WAXSEAL_S3_BUCKET" 2>"$dir/server.log"; }
server_process=$server_PID
trap 'kill "$server_process" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
if ! read -r -t 120 WAXSEAL_S3 <&"${server[0]}"; then
    echo 's3.sh: the server does not start:' >&2
    tail -n 20 "$dir/server.log" >&2
    exit 1
fi
export WAXSEAL_S3
echo "s3.sh: moto is at $WAXSEAL_S3" >&2
status=0
"$@" </dev/null || status=$?
if [ "$status" != 0 ]; then
    echo "s3.sh: exit code $status; the server's log ends:" >&2
    tail -n 20 "$dir/server.log" >&2
fi
exit "$status"
