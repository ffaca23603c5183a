#!/usr/bin/env bash
# Installs what the two peers need: `setup.sh DIR` makes DIR/venv (Python) and
# DIR/node (JavaScript). Run again, it skips what is there and up to date.
#
#   setup.sh DIR            both
#   setup.sh DIR python     only DIR/venv
#   setup.sh DIR node       only DIR/node
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: setup.sh DIR [python|node]" >&2
    exit 2
fi
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
mkdir -p "$1"
dir="$(cd "$1" && pwd)"
what="${2:-both}"
case "$what" in both | python | node) ;; *)
    echo "setup.sh: unknown part: $what" >&2
    exit 2
    ;;
esac

# Two tests may start at once: one installs, the other waits for it.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$dir/.lock"
    flock 9
fi

# Once more after a failure, since most of them are the network's.
retry() {
    "$@" && return 0
    echo "setup.sh: failed, trying once more: $*" >&2
    sleep 5
    "$@"
}

if [ "$what" != node ]; then
    venv="$dir/venv"
    if cmp -s "$here/requirements.txt" "$venv/.installed" &&
        "$venv/bin/python" -c 'import aws_encryption_sdk' 2>/dev/null; then
        echo "setup.sh: $venv is up to date" >&2
    else
        rm -f "$venv/.installed"
        "${PYTHON:-python3}" -m venv --clear "$venv"
        retry "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --requirement "$here/requirements.txt" >&2
        cp "$here/requirements.txt" "$venv/.installed"
        echo "setup.sh: $venv is ready" >&2
    fi
fi

if [ "$what" != python ]; then
    node="$dir/node"
    if cmp -s "$here/package-lock.json" "$node/.installed" &&
        [ -f "$node/node_modules/@aws-crypto/client-node/package.json" ]; then
        echo "setup.sh: $node is up to date" >&2
    else
        mkdir -p "$node"
        rm -f "$node/.installed"
        cp "$here/package.json" "$here/package-lock.json" "$node/"
        (cd "$node" && retry npm ci --no-audit --no-fund --loglevel=error) >&2
        cp "$here/package-lock.json" "$node/.installed"
        echo "setup.sh: $node is ready" >&2
    fi
fi
