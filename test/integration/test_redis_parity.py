"""Every command answers as a redis-server does, to the letter of its errors, or differs for a reason listed here.

Method: the conversations of redis_cases.txt, and random commands of a seed, are held with a redis-server, with a
cluster of three nodes through its broker, and with the direct door of a cluster of one node. Answers are compared
value by value. A difference that is not in DIFFERENCES fails the test; so does one that is listed but never occurs.

RESP and msgpack:   null = nil        integer = int       array = array     (a map is a flat array in RESP 2)
                    bulk = bin, or str where the server itself is speaking  simple string = str     error = error text
"""
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "python"))

import resp
from harness import FULL, SEED, Cluster
from kvdb_client import Client, KvError

CASES = pathlib.Path(__file__).resolve().parent / "redis_cases.txt"
COMMANDS = 60000 if FULL else 6000  # random ones, of each target
BATCH = 40


# ---- what differs, and why -----------------------------------------------------------------------


def is_error(value, *begins):
    text = value.text if isinstance(value, KvError) else str(value) if isinstance(value, resp.RespError) else None
    return text is not None and (not begins or any(text.startswith(begin) for begin in begins))


def name_of(words):
    return words[0].upper().decode("latin-1")


def words_are(words, *expected):
    return [word.upper() for word in words[: len(expected)]] == [word.encode() for word in expected]


def has_word(words, *wanted):
    return any(word.upper().decode("latin-1") in wanted for word in words[1:])


OURS = {"ALL", "DELIFEQ", "DROP", "GETVER", "SIZE"}
TOGETHER = {"COPY", "MSETNX", "RENAME", "RENAMENX"}

