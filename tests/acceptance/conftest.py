"""Servers to test: real processes of the `girih` program, spoken to over HTTP.

The program is the one that the environment variable GIRIH names, or target/debug/girih.
"""

import os
import re
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

ROOT = Path(__file__).parent.parent.parent
PROGRAM = os.environ.get("GIRIH", str(ROOT / "target" / "debug" / "girih"))
PATIENCE = 60  # seconds to start, or to stop


def environment():
    """Ours, without what would configure a server or a client."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("TILED_", "GIRIH"))}


class Server:
    """A running `girih serve ...`; `url` is what it printed."""

    def __init__(self, *arguments, **options):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [PROGRAM, "serve", *map(str, arguments), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment() | options.pop("env", {}),
            **options,
        )
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        self.url = self.process.stdout.readline().decode().strip() if ready else ""
        if not self.url.startswith("http://"):
            self.process.kill()
            raise AssertionError(f"no address was printed, but {self.url!r}; the log says\n{self.read_log()}")
        parts = urlsplit(self.url)
        self.base = f"http://{parts.netloc}"
        self.address = (parts.hostname, parts.port)
        self.key = parts.query.removeprefix("api_key=")

    def read_log(self):
        self.log.seek(0)
        return self.log.read().decode()

    def errors(self):
        """The last errors in the log, but for those of the storage."""
        errors = [line for line in self.read_log().splitlines() if re.search(r"\bERROR\b(?!.*error=Storage)", line)]
        return "\n".join(errors[-10:])

    def peak(self):
        """Most memory that the process has had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10

    def http(self, **options):
        """An HTTP client with the server's key."""
        headers = {"Authorization": f"Apikey {self.key}"} if self.key else {}
        return httpx.Client(base_url=f"{self.base}/api/v1", headers=headers, timeout=PATIENCE, **options)

    def client(self):
        """The published Python client."""
        from tiled.client import from_uri

        return from_uri(self.url)

    def stop(self, how=signal.SIGTERM):
        """Returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture(scope="session", autouse=True)
def quiet_client(tmp_path_factory):
    """The client keeps its cache and profiles out of the user's home, and does not retry what is broken."""
    directory = tmp_path_factory.mktemp("tiled")
    os.environ |= {
        "TILED_CACHE_DIR": str(directory / "cache"),
        "TILED_PROFILES": str(directory / "profiles"),
        "TILED_RETRY_ATTEMPTS": "1",
        "NO_PROXY": "*",
    }


@pytest.fixture(scope="session")
def demo():
    server = Server("demo")
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def catalog():
    """A temporary catalog, shared: use keys of your own."""
    server = Server("catalog")
    yield server
    assert server.stop() == 0


@pytest.fixture
def start():
    """Starts servers that are stopped at the end of the test."""
    servers = []

    def start(*arguments, **options):
        servers.append(Server(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def girih():
    """Runs `girih ...` to its end."""

    def girih(*arguments, **options):
        env = environment() | options.pop("env", {})
        return subprocess.run(
            [PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, env=env, **options
        )

    return girih


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)
