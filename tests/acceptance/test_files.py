"""Files read where they lie give what the programs that wrote them read from them."""

import itertools

import h5py
import hdf5plugin
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


def registered(server, path, array, mimetype, parameter="data_uri", parameters=None, key=None):
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
        parameters=parameters or {},
        management=Management.external,
        assets=assets,
    )
    return server.client().new(
        structure_family=StructureFamily.array, data_sources=[source], key=key or paths[0].name.replace(".", "-")
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
    ("u2", (4, 30, 20), {"compression": "lzw", "tile": (16, 16)}),
    ("u1", (40, 50, 3), {"photometric": "rgb", "compression": "lzw", "predictor": True}),
    ("i4", (2, 40, 50), {"compression": "lzw", "predictor": True, "byteorder": ">", "tile": (16, 16)}),
    ("f8", (2, 40, 50), {"compression": "lzw", "predictor": True, "byteorder": ">"}),
    ("f4", (2, 40, 50), {"compression": "lzw", "predictor": True, "tile": (32, 16)}),
    ("u2", (3, 70, 50), {"photometric": "rgb", "planarconfig": "separate", "compression": "lzw"}),
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


H5_LAYOUTS = [
    {},
    {"chunks": (2, 7, 10)},
    {"chunks": (5, 37, 45)},
    {"chunks": (1, 20, 20), "compression": "gzip"},
    {"chunks": (3, 37, 5), "compression": "gzip", "shuffle": True, "fletcher32": True},
    {"chunks": (2, 7, 10), "compression": "gzip", "maxshape": (None, 37, 45)},
    {"chunks": (2, 7, 10), "compression": "gzip", "maxshape": (None, None, 45)},
    {"chunks": (2, 7, 10), "scaleoffset": 0},
    {"chunks": (2, 7, 10), "compression": "lzf"},
    {"chunks": (1, 37, 45), **hdf5plugin.Bitshuffle(cname="lz4")},
    {"chunks": (5, 37, 45), **hdf5plugin.Bitshuffle(cname="zstd")},
    {"chunks": (2, 7, 11), **hdf5plugin.Bitshuffle(cname="none")},
    {"chunks": (2, 37, 45), **hdf5plugin.Zstd()},
    {"chunks": (2, 37, 45), **hdf5plugin.LZ4()},
    {"chunks": (2, 37, 45), **hdf5plugin.Blosc(cname="lz4", shuffle=1)},
    {"chunks": (2, 37, 45), **hdf5plugin.Blosc(cname="zstd", shuffle=2)},
    {"chunks": (2, 37, 45), **hdf5plugin.Blosc(cname="blosclz", shuffle=0)},
    {"chunks": (2, 37, 45), **hdf5plugin.BZip2()},
]
H5_DTYPES = ["u1", "i2", ">u2", "u4", "i8", "f2", "f4", ">f8", "bool", "c8", "S5"]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("layout", range(len(H5_LAYOUTS)))
def test_hdf5(files, libver, layout):
    directory, server = files
    options = H5_LAYOUTS[layout]
    path = directory / f"{libver}-{layout}.h5"
    expected = {}
    with h5py.File(path, "w", libver=libver) as file:
        for dtype in H5_DTYPES if "scaleoffset" not in options else ["u1", "i2", "u4", "i8"]:
            key = dtype.replace(">", "big-")
            if dtype == "S5":
                data = np.random.default_rng(7).integers(0, 99, (5, 37, 45)).astype("S5")
            elif dtype == "c8":
                data = made("f4", (5, 37, 45)) * np.complex64(1 + 2j)
            elif "scaleoffset" in options:
                data = np.random.default_rng(7).integers(0, 100, (5, 37, 45), dtype=dtype)
            else:
                data = made(dtype, (5, 37, 45))
            file.create_dataset(f"entry/{key}", data=data, **options)
            expected[key] = data
        file.create_dataset("entry/scalar", data=np.float64(7.5))
        file.create_dataset("entry/never", (5, 37, 45), "f4", fillvalue=-1, chunks=(2, 7, 10))
        expected["never"] = np.full((5, 37, 45), -1, "f4")
        partly = file.create_dataset("entry/partly", (50, 37, 45), "i4", fillvalue=3, chunks=(2, 7, 10))
        partly[10:13, 5:9] = 17
        expected["partly"] = partly[()]
    for key, data in expected.items():
        array = registered(
            server, path, data, "application/x-hdf5", parameters={"dataset": f"/entry/{key}"}, key=f"{path.stem}-{key}"
        )
        assert (array.shape, array.dtype) == (data.shape, data.dtype)
        np.testing.assert_array_equal(array.read(), data, key)
        np.testing.assert_array_equal(array[1:, ::-3, 7], data[1:, ::-3, 7], key)


def test_a_growing_hdf5_file(files):
    directory, server = files
    path = directory / "growing.h5"
    frames = made("u2", (9, 20, 30))
    with h5py.File(path, "w", libver="latest") as file:
        growing = file.create_dataset(
            "frames", data=frames[:4], maxshape=(None, 20, 30), chunks=(1, 20, 30), compression="gzip"
        )
        file.swmr_mode = True
        array = registered(
            server, path, frames, "application/x-hdf5", parameters={"dataset": ["frames"]}, key="growing-h5"
        )
        np.testing.assert_array_equal(array[:4], frames[:4])
        with server.http() as http:
            reply = http.get("/array/full/growing-h5?slice=6")
            assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
            assert "has the shape [4, 20, 30] so far, and position 6" in reply.json()["detail"]
        growing.resize(9, axis=0)
        growing[4:] = frames[4:]
        growing.flush()
        np.testing.assert_array_equal(array[2:9], frames[2:9])


@pytest.mark.parametrize("chunks", [None, (1, 20, 30), (3, 10, 30)])
def test_a_dataset_over_several_hdf5_files(files, chunks):
    directory, server = files
    frames = made("u4", (14, 20, 30))
    paths = []
    for n, (start, stop) in enumerate([(0, 5), (5, 6), (6, 14)]):
        paths.append(directory / f"run-{chunks}-{n}.h5")
        with h5py.File(paths[-1], "w") as file:
            file.create_dataset("entry/data", data=frames[start:stop], chunks=chunks and (min(chunks[0], stop - start), *chunks[1:]))
    array = registered(
        server,
        paths,
        frames,
        "application/x-hdf5",
        "data_uris",
        {"dataset": "entry/data"},
        f"run-{chunks and chunks[0]}",
    )
    np.testing.assert_array_equal(array.read(), frames)
    np.testing.assert_array_equal(array[4:8, ::3, -7:], frames[4:8, ::3, -7:])
    np.testing.assert_array_equal(array[::-5, 3], frames[::-5, 3])


def test_what_an_hdf5_file_does_not_have(files):
    directory, server = files
    path = directory / "poor.h5"
    with h5py.File(path, "w") as file:
        file["group/x"] = np.arange(3)
        file.create_dataset("packed", data=np.arange(10_000), chunks=(10_000,), **hdf5plugin.Zfp(reversible=True))
    like = np.arange(3)
    for name, parameters, mistake in [
        ("none", {}, "no dataset"),
        ("missing", {"dataset": "/group/y"}, "has no"),
        ("group", {"dataset": "group"}, "no dataset"),
        ("packed", {"dataset": "packed"}, "filter"),
        ("wrong", {"dataset": "group/x"}, "Register it again"),
    ]:
        structure = np.arange(10_000) if name == "packed" else like.astype("i2") if name == "wrong" else like
        registered(server, path, structure, "application/x-hdf5", parameters=parameters, key=f"poor-{name}")
        with server.http() as http:
            reply = http.get(f"/array/full/poor-{name}?format=application/json")
            assert 400 <= reply.status_code < 500, reply.text
            assert mistake in reply.json()["detail"]


@pytest.mark.parametrize("kind", ["h5", "tif"])
def test_damaged_files(files, kind):
    directory, server = files
    numbers = np.random.default_rng(1)
    data = made("u2", (4, 30, 20))
    sound, path = directory / f"sound.{kind}", directory / f"damaged.{kind}"
    if kind == "h5":
        with h5py.File(sound, "w", libver="latest") as file:
            file.create_dataset("x", data=data, chunks=(1, 30, 20), compression="gzip", maxshape=(None, 30, 20))
        registered(server, path, data, "application/x-hdf5", parameters={"dataset": "x"})
    else:
        tifffile.imwrite(sound, data, compression="lzw", tile=(16, 16), photometric="minisblack")
        registered(server, path, data, "image/tiff")
    whole = sound.read_bytes()
    seen = set()
    with server.http() as http:
        for n in range(150):
            damaged = bytearray(whole)
            for _ in range(1 + n % 4):
                at = int(numbers.integers(len(damaged)))
                damaged[at : at + 1 + n % 8] = numbers.bytes(1 + n % 8)
            if n % 3 == 0:
                del damaged[int(numbers.integers(len(damaged))) :]
            path.write_bytes(damaged)
            reply = http.get(f"/array/full/damaged-{kind}?format=application/octet-stream")
            seen.add(reply.status_code)
            assert reply.status_code in (200, 410, 422, 500, 503), reply.text
            assert "Internal" not in reply.text if reply.status_code == 500 else True
    assert seen > {200} and server.http().get("/").status_code == 200
