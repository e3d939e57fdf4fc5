"""A newcomer's first ten minutes, with the published Python client."""

import asyncio

import numpy as np
import pandas as pd
import pytest
import tifffile
from tiled.client import from_uri, tree
from tiled.client.register import register
from tiled.client.utils import get_asset_filepaths
from tiled.queries import Key

EDGES = [("K", 284.2, 0.0014, 19.02), ("L1", 18.0, 0.0, 1.0), ("L2", 7.2, 0.0, 1.0), ("L3", 7.2, 0.0, 1.0)]
COLUMNS = ["edge", "energy_eV", "fluorescence_yield", "jump_ratio"]
NOBLE_GASES = ["He", "Ne", "Ar", "Kr", "Xe", "Rn"]


@pytest.fixture(scope="module")
def root(demo):
    return from_uri(demo.base)


@pytest.fixture(scope="module")
def elements(root):
    return root["examples/xraydb"]


@pytest.fixture(scope="module")
def edges(elements):
    return elements["C/edges"]


@pytest.fixture(scope="module")
def blobs(root):
    return root["examples/images/binary_blobs"]


def test_navigate(root, elements):
    assert list(root) == ["examples"]
    assert set(root["examples"]) == {"xraydb", "images"}
    assert len(elements) == 98
    assert list(elements)[:6] == ["H", "He", "Li", "Be", "B", "C"]
    assert root["examples", "xraydb"].path_parts == root["examples"]["xraydb"].path_parts


def test_metadata(elements):
    assert elements.metadata["energy_units"] == "eV"
    hydrogen = elements.values().first().metadata
    assert hydrogen["element"]["name"] == "hydrogen"
    assert hydrogen["edges"] == {"K": {"energy_eV": 13.6, "fluorescence_yield": 0.0, "jump_ratio": 1.0}}


def test_search(elements):
    nonmetals = elements.search(Key("element.category") == "nonmetal")
    assert list(nonmetals) == ["H", "C", "N", "O", "P", "S", "Se"]
    light = nonmetals.search(Key("element.atomic_number") < 16)
    assert list(light) == ["H", "C", "N", "O", "P"]


def test_distinct(elements):
    found = elements.distinct("element.category", counts=True)["metadata"]["element.category"]
    counts = {entry["value"]: entry["count"] for entry in found}
    assert (counts["noble_gas"], counts["lanthanide"], counts["transition_metal"]) == (6, 15, 29)
    assert sum(counts.values()) == 98


def test_pages_of_results(elements):
    gases = elements.search(Key("element.category") == "noble_gas")
    assert list(gases) == NOBLE_GASES
    assert (gases.keys().first(), gases.keys().last(), gases.keys()[2]) == ("He", "Rn", "Ar")
    assert [value.metadata["element"]["symbol"] for value in gases.values()[:3]] == NOBLE_GASES[:3]
    assert [key for key, _ in gases.items()] == NOBLE_GASES


def test_read_a_table(edges):
    frame = edges.read()
    assert list(frame.columns) == COLUMNS
    assert list(frame.itertuples(index=False, name=None)) == EDGES
    some = edges.read(["edge", "energy_eV"])
    assert list(some.columns) == COLUMNS[:2]


def test_read_an_array(blobs):
    whole = blobs.read()
    assert whole.shape == (512, 512) and whole.dtype == bool
    assert 0.4 < whole.mean() < 0.6
    np.testing.assert_array_equal(blobs[:50, -50:], whole[:50, -50:])
    np.testing.assert_array_equal(blobs[::7, 500:10:-3], whole[::7, 500:10:-3])


def test_export(edges, blobs, tmp_path):
    edges.export(tmp_path / "table.csv")
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines == [",".join(COLUMNS), *(",".join(map(str, row)) for row in EDGES)]
    edges.export(tmp_path / "table.xlsx")
    assert pd.read_excel(tmp_path / "table.xlsx").columns.tolist() == COLUMNS
    blobs.export(tmp_path / "image.png")
    blobs.export(tmp_path / "image", format="image/png")
    assert (tmp_path / "image").read_bytes() == (tmp_path / "image.png").read_bytes()
    edges.export(tmp_path / "two.csv", columns=["edge", "energy_eV"])
    assert (tmp_path / "two.csv").read_text().splitlines()[1] == "K,284.2"


