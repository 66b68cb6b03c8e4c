"""Disks for tests: small ones that fill up, ones that cannot be written to, and ones that fail or hang when they sync.

Mounts need a namespace of their own, so that nothing is left however the test ends: in_own_namespace () starts the test
again in one, as root or as a user who may make one.
"""
import contextlib
import mmap
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

from harness import BUILD, SEED

MARK = "KVDB_TEST_NAMESPACE"
LIBRARY = BUILD / "test" / "libsync_faults.so"


def in_own_namespace():
    """Whether this process may mount; starts it again where it may, if there is such a place."""
    if os.environ.get(MARK):
        return os.environ[MARK] == "yes"
    for words in (["unshare", "-m"], ["unshare", "-rm"]):
        probe = [*words, "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"]
        if shutil.which("unshare") and subprocess.run(probe, capture_output=True).returncode == 0:
            os.environ.update({MARK: "yes", "KVDB_TEST_SEED": str(SEED)})
            os.execvp(words[0], [*words, sys.executable, *sys.argv])
    os.environ[MARK] = "no"
    return False


class Disk:
    """A file system in memory, of a few MiB."""

    def __init__(self, size):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="kvdb-disk-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(self.path)], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", str(self.path)], check=True)
        self.path.rmdir()

    def make_read_only(self):
        subprocess.run(["mount", "-o", "remount,ro", str(self.path)], check=True)

    def free_bytes(self):
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    @contextlib.contextmanager
    def filler(self, bytes_):
        """A file of somebody else's that takes space until it goes."""
        path = self.path / "filler"
        path.write_bytes(bytes(bytes_))
        yield path
        path.unlink(missing_ok=True)


class SyncFaults:
    """What the library in test/fault/sync_faults.c is told, and tells: the attributes are its fields."""

    FIELDS = ("fail_syncs", "fail_writes", "fail_other_syncs", "slow_syncs", "delay_ms", "hanging", "failed", "late_syncs", "log_syncs",
              "log_writes")
    DESCRIPTORS = 256

    def __init__(self, folder):
        self.__dict__["path"] = pathlib.Path(folder) / "sync_faults"
        bytes_ = 8 * (len(self.FIELDS) + 2 * self.DESCRIPTORS)
        self.path.write_bytes(bytes(bytes_))
        with open(self.path, "r+b") as file:
            self.__dict__["map"] = mmap.mmap(file.fileno(), bytes_)

    def __getattr__(self, name):
        return struct.unpack_from("=q", self.map, 8 * self.FIELDS.index(name))[0]

    def __setattr__(self, name, value):
        struct.pack_into("=q", self.map, 8 * self.FIELDS.index(name), value)

    def hang_once(self, delay_ms):
        """The next sync of the log takes so long."""
        self.delay_ms = delay_ms
        self.slow_syncs = 1

    def unsynced(self):
        """Writes to log files that no sync has followed."""
        counts = struct.unpack_from(f"={2 * self.DESCRIPTORS}q", self.map, 8 * len(self.FIELDS))
        return sum(counts[:self.DESCRIPTORS]) - sum(counts[self.DESCRIPTORS:])

    def environment(self):
        """Of a process that is to have this disk. A sanitizer's library need not be the first one then."""
        options = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"]))
        return {"LD_PRELOAD": str(LIBRARY), "SYNC_FAULTS": str(self.path), "ASAN_OPTIONS": options}
