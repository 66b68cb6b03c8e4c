#!/usr/bin/env python3
"""Checks which folder, and which kind of file, includes what.

Rules, named in each complaint:
  folder   a folder includes only the folders FOLDERS allows it; config/ only in *_main.c and tools.
  library  each third-party header only where LIBRARIES allows it.
  shell    ZeroMQ headers only in shells: *_actor.[ch], *_main.c and those SHELLS lists.
  pure     any other file of schema, actors, node and broker knows no socket, clock, thread or file:
           none of the headers in IMPURE_HEADERS, none of the names in IMPURE_NAMES, no shell's header.
  core     no shell is compiled into a library kvdb_*_core.

usage: check_layers.py [ROOT]      exit status 0 clean, 1 complaints
       check_layers.py --self-test plants a violation of each rule and expects it to be found
"""
import fnmatch
import os
import re
import sys
import tempfile

FOLDERS = {
    "schema": {"schema"},
    "config": {"config", "schema"},
    "actors": {"actors", "schema"},
    "node": {"node", "actors", "schema"},
    "broker": {"broker", "actors", "schema"},
    "client": {"client", "actors", "schema"},
}
MAY_INCLUDE_CONFIG = ["*/*_main.c", "*/tools/*"]

LIBRARIES = {  # header pattern -> folders
    "msgpack*": {"schema"},
    "yaml.h": {"config"},
    "zmq*.h": {"actors", "node", "broker", "client"},
    "czmq*.h": {"actors", "node", "broker", "client"},
}

# Files that do own sockets, threads, clocks or files though their name does not end in _actor or _main.
SHELLS = [
    "schema/status.c",      # the last words of a failed assertion
    "actors/clock.[ch]",       # the real clock
    "actors/identity.[ch]",    # a file, and randomness of the system
    "actors/small_file.[ch]",  # files that are replaced as a whole
    "actors/data_directory.[ch]",  # a folder, its lock and identity
    "actors/files_disk.[ch]",  # the files of a directory
    "actors/parcel.[ch]",      # structs from thread to thread
    "broker/placement.[ch]",   # one of them
    "actors/wait.[ch]",        # waits for sockets
    "actors/wire.[ch]",        # a socket that connects
    "actors/door.[ch]",        # a socket that is connected to
    "actors/door_guard.[ch]",  # watches the connections of a door
    "actors/process.[ch]",     # signals and the life of a process
    "broker/kvdb_broker.h",    # what programs that embed an actor include,
    "node/kvdb_node.h",
    "broker/broker_options.[ch]",  # and what they give it
    "node/node_options.[ch]",
    "node/node_parts.h",       # the node actor's own parts
    "node/node_control.c",
    "node/node_requests.c",
    "node/outbox.[ch]",        # what leaves the node
    "node/persistence.[ch]",   # its log and snapshots, with their threads
    "node/snapshotter.[ch]",
    "node/data_tools.[ch]",    # the tools that look at a data directory, offline
]
SHELL_NAMES = ["*_actor.c", "*_actor.h", "*_main.c"]
PURE_FOLDERS = {"schema", "actors", "node", "broker"}

LIBC = {
    "arm_acle", "assert", "ctype", "errno", "float", "inttypes", "iso646", "limits", "math", "stdalign", "stdarg", "stdatomic",
    "stdbool", "stddef", "stdint", "stdio", "stdlib", "stdnoreturn", "string", "strings", "time",
}
IMPURE_HEADERS = re.compile(
    r"^(time|unistd|fcntl|pthread|threads|signal|poll|dirent|netdb|semaphore|sched|dlfcn|spawn|termios|getopt|"
    r"(sys|net|netinet|arpa|linux)/(?!mman\.h).*)(\.h)?$")  # mmap gives memory, which a pure core may have
