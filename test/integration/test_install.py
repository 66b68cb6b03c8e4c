#!/usr/bin/python3
"""Goal: what `cmake --install` leaves behind is enough to embed a cluster, shows nothing but its
interface, and knows nothing of where it was built.
Method: the build under test is installed, and the tree moved; programs are built against it outside
of the repository, with the sanitizers of that build, and run."""
import binascii
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import BUILD, ROOT, Cluster

KEYS, SHARDS, CYCLES = 2000, 64, 100
EXAMPLE = "share/doc/kvdb/examples"
HEADERS = ("kvdb.h", "kvdb_broker.h", "kvdb_node.h")
FILES = {
    "bin/kv", "bin/kv-bench", "bin/kvdb-broker", "bin/kvdb-node",
    *(f"include/{name}" for name in HEADERS),
    *(f"lib/lib{name}{end}" for name in ("kvdb", "kvdb-actors") for end in (".a", ".so", ".so.0.1", ".so.0.1.0")),
    "lib/cmake/kvdb/kvdbConfig.cmake", "lib/cmake/kvdb/kvdbConfigVersion.cmake",
    "lib/pkgconfig/libkvdb.pc", "lib/pkgconfig/libkvdb-actors.pc",
    *(f"share/doc/kvdb/{name}" for name in ("CHANGELOG.md", "COMMANDS.md", "EMBEDDING.md", "LICENSE", "PROTOCOL.md")),
    *(f"{EXAMPLE}/{name}" for name in ("hello.c", "req.py")),
    *(f"{EXAMPLE}/embed/{name}" for name in ("CMakeLists.txt", "README.md", "embed.c")),
}


def cache(name):
    match = re.search(rf"^{name}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.M)
    return match.group(1) if match else ""


COMPILER = cache("CMAKE_C_COMPILER")
FLAGS = [word for word in f"{cache('CMAKE_C_FLAGS')} {cache('CMAKE_C_FLAGS_' + cache('CMAKE_BUILD_TYPE').upper())}".split()
         if word.startswith(("-fsanitize", "-fno-sanitize", "-fno-omit", "--coverage"))]
SANITIZED = any(word.startswith("-fsanitize") for word in FLAGS)


def run(*words, env=None, status=0, cwd=None):
    """A program's output, both streams; fails unless it exits with `status`."""
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=600, cwd=cwd, env=dict(os.environ, **(env or {})))
    text = done.stdout.decode(errors="replace")
    if done.returncode != status:
        raise AssertionError(f"{words} gave {done.returncode}, not {status}:\n{text}")
    return text


def symbols(*words):
    return {line.split()[-1] for line in run("nm", "--defined-only", *words).splitlines() if len(line.split()) == 3}


