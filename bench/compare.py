"""girih, the reference and the limits of this machine, side by side."""

import argparse
import json
import shutil
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import content
import limits
import numpy
import servers
from cases import CASES, Case
from load import AUTHORIZATION, measure
from servers import Server


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--only", default="", help="measure the cases whose name contains this")
    ask.add_argument("--seconds", type=float, default=5, help="for each case and server (default: 5)")
    ask.add_argument("--alone", action="store_true", help="leave the reference out")
    ask.add_argument("--keep", type=Path, help="keep the content in this directory, and use it the next time")
    options = ask.parse_args()
    directory = options.keep or Path(tempfile.mkdtemp(prefix="girih-bench-"))
    try:
        compare(directory.absolute(), options)
    finally:
        if not options.keep:
            shutil.rmtree(directory)


def compare(directory: Path, options: argparse.Namespace) -> None:
    if not options.only:
        limits.main()
        starting(directory, options.alone)
    with ExitStack() as stack:
        ours = prepared(stack, servers.girih(directory / "girih"))
        theirs = None if options.alone else prepared(stack, servers.reference(directory / "reference"))
        limit = stack.enter_context(servers.nginx(directory / "nginx"))
        print(f"{'':28}{'girih':>10}{'p50 ms':>9}{'p99 ms':>9}{'cpu':>6}{'MB':>7}", end="")
        print(f"{'reference':>12}{'ratio':>8}{'bar':>6}{'nginx':>10}{'share':>7}{'bar':>6}")
        for case in CASES:
            if options.only in case.name:
                row(case, ours, theirs, limit, directory / "nginx" / "www", options.seconds)
        for writers, bar in [(16, 20), (1, 6)]:
            name = f"uploads, {writers} at a time"
            if options.only in name:
                upload(name, writers, bar, ours, theirs, options.seconds)
        print(f"girih at the end: {ours.resident():.0f} MB resident, {ours.peak():.0f} MB at its peak")


def starting(directory: Path, alone: bool) -> None:
    """Seconds until an empty server answers, the best of three."""
    made = {"girih": servers.girih} if alone else {"girih": servers.girih, "reference": servers.reference}
    best = {}
    for name, make in made.items():
        took = []
        for n in range(3):
            server = make(directory / f"start-{name}-{n}")
            took.append(server.start())
            server.stop()
        best[name] = min(took)
    text = f"{'starting':28}{best['girih'] * 1e3:.0f} ms"
    if not alone:
        text += f", reference {best['reference']:.1f} s: {best['reference'] / best['girih']:.0f} times (bar: 100)"
    print(text, flush=True)


def upload(name: str, writers: int, bar: float, ours: Server, theirs: Server | None, seconds: float) -> None:
    """New small arrays: created, and written."""
    mark = str(time.time_ns())
    create = {
        "id": f"{mark}-{{n}}",
        "structure_family": "array",
        "metadata": {},
        "specs": [],
        "data_sources": [content.array_source((10, 10), (10, 10), numpy.dtype("f8"))],
    }
    block = Path(tempfile.gettempdir()) / "girih-bench-block"
    block.write_bytes(numpy.random.default_rng(0).random((10, 10)).tobytes())
    json_type, octets = {"content-type": "application/json"}, {"content-type": "application/octet-stream"}
    steps = [
        {"method": "POST", "path": "/api/v1/metadata/inbox", "text": json.dumps(create), "headers": json_type},
        {"method": "PUT", "path": f"/api/v1/array/full/inbox/{mark}-{{n}}", "file": str(block), "headers": octets},
    ]
    mine = measure(ours, steps, connections=writers, seconds=seconds, headers=AUTHORIZATION)
    name = name if not mine.failure else f"{name} !{mine.failure}"
    text = f"{name:28}{mine.per_second:10.1f}{mine.p50:9.2f}{mine.p99:9.2f}{mine.cpu:6.2f}{mine.resident:7.0f}"
    print(text, end="", flush=True)
    if theirs:
        other = measure(theirs, steps, connections=writers, seconds=seconds, headers=AUTHORIZATION)
        print(f"{other.per_second:12.2f}{mine.per_second / max(other.per_second, 1e-9):8.0f}{bar:6.0f}", end="")
    print(flush=True)


def prepared(stack: ExitStack, server: Server) -> Server:
    """A running server with the content in it."""
    stack.enter_context(server)
    mark = server.log.parent / "filled"
    if not mark.exists():
        content.fill(server)
        mark.touch()
    print(f"{server.name}: ready; {server.resident():.0f} MB resident", flush=True)
    return server


def row(case: Case, ours: Server, theirs: Server | None, limit: Server, www: Path, seconds: float) -> None:
    options = {"connections": case.connections, "headers": case.headers, "random": len(case.steps) > 1}
    ask(ours, case)
    mine = measure(ours, case.steps, seconds=seconds, **options)
    name = case.name if not mine.failure else f"{case.name} !{mine.failure}"
    text = f"{name:28}{mine.per_second:10.1f}{mine.p50:9.2f}{mine.p99:9.2f}{mine.cpu:6.2f}{mine.resident:7.0f}"
    print(text, end="", flush=True)
    if theirs:
        other = measure(theirs, case.steps, seconds=seconds, **options)
        # A run that takes longer than we wait counts as what it took.
        print(f"{other.per_second:12.2f}{mine.per_second / max(other.per_second, 1e-9):8.0f}{case.bar:6.0f}", end="")
    if case.limit:
        body = ask(ours, case)
        # A name of its own: nginx keeps open what it has served.
        file = case.name.translate({ord(c): "-" for c in " ',"})
        (www / file).write_bytes(body)
        most = measure(limit, [{"path": f"/{file}"}], seconds=seconds, connections=case.connections)
        if most.failure:
            raise RuntimeError(f"nginx: {most.failure}; see {limit.log}")
        at_most = most.per_second
        if case.decoded:
            # Both take the cores, one after the other.
            codec = limits.decoding() / len(body)
            at_most = 1 / (1 / codec + 1 / most.per_second)
            print(f"  codec {codec:.1f}, share {mine.per_second / codec:.2f}; with nginx", end="")
        print(f"{at_most:10.1f}{mine.per_second / at_most:7.2f}{case.limit:6.1f}", end="")
    print(flush=True)


def ask(server: Server, case: Case) -> bytes:
    """The body of one answer, as it is sent."""
    path = case.steps[0]["path"].replace("{r:2}", "1").replace("{r:10}", "1").replace("{r:200}", "1")
    request = urllib.request.Request(f"http://{server.address}{path}", headers=case.headers)
    with urllib.request.urlopen(request) as response:
        return response.read()


if __name__ == "__main__":
    main()
