#!/usr/bin/env python3
"""Checks that the pages (*.md) lead somewhere.

  link     a relative link names a file or folder that is there, and an anchor of it a heading.
  reach    every page, but for templates, is reached by links from README.md.
  command  a file given to --config or --cluster in a command is there.
  status   statuses are called by their whole names: UNKNOWN alone is none.

usage: check_docs.py [ROOT]      exit status 0 clean, 1 complaints
       check_docs.py --self-test plants a violation of each rule and expects it to be found
"""
import os
import re
import sys
import tempfile

SKIPPED_FOLDERS = {".git", "build", "node_modules", "data"}
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"build/bin/kvdb-\w+\s(?:.*\\\n)*.*")
FILE = re.compile(r"--(?:config|cluster)[ =](\S+)")
STATUS = re.compile(r"(?<![\w-])UNKNOWN(?![\w-])")


def pages(root):
    for where, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in sorted(names):
            if name.endswith(".md"):
                yield os.path.relpath(os.path.join(where, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path, text):
    """(target, anchor) of each relative link; the target relative to the root."""
    for link in LINK.findall(text):
        if "://" not in link and not link.startswith("mailto:"):
            target, _, anchor = link.partition("#")
            yield os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path, anchor


def check_page(root, path, text):
    for target, anchor in links(path, text):
        if not os.path.exists(os.path.join(root, target)):
            yield "link", f"{target} is not there"
        elif anchor and target.endswith(".md") and anchor not in anchors(read(root, target)):
            yield "link", f"{target} has no heading for #{anchor}"
    for command in COMMAND.findall(text):
        for name in FILE.findall(command):
            if not os.path.exists(os.path.join(root, name)):
                yield "command", f"{name} is not there"
    if STATUS.search(text):
        yield "status", "UNKNOWN is no status; the status is OUTCOME_UNKNOWN"


def unreached(root, texts):
    seen, todo = set(), ["README.md"]
    while todo:
        path = todo.pop()
        if path in seen or path not in texts:
            continue
        seen.add(path)
        for target, _ in links(path, texts[path]):
            todo += [target, os.path.normpath(os.path.join(target, "README.md"))]
    return sorted(path for path in texts if path not in seen and "template" not in path)


def check(root):
    texts = {path: read(root, path) for path in pages(root)}
    found = [(path, rule, message) for path, text in texts.items() for rule, message in check_page(root, path, text)]
    found += [(path, "reach", "no link leads here from README.md") for path in unreached(root, texts)]
    return [f"{path}: [{rule}] {message}" for path, rule, message in found]


PLANTED = [  # path, text, the rule it breaks or None
    ("README.md", "# Start here\n[a](docs/a.md) [b](docs/) [self](#start-here) [x](https://x.org/)\n" +
     "".join(f"[{n}](docs/{n}.md)\n" for n in "cdef"), None),
    ("docs/README.md", "[top](../README.md#start-here)\n", None),
    ("docs/a.md", "    build/bin/kvdb-node --config ok.yaml \\\n        --cluster ok.yaml\n", None),
    ("docs/b.md", "alone\n", "reach"),
    ("docs/c.md", "[gone](gone.md)\n", "link"),
    ("docs/d.md", "[gone](../README.md#gone)\n", "link"),
    ("docs/e.md", "    build/bin/kvdb-node --id n \\\n        --cluster gone.yaml\n", "command"),
    ("docs/f.md", "it is UNKNOWN (not `OUTCOME_UNKNOWN`, nor UNKNOWN_COMMAND)\n", "status"),
    ("ok.yaml", "", None),
]


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as root:
        for path, text, _ in PLANTED:
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
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
    complaints = check(os.path.abspath(root))
    print("\n".join(complaints) if complaints else "the pages lead somewhere")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