def test_formats(edges, blobs):
    assert {"image/png", "image/tiff", "text/csv", "application/json"} <= set(blobs.formats)
    assert {"application/x-parquet", "application/x-hdf5", "text/csv", "application/json-seq"} <= set(edges.formats)


def test_raw_files(edges, tmp_path):
    (path,) = get_asset_filepaths(edges)
    assert str(path).endswith("examples/xraydb/C/edges/partition-0.parquet")
    assert list(pd.read_parquet(path).columns) == COLUMNS
    (source,) = edges.data_sources()
    assert (source.mimetype, source.management) == ("application/x-parquet", "writable")
    assert source.assets[0].data_uri.startswith("file://localhost/")
    (copy,) = edges.raw_export(tmp_path)
    assert copy.read_bytes() == path.read_bytes()


def test_the_demo_cannot_be_written(demo, root):
    for method, path in [("POST", "/metadata/"), ("PUT", "/array/full/examples/images/binary_blobs")]:
        assert demo.http().request(method, path, json={"structure_family": "container"}).status_code in (401, 403)


def test_upload(catalog):
    client = catalog.client()
    array = client.write_array([1, 2, 3])
    assert array.read().tolist() == [1, 2, 3] and array.dtype == np.int64

    named = client.write_array([1, 2, 3], metadata={"color": "blue"}, key="hello")
    assert dict(named.metadata) == {"color": "blue"}
    assert list(client.search(Key("color") == "blue")) == ["hello"]

    frame = client.write_table({"a": [1, 2, 3], "b": [4, 5, 6]}).read()
    assert frame.values.tolist() == [[1, 4], [2, 5], [3, 6]]

    inner = client.create_container("nested")
    inner.write_array([1, 2, 3], key="a")
    inner.write_array([4, 5, 6], key="b")
    assert list(client["nested"]) == ["a", "b"]

    named.update_metadata({"color": "red"})
    assert client["hello"].metadata["color"] == "red"
    assert len(client["hello"].metadata_revisions[:]) == 1
    client.delete_contents("hello", external_only=False)
    assert "hello" not in client


def test_grow(catalog):
    array = catalog.client().write_array(np.array([1, 2, 3]), key="growing")
    array.patch(np.array([4, 5, 6]), offset=3, extend=True)
    array.patch(np.array([9]), offset=0)
    assert array.read().tolist() == [9, 2, 3, 4, 5, 6]


def test_register(start, tmp_path, capsys):
    stack = np.random.default_rng(0).random((10, 5, 5))
    for n, frame in enumerate(stack):
        tifffile.imwrite(tmp_path / f"image_stack{n:03}.tiff", frame)
    pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]}).to_csv(tmp_path / "table.csv")
    client = start("catalog", "--read", tmp_path).client()
    asyncio.run(register(client, tmp_path))
    tree(client)
    assert capsys.readouterr().out == "├── image_stack\n└── table\n"
    assert client["table"].read().values.tolist() == [[0, 1, 4], [1, 2, 5], [2, 3, 6]]
    assert repr(client["image_stack"]) == "<ArrayClient shape=(10, 5, 5) chunks=((1, 1, ..., 1), (5,), (5,)) dtype=float64>"
    np.testing.assert_array_equal(client["image_stack"][3], stack[3])
    types = [client[key].data_sources()[0].mimetype for key in ["image_stack", "table"]]
    assert types == ["multipart/related;type=image/tiff", "text/csv"]


@pytest.mark.parametrize("dtype", ["<f4", ">i2", "?", "<c16", "<M8[ms]", "S3", "<U2"])
def test_dtypes_survive(catalog, dtype):
    data = np.arange(12).reshape(3, 4).astype("i8").astype(dtype)
    stored = catalog.client().write_array(data, key=f"dtype {dtype[1:]}")
    found = stored.read()
    assert found.dtype == data.dtype
    np.testing.assert_array_equal(found, data)
