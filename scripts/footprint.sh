#!/usr/bin/env bash
# Crates, and processor time of a clean release build, for each feature set, as a Markdown table.
#
#   footprint.sh             all of them, many minutes
#   footprint.sh default     only those named, as in the table's first column
#   footprint.sh --check     fails where the default features take more than their limits: 70 crates
#                            and 60 s
#
# Crates are those that are compiled into a program, with what is run to compile them counted apart.
# The builds start from nothing, in a temporary folder; what is not downloaded yet is before.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
crate_limit=70
second_limit=60

# A name, and cargo's options.
sets=(
    'no features|--no-default-features'
    'default|'
    'ring|--features ring'
    'aws-lc-rs|--features aws-lc-rs'
    'rayon|--features rayon'
    'tokio|--features tokio'
    'kms-policy|--features kms-policy'
    'object-store|--features object-store'
    'tracing, metrics|--features tracing,metrics'
    'aws-kms|--features aws-kms'
)

check=
wanted=()
for argument in "$@"; do
    case $argument in
    --check) check=yes ;;
    -*)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
    *) wanted+=("$argument") ;;
    esac
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

# crates EDGES OPTION...: how many there are, this library included.
crates() {
    local edges=$1
    shift
    cargo tree --locked -p waxseal --prefix none --edges "$edges" "$@" |
        awk 'NF { print $1, $2 }' | sort -u | wc -l
}

# Seconds of processor time, user and system, of the command and all that it starts.
seconds() {
    local times TIMEFORMAT='%U %S'
    if ! times=$({ time "$@" >"$folder/log" 2>&1; } 2>&1); then
        cat "$folder/log" >&2
        return 1
    fi
    awk '{ printf "%.0f\n", $1 + $2 }' <<<"$times"
}

cargo fetch --locked --quiet
failed=0
echo '| features | crates | to compile them, too | clean release build, s of processor time |'
echo '|---|--:|--:|--:|'
for set in "${sets[@]}"; do
    name=${set%%|*}
    read -ra options <<<"${set#*|}"
    if ((${#wanted[@]} > 0)) && [[ " ${wanted[*]} " != *" $name "* ]]; then
        continue
    fi
    count=$(crates normal "${options[@]}")
    all=$(crates normal,build "${options[@]}")
    rm -rf "$folder/target"
    took=$(CARGO_TARGET_DIR=$folder/target seconds \
        cargo build --locked --release -p waxseal --lib "${options[@]}")
    echo "| $name | $count | $((all - count)) | $took |"
    if [[ $name == default ]] && ((count > crate_limit || took >= second_limit)); then
        echo "default: more than $crate_limit crates, or not under $second_limit s" >&2
        failed=1
    fi
done
if [[ -n $check ]]; then
    exit "$failed"
fi