# name: (reason, does it explain that `words` were answered so by Redis, and so by KvDB?)
DIFFERENCES = {
    "unknown command": (
        "KvDB's text names HELP, Redis's repeats the arguments",
        lambda words, redis, kvdb: is_error(redis, "ERR unknown command") and is_error(kvdb, "ERR unknown command")),
    "own command": (
        "ALL, SIZE, DROP are the original's; GETVER is KvDB's, DELIFEQ Valkey's",
        lambda words, redis, kvdb: name_of(words) in OURS and is_error(redis, "ERR unknown command")),
    "own option of SET": (
        "IFEQ came with Redis 8.4 and Valkey 8.1, IFVER is KvDB's",
        lambda words, redis, kvdb: name_of(words) == "SET" and has_word(words[2:], "IFEQ", "IFVER")
        and is_error(redis, "ERR syntax error")),
    "own subcommand of OBJECT": (
        "OBJECT VERSION is KvDB's",
        lambda words, redis, kvdb: words_are(words, "OBJECT", "VERSION") and is_error(redis, "ERR unknown subcommand")),
    "empty key": (
        "a key has 1 byte at least",
        lambda words, redis, kvdb: b"" in words and is_error(kvdb, "ERR a key has 1 byte at least")),
    "long key": (
        "a key has 65536 bytes at most",
        lambda words, redis, kvdb: is_error(kvdb, "ERR the key has ")),
    "long value": (
        "the text names the limit, max_value_bytes, which is not Redis's",
        lambda words, redis, kvdb: is_error(redis, "ERR string exceeds maximum") and is_error(kvdb, "ERR the value has ")),
    "long pattern": (
        "a pattern has 1024 bytes at most, which bounds the work",
        lambda words, redis, kvdb: is_error(kvdb, "ERR the pattern has ")),
    "keys of several shards": (
        "a Redis that is no cluster has one shard; Redis Cluster says CROSSSLOT as well",
        lambda words, redis, kvdb: name_of(words) in TOGETHER and is_error(kvdb, "CROSSSLOT ")),
    "one database": (
        "there is database 0 only",
        lambda words, redis, kvdb: name_of(words) == "COPY" and has_word(words, "DB")
        and is_error(kvdb, "ERR DB index is out of range", "ERR source and destination objects are the same")),
    "expired keys": (
        "Redis counts what has expired until it comes upon it, KvDB does not",
        lambda words, redis, kvdb: words_are(words, "DBSIZE") and isinstance(redis, int) and isinstance(kvdb, int)
        and 0 < redis - kvdb < 5),
    "ranges of bytes in patterns": (
        "Redis takes the ends of [a-b] as signed characters, KvDB as bytes of 0 to 255",
        lambda words, redis, kvdb: words_are(words, "KEYS") and b"[" in words[1] and b"\xff" in words[1]
        and isinstance(redis, list) and isinstance(kvdb, list)),
    "encoding": (
        "there is one layout, raw; Redis has int and embstr as well",
        lambda words, redis, kvdb: words_are(words, "OBJECT", "ENCODING") and redis in (b"int", b"embstr") and kvdb == "raw"),
    "reference count": (
        "Redis shares the objects of small integers",
        lambda words, redis, kvdb: words_are(words, "OBJECT", "REFCOUNT") and redis == 2147483647 and kvdb == 1),
    "bytes of memory": (
        "the layouts in memory differ",
        lambda words, redis, kvdb: words_are(words, "MEMORY", "USAGE") and isinstance(redis, int) and isinstance(kvdb, int)
        and 0 < kvdb),
    "help": (
        "each describes its own commands",
        lambda words, redis, kvdb: has_word(words[:2], "HELP") and isinstance(redis, list) and isinstance(kvdb, list)),
    "subcommands of MEMORY": (
        "MEMORY has USAGE and HELP only; INFO memory tells the rest",
        lambda words, redis, kvdb: name_of(words) == "MEMORY" and is_error(kvdb, "ERR unknown subcommand")
        and not is_error(redis)),
    "RANDOMKEY WEIGHTED": (
        "an option of KvDB's, for those who ask node by node; a broker refuses it as a syntax error",
        lambda words, redis, kvdb: words_are(words, "RANDOMKEY") and is_error(redis, "ERR wrong number")
        and (is_error(kvdb, "ERR syntax error") or isinstance(kvdb, list))),
    "BGSAVE": (
        "one more snapshot begins when the one under way has ended, where Redis asks to come back",
        lambda words, redis, kvdb: words_are(words, "BGSAVE") and kvdb == "Background saving started"
        and is_error(redis, "ERR Background save already in progress")),
    "SCAN TYPE": (
        "there is one type of value, so the option is not offered",
        lambda words, redis, kvdb: words_are(words, "SCAN") and has_word(words, "TYPE") and is_error(kvdb, "ERR syntax error")),
    "scan cursor": (
        "a cursor names a shard and a place in it; a number that no SCAN has returned may name neither",
        lambda words, redis, kvdb: words_are(words, "SCAN") and (is_error(kvdb, "ERR invalid cursor") or not is_error(kvdb))
        and words[1] not in (b"0", b"x")),
    "table of commands": (
        "the tables of commands differ; those in both are compared by arity and places of keys elsewhere",
        lambda words, redis, kvdb: words_are(words, "COMMAND") and not is_error(redis) and not is_error(kvdb)),
    "pairs in COMMAND GETKEYS": (
        "KvDB checks that pairs are complete, Redis does not",
        lambda words, redis, kvdb: words_are(words, "COMMAND", "GETKEYS") and isinstance(redis, list)
        and is_error(kvdb, "ERR Invalid number of arguments")),
    "INFO": (
        "sections and lines are each server's own",
        lambda words, redis, kvdb: words_are(words, "INFO") and not is_error(redis) and not is_error(kvdb)),
    "bytes in an error": (
        "an error's text is printable ASCII: other bytes of what it quotes become '?'",
        lambda words, redis, kvdb: is_error(redis) and is_error(kvdb) and "?" in kvdb.text
        and kvdb.text.split("?")[0] == str(redis)[: len(kvdb.text.split("?")[0])]),
    "length of an error": (
        "an error quotes 128 bytes of an argument at most",
        lambda words, redis, kvdb: is_error(redis) and is_error(kvdb) and len(kvdb.text) < len(str(redis))
        and str(redis).startswith(kvdb.text)),
}

# Redis may have come upon it already; this one need not occur.
BY_CHANCE = {"expired keys", "BGSAVE"}

# Commands of KvDB that no conversation has, and why.
NOT_COMPARED = {"SHUTDOWN": "it would end the redis-server", "TOPOLOGY": "a broker's own", "HELP": "KvDB's own"}


# ---- comparing -----------------------------------------------------------------------------------

TOLERANCE = {"LASTSAVE": 60, "TTL": 5, "EXPIRETIME": 5, "PTTL": 5000, "PEXPIRETIME": 5000}


