"""Files that lie, or grow when they are read, are worth no more of the server than other small files."""

import math
import os
import shutil

import pytest
from conftest import ROOT, wait_until

#: Of the whole process, at its peak, in bytes.
MEMORY = 400 << 20

NOT_REGISTERED = set()
#: The statuses of all replies for each file; what cannot be looked into is no entry, and the log says why.
STATUSES = {
    "a-hundred-thousand-columns.csv": NOT_REGISTERED,
    "a-thousand-axes.fits": NOT_REGISTERED,
    "a-thousand-scans.jpg": NOT_REGISTERED,
    "array-of-2-to-the-80.npy": NOT_REGISTERED,
    "array-that-ends.npz": {200, 422},
    "array-that-grows.npz": {200},
    "axes-of-2-billion.nc": NOT_REGISTERED,
    "axis-below-zero.fits": NOT_REGISTERED,
    "axis-that-is-not-there.nc": NOT_REGISTERED,
    "beyond-the-end.tif": NOT_REGISTERED,
    "brackets.npy": NOT_REGISTERED,
    "brackets.xlsx": {200},
    "cell-at-the-far-corner.xlsx": {200, 405},
    "chunks-that-grow.h5": {200, 422},
    "circles.h5": {200, 410},
    "claims.h5": {200, 405, 406, 422},
    "deep.zarr": {200},
    "directory-of-2-to-the-60.tif": NOT_REGISTERED,
    "directory-that-follows-itself.tif": NOT_REGISTERED,
    "end-of-file-is-not-there.h5": NOT_REGISTERED,
    "endless.zarr": {200},
    "entities-that-multiply.xlsx": NOT_REGISTERED,
    "foot-of-2-gigabytes.parquet": NOT_REGISTERED,
    "four-billion-strips.tif": {200, 422},
    "header-of-4-gigabytes.npy": NOT_REGISTERED,
    "items-of-no-bytes.npy": {200, 406},
    "megabytes-of-attributes.h5": {200},
    "message-of-2-gigabytes.feather": NOT_REGISTERED,
    "name-of-2-gigabytes.nc": NOT_REGISTERED,
    "names-that-lead-out.npz": {200, 422},
    "no-end.fits": NOT_REGISTERED,
    "no-rows-in-a-strip.tif": NOT_REGISTERED,
    "no-text.csv": NOT_REGISTERED,
    "only-a-foot.parquet": NOT_REGISTERED,
    "outside.zarr": {200},
    "picture-of-4-billion-rows.tif": NOT_REGISTERED,
    "picture-without-pixels.jpg": NOT_REGISTERED,
    "pixels-that-grow.png": {200},
    "quote-without-end.csv": NOT_REGISTERED,
    "records-in-records.h5": {200, 422},
    "records-without-end.nc": {200},
    "rows-that-grow.feather": {200},
    "rows-that-grow.parquet": {200},
    "samples-of-no-bits.tif": NOT_REGISTERED,
    "sheet-that-grows.xlsx": {200},
    "string-that-is-not-there.xlsx": {200, 422},
    "strip-that-grows.tif": {200},
    "table-of-wide-columns.fits": {200},
    "text-that-grows.png": {200},
    "texts-of-a-gigabyte.npy": NOT_REGISTERED,
    "tiles-of-no-width.tif": NOT_REGISTERED,
    "tree-that-is-its-own-child.h5": NOT_REGISTERED,
    "two-billion-pixels-wide.png": NOT_REGISTERED,
    "two-billion-variables.nc": NOT_REGISTERED,
    "two-directories-in-a-circle.tif": NOT_REGISTERED,
    "two-thousand-groups-deep.h5": {200},
}


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
    for path in directory.rglob("*"):
        # What was changed just now could still be written, and would be asked for again.
        os.utime(path, (1e9, 1e9))
    return directory


def reads(http, path, depth=3):
    """Replies to all that can be asked of a node and of what is in it, without the numbers of huge arrays."""
    node = http.get(f"/metadata{path}")
    yield node
    if node.status_code != 200:
        return
    attributes = node.json()["data"]["attributes"]
    if path.count("/") == 1:
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
    assert set(os.listdir(hostile)) == set(STATUSES), "each file has a line in the table"
    with server.http() as http:
        names = [node["id"] for node in http.get("/search/?page[limit]=300&fields=structure_family").json()["data"]]
        seen = {name: NOT_REGISTERED if name not in names else {} for name in STATUSES}
        for name in names:
            seen[name] = {reply.status_code: f"{reply.url} {reply.text[:150]}" for reply in reads(http, f"/{name}")}
    unexpected = {name: replies for name, replies in seen.items() if set(replies) != STATUSES[name]}
    assert not unexpected, {name: sorted(replies.items()) for name, replies in unexpected.items()}
    log = server.read_log()
    untold = [name for name, statuses in STATUSES.items() if statuses == NOT_REGISTERED and f'"{name}"' not in log]
    assert not untold, untold
    assert not server.errors(), server.errors()
    peak = server.peak()
    assert peak <= MEMORY, f"{peak >> 20} MB"
