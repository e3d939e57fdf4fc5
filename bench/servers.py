"""The servers under test: started, watched and stopped."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
RELEASE = HERE.parent / "target" / "release"
#: The executable under test.
GIRIH = os.environ.get("GIRIH", str(RELEASE / "girih"))
KEY = "secret"
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")

CONFIG = """\
authentication:
  single_user_api_key: {key}
  allow_anonymous_access: true
trees:
  - path: /
    tree: catalog
    args:
      uri: "sqlite:///{directory}/catalog.db"
      writable_storage: ["{directory}/data"]
      init_if_not_exists: true
"""

NGINX = """\
worker_processes auto;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  open_file_cache max=1000;
  default_type application/octet-stream;
  client_body_temp_path {directory}/tmp;
  server {{ listen 127.0.0.1:{port}; root {directory}/www; }}
}}
"""


class Server:
    """A server process; a context manager."""

    def __init__(self, name: str, command: list[str], port: int, ready: str, log: Path):
        self.name, self.command, self.port, self.ready, self.log = name, command, port, ready, log
        self.process: subprocess.Popen | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, patience: float = 120) -> float:
        """Seconds until it answers."""
        begun = time.perf_counter()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        while True:
            if self.process.poll() is not None or time.perf_counter() - begun > patience:
                raise RuntimeError(f"{self.name} did not start; see {self.log}")
            try:
                urllib.request.urlopen(f"http://{self.address}{self.ready}", timeout=5).read()
                return time.perf_counter() - begun
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.001)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _family(self) -> list[int]:
        """The process and its children."""
        assert self.process
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        ticks = 0
        for pid in self._family():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICK

    def resident(self) -> float:
        """Resident memory in MB."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._family())
        return sum(pages) * PAGE / 1e6

    def peak(self) -> float:
        """Largest resident memory so far in MB."""
        total = 0
        for pid in self._family():
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        return total / 1e3


def _configured(directory: Path) -> Path:
    (directory / "data").mkdir(parents=True, exist_ok=True)
    config = directory / "config.yml"
    config.write_text(CONFIG.format(key=KEY, directory=directory))
    return config


def girih(directory: Path, port: int = 8801) -> Server:
    command = [GIRIH, "serve", "config", str(_configured(directory)), "--port", str(port)]
    return Server("girih", command, port, "/healthz", directory / "log")


def reference(directory: Path, port: int = 8802) -> Server:
    tiled = HERE / ".venv" / "bin" / "tiled"
    command = [str(tiled), "serve", "config", str(_configured(directory)), "--port", str(port)]
    return Server("reference", command, port, "/healthz", directory / "log")


def nginx(directory: Path, port: int = 8803) -> Server:
    """Serves the files in `www` below the directory."""
    www = directory / "www"
    www.mkdir(parents=True, exist_ok=True)
    (www / "healthz").write_text("ok")
    for folder in [directory, *directory.parents]:
        folder.chmod(folder.stat().st_mode | 0o055) if folder.is_relative_to(directory) else None
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(directory=directory, port=port))
    return Server("nginx", ["nginx", "-c", str(config)], port, "/healthz", directory / "log")
