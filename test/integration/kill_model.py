"""What keys may hold after writes of which some were acknowledged and some were not.

A *unit* is one or two or three keys of one shard that one writer alone writes to. Its writes are executed in the order
they are sent. It may be in any of a set of *states*: an acknowledged write takes each to the next and drops those that
would have had another reply; one that was not answered may have happened or not, so both remain; one that was refused
changes nothing. A set that becomes empty is a violation.

A state is a tuple with, for each key, None or (value, earliest, latest): its deadline, 0 without one. "SET ... PX" leaves a
deadline that is known to within the time its answer took.
"""
import collections
import threading

from servers import KvError, now_ms, shard_of

REFUSED = {30, 31, 33, 34, 35}  # BUSY, UNAVAILABLE, MOVED, RETRY, LOADING: not executed
UNKNOWN = {32, 38}
ANY = object()  # a reply that may be anything, or a state that is not known
SLACK_MS = 2
STATES_MOST = 4096


class Violation(AssertionError):
    pass


def is_gone(entry, at_ms):
    return entry is None or (entry[2] and entry[2] + SLACK_MS < at_ms)


def may_be_gone(entry, at_ms):
    return entry is None or (entry[1] and entry[1] - SLACK_MS <= at_ms)


class Operation:
    """A command, and what it does: effect (state, times) gives the next state and the reply, which may be ANY."""

    def __init__(self, unit, words, effect):
        self.unit, self.words, self.effect = unit, words, effect


class Unit:
    def __init__(self, kind, keys):
        self.kind, self.keys = kind, keys
        self.states = {(None,) * len(keys)}
        self.shard = shard_of(keys[0])
        self.history = collections.deque(maxlen=8)
        assert all(shard_of(key) == self.shard for key in keys)

    def fail(self, text, operation=None):
        what = f" by {[str(word)[:80] for word in operation.words]}" if operation else ""
        raise Violation(f"{self.kind} {self.keys}{what}: {text}; states {[str(state)[:300] for state in list(self.states)[:5]]}; "
                        f"lately {list(self.history)}")

    def remember(self, operation, result, times):
        """For whoever has to find out what went wrong."""
        self.history.append((" ".join(str(word)[:30] for word in operation.words), str(result)[:60], times))

    def acknowledged(self, operation, reply, times):
        following = set()
        expected = []
        for state in self.states:
            after, answer = operation.effect(state, times)
            expected.append(answer)
            if answer is ANY or answer == reply:
                following.add(after)
        if not following:
            self.fail(f"answered {str(reply)[:200]}, and could have {str(expected)[:300]}", operation)
        self.states = following

    def unknown(self, operation, times):
        self.states |= {operation.effect(state, times)[0] for state in self.states}
        assert len(self.states) <= STATES_MOST, "the test keeps more writes in flight than it can follow"

    def settle(self, found, times):
        """`found`: for each key None or (value, deadline or 0; ANY if it was gone when asked). It is the state from now on."""
        for state in self.states:
            if all(fits (entry, seen, times) for entry, seen in zip(state, found)):
                settled = tuple(None if seen is None else (seen[0], *([seen[1]] * 2 if seen[1] is not ANY else entry[1:]))
                                for entry, seen in zip(state, found))
                self.states = {settled}
                return
        self.fail(f"holds {str(found)[:400]}")


def fits(entry, seen, times):
    sent_ms, answered_ms = times
    if seen is None:
        return may_be_gone(entry, answered_ms)
    if entry is None or is_gone(entry, sent_ms) or seen[0] != entry[0]:
        return False
    return seen[1] is ANY or entry[1] <= seen[1] <= entry[2]


# ---- what writers do ------------------------------------------------------------------------------------------------


def put(state, index, entry):
    return state[:index] + (entry,) + state[index + 1:]


def op_set(unit, index, value):
    return Operation(unit, ["SET", unit.keys[index], value], lambda state, _: (put(state, index, (value, 0, 0)), "OK"))


def op_append(unit, value):
    def effect(state, _):
        old = state[0][0] if state[0] else b""
        deadline = state[0][1:] if state[0] else (0, 0)
        return ((old + value, *deadline),), len(old + value)
    return Operation(unit, ["APPEND", unit.keys[0], value], effect)


def op_setrange(unit, value):
    def effect(state, _):
        old = state[0][0] if state[0] else b""
        new = old[:2].ljust(2, b"\0") + value + old[2 + len(value):]
        return ((new, 0, 0),), len(new)
    return Operation(unit, ["SETRANGE", unit.keys[0], 2, value], effect)


def op_delete(unit, index):
    def effect(state, times):
        entry = state[index]
        gone = 0 if is_gone(entry, times[0]) else ANY if may_be_gone(entry, times[1]) else 1
        return put(state, index, None), gone
    return Operation(unit, ["DEL", unit.keys[index]], effect)


def op_getset(unit, value):
    return Operation(unit, ["GETSET", unit.keys[0], value],
                     lambda state, _: (((value, 0, 0),), state[0][0] if state[0] else None))


def op_setnx(unit, value):
    return Operation(unit, ["SETNX", unit.keys[0], value],
                     lambda state, _: (state, 0) if state[0] else (((value, 0, 0),), 1))


def op_set_at(unit, value, at_ms):
    return Operation(unit, ["SET", unit.keys[0], value, "PXAT", at_ms], lambda state, _: (((value, at_ms, at_ms),), "OK"))


