"""HDF5 files of every kind, registered by `girih register`, give what h5py reads from them."""

import itertools

import h5py
import hdf5plugin
import numpy as np
import pytest

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
