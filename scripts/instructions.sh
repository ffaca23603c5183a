#!/usr/bin/env bash
# Instructions that a message takes, counted by callgrind, so that a change of a percent is seen on a
# machine that does other things too: 16 bytes and 1 MiB, encrypted and decrypted, by each back end
# that valgrind can run. Printed against the last recorded ones, in benches/instructions/counts.tsv.
#
#   instructions.sh             prints them; fails for no count
#   instructions.sh --record    writes them to that file, too
#   instructions.sh --rust      only the back ends without C code
#
# Counts with another compiler, or where valgrind finds another processor, are others: it says so.
# valgrind knows no AVX-512, VAES or ADX: aws-lc-rs and ring run the code there that they have for an
# older processor, and graviola none. Without valgrind nothing is counted: it is installed where this
# is root on Debian or Ubuntu.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
recorded=benches/instructions/counts.tsv
features=(--features backends)
record=
for argument in "$@"; do
    case $argument in
    --record) record=yes ;;
    --rust) features=() ;;
    *)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
    esac
done

if ! command -v valgrind >/dev/null && command -v apt-get >/dev/null && [[ $(id -u) == 0 ]]; then
    { apt-get update && apt-get install --yes --no-install-recommends valgrind; } >/dev/null || true
fi
if ! command -v valgrind >/dev/null; then
    echo 'LEFT OUT: instruction counts: valgrind is not installed'
    exit 0
fi

cargo build --release -p waxseal-bench "${features[@]}" --bin instructions
program=${CARGO_TARGET_DIR:-target}/release/instructions

# The program as valgrind's processor runs it.
run() {
    valgrind --quiet --tool=none "$program" "$@"
}

# The instructions of a whole run: "==1== Collected : 123".
collected() {
    local log
    if ! log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$@" 2>&1); then
        echo "$log" >&2
        return 1
    fi
    awk '/ Collected *: / { print $NF; found = 1 } END { exit !found }' <<<"$log"
}

processor="$(run processor), $(rustc --version | cut -d' ' -f1,2), $(valgrind --version)"
mapfile -t backends < <(run)
while read -r backend; do
    if [[ " ${backends[*]} " != *" $backend "* ]]; then
        echo "LEFT OUT: instruction counts of $backend: it does not run on valgrind's processor"
    fi
done < <("$program")

before=
if [[ -e $recorded ]]; then
    before=$(sed -n 's/^# counted on //p' "$recorded")
fi
if [[ -n $before && $before != "$processor" ]]; then
    printf 'not the same as when they were recorded:\n  %s\n  %s\n' "$before" "$processor"
fi

new=$(mktemp)
trap 'rm -f "$new"' EXIT
trap 'exit 130' INT TERM
{
    echo '# Instructions a message, by scripts/instructions.sh: back end, operation, bytes, count.'
    echo "# counted on $processor"
} >"$new"

printf '%-12s %-8s %8s %14s %14s %9s\n' 'back end' '' bytes instructions recorded change
for backend in "${backends[@]}"; do
    for bytes in 16 1048576; do
        for operation in encrypt decrypt; do
            # What a message takes is what more of them take more.
            once=1
            often=$((bytes == 16 ? 101 : 5))
            low=$(collected "$backend" "$operation" "$bytes" "$once")
            high=$(collected "$backend" "$operation" "$bytes" "$often")
            count=$(((high - low) / (often - once)))
            printf '%s\t%s\t%s\t%s\n' "$backend" "$operation" "$bytes" "$count" >>"$new"
            last=
            if [[ -e $recorded ]]; then
                last=$(awk -F'\t' -v b="$backend" -v o="$operation" -v n="$bytes" \
                    '$1 == b && $2 == o && $3 == n { print $4 }' "$recorded")
            fi
            change=new
            if [[ -n $last ]]; then
                change=$(awk -v new="$count" -v last="$last" 'BEGIN { printf "%+.2f %%", (new / last - 1) * 100 }')
            fi
            printf '%-12s %-8s %8s %14s %14s %9s\n' "$backend" "$operation" "$bytes" "$count" "${last:--}" "$change"
        done
    done
done

if [[ -n $record ]]; then
    mkdir -p "$(dirname "$recorded")"
    cp "$new" "$recorded"
    echo "recorded in $recorded"
fi