def same_value(redis, kvdb):
    if isinstance(redis, resp.RespError) or isinstance(kvdb, KvError):
        return isinstance(redis, resp.RespError) and isinstance(kvdb, KvError) and str(redis) == kvdb.text
    if isinstance(redis, resp.Status):
        return isinstance(kvdb, str) and kvdb == redis
    if isinstance(redis, bytes):
        return kvdb == redis if isinstance(kvdb, bytes) else isinstance(kvdb, str) and kvdb.encode() == redis
    if isinstance(redis, list):
        flat = [item for pair in kvdb.items() for item in pair] if isinstance(kvdb, dict) else kvdb
        return isinstance(flat, list) and len(flat) == len(redis) and all(map(same_value, redis, flat))
    return type(redis) is type(kvdb) and redis == kvdb


def same(words, redis, kvdb):
    name = name_of(words)
    if name in TOLERANCE and isinstance(redis, int) and isinstance(kvdb, int) and redis > 0:
        return abs(redis - kvdb) <= TOLERANCE[name]
    if words_are(words, "OBJECT", "IDLETIME") and isinstance(redis, int) and isinstance(kvdb, int):
        return abs(redis - kvdb) <= 5
    if name == "KEYS" and isinstance(redis, list) and isinstance(kvdb, list):
        return sorted(redis) == sorted(kvdb)  # a set has no order
    if name == "RANDOMKEY" and isinstance(redis, bytes):
        return isinstance(kvdb, bytes)
    if name == "TIME" and isinstance(redis, list) and isinstance(kvdb, list):
        return len(kvdb) == 2 and abs(int(redis[0]) - int(kvdb[0])) <= 5 and 0 <= int(kvdb[1]) < 1000000
    return same_value(redis, kvdb)


class Comparison:
    """Counts what was compared, what differed for a listed reason, and keeps what differed for none."""

    def __init__(self):
        self.compared = 0
        self.occurred = dict.fromkeys(DIFFERENCES, 0)
        self.unexplained = []

    def add(self, target, words, redis, kvdb):
        self.compared += 1
        if same(words, redis, kvdb):
            return
        for name, (_, explains) in DIFFERENCES.items():
            if explains(words, redis, kvdb):
                self.occurred[name] += 1
                return
        self.unexplained.append(f"{target}: {shown(words)}\n    redis {shown(redis)}\n    kvdb  {shown(kvdb)}")


def shown(value):
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return " ".join(repr(word)[1:] if len(word) < 60 else f"<{len(word)} bytes {word[:20]!r}...>" for word in value)
    return repr(value)[:300]


COMPARISON = Comparison()


# ---- conversations -------------------------------------------------------------------------------


def unescape(text):
    """One line's words, quoted as redis-cli quotes."""
    words, at = [], 0
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        if text[at] == "@" and text[at + 1 :].split(" ")[0].isdigit():
            digits = text[at + 1 :].split(" ")[0]
            words.append(b"x" * int(digits))
            at += 1 + len(digits)
            continue
        word = bytearray()
        if text[at] == '"':
            at += 1
            while text[at] != '"':
                if text[at] == "\\" and text[at + 1] == "x":
                    word.append(int(text[at + 2 : at + 4], 16))
                    at += 4
                elif text[at] == "\\":
                    word += {"n": b"\n", "r": b"\r", "t": b"\t"}.get(text[at + 1], text[at + 1].encode())
                    at += 2
                else:
                    word += text[at].encode()
                    at += 1
            at += 1
        else:
            while at < len(text) and text[at] != " ":
                word += text[at].encode()
                at += 1
        words.append(bytes(word))
    return words


def conversations():
    found, lines = [], []
    for line in CASES.read_text().splitlines() + [""]:
        if line.startswith("#"):
            continue
        if line:
            lines.append(unescape(line))
        elif lines:
            found.append(lines)
            lines = []
    return found


# ---- random commands -----------------------------------------------------------------------------


