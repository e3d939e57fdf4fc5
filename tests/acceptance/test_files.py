"""Files read where they lie give what the programs that wrote them read from them."""

import itertools

import numpy as np
import pytest
import tifffile
from tiled.structures.array import ArrayStructure
from tiled.structures.core import StructureFamily
from tiled.structures.data_source import Asset, DataSource, Management


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A directory, and a server that may read it."""
    from conftest import Server

    directory = tmp_path_factory.mktemp("files")
    server = Server("catalog", "--read", directory)
    yield directory, server
    assert server.stop() == 0


def registered(server, path, array, mimetype, parameter="data_uri"):
    """The file as an array of the catalog."""
    paths = path if isinstance(path, list) else [path]
    assets = [
        Asset(
            data_uri=f"file://localhost{one}",
            is_directory=False,
            parameter=parameter,
            num=None if path is paths[0] else num,
        )
        for num, one in enumerate(paths)
    ]
    source = DataSource(
        structure_family=StructureFamily.array,
        structure=ArrayStructure.from_array(array),
        mimetype=mimetype,
        management=Management.external,
        assets=assets,
    )
    return server.client().new(
        structure_family=StructureFamily.array, data_sources=[source], key=paths[0].name.replace(".", "-")
    )


def made(dtype, shape):
    numbers = np.random.default_rng(7)
    if dtype == "bool":
        return numbers.integers(0, 2, shape).astype(bool)
    if np.dtype(dtype).kind == "f":
        return numbers.normal(size=shape).astype(dtype)
    bounds, native = np.iinfo(dtype), np.dtype(dtype).newbyteorder("=")
    return numbers.integers(bounds.min, bounds.max, shape, dtype=native, endpoint=True).astype(dtype)


TIFFS = [
    (dtype, (5, 37, 45), {})
    for dtype in ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">u2", ">f4"]
]
TIFFS += [
    (dtype, (2, 150, 131), options | layout)
    for dtype, options, layout in itertools.product(
        ["u2", "f4"],
        [
            {},
            {"compression": "zlib"},
            {"compression": "zlib", "predictor": True},
            {"compression": "lzw"},
            {"compression": "zstd"},
            {"compression": "packbits"},
        ],
        [{}, {"rowsperstrip": 7}, {"tile": (64, 48)}],
    )
]
TIFFS += [
    ("u2", (40, 50), {"bigtiff": True}),
    ("u2", (40, 50), {"byteorder": ">"}),
    ("u2", (5, 40, 50), {"byteorder": ">", "bigtiff": True, "compression": "zlib"}),
    ("u1", (40, 50, 3), {"photometric": "rgb"}),
    ("u2", (4, 40, 50, 3), {"photometric": "rgb", "tile": (16, 32), "compression": "zlib"}),
    ("u1", (3, 40, 50), {"photometric": "rgb", "planarconfig": "separate"}),
    ("u2", (3, 70, 50), {"photometric": "rgb", "planarconfig": "separate", "tile": (32, 32)}),
    ("u1", (40, 50), {"photometric": "miniswhite"}),
    ("u2", (2, 5, 20, 30), {}),
    ("bool", (2, 20, 35), {}),
]


@pytest.mark.parametrize("number", range(len(TIFFS)))
def test_tiff(files, number):
    dtype, shape, options = TIFFS[number]
    directory, server = files
    path = directory / f"{number}.tif"
    tifffile.imwrite(path, made(dtype, shape), **options)
    expected = tifffile.imread(path)
    array = registered(server, path, expected, "image/tiff")
    assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(array.read(), expected)
    part = (..., slice(3, None, 5), slice(None, 20)) if expected.ndim < 4 else (0, slice(1, 2))
    np.testing.assert_array_equal(array[part], expected[part])


def test_a_sequence_of_tiffs(files):
    directory, server = files
    stack = made("u2", (12, 30, 40))
    paths = [directory / f"frame{n}.tif" for n in range(len(stack))]
    for path, frame in zip(paths, stack):
        tifffile.imwrite(path, frame, compression="zlib")
    array = registered(server, paths, stack, "multipart/related;type=image/tiff", "data_uris")
    np.testing.assert_array_equal(array.read(), stack)
    np.testing.assert_array_equal(array[7], stack[7])
    np.testing.assert_array_equal(array[::5, 3, ::-2], stack[::5, 3, ::-2])
    paths[3].unlink()
    np.testing.assert_array_equal(array[4], stack[4])
    with pytest.raises(KeyError, match="Gone"):
        array[3]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_sequence_of_numpy_files(files, order):
    directory, server = files
    stack = made("f4", (5, 8, 9))
    paths = [directory / f"{order}{n}.npy" for n in range(len(stack))]
    for path, frame in zip(paths, stack):
        np.save(path, np.asarray(frame, order=order))
    array = registered(server, paths, stack, "multipart/related;type=application/x-npy", "data_uris")
    np.testing.assert_array_equal(array.read(), stack)
    np.testing.assert_array_equal(array[2:4, 5], stack[2:4, 5])


def test_a_tiff_that_is_being_written(files):
    directory, server = files
    path = directory / "growing.tif"
    stack = made("u2", (6, 20, 30))
    tifffile.imwrite(path, stack[:4], photometric="minisblack")
    array = registered(server, path, stack, "image/tiff")
    np.testing.assert_array_equal(array[:4], stack[:4])
    with server.http() as http:
        reply = http.get("/array/full/growing-tif?slice=5")
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
        assert "4 pages so far, and page 5" in reply.json()["detail"]
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert http.get("/array/full/growing-tif?slice=0:4").status_code in (500, 503)
