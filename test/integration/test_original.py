"""The original's configuration files, as they are, start a 2-node cluster."""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import ROOT, is_free, program, wait_until


class Original(unittest.TestCase):
    def test_the_original_files_start_a_cluster(self):
        for port in (7000, 7001):
            if not is_free(port):
                self.skipTest(f"port {port} of the original's configuration is in use")
        with tempfile.TemporaryDirectory(prefix="kvdb-original-") as scratch:
            folder = pathlib.Path(scratch) / "original"
            shutil.copytree(ROOT / "test/golden/original", folder)
            log = (pathlib.Path(scratch) / "log").open("wb")
            started = []
            try:
                start = lambda *words: started.append(
                    subprocess.Popen([program(words[0]), *words[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log))
                start("kvdb-broker", "--config", str(folder / "cluster-config.yaml"))
                for node in ("node1", "node2"):
                    start("kvdb-node", "--config", str(folder / node / "application.properties"),
                          "--cluster", str(folder / "cluster-config.yaml"), "--id", node)
                kv = lambda *words: subprocess.run([program("kv"), *words], capture_output=True, timeout=60)
                wait_until(lambda: kv("--timeout", "1", "DBSIZE").returncode == 0, 60, "the cluster's service")
                for i in range(50):
                    self.assertEqual(kv("SET", f"key{i}", f"value {i}").stdout, b"OK\n")
                for i in range(50):
                    self.assertEqual(kv("GET", f"key{i}").stdout, f"value {i}\n".encode())
            finally:
                for process in reversed(started):
                    process.terminate()
                codes = [process.wait(timeout=30) for process in started]
                log.close()
                text = (pathlib.Path(scratch) / "log").read_text(errors="replace")
                print(text[-3000:])
            self.assertEqual(codes, [0, 0, 0])
            self.assertIn("useGrpc has no effect", text)


if __name__ == "__main__":
    unittest.main()
