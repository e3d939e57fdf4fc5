"""Files where they lie: registered, and read, by girih and by the reference."""

import argparse
import asyncio
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import imagecodecs
import numpy
import servers
import tifffile
from load import AUTHORIZATION, measure
from servers import GIRIH, KEY, Server

FILES = 5000  # of each kind
FRAMES = 8000
#: 240 frames of 2 MB.
SHAPE = (240, 1024, 1024)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--seconds", type=float, default=5, help="for each case and server (default: 5)")
    ask.add_argument("--alone", action="store_true", help="leave the reference out")
    ask.add_argument("--keep", type=Path, help="keep the files in this directory, and use them the next time")
    options = ask.parse_args()
    directory = (options.keep or Path(tempfile.mkdtemp(prefix="girih-bench-"))).absolute()
    try:
        make(directory / "files")
        run(directory, options)
    finally:
        if not options.keep:
            shutil.rmtree(directory)


def make(files: Path) -> None:
    """Small files, a stack of frames, and one large file as a detector writes it."""
    if (files / "made").exists():
        return
    for name in ["small", "stack", "large"]:
        (files / name).mkdir(parents=True, exist_ok=True)
    for n in range(FILES):
        (files / "small" / f"table{n}.csv").write_text("a,b,c\n1,2.5,x\n3,4.5,y\n")
        tifffile.imwrite(files / "small" / f"{n}_image.tif", numpy.full((16, 16), n, "u2"))
    for n in range(FRAMES):
        tifffile.imwrite(files / "stack" / f"frame{n:05}.tif", numpy.full((128, 128), n, "u2"))
    numbers = numpy.random.default_rng(0)
    with h5py.File(files / "large" / "scan.h5", "w") as file:
        data = file.create_dataset("data", SHAPE, "u2", chunks=(1, *SHAPE[1:]), compression="gzip", compression_opts=1)
        for n in range(SHAPE[0]):
            data[n] = numbers.poisson(20, SHAPE[1:]).astype("u2")
    (files / "made").touch()


def run(directory: Path, options: argparse.Namespace) -> None:
    files = directory / "files"
    made = [served(servers.girih, directory / "girih", files)]
    if not options.alone:
        made.append(served(servers.reference, directory / "reference", files))
    results: dict[str, dict[str, float]] = {}

    def note(case: str, server: Server, value: float) -> None:
        results.setdefault(case, {})[server.name] = value
        print(f"{case:44}{server.name:>10} {value:12.2f}", flush=True)

    for server in made:
        with server:
            register = by_girih if server.name == "girih" else by_reference
            note("register 10,000 small files, s", server, register(server, files / "small", "small"))
            note(f"register a stack of {FRAMES:,} frames, s", server, register(server, files / "stack", "stack"))
            register(server, files / "large", "large")
            read(server, options.seconds, note)
            note("memory at its peak, MB", server, server.peak())
    decoder = decoding(files / "large" / "scan.h5")
    print(f"{'gunzip by libdeflate, all cores, MB/s':44}{'':>10} {decoder:12.0f}")
    whole = results["whole 480 MB gzip dataset, MB/s"]["girih"]
    print(f"share of it that a whole read has: {whole / decoder:.2f} (bar: 0.7)")
    if not options.alone:
        for case, values in results.items():
            ratio = values["girih"] / values["reference"]
            print(f"{case:44}{'ratio':>10} {1 / ratio if case.endswith(', s') else ratio:12.1f}")


def served(make_server, directory: Path, files: Path) -> Server:
    """An empty server that may read the files."""
    shutil.rmtree(directory, ignore_errors=True)
    server = make_server(directory)
    config = directory / "config.yml"
    text = config.read_text().replace("      init_if", f'      readable_storage: ["{files}"]\n      init_if')
    config.write_text(text)
    return server


def by_girih(server: Server, files: Path, prefix: str) -> float:
    begun = time.perf_counter()
    address = f"http://{server.address}?api_key={KEY}"
    subprocess.run([GIRIH, "register", address, files, "--prefix", prefix], check=True, capture_output=True)
    return time.perf_counter() - begun


def by_reference(server: Server, files: Path, prefix: str) -> float:
    from tiled.client import from_uri
    from tiled.client.register import register

    client = from_uri(f"http://{server.address}", api_key=KEY)
    begun = time.perf_counter()
    asyncio.run(register(client, files, prefix=f"/{prefix}"))
    return time.perf_counter() - begun


def read(server: Server, seconds: float, note) -> None:
    octets = "format=application/octet-stream"
    frames = [{"path": f"/api/v1/array/block/stack/frame?block={n},0,0&{octets}"} for n in range(0, FRAMES, 97)]
    found = measure(server, frames, connections=4, seconds=seconds, headers=AUTHORIZATION, random=True)
    note("one frame of the stack, requests/s", server, found.per_second)
    slices = [
        {"path": f"/api/v1/array/full/large/scan/data?slice={n},100:252,200:358&{octets}"} for n in range(SHAPE[0])
    ]
    found = measure(server, slices, connections=1, seconds=seconds, headers=AUTHORIZATION, random=True)
    note("48 KB slice of 480 MB, requests/s", server, found.per_second)
    found = measure(server, slices, connections=4, seconds=seconds, headers=AUTHORIZATION, random=True)
    note("the same, four readers, requests/s", server, found.per_second)
    note("whole 480 MB gzip dataset, MB/s", server, whole(server))


def whole(server: Server) -> float:
    """Two readers, each with one half, frame by frame as a client reads it; of three times the best."""
    import http.client

    def part(frames: range) -> None:
        connection = http.client.HTTPConnection(server.address)
        for n in frames:
            path = f"/api/v1/array/full/large/scan/data?slice={n}:{n + 8}&format=application/octet-stream"
            connection.request("GET", path, headers=AUTHORIZATION)
            reply = connection.getresponse()
            buffer = bytearray(1 << 20)
            while reply.readinto(buffer):
                pass

    took = []
    for _ in range(3):
        begun = time.perf_counter()
        halves = [range(0, SHAPE[0] // 2, 8), range(SHAPE[0] // 2, SHAPE[0], 8)]
        readers = [threading.Thread(target=part, args=[half]) for half in halves]
        [reader.start() for reader in readers]
        [reader.join() for reader in readers]
        took.append(time.perf_counter() - begun)
    return numpy.prod(SHAPE) * 2 / 1e6 / min(took)


def decoding(path: Path) -> float:
    """MB/s of decoded data that libdeflate makes of the chunks, on two threads."""
    with h5py.File(path) as file:
        chunks = [file["data"].id.read_direct_chunk((n, 0, 0))[1] for n in range(SHAPE[0])]
    size = numpy.prod(SHAPE[1:]) * 2
    rates = []
    for _ in range(3):
        begun = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda chunk: len(imagecodecs.deflate_decode(chunk, out=int(size))), chunks))
        rates.append(len(chunks) * size / 1e6 / (time.perf_counter() - begun))
    return statistics.median(rates)


if __name__ == "__main__":
    main()
