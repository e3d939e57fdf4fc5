"""Far more than the machine can do: 2000 connections of mixed reads and writes. girih alone.

Nothing but a success or a deliberate 503 with Retry-After may come back, the health endpoint stays quick, memory stays
bounded, and afterwards everything is as before.
"""

import argparse
import json
import shutil
import tempfile
import threading
from pathlib import Path

import content
import numpy
import servers
from load import AUTHORIZATION, measure


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--connections", type=int, default=2000)
    ask.add_argument("--seconds", type=float, default=120)
    ask.add_argument("--keep", type=Path, help="keep the content in this directory, and use it the next time")
    options = ask.parse_args()
    directory = (options.keep or Path(tempfile.mkdtemp(prefix="girih-bench-"))).absolute()
    try:
        run(directory, options)
    finally:
        if not options.keep:
            shutil.rmtree(directory)


def steps() -> list[dict]:
    create = {
        "structure_family": "array",
        "metadata": {"color": "red"},
        "data_sources": [content.array_source((10, 10), (10, 10), numpy.dtype("f8"))],
    }
    json_type = {"content-type": "application/json"}
    return [
        {"path": "/api/v1/metadata/nodes/n00{r:2}{r:10}{r:10}", "weight": 40},
        {"path": "/api/v1/search/nodes?page[limit]=100&sort=temperature", "weight": 10},
        {"path": "/api/v1/array/full/large/stack?slice={r:200}&format=application/octet-stream", "weight": 15},
        {"path": "/api/v1/array/full/large/image?format=image/png", "weight": 2},
        {"path": "/api/v1/table/full/large/table?format=text/csv", "weight": 1},
        {"method": "POST", "path": "/api/v1/metadata/inbox", "text": json.dumps(create), "headers": json_type, "weight": 20},
        {"path": "/zarr/v3/large/stack/c/{r:200}/0/0", "weight": 12},
    ]


def run(directory: Path, options: argparse.Namespace) -> None:
    with servers.girih(directory / "girih") as server:
        mark = directory / "girih" / "filled"
        if not mark.exists():
            content.fill(server)
            mark.touch()
        health: list = []
        asked = [{"path": "/healthz"}]
        watch = threading.Thread(
            target=lambda: health.append(measure(server, asked, connections=1, seconds=options.seconds - 2))
        )
        watch.start()
        mixed = measure(
            server,
            steps(),
            connections=options.connections,
            seconds=options.seconds,
            headers=AUTHORIZATION | {"accept-encoding": "identity"},
            random=True,
        )
        watch.join()
        print(f"{mixed.per_second:.0f} requests/s, p50 {mixed.p50:.0f} ms, p99 {mixed.p99:.0f} ms")
        print("statuses:", mixed.statuses, mixed.failure or "")
        print(f"health: p50 {health[0].p50:.1f} ms, p99 {health[0].p99:.1f} ms (bar: 50), {health[0].statuses}")
        print(f"{server.resident():.0f} MB resident, {server.peak():.0f} MB at its peak")
        after = measure(server, asked, connections=1, seconds=1)
        node = measure(server, [{"path": "/api/v1/metadata/nodes/n00150"}], connections=16, seconds=2)
        print(f"afterwards: health p99 {after.p99:.1f} ms, one node {node.per_second:.0f} requests/s, p99 {node.p99:.1f} ms")


if __name__ == "__main__":
    main()
