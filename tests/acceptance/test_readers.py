"""What girih stores and exports is read by programs that know nothing of girih."""

import io

import h5py
import numpy as np
import openpyxl
import pandas as pd
import PIL.Image
import pyarrow as pa
import pytest
import tifffile
import xlrd
import zarr

IMAGE = (np.arange(60 * 40) % 251).reshape(60, 40).astype("u2")
FRAME = pd.DataFrame({"n": [1, 2, 3], "x": [0.1, float("nan"), 1e20], "s": ["a", 'q"u,o', ""]})


def check_frame(found):
    """The data, whatever index and flavour of text the reader gives it."""
    found = found.reset_index(drop=True)[FRAME.columns.tolist()].astype({"s": object})
    pd.testing.assert_frame_equal(found, FRAME)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("catalog")


@pytest.fixture(scope="module")
def server(directory):
    from conftest import Server

    server = Server("catalog", directory)
    client = server.client()
    box = client.create_container("box", metadata={"sample": "x"})
    box.write_array(IMAGE, key="image")
    box.write_table(FRAME, key="frame")
    yield server
    assert server.stop() == 0


def export(server, path, media_type, **query):
    with server.http() as http:
        reply = http.get(path, params={"format": media_type, **query})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith(media_type)
    return reply.content


def test_zarr_python_opens_stored_arrays(server, directory):
    server.client().write_array(np.arange(1000.0).reshape(10, 100), key="big", dims=("t", "x"))
    stored = zarr.open(directory / "data" / "big", mode="r")
    np.testing.assert_array_equal(stored[:], np.arange(1000.0).reshape(10, 100))
    assert zarr.open(directory / "data" / "box" / "image", mode="r").dtype == "u2"


def test_pandas_reads_stored_tables(server, directory):
    check_frame(pd.read_parquet(directory / "data" / "box" / "frame" / "partition-0.parquet"))


def test_parquet_and_arrow(server):
    content = export(server, "/table/full/box/frame", "application/x-parquet")
    check_frame(pd.read_parquet(io.BytesIO(content)))
    content = export(server, "/table/full/box/frame", "application/vnd.apache.arrow.file")
    check_frame(pa.ipc.open_file(content).read_all().to_pandas())


def test_csv(server):
    content = export(server, "/table/full/box/frame", "text/csv")
    check_frame(pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values={"x": [""]}))
    content = export(server, "/array/full/box/image", "text/csv")
    np.testing.assert_array_equal(np.loadtxt(io.BytesIO(content), delimiter=","), IMAGE)


def test_workbooks(server):
    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    sheet = openpyxl.load_workbook(io.BytesIO(export(server, "/table/full/box/frame", media_type))).active
    rows = list(sheet.values)
    assert rows[0][-3:] == ("n", "x", "s") and rows[1][-3:] == (1, 0.1, "a") and rows[2][-2] is None
    book = xlrd.open_workbook(file_contents=export(server, "/table/full/box/frame", "application/vnd.ms-excel"))
    sheet = book.sheet_by_index(0)
    assert sheet.row_values(0)[-3:] == ["n", "x", "s"] and sheet.row_values(2)[-1] == 'q"u,o'


def test_hdf5_of_a_table_and_of_a_tree(server):
    with h5py.File(io.BytesIO(export(server, "/table/full/box/frame", "application/x-hdf5"))) as file:
        np.testing.assert_array_equal(file["n"][:], FRAME["n"])
    with h5py.File(io.BytesIO(export(server, "/container/full/box", "application/x-hdf5"))) as file:
        np.testing.assert_array_equal(file["image"][:], IMAGE)
        np.testing.assert_array_equal(file["frame"]["x"][:], FRAME["x"])
        assert file.attrs["sample"] == "x"


def test_images(server):
    tiff = tifffile.imread(io.BytesIO(export(server, "/array/full/box/image", "image/tiff")))
    assert tiff.dtype == IMAGE.dtype
    np.testing.assert_array_equal(tiff, IMAGE)
    image = PIL.Image.open(io.BytesIO(export(server, "/array/full/box/image", "image/png")))
    assert image.size == (40, 60)
    pixels = np.asarray(image.convert("L")).astype(int)
    # A picture is scaled to its range of values: what was brighter is not darker.
    order = np.argsort(IMAGE, axis=None, kind="stable")
    assert (np.diff(pixels.ravel()[order]) >= 0).all() and np.ptp(pixels) == 255
    image = PIL.Image.open(io.BytesIO(export(server, "/array/full/box/image", "image/png", slice=":5,-7:")))
    assert image.size == (7, 5)


def test_json(server):
    assert server.http().get("/array/full/box/image", params={"format": "json"}).json() == IMAGE.tolist()
    table = server.http().get("/table/full/box/frame", params={"format": "json"}).json()
    assert table["x"] == [0.1, None, 1e20] and table["s"] == FRAME["s"].tolist()
