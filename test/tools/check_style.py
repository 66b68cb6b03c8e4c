#!/usr/bin/env python3
"""Checks the facts about the tree that CONTRIBUTING.md asks for and a formatter cannot know.

  marker   no note to self is left in a file: an open end is an issue, not a comment.
  path     no file names a path of the machine it was written on.
  size     no file outside test/ has more than MAX_FILE_LINES lines.
  length   no function outside test/ has more than MAX_FUNCTION_LINES lines.
  header   every C header of the product begins with a comment that says what it is.
  text     text files end with a newline and hold no tab in C code, no blank at a line's end.

usage: check_style.py [ROOT]      exit status 0 clean, 1 complaints
       check_style.py --self-test plants a violation of each rule and expects it to be found
"""
import os
import re
import sys
import tempfile

MAX_FILE_LINES = 700
MAX_FUNCTION_LINES = 80
PRODUCT = {"schema", "config", "actors", "node", "broker", "client"}
SKIPPED_FOLDERS = {".git", "build", "node_modules", "__pycache__", "golden", "corpus", "data"}
TEXT = (".c", ".h", ".def", ".py", ".js", ".mjs", ".sh", ".md", ".txt", ".cmake", ".json", ".yaml", ".yml",
        ".properties", ".in")
TEXT_NAMES = {"run", "cluster", "packages"}
MARKER = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
HOME = re.compile(r"(?<![\w./$}-])/(home|root|Users|work)/\w")


def files(root):
    for where, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in sorted(names):
            if name.endswith(TEXT) or name in TEXT_NAMES:
                yield os.path.relpath(os.path.join(where, name), root)


def long_functions(lines):
    """A function's body is, in our format, a brace in column 0 up to the next brace in column 0."""
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start:
            if line.rstrip() == "}" and number - start - 1 > MAX_FUNCTION_LINES:
                yield start, number - start - 1
            start = None


def check_lines(root, path, lines):
    here = os.path.abspath(root) + "/"
    for number, line in enumerate(lines, 1):
        if MARKER.search(line):
            yield number, "marker", "a note to self; finish it or file it"
        if HOME.search(line) or here in line:
            yield number, "path", "a path of this machine"
        if line != line.rstrip() and not path.endswith(".md"):
            yield number, "text", "blanks at the end of the line"
        if "\t" in line and path.endswith((".c", ".h")):
            yield number, "text", "a tab"


def check_file(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        text = file.read()
    lines = text.split("\n")
    if text and not text.endswith("\n"):
        yield len(lines), "text", "no newline at the end of the file"
    yield from check_lines(root, path, lines)
    folder = path.split("/")[0]
    if path.endswith(".h") and folder in PRODUCT and not text.startswith("/*"):
        yield 1, "header", "the file does not begin with a comment that says what it is"
    if folder == "test":
        return
    if path.endswith((".c", ".h", ".py", ".js")) and len(lines) - 1 > MAX_FILE_LINES:
        yield 1, "size", f"{len(lines) - 1} lines, more than {MAX_FILE_LINES}"
    if path.endswith(".c"):
        for number, count in long_functions(lines):
            yield number, "length", f"a function of {count} lines, more than {MAX_FUNCTION_LINES}"


def check(root):
    return [f"{path}:{number}: [{rule}] {message}"
            for path in files(root) for number, rule, message in check_file(root, path)]


def function_of(count):
    return "int f (void)\n{\n" + "    x ();\n" * count + "}\n"


PLANTED = [  # path, text, the rule it breaks or None
    ("node/a.c", "/* TO" "DO later */\n", "marker"),
    ("docs/a.md", "see FIX" "ME\n", "marker"),
    ("config/run", "cd /ro" "ot/kvdb\n", "path"),
    ("docs/b.md", "an url: https://example.org/work/x and ${dir}/home/x\n", None),
    ("node/b.c", "int x;\n" * (MAX_FILE_LINES + 1), "size"),
    ("node/b_ok.c", "int x;\n" * MAX_FILE_LINES, None),
    ("test/b.c", "int x;\n" * (MAX_FILE_LINES + 1) + function_of(MAX_FUNCTION_LINES + 1), None),
    ("node/c.c", function_of(MAX_FUNCTION_LINES + 1), "length"),
    ("node/c_ok.c", function_of(MAX_FUNCTION_LINES), None),
    ("node/d.h", "#ifndef D_H\n", "header"),
    ("node/d_ok.h", "/* d - says what it is. */\n", None),
    ("node/e.c", "int x;", "text"),
    ("node/f.c", "int x; \n", "text"),
    ("node/g.c", "\tint x;\n", "text"),
]


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as root:
        for path, text, _ in PLANTED:
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        with open(os.path.join(root, "docs/here.md"), "w", encoding="utf-8") as file:
            file.write(f"built in {root}/build\n")
        complaints = check(root)
        for path, _, rule in PLANTED + [("docs/here.md", "", "path")]:
            rules = [re.search(r"\[(\w+)\]", line).group(1) for line in complaints if line.startswith(path + ":")]
            if rules != ([rule] if rule else []):
                failures.append(f"{path}: expected {rule or 'no complaint'}, got {rules}")
    print("\n".join(failures) if failures else f"{len(PLANTED) + 1} planted files judged rightly")
    return 1 if failures else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    complaints = check(os.path.abspath(root))
    print("\n".join(complaints) if complaints else "style is clean")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
