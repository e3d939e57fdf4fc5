"""The tree is read as Zarr by zarr-python, xarray and zarrita, over nothing but HTTP."""

import json
import shutil
import subprocess
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import xarray
import zarr

ZARRITA = Path(__file__).parent / "zarrita"

PETS = np.array([("Rex", 9, 81.0), ("Fido", 3, 27.0)], dtype=[("name", "U10"), ("age", "i4"), ("weight", "f4")])
ARRAYS = {
    "image": np.arange(60 * 45, dtype="u2").reshape(60, 45),
    "cube": np.linspace(0, 1, 7 * 5 * 3).reshape(7, 5, 3),
    "bool": np.arange(10) % 3 == 0,
    "big": np.arange(6, dtype=">i4"),
    "complex": (np.arange(4) + 1j).astype("c16"),
    "text": np.array(["one", "two", "drei"]),
    "bytes": np.array([b"a", b"bcd"]),
    "time": np.array(["2007-07-13", "NaT", "2010-08-13"], dtype="M8[s]"),
    "none": np.zeros((0, 3), dtype="f4"),
    "one": np.array(7.5),
    "pets": PETS,
}
FRAME = pd.DataFrame({"n": np.arange(5), "x": np.linspace(0, 1, 5)})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from conftest import Server

    server = Server("catalog", tmp_path_factory.mktemp("catalog"))
    box = server.client().create_container("box", metadata={"sample": "x"})
    for key, array in ARRAYS.items():
        box.write_array(array, key=key, metadata={"key": key})
    box.write_table(FRAME, key="frame")
    cube = server.client().create_container("cube")
    cube.write_array(np.arange(12.0).reshape(3, 4), key="field", dims=("y", "x"))
    cube.write_array(np.arange(3), key="y", dims=("y",))
    cube.write_array(np.arange(4) / 2, key="x", dims=("x",))
    # Chunks that do not divide the shape, and a part that was never written.
    chunked = box.new(
        "array", [chunked_source()], key="chunked", metadata={}
    )
    chunked.write_block(np.ones((4, 4), dtype="f8"), (0, 0))
    chunked.write_block(np.full((1, 2), 5.0), (2, 1))
    yield server
    assert server.stop() == 0


def chunked_source():
    from tiled.structures.array import ArrayStructure, BuiltinDtype
    from tiled.structures.core import StructureFamily
    from tiled.structures.data_source import DataSource

    structure = ArrayStructure(
        data_type=BuiltinDtype.from_numpy_dtype(np.dtype("f8")), shape=(9, 6), chunks=((4, 4, 1), (4, 2))
    )
    return DataSource(structure_family=StructureFamily.array, structure=structure)


def store(server, version, path):
    headers = {"Authorization": f"Apikey {server.key}"}
    files = fsspec.filesystem("http", asynchronous=True, client_kwargs={"headers": headers})
    return zarr.storage.FsspecStore(files, read_only=True, path=f"{server.base}/zarr/{version}{path}")


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("key", ARRAYS)
def test_arrays_of_every_kind(server, version, key):
    expected = ARRAYS[key]
    array = zarr.open_array(store(server, version, f"/box/{key}"), mode="r")
    found = array[...]
    if expected.dtype.fields:
        # The published client describes such arrays as bytes.
        found = found.view(expected.dtype)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)
    assert found.dtype.kind == expected.dtype.kind
    assert array.attrs["key"] == key


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_edge_chunks_and_holes(server, version):
    array = zarr.open_array(store(server, version, "/box/chunked"), mode="r")
    expected = np.zeros((9, 6))
    expected[:4, :4] = 1
    expected[8:, 4:] = 5
    np.testing.assert_array_equal(array[...], expected)


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("consolidated", [False, True])
def test_groups(server, version, consolidated):
    group = zarr.open_group(store(server, version, ""), mode="r", use_consolidated=consolidated)
    assert set(group.group_keys()) == {"box", "cube"}
    box = group["box"]
    assert dict(box.attrs) == {"sample": "x"}
    assert set(box.keys()) == {*ARRAYS, "frame", "chunked"}
    np.testing.assert_array_equal(box["image"][3:5, 7], ARRAYS["image"][3:5, 7])
    assert set(box["frame"].array_keys()) == {"n", "x"}
    np.testing.assert_array_equal(box["frame/x"][...], FRAME["x"])


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_xarray(server, version):
    dataset = xarray.open_zarr(store(server, version, "/cube"), chunks=None)
    assert dataset["field"].dims == ("y", "x")
    assert float(dataset["field"].sel(y=2, x=0.5)) == 9.0


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("key", ["image", "cube"])
def test_javascript(tmp_path_factory, version, key):
    from conftest import Server

    if not shutil.which("node"):
        pytest.skip("node is not installed")
    server = Server("catalog", tmp_path_factory.mktemp("public"), "--public")
    try:
        server.client().write_array(ARRAYS[key], key=key, metadata={"key": key})
        url = f"{server.base}/zarr/{version}/{key}"
        done = subprocess.run(["node", ZARRITA / "read.js", url, version], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["shape"] == list(ARRAYS[key].shape)
        np.testing.assert_array_equal(np.reshape(found["items"], found["shape"]), ARRAYS[key])
        assert found["attributes"]["key"] == key
    finally:
        server.stop()
