"""The README's client of less than ten lines does SET and GET; it is run as it stands there."""
import re
import subprocess
import sys
import unittest

from harness import ROOT, Cluster


class ReqSnippet(unittest.TestCase):
    def test_the_readmes_snippet_runs(self):
        blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
        self.assertEqual(len(blocks), 1)
        code = [line for line in blocks[0].splitlines() if line.strip()]
        self.assertLess(len(code), 10)
        with Cluster(nodes=3) as cluster:
            text = blocks[0].replace("tcp://127.0.0.1:7000", cluster.endpoint)
            self.assertIn(cluster.endpoint, text)
            done = subprocess.run([sys.executable, "-c", text], capture_output=True, timeout=60)
            self.assertEqual(done.stdout, b"0 OK\n0 b'hello  world'\n", done.stderr)


if __name__ == "__main__":
    unittest.main()