def declared(*headers):
    text = "".join((ROOT / header).read_text() for header in headers)
    return set(re.findall(r"^KV_API[^;(]*?\b(kv_\w+) \(", text, re.M))


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="kvdb-install-"))
        first = cls.scratch / "first"
        run("cmake", "--install", BUILD, "--prefix", first)
        cls.prefix = cls.scratch / "moved"
        first.rename(cls.prefix)
        cls.env = {"PKG_CONFIG_PATH": str(cls.prefix / "lib/pkgconfig"), "LD_LIBRARY_PATH": str(cls.prefix / "lib"),
                   # What is freed and kept back by the address sanitizer would count as growth.
                   "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "detect_leaks=1") + ":quarantine_size_mb=4",
                   "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "ignore_noninstrumented_modules=1") +
                   f":suppressions={cls.scratch}/suppressions"}
        # czmq, which tells a program that its options have been copied, is not instrumented.
        (cls.scratch / "suppressions").write_text("race:broker_options_new\nrace:node_options_new\n")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.scratch, ignore_errors=True)

    def pkg_config(self, *words):
        return run("pkg-config", *words, env=self.env).split()

    def installed(self):
        for path in sorted(self.prefix.rglob("*")):
            if path.is_file():
                yield path

    # --- the tree ---

    def test_the_files_are_those(self):
        self.assertEqual(FILES, {str(path.relative_to(self.prefix)) for path in self.installed()})

    def test_nothing_knows_where_it_was_built_or_installed(self):
        places = [str(place).encode() for place in (ROOT, BUILD, self.scratch)]
        plain = self.scratch / "plain"
        for path in self.installed():
            if path.is_symlink():
                continue
            binary = path.suffix in (".a", ".0") or path.parent.name == "bin"
            if binary and SANITIZED:
                continue  # sanitizers keep the names of sources
            if binary:
                run("objcopy", "--strip-debug", path, plain)
            data = (plain if binary else path).read_bytes()
            for place in places:
                self.assertFalse(place in data, f"{path} names {place}")

    def test_programs_and_libraries_search_no_folder_of_ours(self):
        for path in [*self.prefix.glob("bin/*"), *self.prefix.glob("lib/*.so")]:
            self.assertNotRegex(run("readelf", "-d", path), r"R(UN)?PATH", path)

    def test_libraries_show_what_the_headers_declare(self):
        client = declared("client/kvdb.h")
        actors = declared("broker/kvdb_broker.h", "node/kvdb_node.h")
        self.assertGreater(len(client), 20)
        self.assertEqual(actors, {"kv_broker_actor", "kv_node_actor"})
        for name, wanted in (("libkvdb", client), ("libkvdb-actors", actors)):
            self.assertEqual(wanted, symbols("-D", self.prefix / f"lib/{name}.so"), name)
            self.assertEqual(wanted, symbols("-g", self.prefix / f"lib/{name}.a"), name)
            self.assertIn(f"[{name}.so.0.1]", run("readelf", "-d", self.prefix / f"lib/{name}.so"))

    def test_versions_agree(self):
        version = run(self.prefix / "bin/kvdb-node", "--version").split()[-1]
        for name in ("libkvdb", "libkvdb-actors"):
            self.assertEqual([version], self.pkg_config("--modversion", name))
        (self.scratch / "newer").mkdir()
        (self.scratch / "newer/CMakeLists.txt").write_text(
            "cmake_minimum_required (VERSION 3.16)\nproject (newer C)\nfind_package (kvdb 0.2 REQUIRED)\n")
        text = run("cmake", "-S", self.scratch / "newer", "-B", self.scratch / "newer/build",
                   f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_C_COMPILER={COMPILER}", status=1)
        self.assertRegex(text, r"compatible\s+with requested version")

    # --- programs against it ---

    def check_example(self, program):
        text = run(program, env=self.env)
        self.assertIn(f"{KEYS} of {KEYS} keys written, {KEYS} read back, on 2 nodes", text)
        self.assertEqual(2, text.count("handled by the program's handler"), text)
        slots = (binascii.crc_hqx(b"key:%d" % i, 0) % 16384 for i in range(KEYS))
        self.assertEqual(SHARDS, len({slot % SHARDS for slot in slots}), "no shard is left out")

    def check_cycles(self, program):
        text = run(program, "--cycles", CYCLES, env=self.env)
        print(f"{program.parent.name}: {text.strip()}", flush=True)
        self.assertIn(f"{CYCLES} cycles in", text)

    def check_faults(self, program):
        text = run(program, "--faults", env=self.env)
        for line in ("a port in use: FAILED cannot listen on tcp://127.0.0.1:", "open to anybody: FAILED client_endpoint",
                     "a node named twice: FAILED nodes[1].id", "a bad folder: FAILED cannot ",
                     "no options: FAILED options are required", "too many shards: FAILED shards is 99999",
                     "a direct door's port in use: FAILED cannot listen on", "stopped them"):
            self.assertIn(line, text)

    def with_cmake(self, name, *words):
        build = self.scratch / name
        run("cmake", "-S", self.prefix / EXAMPLE / "embed", "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}",
            f"-DCMAKE_C_COMPILER={COMPILER}", f"-DCMAKE_C_FLAGS={' '.join(FLAGS)} -Wall -Wextra -Werror", *words)
        run("cmake", "--build", build)
        return build / "embed"

    def test_example_with_cmake(self):
        program = self.with_cmake("shared")
        self.assertIn(str(self.prefix / "lib/libkvdb-actors.so.0.1"), run("ldd", program))
        self.check_example(program)
        self.check_cycles(program)
        self.check_faults(program)

    def test_example_with_cmake_and_static_libraries(self):
        program = self.with_cmake("static", "-DEMBED_STATIC=ON")
        self.assertNotIn("kvdb", run("ldd", program).replace(str(self.scratch), ""))
        self.check_example(program)
        self.check_cycles(program)

    def test_example_with_pkg_config(self):
        program = self.scratch / "embed"
        run(COMPILER, *FLAGS, "-std=c11", "-D_GNU_SOURCE", self.prefix / EXAMPLE / "embed/embed.c",
            *self.pkg_config("--cflags", "--libs", "libkvdb-actors", "libkvdb"), "-o", program)
        self.check_example(program)
        self.check_faults(program)

    def test_client_needs_no_czmq(self):
        program = self.scratch / "hello"
        run(COMPILER, *FLAGS, self.prefix / EXAMPLE / "hello.c", *self.pkg_config("--cflags", "--libs", "libkvdb"),
            "-o", program)
        needs = run("ldd", program, env=self.env)
        self.assertIn("libzmq.so", needs)
        self.assertNotIn("czmq", needs)
        with Cluster(nodes=1) as cluster:
            self.assertIn("SET: OK", run(program, "127.0.0.1", cluster.port, env=self.env))

    @unittest.skipUnless(shutil.which("c++"), "there is no C++ compiler")
    def test_headers_are_cplusplus_in_any_order(self):
        for turn in range(len(HEADERS)):
            source = self.scratch / f"headers{turn}.cc"
            order = HEADERS[turn:] + HEADERS[:turn]
            source.write_text("".join(f"#include <{name}>\n" for name in order) +
                              "int main ()\n{\n    kv_broker_options_t broker = {};\n    kv_node_options_t node = {};\n"
                              "    return broker.log == node.log && kv_broker_actor != kv_node_actor && kv_version () ?"
                              " 0 : 1;\n}\n")
            program = self.scratch / f"headers{turn}"
            run("c++", *FLAGS, "-Wall", "-Wextra", "-Werror", source,
                *self.pkg_config("--cflags", "--libs", "libkvdb-actors", "libkvdb"), "-o", program)
            run(program, env=self.env)


if __name__ == "__main__":
    unittest.main(verbosity=2)
