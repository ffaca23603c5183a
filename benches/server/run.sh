#!/usr/bin/env bash
# GenerateDataKey and Decrypt requests a second of the example `kms_server`, of
# moto and of LocalStack, each on one core at 64 connections, the load from
# another core; and their ratios.
#
#   run.sh DIR
#
# installs the emulators into DIR, as interop/aws-kms.sh does. Linux, two cores at
# least. SECONDS_EACH says how long each measurement takes: 5 seconds.
set -euo pipefail

if [ $# -ne 1 ]; then
    echo "usage: run.sh DIR" >&2
    exit 2
fi
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
mkdir -p "$1"
dir="$(cd "$1" && pwd)"

cargo build --manifest-path "$root/Cargo.toml" --release --example kms_server \
    --features kms-server
target="${CARGO_TARGET_DIR:-$root/target}"
rustc -O --edition 2024 -o "$dir/load" "$here/load.rs"
results="$dir/results"
: >"$results"

# One core for the server, another for the load.
serve=(taskset -c 0)
load=(taskset -c 1)

for emulator in moto localstack; do
    # It installs on all cores what is missing, before anything is measured.
    "$root/interop/aws-kms.sh" "$dir" "$emulator" true
    "${serve[@]}" "$root/interop/aws-kms.sh" "$dir" "$emulator" \
        "${load[@]}" bash -c '"$WAXSEAL_KMS_PYTHON" "$@"' - \
        "$here/measure.py" "$emulator" "$dir/load" "$dir" | tee -a "$results"
done

measure_own() {
    local name="$1"
    shift
    coproc server { exec "${serve[@]}" "$target/release/examples/kms_server" \
        --listen 127.0.0.1:0 --credential AKIATEST:secret:111122223333 "$@" 2>"$dir/server.log"; }
    local process="$server_PID"
    trap 'kill "$process" 2>/dev/null || true' EXIT
    local line
    read -r -t 60 line <&"${server[0]}"
    WAXSEAL_KMS_ENDPOINT="${line##* }" AWS_ACCESS_KEY_ID=AKIATEST AWS_SECRET_ACCESS_KEY=secret \
        "${load[@]}" "$dir/sdk/bin/python" \
        "$here/measure.py" "$name" "$dir/load" "$dir" | tee -a "$results"
    kill "$process"
    wait "$process" 2>/dev/null || true
    trap - EXIT
}

measure_own kms_server
rm -f "$dir/audit.jsonl" "$dir/audit.jsonl.key"
measure_own kms_server_with_audit --audit "$dir/audit.jsonl"

awk '
    { rate[$1, $2] = $3; names[$1]; operations[$2] }
    END {
        for (operation in operations)
            for (name in names)
                if (name ~ /^(moto|localstack)$/)
                    printf "%s: kms_server is %.1f times %s\n", operation, \
                        rate["kms_server", operation] / rate[name, operation], name
    }' "$results"
