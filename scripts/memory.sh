#!/usr/bin/env bash
# Peak memory of the file tool: 4 GiB go through `encrypt` into `decrypt`, by pipes. Fails if not as
# many bytes come out, or if either process ever had 16 MiB or more resident. Then the memory of the
# data-key cache, which fails by itself (benches/src/bin/cache_memory.rs).
# Needs Linux, whose /proc knows each process's peak (VmHWM).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

bytes=$((4 * 1024 * 1024 * 1024))
limit_kib=$((16 * 1024))

if ! grep -q '^VmHWM:' /proc/self/status 2>/dev/null; then
    echo 'memory.sh: no VmHWM in /proc/self/status; it needs Linux' >&2
    exit 1
fi

cargo build --release --example waxseal
cargo build --release -p waxseal-bench --bin cache_memory
release=${CARGO_TARGET_DIR:-target}/release
waxseal=$release/examples/waxseal

folder=$(mktemp -d)
pids=()
finish() {
    if ((${#pids[@]} > 0)); then
        kill "${pids[@]}" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM

"$waxseal" keygen "$folder/key"
key=raw-aes:memory:test:$folder/key
mkfifo "$folder/plaintext" "$folder/message" "$folder/message-held" "$folder/decrypted"

# The peak can only be read while the process is there, so each has its input's end held back for a
# second: by then it has done all but the last frame, and waits.
{
    head -c "$bytes" /dev/zero
    sleep 1
} >"$folder/plaintext" &
pids+=($!)
"$waxseal" encrypt - -o - --key "$key" <"$folder/plaintext" >"$folder/message" &
encrypt=$!
pids+=("$encrypt")
{
    cat "$folder/message"
    sleep 1
} >"$folder/message-held" &
pids+=($!)
"$waxseal" decrypt - -o - --key "$key" <"$folder/message-held" >"$folder/decrypted" &
decrypt=$!
pids+=("$decrypt")
wc -c <"$folder/decrypted" >"$folder/count" &
counting=$!
pids+=("$counting")

# Keeps the highest peak seen of a process in a variable; fails when it has ended.
look() {
    local -n peak=$2
    local field value rest running=
    while read -r field value rest; do
        case $field in
        # Before that it is this shell, about to become the tool.
        Name:) [[ $value == waxseal ]] || return 0 ;;
        VmHWM:)
            peak=$((value > peak ? value : peak))
            running=yes
            ;;
        esac
    done 2>/dev/null <"/proc/$1/status" || true
    [[ -n "$running" ]]
}

encrypt_kib=0
decrypt_kib=0
while look "$encrypt" encrypt_kib || look "$decrypt" decrypt_kib; do
    look "$decrypt" decrypt_kib || true
    sleep 0.05
done

failed=0
for process in "encrypt $encrypt" "decrypt $decrypt" "wc $counting"; do
    read -r name pid <<<"$process"
    if ! wait "$pid"; then
        echo "memory.sh: $name failed" >&2
        failed=1
    fi
done

count=$(tr -d ' ' <"$folder/count")
printf 'bytes in %s, out %s\n' "$bytes" "$count"
if [[ "$count" != "$bytes" ]]; then
    echo 'memory.sh: not as many bytes came out' >&2
    failed=1
fi
for process in "encrypt $encrypt_kib" "decrypt $decrypt_kib"; do
    read -r name kib <<<"$process"
    printf '%s: peak %d KiB resident (limit %d)\n' "$name" "$kib" "$limit_kib"
    if ((kib == 0 || kib >= limit_kib)); then
        echo "memory.sh: $name is not under the limit" >&2
        failed=1
    fi
done
if ! "$release/cache_memory"; then
    failed=1
fi
exit "$failed"
