"""A catalog of a million nodes in one container: how fast it fills, and how fast it answers.

Asks girih alone: the reference takes hours to fill such a catalog.
"""

import argparse
import http.client
import json
import shutil
import tempfile
import time
import urllib.parse
from pathlib import Path

import servers
from content import CATEGORIES, WORDS, element
from load import AUTHORIZATION, measure

#: Most nodes of one request.
BATCH = 100_000


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--nodes", type=int, default=1_000_000)
    ask.add_argument("--keep", type=Path, help="keep the catalog in this directory, and use it the next time")
    options = ask.parse_args()
    directory = (options.keep or Path(tempfile.mkdtemp(prefix="girih-bench-"))).absolute()
    try:
        run(directory, options.nodes)
    finally:
        if not options.keep:
            shutil.rmtree(directory)


def run(directory: Path, nodes: int) -> None:
    with servers.girih(directory / "girih") as server:
        connection = http.client.HTTPConnection(server.address, timeout=3600)
        if not (directory / "filled").exists():
            fill(connection, nodes)
            (directory / "filled").touch()
            size = sum(file.stat().st_size for file in (directory / "girih").glob("catalog.db*"))
            print(f"{'size of the database':44}{size / nodes:10.0f} bytes a node (bar: 1200)")
        print(f"{'':44}{'p50 ms':>10}{'p99 ms':>10}{'bar':>6}")
        for name, path, bar in questions(nodes):
            result = measure(server, [{"path": f"/api/v1{path}"}], connections=1, seconds=2)
            note = f"  {result.failure}" if result.failure else ""
            print(f"{name:44}{result.p50:10.2f}{result.p99:10.2f}{bar:6}{note}", flush=True)
        connection.close()
        delete(connection)
        print(f"{server.resident():.0f} MB resident, {server.peak():.0f} MB at its peak")


def send(connection: http.client.HTTPConnection, method: str, path: str, body: bytes, media_type: str) -> bytes:
    connection.request(method, f"/api/v1{path}", body, AUTHORIZATION | {"content-type": media_type})
    response = connection.getresponse()
    answer = response.read()
    if response.status >= 300:
        raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
    return answer


def lines(start: int, count: int) -> bytes:
    made = [
        json.dumps({"id": f"n{n:08}", "structure_family": "container", "metadata": element(n)})
        for n in range(start, start + count)
    ]
    return "\n".join(made).encode()


def fill(connection: http.client.HTTPConnection, nodes: int) -> None:
    for key in ["all", "doomed"]:
        body = json.dumps({"id": key, "structure_family": "container"}).encode()
        send(connection, "POST", "/metadata/", body, "application/json")
    took = 0.0
    for start in range(0, nodes, BATCH):
        body = lines(start, min(BATCH, nodes - start))
        begun = time.perf_counter()
        send(connection, "POST", "/bulk/all", body, "application/x-ndjson")
        took += time.perf_counter() - begun
    print(f"{'bulk create':44}{nodes / took:10.0f} nodes/s (bar: 20000)", flush=True)


def delete(connection: http.client.HTTPConnection) -> None:
    send(connection, "POST", "/bulk/doomed", lines(0, 10_000), "application/x-ndjson")
    begun = time.perf_counter()
    send(connection, "DELETE", "/metadata/doomed?recursive=true&external_only=false", b"", "application/json")
    print(f"{'deleting 10000 nodes':44}{time.perf_counter() - begun:10.2f} s (bar: 2)")
    body = json.dumps({"id": "doomed", "structure_family": "container"}).encode()
    send(connection, "POST", "/metadata/", body, "application/json")


def condition(kind: str, **arguments: object) -> str:
    plain = ("text", "key", "operator", "pattern")
    parts = [
        f"filter[{kind}][condition][{name}]={urllib.parse.quote(str(value) if name in plain else json.dumps(value))}"
        for name, value in arguments.items()
    ]
    return "&".join(parts)


def questions(nodes: int) -> list[tuple[str, str, str]]:
    category = condition("eq", key="element.category", value=CATEGORIES[0])
    symbol = condition("eq", key="element.symbol", value="E7")
    one = condition("eq", key="scan_id", value=nodes // 2)
    hot = condition("comparison", operator="ge", key="temperature", value=200)
    warm = condition("comparison", operator="lt", key="temperature", value=299.9)
    several = condition("in", key="element.symbol", value=["E7", "E8", "E9"])
    words = condition("fulltext", text=WORDS[2])
    some_words = condition("fulltext", text=WORDS[0])
    two_words = condition("fulltext", text=f"{WORDS[2]} {WORDS[3]}")
    present = condition("keypresent", key="sample.name", exists=True)
    absent = condition("keypresent", key="sample.owner", exists=True)
    pattern = condition("regex", key="sample.name", pattern="^sample-99")
    unlike = condition("noteq", key="element.category", value=CATEGORIES[0])
    search = "/search/all?page[limit]=100"
    searches = {
        "listing": "",
        "eq, many": category,
        "eq, few": symbol,
        "eq, one": one,
        "noteq": unlike,
        "range": hot,
        "range, nearly all": warm,
        "in": several,
        "text": words,
        "text, two words": two_words,
        "key present": present,
        "key present, none": absent,
        "regex": pattern,
        "and": f"{category}&{hot}",
        "and of three": f"{category}&{hot}&{words}",
        "sorted by a number": "sort=temperature",
        "sorted down": "sort=-temperature",
        "sorted by two": "sort=element.category&sort=temperature",
        "eq, sorted": f"{symbol}&sort=temperature",
        "eq many, sorted": f"{category}&sort=temperature",
        "text, sorted": f"{words}&sort=-scan_id",
        "text of some, sorted": f"{some_words}&sort=-scan_id",
        "text of some, and": f"{some_words}&{category}&{hot}",
        "range, sorted by another": f"{hot}&sort=scan_id",
        "last of all": "sort=-",
        "last page": f"page[offset]={nodes - 100}",
        "last page, sorted": f"sort=temperature&page[offset]={nodes - 100}",
        "last page, sorted by two": f"sort=element.category&sort=temperature&page[offset]={nodes - 100}",
    }
    asked = [(name, f"{search}&{query}", "10/50") for name, query in searches.items()]
    asked += [
        ("len() of the container", "/metadata/all", "O(1)"),
        ("exact count of an eq", f"/search/all?page[limit]=0&{category}", "100"),
        ("distinct with counts", "/distinct/all?metadata=element.category&counts=true", "300"),
        ("distinct of a range, with counts", f"/distinct/all?metadata=element.category&counts=true&{hot}", "-"),
    ]
    return asked


if __name__ == "__main__":
    main()
