#!/usr/bin/env bash
# A seed is a run: the same trace, byte by byte, however often it is run, and the digest that a run
# without a trace has, too.
#   replay.sh PATH-OF-KVDB-SIM [SEED...]
set -euo pipefail

sim=$1
shift
seeds=("$@")
((${#seeds[@]})) || seeds=(1 2 3 5 8 13 21 34 55 89 144 233)
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
for seed in "${seeds[@]}"; do
    "$sim" --seed "$seed" --trace >"$there/first"
    "$sim" --seed "$seed" --trace >"$there/second"
    cmp "$there/first" "$there/second"
    "$sim" --seed "$seed" >"$there/third"
    cmp <(tail -1 "$there/first") "$there/third"
    lines=$(wc -l <"$there/first")
    ((lines > 100)) || {
        echo "seed $seed: a trace of $lines lines"
        exit 1
    }
done
# Other seeds are other runs.
digests=$(for seed in "${seeds[@]}"; do "$sim" --seed "$seed"; done | grep -o 'digest .*' | sort -u | wc -l)
((digests == ${#seeds[@]}))
echo "${#seeds[@]} seeds replayed"
