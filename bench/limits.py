"""What this machine can do at most, whatever the server: copying, decoding, looking up, syncing."""

import functools
import multiprocessing
import os
import sqlite3
import tempfile
import time
from pathlib import Path

import numcodecs
import numpy


def rate(work, seconds: float = 1) -> float:
    """Calls a second."""
    begun, calls = time.perf_counter(), 0
    while (took := time.perf_counter() - begun) < seconds:
        work()
        calls += 1
    return calls / took


def copying() -> str:
    source = numpy.zeros(64 << 20, "u1")
    target = numpy.empty_like(source)
    return f"{rate(lambda: numpy.copyto(target, source)) * source.nbytes / 1e9:.1f} GB/s"


def decode(_: int) -> float:
    """Bytes a second that one process decodes."""
    frames = numpy.add.outer(numpy.arange(1024), numpy.arange(512)) // 8
    frames = (frames + numpy.random.default_rng(0).poisson(3, (4, 1024, 512))).astype("u2")
    codec = numcodecs.Zstd(1)
    chunk = codec.encode(frames.tobytes())
    return rate(lambda: codec.decode(chunk, frames)) * frames.nbytes


@functools.cache
def decoding() -> float:
    """The same of all cores together."""
    with multiprocessing.Pool() as pool:
        return sum(pool.map(decode, range(os.cpu_count() or 1), chunksize=1))


def looking_up(directory: Path) -> str:
    database = sqlite3.connect(directory / "limits.db")
    database.execute("CREATE TABLE node (path TEXT PRIMARY KEY, metadata TEXT)")
    rows = [(f"nodes/n{n:05}", "x" * 300) for n in range(10_000)]
    database.executemany("INSERT INTO node VALUES (?, ?)", rows)
    database.commit()
    query = "SELECT metadata FROM node WHERE path = ?"
    return f"{rate(lambda: database.execute(query, ('nodes/n05000',)).fetchone()):.0f} a second on one core"


def syncing(directory: Path) -> str:
    with (directory / "limits.bin").open("wb", buffering=0) as file:

        def write() -> None:
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())

        return f"{rate(write):.0f} a second"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="girih-bench-") as directory:
        print(f"{'memcpy':28}{copying()}")
        print(f"{'zstd decoding':28}{decoding() / 1e9:.2f} GB/s on all cores")
        print(f"{'SQLite, point look-ups':28}{looking_up(Path(directory))}")
        print(f"{'fdatasync of 4 KiB':28}{syncing(Path(directory))}")


if __name__ == "__main__":
    main()
