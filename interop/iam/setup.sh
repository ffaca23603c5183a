#!/usr/bin/env bash
# Installs the evaluator of AWS policies that waxseal's own is held against:
# `setup.sh DIR` makes DIR/node_modules. Run again, it skips what is up to date.
set -euo pipefail

if [ $# -ne 1 ]; then
    echo "usage: setup.sh DIR" >&2
    exit 2
fi
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
mkdir -p "$1"
dir="$(cd "$1" && pwd)"

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

if cmp -s "$here/package-lock.json" "$dir/.installed" &&
    [ -f "$dir/node_modules/@cloud-copilot/iam-simulate/package.json" ]; then
    echo "setup.sh: $dir is up to date" >&2
else
    rm -f "$dir/.installed"
    cp "$here/package.json" "$here/package-lock.json" "$dir/"
    (cd "$dir" && retry npm ci --no-audit --no-fund --loglevel=error) >&2
    cp "$here/package-lock.json" "$dir/.installed"
    echo "setup.sh: $dir is ready" >&2
fi
