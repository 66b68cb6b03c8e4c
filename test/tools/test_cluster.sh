#!/usr/bin/env bash
# config/cluster with the real programs of one build:  test_cluster.sh BUILD-DIR
# Goal: what is promised of each of its commands holds, and nothing is left behind.
# Method: two clusters side by side in a temporary folder whose name has a blank, asked through kv and /proc.
# Exit status: 0 passed, 1 not, 77 skipped because the build has no programs.
set -uo pipefail

KVDB_BUILD_DIR=$(realpath "${1:?usage: test_cluster.sh BUILD-DIR}")
export KVDB_BUILD_DIR
cluster=$(cd "$(dirname "$0")/../.." && pwd)/config/cluster
kv=$KVDB_BUILD_DIR/bin/kv
if [[ ! -x $kv || ! -x $KVDB_BUILD_DIR/bin/kvdb-broker || ! -x $KVDB_BUILD_DIR/bin/kvdb-node ]]; then
    echo "skipped: $KVDB_BUILD_DIR/bin has no programs"
    exit 77
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/kvdb cluster.XXXXXX")
one=$scratch/one two=$scratch/two
failures=0

processes () { # DIR: the pids with DIR in their arguments
    local file
    for file in /proc/[0-9]*; do
        [[ ${file#/proc/} == "$$" || ${file#/proc/} == "$BASHPID" ]] && continue
        if { tr '\0' '\n' <"$file/cmdline" | grep -qF -- "$1/"; } 2>/dev/null; then echo "${file#/proc/}"; fi
    done
}

environment_of () { tr '\0' '\n' <"/proc/$(processes "$one/$1" | head -n 1)/environ"; } # ID of the first cluster

clean_up () {
    "$cluster" down --dir "$one" >/dev/null 2>&1
    "$cluster" down --dir "$two" >/dev/null 2>&1
    if ((failures)); then tail -n 30 "$scratch"/*/*/log; fi
    rm -rf "$scratch"
}
trap clean_up EXIT

complain () {
    failures=$((failures + 1))
    echo "FAILED: $*"
}

# Runs a command; checks its exit status and that its output (both streams) holds a text.
expect () { # STATUS TEXT COMMAND...
    local status=0 output wanted_status=$1 wanted=$2
    shift 2
    output=$("$@" </dev/null 2>&1) || status=$?
    if [[ $status != "$wanted_status" || $output != *"$wanted"* ]]; then
        complain "${*@Q}: expected exit $wanted_status and '$wanted', got exit $status and:"
        printf '    %s\n' "$output"
    else
        echo "ok: ${1##*/} ${*:2} -> $wanted"
    fi
}

expect_processes () { # DIR COUNT
    local found
    found=$(processes "$1" | wc -l)
    if ((found != $2)); then
        complain "$found processes with $1 in their arguments, expected $2"
    else
        echo "ok: $2 processes of $1"
    fi
}

# A base with 50 free ports after it: below the ephemeral ports, above those of the other tests.
free_base () { # START
    local base=$1 port
    while :; do
        for ((port = base; port < base + 50; port++)); do
            ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
        done
        ((port < base + 50)) || { echo "$base" && return; }
        base=$((base + 50))
    done
}

first=$(free_base $((32000 + RANDOM % 7 * 100)))
second=$(free_base $((first + 50)))

echo "--- wrong usage is told apart, and starts nothing"
expect 2 usage "$cluster"
expect 2 frob "$cluster" frob
expect 2 "--nodes 0" "$cluster" up --nodes 0 --dir "$one"
expect 2 "--nodes x" "$cluster" up --nodes x --dir "$one"
expect 2 "--port 70000" "$cluster" up --port 70000 --dir "$one"
expect 2 "needs a value" "$cluster" up --dir
expect 2 "needs the ID" "$cluster" kill --dir "$one"
expect 2 "no cluster" "$cluster" status --dir "$one"
expect 0 "no cluster" "$cluster" down --dir "$one"
expect 2 "not empty" "$cluster" up --dir /usr

echo "--- up in an empty folder, with an environment"
mkdir "$one"
expect 0 serves env KVDB_PERSISTENCE_FSYNC=never "$cluster" up --dir "$one" --port "$first" --nodes 2
expect_processes "$one" 3
expect 0 OK "$kv" --port "$first" SET key 'a value'
expect 0 'a value' "$kv" --port "$first" GET key
expect 0 'a value' "$cluster" cli --dir "$one" GET key
expect 0 "running already" "$cluster" up --dir "$one"
expect 2 "--nodes 2" "$cluster" up --dir "$one" --nodes 3
expect 2 "uses port $first" "$cluster" status --dir "$one" --port "$second"
expect 2 "there is no 'node3'" "$cluster" kill node3 --dir "$one"
expect 0 '' kill -0 "$(<"$one/node1/pid")"

echo "--- another cluster beside it; a taken port is seen before anything starts"
expect 1 "in use" "$cluster" up --dir "$two" --port "$first"
expect_processes "$two" 0
expect 0 serves "$cluster" up --dir "$two" --port "$second" --nodes 1
expect 0 OK "$kv" --port "$second" SET key other
expect 0 'a value' "$kv" --port "$first" GET key
expect 0 "is down" "$cluster" down --dir "$two"
expect_processes "$two" 0

echo "--- an up that failed does not bind the next one: neither the broker's placement nor its options"
rm -rf "$two"
mkdir -p "$scratch/build/bin"
ln -s "$KVDB_BUILD_DIR/bin/kvdb-broker" "$kv" "$scratch/build/bin"
cat >"$scratch/build/bin/kvdb-node" <<NODE # it waits until the broker has settled who owns what, and fails
#!/bin/sh
until [ -e "$two/broker/data/placement" ]; do sleep 0.05; done
exit 1
NODE
chmod +x "$scratch/build/bin/kvdb-node"
expect 1 'replicas: "9" is out of range' "$cluster" up --dir "$two" --port "$second" --replicas 9
expect 1 "ended while it was starting" \
    env KVDB_BUILD_DIR="$scratch/build" "$cluster" up --dir "$two" --port "$second" --nodes 4
expect 0 kvdb-placement cat "$two/broker/data/placement"
expect_processes "$two" 0
expect 0 "1 broker, 1 node" "$cluster" up --dir "$two" --port "$second" --nodes 1
expect 0 "replicas: 0" cat "$two/cluster.yaml"
expect 0 "is down" "$cluster" down --dir "$two"
expect_processes "$two" 0

echo "--- nodes started by hand make a cluster that has served, and keeps its nodes"
sed -i 's/^state=.*/state=new/' "$one/settings"
expect 0 stopped "$cluster" stop node2 --dir "$one"
expect 0 serves "$cluster" start node2 --dir "$one"
expect 2 "--nodes 2" "$cluster" up --dir "$one" --nodes 3

echo "--- kill, start, stop"
expect 0 killed "$cluster" kill node1 --dir "$one"
expect_processes "$one" 2
expect 0 "node1    dead" "$cluster" status --dir "$one"
expect 0 serves "$cluster" start node1 --dir "$one"
expect 0 "node1    running" "$cluster" status --dir "$one"
expect 0 KVDB_PERSISTENCE_FSYNC=never environment_of node1
expect 0 "running already" "$cluster" start node1 --dir "$one"
expect 0 stopped "$cluster" stop node2 --dir "$one"
expect 0 "node2    stopped" "$cluster" status --dir "$one"
expect 0 serves "$cluster" start node2 --dir "$one"
expect 0 killed "$cluster" kill broker --dir "$one"
expect 0 serves "$cluster" start broker --dir "$one"
expect 0 OK "$kv" --port "$first" SET later 'another value'
expect 0 event= "$cluster" logs node1 --dir "$one"

echo "--- a process that was told to stop is stopped, not dead, whoever told it"
pid=$(<"$one/node2/pid")
expect 0 OK "$kv" --port "$first" SHUTDOWN node2
for ((i = 0; i < 500; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.02
done
expect 0 "node2    stopped" "$cluster" status --dir "$one"
expect 0 serves "$cluster" start node2 --dir "$one"

echo "--- a paused process is stopped all the same"
mapfile -t pids < <(processes "$one/node2")
kill -STOP "${pids[0]}"
expect 0 "node2    paused" "$cluster" status --dir "$one"
expect 0 "is down" "$cluster" down --dir "$one"
expect_processes "$one" 0
expect 0 "broker   stopped" "$cluster" status --dir "$one"

echo "--- up again: the same cluster"
expect 0 "serves: 1 broker, 2 nodes" "$cluster" up --dir "$one"
expect 0 KVDB_PERSISTENCE_FSYNC=never environment_of node1
expect 0 "is down" "$cluster" down --dir "$one"
expect_processes "$one" 0

((failures == 0)) && echo "config/cluster does what it says"
((failures == 0))
