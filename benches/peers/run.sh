#!/usr/bin/env bash
# This library against what users would pick instead, measured in one run: AWS's SDKs for Rust and
# Python, age, tink-aead and asherah.
#
#   run.sh [speed] [--quick]   encrypting and decrypting from 16 bytes to 100 MiB with each back end:
#                              a table and the goals; draws the plots and writes the table in ../plots
#   run.sh memory              peak memory at 100 MiB, in one piece and as streams
#   run.sh suite [--quick]     AWS's published suite, side by side with their SDK for Rust
#   run.sh all [--quick]       all of them
#
# WAXSEAL_INTEROP is where `interop/setup.sh` has installed the Python SDK, or is to
# (target/interop).
#
# Needs a C compiler, python3 and the network; the peers take many minutes of processor time to
# compile the first time, so that they are compiled at low priority. Nothing of them is in the
# library's workspace or its Cargo.lock.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
target="${CARGO_TARGET_DIR:-$root/target}"
interop="${WAXSEAL_INTEROP:-$target/interop}"

command=speed
case "${1-}" in
speed | memory | suite | all)
    command=$1
    shift
    ;;
-h | --help | [!-]*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac

export CARGO_TARGET_DIR="$target/peers"
nice -n 19 cargo build --locked --release --manifest-path "$here/Cargo.toml"
peers=$CARGO_TARGET_DIR/release/waxseal-peers

if [[ $command == speed || $command == all ]]; then
    "$root/interop/setup.sh" "$interop" python
    "$peers" speed --out "$here/../plots" --python "$interop/venv/bin/python" "$here/peer.py" "$@"
fi
if [[ $command == memory || $command == all ]]; then
    "$peers" memory
fi
if [[ $command == suite || $command == all ]]; then
    "$peers" suite "$@"
fi
