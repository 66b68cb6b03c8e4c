#!/usr/bin/env bash
# clang-tidy 14, the version .clang-tidy is written for, over our C files:  tidy.sh BUILD-DIR [FILE...]
# Skips, and says so, where it is missing.
set -euo pipefail

build=$(realpath "${1:?usage: tidy.sh BUILD-DIR [FILE...]}")
shift
cd "$(dirname "$0")/../.."
if ! command -v clang-tidy-14 >/dev/null; then
    echo "skipped: clang-tidy 14 is missing (package clang-tidy-14)"
    exit 0
fi
if (($# == 0)); then
    mapfile -t all < <(find schema config actors node broker client -name '*.c' | sort)
    set -- "${all[@]}"
fi
# Only what the build compiles can be checked: the flags come from its compile_commands.json.
for file in "$@"; do
    ! grep -qF "/$file\"" "$build/compile_commands.json" || printf '%s\0' "$file"
done | xargs -0 -r -n 4 -P 2 clang-tidy-14 -p "$build" --quiet 2> >(grep -vE '^[0-9]+ warnings? ' >&2)
