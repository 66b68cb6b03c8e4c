#!/usr/bin/env bash
# Whether every C file is as .clang-format has it, and every script as shellcheck has it.
#   check_format.sh c [--fix]    clang-format 14, the version the format is pinned to
#   check_format.sh shell        shellcheck
# Exit status: 0 clean, 1 not, 77 skipped because the tool is missing.
set -euo pipefail

cd "$(dirname "$0")/../.."

c_files () {
    find schema config actors node broker client test -type d \( -name node_modules -o -name build \) -prune \
        -o -type f -name '*.[ch]' -print
}

check_c () { # [--fix]
    local tool
    for tool in clang-format-14 clang-format; do
        if command -v "$tool" >/dev/null && [[ $("$tool" --version) == *' 14.'* ]]; then
            if [[ ${1:-} == --fix ]]; then
                c_files | xargs -r "$tool" -i
            else
                c_files | xargs -r "$tool" --dry-run --Werror
            fi
            return
        fi
    done
    echo "skipped: clang-format 14 is missing (package clang-format-14)"
    exit 77
}

check_shell () {
    if ! command -v shellcheck >/dev/null; then
        echo "skipped: shellcheck is missing"
        exit 77
    fi
    find . -type d \( -name build -o -name .git -o -name node_modules \) -prune -o -type f -perm -u+x \
        -exec grep -lZE '^#!.*\b(ba)?sh$' {} + | xargs -0 shellcheck -x config/packages
}

case ${1:-} in
c) check_c "${2:-}" ;;
shell) check_shell ;;
*) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
