"""HDF5 files of every kind, registered by `girih register`, give what h5py reads from them."""

import itertools

import h5netcdf
import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray

NUMBERS = np.random.default_rng(11)
SHAPE, CHUNKS = (5, 23, 18), (3, 13, 18)


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """Registers a directory of files; the client of the server."""
    from conftest import PROGRAM, Server, environment

    import subprocess

    servers = []

    def registered(directory):
        servers.append(Server("catalog", "--read", directory))
        command = [PROGRAM, "register", servers[-1].url, str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment())
        assert done.returncode == 0, done.stdout + done.stderr
        return servers[-1].client()

    yield registered
    for server in servers:
        assert server.stop() == 0


def made(dtype, shape=SHAPE):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return NUMBERS.integers(0, 2, shape).astype(bool)
    if dtype.kind == "f":
        return NUMBERS.normal(size=shape).astype(dtype)
    if dtype.kind == "c":
        return (NUMBERS.normal(size=shape) * (1 + 2j)).astype(dtype)
    if dtype.kind == "S":
        return NUMBERS.integers(0, 99, shape).astype(dtype)
    return NUMBERS.integers(0, 120, shape).astype(dtype)


def compare(tree, file):
    """All datasets of a file, whole and in part."""
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    assert names
    for name in names:
        got, expected = tree[name], file[name][()]
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype), name
        np.testing.assert_array_equal(got.read(), expected, name)
        part = (slice(1, None), slice(None, None, -3), 1)[: expected.ndim]
        np.testing.assert_array_equal(got[part], expected[part], name)


BLOSC2 = list(itertools.product(["blosclz", "lz4", "lz4hc", "zlib", "zstd"], range(5)))


def test_blosc2(tmp_path, registered):
    with h5py.File(tmp_path / "blosc2.h5", "w") as file:
        for (codec, filters), dtype in itertools.product(BLOSC2, ["u1", ">i2", "f8"]):
            data = made(dtype)
            options = hdf5plugin.Blosc2(cname=codec, filters=filters)
            file.create_dataset(f"{codec}/{filters}/{dtype}", data=data, chunks=CHUNKS, **options)
        # Blocks that end within the chunk, one axis, many, and values that are no data.
        rows = {"line": (50_000,), "plane": (200, 1000), "cube": (40, 50, 60), "deep": (3, 4, 5, 6, 70)}
        for (codec, filters), (name, shape) in zip(BLOSC2, itertools.cycle(rows.items())):
            data = (np.arange(np.prod(shape)) // 3).reshape(shape).astype("u2")
            options = hdf5plugin.Blosc2(cname=codec, filters=filters)
            file.create_dataset(f"{name}/{codec}{filters}", data=data, chunks=shape, **options)
        options = hdf5plugin.Blosc2(clevel=9)
        for name, value in {"zeros": 0, "nan": np.nan, "same": 3.5}.items():
            file.create_dataset(f"special/{name}", data=np.full((60, 70), value, "f4"), chunks=(60, 70), **options)
            file.create_dataset(f"special/line/{name}", data=np.full(4000, value), chunks=(4000,), **options)
        noise = NUMBERS.integers(0, 256, (30, 40), dtype="u1")
        file.create_dataset("noise", data=noise, chunks=(30, 40), **hdf5plugin.Blosc2(clevel=0))
    client = registered(tmp_path)
    with h5py.File(tmp_path / "blosc2.h5") as file:
        compare(client["blosc2"], file)


def written(path):
    """A dataset of netCDF-4 with everything that has a rule of its own."""
    time, lat, lon = np.arange(4.0), np.linspace(-10, 10, 6), np.arange(5, dtype="f4")
    dataset = xarray.Dataset(
        {
            "field": (("time", "lat", "lon"), made("f8", (4, 6, 5)), {"units": "K", "valid_range": [0.0, 9.0]}),
            "packed": (("time", "lat"), made("i2", (4, 6)), {"scale_factor": 0.5, "_FillValue": np.int16(-9)}),
            "square": (("lat", "other"), made("i4", (6, 6))),
            "bounds": (("time", "edge"), made("f4", (4, 2))),
            "names": (("lon",), np.array(["a", "bc", "", "é", "e"], object)),
            "scalar": ((), np.float64(7.5)),
        },
        coords={"time": ("time", time, {"units": "days since 2000-01-01"}), "lat": lat, "lon": lon},
        attrs={"title": "a title", "numbers": [1, 2, 3], "one": 5},
    )
    dataset.to_netcdf(path, engine="h5netcdf", unlimited_dims=["time"], encoding={"field": {"zlib": True}})
    return dataset


def test_netcdf4(tmp_path, registered):
    written(tmp_path / "one.nc")
    (tmp_path / "two.h5").write_bytes((tmp_path / "one.nc").read_bytes())
    with h5netcdf.File(tmp_path / "grouped.nc", "w") as file:
        file.dimensions = {"x": 3, "none": None}
        file.create_variable("top", ("x",), data=[1, 2, 3])
        file.create_variable("inner/deep", ("x",), data=[4, 5, 6]).attrs["units"] = "m"
        file.create_variable("inner/empty", ("none", "x"), "f4")
    with h5py.File(tmp_path / "plain.nc", "w") as file:
        file["a"], file["b"] = np.zeros((3, 3)), np.arange(3)
    client = registered(tmp_path)
    with xarray.open_dataset(tmp_path / "one.nc", engine="h5netcdf", decode_cf=False) as expected:
        expected = expected.load()
    expected["names"] = expected["names"].str.encode("utf-8")
    for variable in expected.variables.values():  # NaN is null in metadata
        if variable.attrs.get("_FillValue", 0) != variable.attrs.get("_FillValue", 0):
            variable.attrs["_FillValue"] = None
    for name in ["one", "two"]:
        assert [spec.name for spec in client[name].specs] == ["xarray_dataset"]
        assert sorted(client[name]) == sorted(expected.variables)
        got = client[name].read()
        xarray.testing.assert_identical(got, expected)
        assert client[name]["field"].dims == ("time", "lat", "lon") and client[name]["scalar"].shape == ()
    grouped = client["grouped"]
    assert grouped.specs == [] and sorted(grouped) == ["inner", "top"]
    inner = grouped["inner"].read()
    assert inner["deep"].dims == ("x",) and inner["empty"].dims == ("none", "x") and inner["empty"].shape == (0, 3)
    assert inner["deep"].attrs == {"units": "m"} and list(inner["deep"].values) == [4, 5, 6]
    plain = client["plain"]
    assert plain["a"].dims == ("phony_dim_3", "phony_dim_3_1") and plain["b"].dims == ("phony_dim_3",)