def op_set_for(unit, value, for_ms):
    return Operation(unit, ["SET", unit.keys[0], value, "PX", for_ms],
                     lambda state, times: (((value, times[0] + for_ms - SLACK_MS, times[1] + for_ms + SLACK_MS),), "OK"))


def op_expire_at(unit, at_ms):
    """Only of a key whose deadline is far away, if it has one."""
    return Operation(unit, ["PEXPIREAT", unit.keys[0], at_ms],
                     lambda state, _: (((state[0][0], at_ms, at_ms),), 1) if state[0] else (state, 0))


def op_persist(unit):
    return Operation(unit, ["PERSIST", unit.keys[0]],
                     lambda state, _: (((state[0][0], 0, 0),), 1) if state[0] and state[0][1] else (state, 0))


def op_increment(unit, by):
    def effect(state, _):
        new = (int(state[0][0]) if state[0] else 0) + by
        return ((b"%d" % new, 0, 0),), new
    return Operation(unit, ["INCRBY", unit.keys[0], by], effect)


def op_mset(unit, value):
    words = ["MSET"] + [word for key in unit.keys for word in (key, value)]
    return Operation(unit, words, lambda state, _: (((value, 0, 0),) * len(unit.keys), "OK"))


def op_rename(unit):
    """Refused if there is nothing to rename; the reply is then an error, and judged by whoever sent it."""
    return Operation(unit, ["RENAME", unit.keys[0], unit.keys[1]],
                     lambda state, _: ((None, state[0]), "OK") if state[0] else (state, "ERR"))


# ---- what was seen of versions, and of counters ------------------------------------------------------------------------


class Versions:
    """A version is of one write: it never comes back with another value, nor falls."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen = {}  # (shard, version): (name of the unit, {key: value})
        self.highest = collections.defaultdict(int)

    def saw(self, name, shard, key, value, version):
        with self.lock:
            owner, values = self.seen.setdefault((shard, version), (name, {}))
            if owner != name or values.setdefault(key, value) != value:
                raise Violation(f"version {version >> 40}.{version & (1 << 40) - 1} of shard {shard} is {key} = {value[:100]!r}, and was "
                                f"{owner}: {str(values)[:300]}")
            self.highest[key] = max(self.highest[key], version)

    def settle(self, key, version):
        """Nobody is writing."""
        if version < self.highest[key]:
            raise Violation(f"{key} has version {version}, and {self.highest[key]} was seen")


class Counter:
    """INCR by everybody: no number comes twice, none falls, none that was given is taken back."""

    def __init__(self, key):
        self.key = key
        self.lock = threading.Lock()
        self.given = []  # (number, when it was sent, when it was answered)
        self.tries = 0

    def sent(self):
        with self.lock:
            self.tries += 1

    def answered(self, number, sent, answered):
        with self.lock:
            self.given.append((number, sent, answered))

    def check(self, value):
        numbers = [number for number, _, _ in self.given]
        if len(set(numbers)) != len(numbers):
            raise Violation(f"{self.key}: {len(numbers) - len(set(numbers))} numbers were given twice")
        if not max(numbers, default=0) <= value <= self.tries or len(numbers) > value:
            raise Violation(f"{self.key} is {value}; {max(numbers, default=0)} was given, {self.tries} were tried, "
                            f"{len(numbers)} acknowledged")
        ended = sorted(self.given, key=lambda one: one[2])
        highest, at = 0, 0
        for number, sent, _ in sorted(self.given, key=lambda one: one[1]):
            while at < len(ended) and ended[at][2] < sent:
                highest = max(highest, ended[at][0])
                at += 1
            if number <= highest:
                raise Violation(f"{self.key}: {number} was given after {highest} had been")


class Register:
    """SET ... IFVER by everybody: each version is succeeded by one value at most, and by none in between."""

    def __init__(self, key):
        self.key, self.shard = key, shard_of(key)
        self.lock = threading.Lock()
        self.last = 0  # a version that was seen
        self.versions = {}  # value: version
        self.won = {}  # version: the value that took its place

    def saw(self, value, version):
        with self.lock:
            self.last = max(self.last, version)
            if self.versions.setdefault(value, version) != version:
                raise Violation(f"{self.key}: {value!r} has version {version}, and had {self.versions[value]}")

    def took(self, version, value):
        with self.lock:
            if version in self.won:
                raise Violation(f"{self.key}: {value!r} took the place of version {version}, and {self.won[version]!r} had")
            self.won[version] = value

    def check(self, value, version):
        self.saw(value, version)
        known = sorted(self.versions.values())
        following = dict(zip([0, *known], known))
        for before, new in self.won.items():
            if version <= before:
                raise Violation(f"{self.key} has version {version}; {new!r} was acknowledged after {before}")
            if new in self.versions and before in following and following[before] != self.versions[new]:
                raise Violation(f"{self.key}: something came between version {before} and {new!r}")


class Flight:
    """A batch that was sent."""

    def __init__(self, request, operations):
        self.request, self.operations = request, operations
        self.sent_ms, self.sent_ns = now_ms(), 0
        self.results = None
        self.answered_ms = self.answered_ns = 0

    def times(self):
        return self.sent_ms, self.answered_ms or now_ms()


def outcome(result):
    """"done", "refused", "unknown" or "error"."""
    if not isinstance(result, KvError):
        return "done"
    return "refused" if result.code in REFUSED else "unknown" if result.code in UNKNOWN else "error"
