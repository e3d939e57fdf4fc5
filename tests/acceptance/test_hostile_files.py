"""Files that lie, or grow when they are read, are worth no more of the server than other small files."""

import math
import shutil

import pytest
from conftest import ROOT, wait_until

#: Of the whole process, at its peak, in bytes.
MEMORY = 400 << 20


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hostile")
    shutil.copytree(ROOT / "testdata" / "hostile", directory, dirs_exist_ok=True)
    # Bytes of a file one after another, as an array of a Zarr directory.
    for name, metadata in {
        "endless": '{"zarr_format": 3, "node_type": "array", "shape": [%d], "data_type": "uint8"}' % (1 << 62),
        "deep": "[" * 50_000,
        "outside": '{"zarr_format": 3, "node_type": "group", "consolidated_metadata": {"metadata": {"../../x": {}}}}',
    }.items():
        (directory / f"{name}.zarr").mkdir()
        (directory / f"{name}.zarr" / "zarr.json").write_text(metadata)
    return directory


def reads(http, path, depth=3):
    """Replies to all that can be asked of a node and of what is in it, without the numbers of huge arrays."""
    node = http.get(f"/metadata{path}")
    yield node
    if node.status_code != 200:
        return
    attributes = node.json()["data"]["attributes"]
    yield http.get(f"/asset/list{path}")
    match attributes["structure_family"]:
        case "container" if depth:
            listed = http.get(f"/search{path}?page[limit]=100&fields=structure_family")
            yield listed
            for child in listed.json().get("data", []):
                yield from reads(http, f"{path}/{child['id']}", depth - 1)
        case "array":
            shape = attributes["structure"]["shape"]
            slice = ",".join("0" if n % 2 else "-1:" for n in range(len(shape)))
            yield http.get(f"/array/full{path}?format=application/octet-stream&slice={slice}")
            yield http.get(f"/array/full{path}?format=image/png&slice={slice}")
            blocks = ",".join("0" * len(shape))
            yield http.get(f"/array/block{path}?format=application/json&block={blocks}&slice={','.join('0' * len(shape))}")
            if math.prod(shape) < 1 << 27:
                yield http.get(f"/array/full{path}?format=application/octet-stream")
        case "table":
            yield http.get(f"/table/full{path}?format=text/csv")
            yield http.get(f"/table/partition{path}?format=application/vnd.apache.arrow.file&partition=0")


def test_hostile_files(hostile, start):
    server = start("directory", hostile, "--public", "--keep-ext")
    wait_until(lambda: "indexing complete" in server.read_log(), "all files are looked into")
    seen = set()
    with server.http() as http:
        names = [node["id"] for node in http.get("/search/?page[limit]=300&fields=structure_family").json()["data"]]
        assert len(names) > 10
        for name in names:
            for reply in reads(http, f"/{name}"):
                seen.add(reply.status_code)
                told = reply.status_code < 500 or reply.status_code == 503 or "cannot be read" in reply.text
                assert told, f"{reply.url} {reply.status_code} {reply.text[:500]}"
    assert seen > {200} and not server.errors(), server.errors()
    peak = server.peak()
    assert peak <= MEMORY, f"{peak >> 20} MB"
