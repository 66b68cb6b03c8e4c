#!/usr/bin/env bash
# Does a machine that has nothing but Debian 12 get a cluster in one command?  Needs root and debootstrap.
#
#   fresh_machine.sh DIR [--base BASE] [--test [quick|full|ci]] [--port P]
#
# Makes a minimal Debian 12 in DIR (absent or empty; removed at the end), from the package sources of this machine;
# BASE, if given, keeps the pristine tree for the next time.  Clones the committed state of this repository into it,
# and there runs config/cluster up, some commands, a restart, config/cluster down, and with --test test/run too.
# All of it runs in namespaces of its own: its processes and mounts end with it.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)

fail () { echo "fresh_machine: $*" >&2; exit 1; }
say () { echo "=== $*"; }

target='' base='' run_tests='' port=17000
while (($#)); do
    case $1 in
    --base) base=${2:?--base needs a folder} && shift ;;
    --port) port=${2:?--port needs a number} && shift ;;
    --test)
        run_tests=ci
        case ${2:-} in quick | full | ci) run_tests=$2 && shift ;; esac
        ;;
    -*) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    *) target=$1 ;;
    esac
    shift
done
[[ -n $target ]] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
((EUID == 0)) || fail "root is needed (chroot, mounts, namespaces)"
command -v debootstrap >/dev/null || fail "debootstrap is missing (package debootstrap)"
target=$(realpath -m -- "$target")
[[ ! -e $target || -z $(find "$target" -mindepth 1 -print -quit) ]] || fail "$target is not empty"

# The package sources of this machine for bookworm: "URI SUITE COMPONENT" lines.
package_sources () {
    # shellcheck disable=SC2016  # the placeholders are apt's
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        grep -E ' bookworm(-[a-z]+)? main$' | sort -u
}

bootstrap () { # DIR
    local sources mirror
    sources=$(package_sources)
    mirror=$(awk '$2 == "bookworm" { print $1; exit }' <<<"$sources")
    [[ -n $mirror ]] || fail "this machine has no package source for bookworm"
    say "debootstrap into $1"
    debootstrap --variant=minbase bookworm "$1" "$mirror" >"$1.log" 2>&1 ||
        { tail -n 20 "$1.log" >&2 && fail "debootstrap failed"; }
    rm -f "$1.log"
    # shellcheck disable=SC2001
    sed 's/^/deb /' <<<"$sources" >"$1/etc/apt/sources.list"
    # How this machine reaches them: proxies, and whether the dates are checked.
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Check-|Retries)' >"$1/etc/apt/apt.conf.d/90host" || true
}

if [[ -n $base ]]; then
    base=$(realpath -m -- "$base")
    if [[ ! -e $base/etc/debian_version ]]; then
        rm -rf "$base.new"
        mkdir -p "$base.new"
        bootstrap "$base.new"
        mv "$base.new" "$base"
    fi
fi

trap 'rm -rf --one-file-system "$target"' EXIT
mkdir -p "$target"
if [[ -n $base ]]; then cp -a "$base/." "$target/"; else bootstrap "$target"; fi
cp -L /etc/resolv.conf "$target/etc/resolv.conf"
cp -L /etc/hosts "$target/etc/hosts"
git clone -q --no-hardlinks "$root" "$target/opt/kvdb"

# What a newcomer does.  It runs inside, as the first process of its namespaces' chroot.
cat >"$target/opt/newcomer" <<'INSIDE'
#!/bin/bash
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root
port=$1 run_tests=$2 kv="build/bin/kv --port $1"
cd "$(dirname "$0")/kvdb"
expect () { # WANTED COMMAND...
    local wanted=$1 got
    shift
    got=$("$@")
    [[ $got == "$wanted" ]] || { echo "$*: expected '$wanted', got '$got'" >&2 && exit 1; }
    echo "$* -> $got"
}
echo "=== config/cluster up"
config/cluster up --port "$port"
config/cluster status
expect OK $kv SET greeting 'hello, new machine'
expect 'hello, new machine' $kv GET greeting
expect 1 $kv INCR counter
expect 2 $kv DBSIZE
echo "=== down, and up again"
config/cluster down
config/cluster up
expect OK $kv SET greeting 'hello again'
expect 'hello again' $kv GET greeting
echo "=== a node is lost and comes back"
config/cluster kill node2
config/cluster status
config/cluster start node2
expect OK $kv MSET a 1 b 2 c 3 d 4 e 5 f 6
expect 6 $kv EXISTS a b c d e f
config/cluster down
if grep -qal "$PWD/build/cluster" /proc/[0-9]*/cmdline 2>/dev/null; then
    echo "down left processes" >&2
    exit 1
fi
case $run_tests in
'') ;;
ci) echo "=== test/run" && CI=true bash .ci/run ;;
*) echo "=== test/run --$run_tests" && CI=true test/run "--$run_tests" ;;
esac
echo "=== a new machine is served"
INSIDE
chmod +x "$target/opt/newcomer"

cat >"$target/opt/enter" <<'ENTER'
#!/bin/bash
set -euo pipefail
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/dev/shm" 2>/dev/null || true
exec chroot "$1" /opt/newcomer "$2" "$3"
ENTER
status=0
env -i PATH="$PATH" unshare --mount --propagation private --pid --fork --kill-child \
    /bin/bash "$target/opt/enter" "$target" "$port" "$run_tests" </dev/null || status=$?
exit "$status"