class Generator:
    """Random commands on few keys of one shard. No deadline falls due meanwhile but those in the past, and no two
    are so close that the order of two servers' clocks could matter."""

    INTEGERS = [b"0", b"1", b"-1", b"5", b"-7", b"100", b"1999", b"9223372036854775807", b"-9223372036854775808",
                b"9223372036854775808", b"-9223372036854775809", b"007", b"-0", b"+1", b" 1", b"1 ", b"1.5", b"", b"-", b"abc",
                b"18446744073709551616", b"9223372036854775", b"-9223372036854775", b"0x10", b"1e3", b"\x00", b"1\x00"]
    FLOATS = [b"0", b"1", b"-1", b"0.1", b"-0.25", b"3.0", b"1e5", b"-1.5e-3", b"5.0e3", b"1e17", b"1e-17", b"1e400", b"-1e400",
              b"1e4932", b"-1e4932", b"1e4933", b"1e-5000", b"1e-4940", b"inf", b"-inf", b"Infinity", b"nan", b"-nan", b"0x1p3",
              b"0x10", b"+1", b".5", b"5.", b".", b"e5", b"1e", b"1e+", b" 1", b"1 ", b"", b"abc", b"1,5", b"--1", b"\x001",
              b"123456789012345678901234567890.123456789", b"0.000000000000000001", b"9" * 300, b"9" * 6000]

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.deadlines = set()

    def key(self):
        """None that is empty or too long: Redis takes those, and the two would hold different data from then on.
        None that is very long: some patterns of KEYS would keep Redis busy for minutes."""
        return b"{g}" + self.random.choice([b"a", b"b", b"c", b"d", b"n", b"f", b"\x00\xff", b"x y", b"{}", b"e" * 60])

    def integer(self):
        if self.random.random() < 0.3:
            return self.random.choice(self.INTEGERS)
        return b"%d" % self.random.randrange(-20, 60)

    def float(self):
        if self.random.random() < 0.4:
            return self.random.choice(self.FLOATS)
        return b"%.*f" % (self.random.randrange(7), self.random.uniform(-1000, 1000))

    def value(self):
        roll = self.random.random()
        if roll < 0.25:
            return self.integer()
        if roll < 0.4:
            return self.float()
        if roll < 0.5:
            return self.random.choice([b"", b"\x00", b"v", b"OK", b"\r\n", b"\xff" * 45])
        return self.random.randbytes(self.random.choice([1, 3, 10, 44, 45, 200]))

    def offset(self):
        return self.random.choice([b"536870912", b"9223372036854775807", b"-1", b"2000", b"x"]) if self.random.random() < 0.2 \
            else b"%d" % self.random.randrange(100)

    def apart(self, low, high, distance):
        """A number whose distance to all of its kind before is at least so much."""
        while True:
            number = self.random.randrange(low, high)
            if number // distance not in self.deadlines:
                self.deadlines.update((number // distance, number // distance - 1, number // distance + 1))
                return number

    def deadline(self, unit):
        """An amount for EX, PX, EXAT, PXAT: far away, in the past, or wrong."""
        if self.random.random() < 0.35:
            return self.random.choice([b"0", b"-1", b"1" if "AT" in unit else b"0", b"ten", b"1.5", b"", b"9223372036854775807",
                                       b"9223372036854775", b"-9223372036854775808", b"9223372036854775808", b" 1", b"01"])
        if unit == "EX":
            return b"%d" % self.apart(10**8, 10**11, 30)
        if unit == "PX":
            return b"%d" % self.apart(10**11, 10**14, 30000)
        if unit == "EXAT":
            return b"%d" % self.random.randrange(4 * 10**9, 9 * 10**10)
        return b"%d" % self.random.randrange(4 * 10**12, 9 * 10**13)

    def word(self, *words):
        word = self.random.choice(words)
        return "".join(self.random.choice((c.lower(), c)) for c in word).encode()

    def expiry_option(self):
        unit = self.random.choice(["EX", "PX", "EXAT", "PXAT"])
        return [self.word(unit)] if self.random.random() < 0.05 else [self.word(unit), self.deadline(unit)]

    def set_options(self):
        words = []
        for _ in range(self.random.choice([0, 0, 1, 1, 2, 3])):
            words += self.expiry_option() if self.random.random() < 0.4 else [self.word("NX", "XX", "GET", "KEEPTTL", "GET", "FOO")]
        return words

    def getex_options(self):
        words = []
        for _ in range(self.random.choice([0, 1, 1, 1, 2])):
            words += self.expiry_option() if self.random.random() < 0.7 else [self.word("PERSIST", "PERSIST", "NX")]
        return words

    def flags(self):
        count = self.random.choice([0, 0, 1, 1, 2, 3])
        return [self.word("NX", "XX", "GT", "LT", *(["FOO"] if self.random.random() < 0.1 else [])) for _ in range(count)]

    def copy_options(self):
        return self.random.choice([[], [], [self.word("REPLACE")], [b"DB", b"0"], [b"DB", b"99"], [b"DB"], [b"FOO"],
                                   [self.word("REPLACE"), b"db", b"0"], [b"DB", b"x"]])

    def pairs(self):
        return [word for _ in range(self.random.randrange(1, 4)) for word in (self.key(), self.value())]

    def keys(self):
        return [self.key() for _ in range(self.random.randrange(1, 6))]

    def pattern(self):
        parts = [b"*", b"?", b"{g}", b"a", b"[ab]", b"[^a]", b"[a-n]", b"[n-a]", b"[", b"\\", b"\\*", b"]", b"\xff", b"^", b"-"]
        pattern = b"".join(self.random.choice(parts) for _ in range(self.random.randrange(6)))
        return pattern if pattern.count(b"*") < 3 else b"*"

    def command(self):
        key, r = self.key(), self.random
        table = [
            lambda: [b"SET", key, self.value(), *self.set_options()], lambda: [b"SET", key, self.value(), *self.set_options()],
            lambda: [b"GET", key], lambda: [b"SETNX", key, self.value()], lambda: [b"GETSET", key, self.value()],
            lambda: [b"SETEX", key, self.deadline("EX"), self.value()], lambda: [b"PSETEX", key, self.deadline("PX"), self.value()],
            lambda: [b"GETDEL", key], lambda: [b"GETEX", key, *self.getex_options()], lambda: [b"GETEX", key, *self.getex_options()],
            lambda: [b"APPEND", key, self.value()], lambda: [b"STRLEN", key],
            lambda: [b"GETRANGE", key, self.integer(), self.integer()], lambda: [b"SETRANGE", key, self.offset(), self.value()],
            lambda: [b"INCR", key], lambda: [b"DECR", key], lambda: [b"INCRBY", key, self.integer()],
            lambda: [b"DECRBY", key, self.integer()], lambda: [b"INCRBYFLOAT", key, self.float()],
            lambda: [b"INCRBYFLOAT", key, self.float()],
            lambda: [b"EXPIRE", key, self.deadline("EX"), *self.flags()], lambda: [b"PEXPIRE", key, self.deadline("PX"), *self.flags()],
            lambda: [b"EXPIREAT", key, self.deadline("EXAT"), *self.flags()],
            lambda: [b"PEXPIREAT", key, self.deadline("PXAT"), *self.flags()],
            lambda: [r.choice([b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME", b"PERSIST", b"TYPE"]), key],
            lambda: [r.choice([b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME", b"PERSIST", b"TYPE"]), key],
            lambda: [b"MSET", *self.pairs()], lambda: [b"MSETNX", *self.pairs()], lambda: [b"MGET", *self.keys()],
            lambda: [r.choice([b"DEL", b"UNLINK"]), key], lambda: [r.choice([b"EXISTS", b"TOUCH", b"DEL"]), *self.keys()],
            lambda: [r.choice([b"RENAME", b"RENAMENX"]), key, self.key()], lambda: [b"COPY", key, self.key(), *self.copy_options()],
            lambda: [b"OBJECT", self.word("REFCOUNT", "IDLETIME", "FREQ", "FOO"), key], lambda: [b"KEYS", self.pattern()],
            lambda: [r.choice([b"DBSIZE", b"RANDOMKEY", b"PING", b"TIME"])], lambda: [r.choice([b"PING", b"ECHO"]), self.value()],
            lambda: [b"COMMAND", b"GETKEYS", *self.plain()],
        ]
        words = r.choice(table)()
        roll = r.random()
        if roll < 0.02:
            words.append(self.value() or b"more")  # it may be a key
        elif roll < 0.04 and len(words) > 1:
            words.pop()
        words[0] = self.word(words[0].decode())
        return words

    def plain(self):
        return self.random.choice([[b"GET", self.key()], [b"MSET", *self.pairs()], [b"DEL", *self.keys()], [b"PING"],
                                   [b"RENAME", self.key(), self.key()], [b"NOSUCH"], [b"SET"]])


# ---- the tests -----------------------------------------------------------------------------------


def setUpModule():
    if not resp.installed():
        raise unittest.SkipTest("redis-server is not installed")


class Target:
    """A way to a cluster, and a redis-server beside it."""

    nodes = 3
    name = "broker"

    @classmethod
    def setUpClass(cls):
        cls.redis = resp.RedisServer().__enter__()
        cls.addClassCleanup(cls.redis.__exit__)
        cls.cluster = cls.enterClassContext(Cluster(nodes=cls.nodes)) if hasattr(cls, "enterClassContext") else None
        if cls.cluster is None:  # before Python 3.11
            cls.cluster = Cluster(nodes=cls.nodes).__enter__()
            cls.addClassCleanup(cls.cluster.__exit__, None, None, None)
        cls.kvdb = Client(port=cls.port_of(cls.cluster), timeout_s=30)
        cls.addClassCleanup(cls.kvdb.close)

    @classmethod
    def port_of(cls, cluster):
        return cluster.port

    def compare(self, commands):
        redis = self.redis.client.pipeline(commands)
        kvdb = self.kvdb.pipeline(commands)
        for words, theirs, ours in zip(commands, redis, kvdb):
            COMPARISON.add(self.name, words, theirs, ours)

    def check(self, before):
        found = COMPARISON.unexplained[before:]
        self.assertFalse(found, f"seed {SEED}: {len(found)} differences, the first ones:\n" + "\n".join(found[:20]))

    def clear(self):
        for client in (self.redis.client, self.kvdb):
            assert client.pipeline([[b"FLUSHALL"]]) == ["OK"]

    def test_conversations(self):
        before = len(COMPARISON.unexplained)
        for conversation in conversations():
            self.clear()
            for words in conversation:
                self.compare([words])
        self.check(before)

    def test_random_commands(self):
        before = len(COMPARISON.unexplained)
        generator = Generator(f"{SEED} {self.name}")
        self.clear()
        for _ in range(COMMANDS // BATCH):
            self.compare([generator.command() for _ in range(BATCH)])
            if len(COMPARISON.unexplained) > before + 20:
                break
        self.check(before)

    def test_walks(self):
        """SCAN returns what KEYS does, whatever its options."""
        self.clear()
        keys = [b"key:%d" % i for i in range(3000)] + [b"\x00\xff", b"other"]
        for at in range(0, len(keys), 500):
            for client in (self.redis.client, self.kvdb):
                client.pipeline([[b"SET", key, b"v"] for key in keys[at : at + 500]])
        for options in ([], [b"COUNT", b"1000"], [b"MATCH", b"key:1*"], [b"match", b"*9", b"count", b"100"]):
            walked = []
            for client in (self.redis.client, self.kvdb):
                found, cursor = set(), b"0"
                while True:
                    ((cursor, some),) = client.pipeline([[b"SCAN", cursor, *options]])
                    found.update(some)
                    if cursor == b"0":
                        break
                walked.append(found)
            self.assertEqual(walked[0], walked[1], options)
            COMPARISON.compared += 1

    def test_the_tables_agree_on_arity_and_keys(self):
        ours = {row[0]: row for row in self.kvdb.call("COMMAND")}
        (theirs,) = self.redis.client.pipeline([[b"COMMAND"]])
        theirs = {row[0].decode(): row for row in theirs}
        differing = {  # name: why
            "randomkey": "WEIGHTED", "object": "Redis has the key at its subcommands",
            "memory": "Redis has the key at its subcommands", "shutdown": "KvDB's names a node"}
        found = {name for name in ours.keys() & theirs.keys()
                 if (ours[name][1], ours[name][3:6]) != (theirs[name][1], theirs[name][3:6])}
        self.assertGreater(len(ours.keys() & theirs.keys()), 50)
        self.assertEqual(found, set(differing), {name: (ours[name], theirs[name][:6]) for name in found})


class ThroughTheBroker(Target, unittest.TestCase):
    pass


class AtTheDirectDoor(Target, unittest.TestCase):
    nodes = 1
    name = "direct"

    @classmethod
    def port_of(cls, cluster):
        with Client(port=cluster.port) as broker:
            return broker.call("TOPOLOGY")["nodes"][0]["port"]


class TheTables(unittest.TestCase):
    def test_every_command_is_in_a_conversation(self):
        table = (pathlib.Path(__file__).resolve().parents[2] / "schema" / "commands.def").read_text()
        names = {line.split("(")[1].split(",")[0] for line in table.splitlines() if line.startswith("KV_COMMAND (")}
        held = {name_of(words) for conversation in conversations() for words in conversation}
        self.assertEqual(names - held, set(NOT_COMPARED))


class ZTheDifferences(unittest.TestCase):
    """Runs last: by then all of them must have occurred."""

    def test_every_listed_difference_occurs(self):
        print(f"\n{COMPARISON.compared} answers compared; what differed, how often, and why:", flush=True)
        for name, count in COMPARISON.occurred.items():
            print(f"  {name:26} {count:5}  {DIFFERENCES[name][0]}", flush=True)
        idle = [name for name, count in COMPARISON.occurred.items() if count == 0 and name not in BY_CHANCE]
        self.assertEqual(idle, [], "listed differences that do not occur: take them out of the table")


if __name__ == "__main__":
    unittest.main(verbosity=2)