IMPURE_NAMES = re.compile(
    r"\b(FILE|f?printf|v?fprintf|puts|putchar|perror|fopen|fdopen|fread|fwrite|stdin|stdout|stderr|getenv|setenv|"
    r"system|popen|exit|rand|srand|random|clock_gettime|gettimeofday|usleep|nanosleep|sleep)\b\s*(\(|\*|;|,|\))")

CORE_LIBRARY = re.compile(r"(?:add_library\s*\(kvdb_\w+_core\s+STATIC|set\s*\(\w+_CORE)\s([^)]*)\)")
INCLUDE = re.compile(r'^\s*#\s*include\s*(<([^>]+)>|"([^"]+)")')


def matches(path, patterns):
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def is_shell(path):
    return matches(os.path.basename(path), SHELL_NAMES) or matches(path, SHELLS)


def strip_comments_and_strings(text):
    """Blanks them, keeping line numbers."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|format \(printf|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)


def sources(root):
    for folder in sorted(FOLDERS):
        for where, subfolders, names in os.walk(os.path.join(root, folder)):
            subfolders[:] = sorted(name for name in subfolders if name not in ("node_modules", "build"))
            for name in sorted(names):
                if name.endswith((".c", ".h", ".def")):
                    yield os.path.relpath(os.path.join(where, name), root)


def included_folder(root, path, quoted):
    """The path in the repository that a quoted include means, or None."""
    if quoted.startswith("."):
        return os.path.normpath(os.path.join(os.path.dirname(path), quoted))
    for base in ("", os.path.dirname(path)):
        candidate = os.path.normpath(os.path.join(base, quoted))
        if os.path.exists(os.path.join(root, candidate)):
            return candidate
    return quoted if quoted.split("/")[0] in FOLDERS else None


def check_project_include(path, target):
    folder, other = path.split("/")[0], target.split("/")[0]
    if other == "config" and folder != "config":
        if not matches(path, MAY_INCLUDE_CONFIG):
            yield "folder", f"includes {target}: only *_main.c and tools know config/"
    elif other not in FOLDERS[folder]:
        yield "folder", f"includes {target}: {folder}/ may include only {', '.join(sorted(FOLDERS[folder]))}"
    elif folder in PURE_FOLDERS and not is_shell(path) and is_shell(target):
        yield "pure", f"includes {target}, the header of a shell"


def check_system_include(path, header):
    folder = path.split("/")[0]
    for pattern, folders in LIBRARIES.items():
        if not fnmatch.fnmatch(header, pattern) and header.split("/")[0] != pattern.rstrip("*"):
            continue
        if folder not in folders:
            yield "library", f"includes <{header}>: only {', '.join(sorted(folders))} may"
        elif "zmq" in pattern and folder in PURE_FOLDERS and not is_shell(path):
            yield "shell", f"includes <{header}>: only shells may (*_actor.[ch], *_main.c, the list in check_layers.py)"
        return
    if folder in PURE_FOLDERS and not is_shell(path):
        if IMPURE_HEADERS.match(header):
            yield "pure", f"includes <{header}>"
        elif folder == "schema" and header.removesuffix(".h") not in LIBC:
            yield "library", f"includes <{header}>: schema/ knows libc and msgpack only"


def check_file(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        text = file.read()
    plain = strip_comments_and_strings(text).split("\n")
    for number, (line, bare) in enumerate(zip(text.split("\n"), plain), 1):
        found = []
        include = INCLUDE.match(line)
        if include and "#" in bare:
            if include.group(2):
                found = check_system_include(path, include.group(2))
            else:
                target = included_folder(root, path, include.group(3))
                found = check_project_include(path, target) if target else []
        elif path.split("/")[0] in PURE_FOLDERS and not is_shell(path) and not path.endswith(".def"):
            name = IMPURE_NAMES.search(bare)
            if name:
                found = [("pure", f"uses {name.group(1)}")]
        for rule, message in found:
            yield f"{path}:{number}: [{rule}] {message}"


def check_core_libraries(root):
    for folder in sorted(FOLDERS):
        path = os.path.join(folder, "CMakeLists.txt")
        if not os.path.exists(os.path.join(root, path)):
            continue
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        for library in CORE_LIBRARY.finditer(text):
            for name in library.group(1).split():
                if is_shell(f"{folder}/{name}"):
                    line = text.count("\n", 0, library.start()) + 1
                    yield f"{path}:{line}: [core] {name} is a shell"


def check(root):
    complaints = [complaint for path in sources(root) for complaint in check_file(root, path)]
    return complaints + list(check_core_libraries(root))


PLANTED = [  # path, text, the rule it breaks or None
    ("schema/a.c", '#include "node/store.h"\n', "folder"),
    ("schema/b.c", "#include <yaml.h>\n", "library"),
    ("schema/c.c", "#include <zmq.h>\n", "library"),
    ("schema/d.c", "#include <unistd.h>\n", "pure"),
    ("schema/e.c", "#include <curl/curl.h>\n", "library"),
    ("schema/msgpack_ok.c", "#include <msgpack.h>\n#include <string.h>\n", None),
    ("config/a.c", '#include "actors/log.h"\n', "folder"),
    ("config/ok.c", '#include <yaml.h>\n#include <stdio.h>\n#include "schema/option.h"\n', None),
    ("actors/a.c", '#include "broker/router.h"\n', "folder"),
    ("actors/b.c", "#include <czmq.h>\n", "shell"),
    ("actors/c.c", "#include <msgpack.h>\n", "library"),
    ("actors/wal_actor.h", "#include <czmq.h>\n", None),
    ("actors/wal.c", '#include "actors/wal_actor.h"\n', "pure"),
    ("actors/d.c", '  #  include <pthread.h>\n', "pure"),
    ("node/a.c", '#include "broker/router.h"\n', "folder"),
    ("node/b.c", '#include "config/config.h"\n', "folder"),
    ("node/c.c", 'void f (void)\n{\n    fprintf (stderr, "x");\n}\n', "pure"),
    ("node/d.c", "#include <time.h>\n", "pure"),
    ("node/e.c", "#include <sys/socket.h>\n", "pure"),
    ("node/f.c", "static FILE *log;\n", "pure"),
    ("node/node_main.c", '#include "config/config.h"\n#include <zmq.h>\n#include <time.h>\n', None),
    ("node/node_actor.c", '#include <czmq.h>\n#include "node/store.h"\n#include <time.h>\n', None),
    ("node/ok.c", '#include <stdio.h>\n/* FILE *x; sleep (1); */\nint n = snprintf (b, 1, "exit (1)");\n', None),
    ("broker/a.c", '#include "../node/store.h"\n', "folder"),
    ("broker/b.c", '#include "client/kvdb.h"\n', "folder"),
    ("client/a.c", '#include "broker/router.h"\n', "folder"),
    ("node/CMakeLists.txt", "set (NODE_CORE store.c\n     node_actor.c)\nadd_library (kvdb_node_core STATIC ${NODE_CORE})\n",
     "core"),
    ("actors/CMakeLists.txt", "add_library (kvdb_actors_core STATIC log.c)\nadd_library (kvdb_actors STATIC door.c)\n", None),
    ("client/ok.c", '#include <zmq.h>\n#include <unistd.h>\n#include "actors/scatter.h"\n', None),
]


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as root:
        for folder in FOLDERS:
            os.mkdir(os.path.join(root, folder))
        for path, text, _ in PLANTED:
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        complaints = check(root)
        for path, _, rule in PLANTED:
            rules = [re.search(r"\[(\w+)\]", line).group(1) for line in complaints if line.startswith(path + ":")]
            if rules != ([rule] if rule else []):
                failures.append(f"{path}: expected {rule or 'no complaint'}, got {rules}")
    print("\n".join(failures) if failures else f"{len(PLANTED)} planted files judged rightly")
    return 1 if failures else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    complaints = check(root)
    print("\n".join(complaints) if complaints else "layers are clean")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
