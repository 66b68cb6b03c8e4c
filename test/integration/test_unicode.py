"""Real input: every line of Debian's UnicodeData.txt goes in through kv --pipe and the broker, and a Python client written
from PROTOCOL.md reads every one back, byte for byte."""
import pathlib
import subprocess
import sys
import unittest

from harness import Cluster, program

HERE = pathlib.Path(__file__).resolve().parent
DATA = pathlib.Path("/usr/share/unicode/UnicodeData.txt")


class Unicode(unittest.TestCase):
    def test_every_record_reads_back(self):
        self.assertTrue(DATA.exists(), "apt-get install unicode-data")
        lines = DATA.read_bytes().splitlines()
        with Cluster(nodes=3) as cluster:
            make = subprocess.run([sys.executable, str(HERE / "python/make_pipe.py"), str(DATA)],
                                  stdout=subprocess.PIPE, check=True)
            load = subprocess.run([program("kv"), "--port", str(cluster.port), "--pipe"], input=make.stdout,
                                  capture_output=True, timeout=300)
            self.assertEqual(load.returncode, 0, load.stderr)
            self.assertEqual(int(cluster.kv("DBSIZE")), len(lines))
            read = subprocess.run(
                [sys.executable, str(HERE / "python/read_unicode.py"), "127.0.0.1", str(cluster.port), str(DATA)],
                capture_output=True, timeout=300)
            self.assertEqual(read.returncode, 0, read.stdout + read.stderr)
            self.assertIn(str(len(lines)).encode(), read.stdout)
            print(f"{len(lines)} records")


if __name__ == "__main__":
    unittest.main()
