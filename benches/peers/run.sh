#!/usr/bin/env bash
# Prints a table of this library, with its data-key cache and without, against the official SDKs for
# Rust and Python, measured in one run: `run.sh [DIR]`.
#
#   DIR  where `interop/setup.sh` has installed the Python SDK, or is to (target/interop)
#
# Needs a C compiler, python3 and the network; aws-esdk takes many minutes of processor time to
# compile the first time, so that it is compiled at low priority. Nothing of it is in the library's
# workspace or its Cargo.lock.
set -euo pipefail

if [ $# -gt 1 ]; then
    echo "usage: run.sh [DIR]" >&2
    exit 2
fi
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
target="${CARGO_TARGET_DIR:-$root/target}"
dir="${1:-$target/interop}"

"$root/interop/setup.sh" "$dir" python
export CARGO_TARGET_DIR="$target/peers"
nice -n 19 cargo build --release --manifest-path "$here/Cargo.toml"
exec "$CARGO_TARGET_DIR/release/waxseal-peers" "$dir/venv/bin/python" "$here/peer.py"
