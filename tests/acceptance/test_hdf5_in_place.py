"""HDF5 files of every kind, registered by `girih register`, give what h5py reads from them."""

import itertools
import subprocess

import h5netcdf
import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray
from conftest import PROGRAM, Server, environment
from numpy.lib.recfunctions import repack_fields

NUMBERS = np.random.default_rng(11)
SHAPE, CHUNKS = (5, 23, 18), (3, 13, 18)
LIBVERS = ["earliest", "latest"]


@pytest.fixture
def registered(tmp_path):
    """Registers the files of the directory; the client of the server."""
    servers = []

    def registered():
        servers.append(Server("catalog", "--read", tmp_path))
        command = [PROGRAM, "register", servers[-1].url, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment())
        assert done.returncode == 0, done.stdout + done.stderr
        return servers[-1].client()

    yield registered
    for server in servers:
        assert server.stop() == 0


def made(dtype, shape=SHAPE):
    dtype = np.dtype(dtype)
    if dtype.fields:
        made_fields = np.zeros(shape, dtype)
        for name in dtype.names:
            made_fields[name] = made(dtype[name].base, shape + dtype[name].shape)
        return made_fields
    if dtype.kind == "b":
        return NUMBERS.integers(0, 2, shape).astype(bool)
    if dtype.kind == "f":
        return NUMBERS.normal(size=shape).astype(dtype)
    if dtype.kind == "c":
        return (NUMBERS.normal(size=shape) * (1 + 2j)).astype(dtype)
    if dtype.kind == "S":
        return NUMBERS.integers(0, 99, shape).astype(dtype)
    if dtype.kind == "V":
        return np.frombuffer(NUMBERS.bytes(dtype.itemsize * int(np.prod(shape))), dtype).reshape(shape)
    return NUMBERS.integers(0, 120, shape).astype(dtype)


def expected(dataset):
    """What h5py reads, with the rules of the reference: texts are bytes, scalars and what is empty have an axis more."""
    if dataset.shape is None:
        return np.zeros((1, 0), dataset.dtype)
    if h5py.check_string_dtype(dataset.dtype) and dataset.dtype.kind == "O":
        array = np.asarray(dataset[()], object).astype("S")
        array = array if array.dtype.itemsize else array.astype("S1")
    elif dataset.dtype.fields:
        array = repack_fields(np.asarray(dataset[()]), recurse=True)
    else:
        array = np.asarray(dataset[()], dataset.dtype)
    return array[None] if array.ndim == 0 or array.size == 0 else array


def compare(tree, group):
    """All datasets of a file, whole and in part."""
    assert len(tree) == len(group)
    for key, node in tree.items():
        if isinstance(group[key], h5py.Group):
            compare(node, group[key])
            continue
        name, array = group[key].name, expected(group[key])
        assert (node.shape, node.dtype) == (array.shape, array.dtype), name
        np.testing.assert_array_equal(node.read(), array, name)
        if array.size:
            part = (slice(min(1, len(array) - 1), None), slice(None, None, -3), 0)[: array.ndim]
            np.testing.assert_array_equal(node[part], array[part], name)


def compact(group, name, data):
    """A dataset whose items lie in its header."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.COMPACT)
    dtype, space = h5py.h5t.py_create(data.dtype, logical=True), h5py.h5s.create_simple(data.shape)
    h5py.h5d.create(group.require_group("compact").id, name.encode(), dtype, space, layout).write(space, space, data)


COLOURS = h5py.enum_dtype({"RED": 0, "GREEN": 5, "BLUE": 119}, "i2")
PADDED = np.dtype([("a", "i1"), ("b", ">f8"), ("c", "S3"), ("d", "i4", (2, 2))], align=True)
NESTED = np.dtype([("p", PADDED), ("q", "c8"), ("r", "?")])
DTYPES = ["?", "i1", "u1", "i2", ">i2", "u4", ">u4", "i8", ">u8", "f2", ">f2", "f4", ">f4", "f8", ">f8", "c8", ">c16"]
DTYPES += ["S1", "S7", "V7", COLOURS, PADDED, NESTED]


@pytest.mark.parametrize("libver", LIBVERS)
def test_dtypes(tmp_path, registered, libver):
    with h5py.File(tmp_path / "dtypes.h5", "w", libver=libver) as file:
        for n, dtype in enumerate(DTYPES):
            data = made(dtype)
            name = f"{n}-{data.dtype.char}"
            file.create_dataset(f"contiguous/{name}", data=data, dtype=dtype)
            file.create_dataset(f"chunked/{name}", data=data, dtype=dtype, chunks=CHUNKS, compression="gzip", shuffle=True)
            compact(file, name, data[:3, :4, :2].copy())
        for unit in ["M8[D]", "M8[ns]", ">M8[s]", "m8[ms]", "m8[10us]"]:
            data = NUMBERS.integers(0, 9999, (4, 5)).astype("i8").astype(unit)
            file[f"times/{unit.strip('>')}"] = data.astype(h5py.opaque_dtype(data.dtype))
        texts = np.array(["é", "", "longer text", "x" * 300, "end"], object)
        for charset, chunks in itertools.product(["utf-8", "ascii"], [None, (2,)]):
            values = texts if charset == "utf-8" else [text.replace("é", "e") for text in texts]
            dtype = h5py.string_dtype(charset)
            file.create_dataset(f"texts/{charset}{chunks}", data=values, dtype=dtype, chunks=chunks)
        file.create_dataset("texts/fixed", data=["é".encode(), b"abc"], dtype=h5py.string_dtype("utf-8", 5))
        file.create_dataset("texts/none", data=["", ""], dtype=h5py.string_dtype())
        file.create_dataset("texts/scalar", data="one", dtype=h5py.string_dtype())
        file.create_dataset("texts/never", (7,), h5py.string_dtype(), chunks=(3,))
        file.create_dataset("texts/plane", data=np.array([["a", "b"], ["cd", "e"]], object), dtype=h5py.string_dtype())
    client = registered()
    with h5py.File(tmp_path / "dtypes.h5") as file:
        compare(client["dtypes"], file)


def test_what_no_array_holds_is_told(tmp_path, registered):
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["fine"] = np.arange(3)
        file.create_dataset("array", (4,), np.dtype(("i4", (2, 3))))
        low = h5py.h5t.array_create(h5py.h5t.STD_I32LE, (2, 3))
        h5py.h5d.create(file.id, b"fixed", low, h5py.h5s.create_simple((4,)))
        file.create_dataset("reference", (2,), h5py.ref_dtype)
        file.create_dataset("region", (2,), h5py.regionref_dtype)
        file.create_dataset("long", (2,), np.longdouble)
        file.create_dataset("mixed", (2,), [("a", "i4"), ("t", h5py.string_dtype())])
        file["type"] = np.dtype("f8")
        lists = file.create_dataset("lists", (2,), h5py.vlen_dtype("i4"))
        lists[0] = [1, 2]
        for name, options in {"zfp": hdf5plugin.Zfp(), "sperr": hdf5plugin.Sperr()}.items():
            file.create_dataset(name, data=made("f4", (20, 30)), chunks=(20, 30), **options)
    tree = registered()["odd"]
    listed = dict(tree.items())
    told = {"array": None, "fixed": "fixed arrays", "reference": "references", "region": "references"}
    told |= {"long": "real numbers with", "mixed": "texts or lists", "type": "datatype with a name"}
    for name, words in told.items():
        if words:
            assert words in listed[name].metadata["error"], name
    for name in ["zfp", "sperr"]:
        with pytest.raises(Exception, match="filter"):
            listed[name].read()
    np.testing.assert_array_equal(listed["fine"].read(), np.arange(3))
    assert (listed["lists"].shape, listed["lists"].dtype) == ((2,), np.dtype("S1"))


FILTERS = {
    "gzip": {"compression": "gzip"},
    "gzip9": {"compression": 9, "shuffle": True, "fletcher32": True},
    "shuffle": {"shuffle": True},
    "fletcher32": {"fletcher32": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "bitshuffle": hdf5plugin.Bitshuffle(cname="none"),
    "bitshuffle-lz4": hdf5plugin.Bitshuffle(cname="lz4"),
    "bitshuffle-zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    "blocks": hdf5plugin.Bitshuffle(cname="lz4", nelems=64),
    "lz4": hdf5plugin.LZ4(),
    "lz4-blocks": hdf5plugin.LZ4(nbytes=1000),
    "zstd": {**hdf5plugin.Zstd(), "shuffle": True},
    "bzip2": hdf5plugin.BZip2(),
}
FILTERS |= {
    f"blosc-{codec}-{shuffle}": hdf5plugin.Blosc(cname=codec, shuffle=shuffle)
    for codec, shuffle in itertools.product(["blosclz", "lz4", "lz4hc", "zlib", "zstd"], range(3))
}
if h5py.h5z.filter_avail(h5py.h5z.FILTER_SZIP):
    FILTERS |= {f"szip-{kind}-{n}": {"compression": "szip", "compression_opts": (kind, n)} for kind, n in [("nn", 8), ("ec", 16), ("nn", 32)]}


@pytest.mark.parametrize("libver", LIBVERS)
def test_filters(tmp_path, registered, libver):
    with h5py.File(tmp_path / "filters.h5", "w", libver=libver) as file:
        for (name, options), dtype in itertools.product(FILTERS.items(), ["u1", ">i2", "f4", "f8"]):
            file.create_dataset(f"{name}/{dtype}", data=made(dtype), chunks=CHUNKS, **options)
        for n, dtype in enumerate(["u1", "i2", "u4", "i8"]):
            file.create_dataset(f"scaled/{dtype}", data=made(dtype), chunks=CHUNKS, scaleoffset=0, compression="gzip")
            file.create_dataset(f"narrow/{dtype}", data=made(dtype) % 5, chunks=CHUNKS, scaleoffset=3)
        for dtype in ["f4", "f8"]:
            file.create_dataset(f"scaled/{dtype}", data=made(dtype), chunks=CHUNKS, scaleoffset=3)
        # A chunk that left out one filter of two, and one that left out both.
        partly = file.create_dataset("mask", (6, 4), "u2", chunks=(2, 4), shuffle=True, compression="gzip")
        rows = np.arange(24, dtype="u2").reshape(6, 4)
        partly[:2] = rows[:2]
        shuffled = rows[2:4].tobytes()[0::2] + rows[2:4].tobytes()[1::2]
        partly.id.write_direct_chunk((2, 0), shuffled, filter_mask=2)
        partly.id.write_direct_chunk((4, 0), rows[4:].tobytes(), filter_mask=3)
        np.testing.assert_array_equal(partly[()], rows)
    client = registered()
    with h5py.File(tmp_path / "filters.h5") as file:
        compare(client["filters"], file)


@pytest.mark.parametrize("libver", LIBVERS)
def test_shapes_and_indexes(tmp_path, registered, libver):
    with h5py.File(tmp_path / "shapes.h5", "w", libver=libver, userblock_size=1024) as file:
        for dtype in ["i4", ">f8", PADDED]:
            key = np.dtype(dtype).char
            file.create_dataset(f"scalar/{key}", data=made(dtype, ()))
            file.create_dataset(f"none/{key}", (0,), dtype)
            file.create_dataset(f"no-rows/{key}", (0, 3), dtype, maxshape=(None, 3))
            file.create_dataset(f"no-columns/{key}", (3, 0), dtype)
        file["null"] = h5py.Empty("f4")
        for shape, chunk in [((17,), 5), ((7, 9), 4), ((5, 6, 7), 3), ((3, 4, 5, 6), 4), ((2, 3, 1, 2, 3), 2)]:
            data, chunks = made(">i4", shape), tuple(min(chunk, len) for len in shape)
            for name, maxshape in {"fixed": shape, "one": (None, *shape[1:]), "all": (None,) * len(shape)}.items():
                file.create_dataset(f"{len(shape)}/{name}", data=data, chunks=chunks, maxshape=maxshape)
            file.create_dataset(f"{len(shape)}/gzip", data=data, chunks=chunks, compression="gzip")
            file.create_dataset(f"{len(shape)}/single", data=data, chunks=shape)
        early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        early.set_chunk((3, 4))
        early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        space = h5py.h5s.create_simple((7, 9))
        h5py.h5d.create(file.id, b"early", h5py.h5t.STD_I16LE, space, early)
        file["early"][2:5, 3:] = made("i2", (3, 6))
        for name, maxshape in {"fixed": (3000,), "grows": (None,)}.items():
            file.create_dataset(f"many/{name}", data=made("u2", (3000,)), chunks=(1,), maxshape=maxshape)
        file.create_dataset("many/plane", data=made("u1", (60, 50)), chunks=(1, 1), maxshape=(None, None))
        sparse = file.create_dataset("sparse", (4000,), "i4", chunks=(3,), maxshape=(None,), fillvalue=-7)
        sparse[1000:1010], sparse[3990:] = 5, 6
        moved = file.create_dataset("moved", data=made("i4", (20, 6)), chunks=(3, 4), maxshape=(None, None), fillvalue=9)
        moved.resize((5, 3))
        moved.resize((12, 8))
    client = registered()
    with h5py.File(tmp_path / "shapes.h5") as file:
        compare(client["shapes"], file)


@pytest.mark.parametrize("libver", LIBVERS)
def test_what_was_never_written(tmp_path, registered, libver):
    with h5py.File(tmp_path / "fill.h5", "w", libver=libver) as file:
        for n, (dtype, fill) in enumerate([("?", True), ("i2", -3), (">f8", 1.5), ("c8", 1 + 2j), ("S3", b"ab"), (COLOURS, 5)]):
            for name, options in {"chunked": {"chunks": (3, 4)}, "gzip": {"chunks": (3, 4), "compression": "gzip"}, "whole": {}}.items():
                never = file.create_dataset(f"{name}/never{n}", (7, 9), dtype, fillvalue=fill, **options)
                if name != "whole":
                    file.create_dataset(f"{name}/partly{n}", (7, 9), dtype, fillvalue=fill, **options)[2:4, 5:] = never[0, 0]
                    file.create_dataset(f"{name}/zeros{n}", (7, 9), dtype, **options)
        record = np.array((3, 2.5, b"x", [[1, 2], [3, 4]]), PADDED)
        file.create_dataset("record", (5,), PADDED, fillvalue=record, chunks=(2,))[1] = np.zeros((), PADDED)
        # What an attribute says is not what a chunk holds.
        file.create_dataset("attribute", (5,), "i4", chunks=(2,)).attrs["_FillValue"] = np.int32(8)
    client = registered()
    with h5py.File(tmp_path / "fill.h5") as file:
        compare(client["fill"], file)


def test_links_and_other_files(tmp_path, registered):
    data = {"near": made(">i4", (40, 30)), "far": made("f8", (6, 7))}
    data["near"].tofile(tmp_path / "raw.bin")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "second.bin").write_bytes(b"header" + data["near"][20:].tobytes())
    with h5py.File(tmp_path / "far.h5", "w") as file:
        file["group/data"] = data["far"]
        file["group/again"] = h5py.SoftLink("data")
        file["back"] = h5py.ExternalLink("links.h5", "/plain")
    with h5py.File(tmp_path / "links.h5", "w") as file:
        file["plain"] = data["near"]
        file["hard"] = file["plain"]
        file["soft"] = h5py.SoftLink("/plain")
        file["soft-soft"] = h5py.SoftLink("soft")
        file["extern"] = h5py.ExternalLink("far.h5", "/group/data")
        file["extern-soft"] = h5py.ExternalLink("far.h5", "group/again")
        file["there-and-back"] = h5py.ExternalLink("./far.h5", "/back")
        half = data["near"][:20].nbytes
        files = {
            "raw-one": [("raw.bin", 0, h5py.h5f.UNLIMITED)],
            "raw-two": [("raw.bin", 0, half), ("raw/second.bin", 6, half)],
            "raw-absolute": [(str(tmp_path / "raw.bin"), 0, h5py.h5f.UNLIMITED)],
            "raw-short": [("raw.bin", half, h5py.h5f.UNLIMITED)],
            "raw-gone": [("nowhere.bin", 0, h5py.h5f.UNLIMITED)],
            "raw-outside": [("/etc/hostname", 0, h5py.h5f.UNLIMITED)],
            "raw-above": [("../../../etc/hostname", 0, h5py.h5f.UNLIMITED)],
        }
        for name, external in files.items():
            file.create_dataset(name, (40, 30), ">i4", external=external)
        file["nowhere"] = h5py.SoftLink("/missing")
        file["no-file"] = h5py.ExternalLink("missing.h5", "/x")
        file["itself"] = h5py.SoftLink("/itself")
        file["ring"] = h5py.SoftLink("/ring2")
        file["ring2"] = h5py.SoftLink("/ring")
    tree = registered()["links"]
    listed = dict(tree.items())
    for name in ["plain", "hard", "soft", "soft-soft", "there-and-back", "raw-one", "raw-two", "raw-absolute"]:
        np.testing.assert_array_equal(listed[name].read(), data["near"], name)
        np.testing.assert_array_equal(listed[name][15:25, ::-7], data["near"][15:25, ::-7], name)
    for name in ["extern", "extern-soft"]:
        np.testing.assert_array_equal(listed[name].read(), data["far"], name)
    short = np.concatenate([data["near"][20:], np.zeros_like(data["near"][20:])])
    np.testing.assert_array_equal(listed["raw-short"].read(), short)
    told = {"raw-gone": "cannot be read here", "raw-outside": "cannot be read here", "raw-above": "cannot be read here"}
    told |= {"nowhere": "leads nowhere", "no-file": "cannot be read here", "itself": "in a circle", "ring": "in a circle"}
    for name, words in told.items():
        assert words in listed[name].metadata["error"], name
        with pytest.raises(KeyError):
            tree[name]


@pytest.mark.parametrize("libver", [("earliest", "v110"), "latest"])
def test_virtual_datasets(tmp_path, registered, libver):
    for n, options in enumerate([{}, {"chunks": (2, 3), "compression": "gzip"}, {"chunks": (4, 5), **hdf5plugin.Blosc2()}]):
        with h5py.File(tmp_path / f"part{n}.h5", "w", libver=libver) as file:
            file.create_dataset("group/data", data=made(">i4", (4, 5)), **options)
    sources = [h5py.VirtualSource(f"part{n}.h5", "group/data", (4, 5)) for n in range(4)]
    stacked, strided, growing = (h5py.VirtualLayout(shape, ">i4") for shape in [(4, 4, 5), (16, 5), (9, 9)])
    for n, source in enumerate(sources):  # the last file is missing
        stacked[n], strided[n::4] = source, source
    growing[1:5, 2:7] = sources[0]
    with h5py.File(tmp_path / "virtual.h5", "w", libver=libver) as file:
        for name, layout in {"stacked": stacked, "strided": strided, "within": growing}.items():
            file.create_virtual_dataset(f"{name}/fill", layout, fillvalue=-1)
            file.create_virtual_dataset(f"{name}/zero", layout)
        own = file.create_dataset("own", data=made("f4", (6,)))
        layout = h5py.VirtualLayout((3,), "f4")
        layout[:] = h5py.VirtualSource(own)[::2]
        file.create_virtual_dataset("every", layout)
    client = registered()
    with h5py.File(tmp_path / "virtual.h5") as file:
        compare(client["virtual"], file)


@pytest.mark.parametrize("libver", LIBVERS)
def test_odd_but_whole(tmp_path, registered, libver):
    """What is rare, and large enough to be read in several pieces."""
    with h5py.File(tmp_path / "rare.h5", "w", libver=libver) as file:
        file["named"] = np.dtype([("a", ">i2"), ("b", "f4")])
        file.create_dataset("of/named", data=made(file["named"].dtype, (4, 5)), dtype=file["named"])
        large = made("f8", (300, 320))
        large.tofile(tmp_path / "large.bin")
        file.create_dataset("large/whole", data=large)
        file.create_dataset("large/chunk", data=large, chunks=(300, 320), compression="lzf")
        file.create_dataset("large/rows", data=large, chunks=(299, 100), compression="gzip", shuffle=True)
        file.create_dataset("large/raw", large.shape, "f8", external=[(str(tmp_path / "large.bin"), 0, h5py.h5f.UNLIMITED)])
        group = file.create_group("spaces")
        for name, padding in {"null": h5py.h5t.STR_NULLPAD, "space": h5py.h5t.STR_SPACEPAD}.items():
            dtype = h5py.h5t.C_S1.copy()
            dtype.set_size(6)
            dtype.set_strpad(padding)
            h5py.h5d.create(group.id, name.encode(), dtype, h5py.h5s.create_simple((2,)))
            group[name][...] = [b"ab", b"cdefgh"]
        packed = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        packed.set_chunk((10, 9))
        packed.set_filter(h5py.h5z.FILTER_NBIT, 0)
        for name, dtype in {"u2": h5py.h5t.STD_U16LE, "f4": h5py.h5t.IEEE_F32BE, "bits": h5py.h5t.STD_B16LE}.items():
            h5py.h5d.create(group.id, f"nbit-{name}".encode(), dtype, h5py.h5s.create_simple((20, 18)), packed)
            group[f"nbit-{name}"][...] = made("u2", (20, 18))
        many = file.create_group("many", track_order=True)
        for n in reversed(range(300)):
            many.attrs[f"attribute {n}"] = n
        many["x"] = np.arange(3)
        dense = file.create_group("dense")
        for n in range(40):
            dense[f"member {n}"] = np.full(2, n)
        deep = file.create_group("/".join("abcdefghij"))
        deep["leaf"] = np.arange(4)
    client = registered()
    with h5py.File(tmp_path / "rare.h5", "a") as file:
        del file["named"]  # is no data
        assert client["rare/many"].metadata["attribute 7"] == 7 and len(client["rare/many"].metadata) == 300
        compare({key: client["rare"][key] for key in file}, file)


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
    client = registered()
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
    with h5netcdf.File(tmp_path / "short.nc", "w") as file:
        file.dimensions = {"t": None, "x": 3}
        file.create_variable("t", ("t",), "f8", chunks=(4,))
        for name, dims in {"v": ("t", "x"), "w": ("x", "t"), "never": ("t",), "filled": ("t", "x")}.items():
            fill = -1 if name == "filled" else None
            file.create_variable(name, dims, "i2", chunks=tuple(2 for _ in dims), fillvalue=fill)
        file.resize_dimension("t", 9)
        for name, shape in {"t": (9,), "v": (9, 3), "w": (3, 9), "filled": (9, 3)}.items():
            file[name][:] = made("i2", shape)
    with h5py.File(tmp_path / "short.nc", "r+") as file:  # as libraries of C leave it
        for name, shape in {"v": (3, 3), "w": (3, 4), "never": (0,), "filled": (5, 3)}.items():
            file[name].resize(shape)
    with h5py.File(tmp_path / "plain.nc", "w") as file:
        file["a"], file["b"] = np.zeros((3, 3)), np.arange(3)
    # Variables along one axis come as one table.
    series = {"v": ("t", made("f4", (9,))), "w": ("t", made(">i2", (9,))), "m": ("t", made("?", (9,)))}
    series = xarray.Dataset(series, coords={"t": np.arange(9.0)})
    series.to_netcdf(tmp_path / "series.nc", engine="h5netcdf")
    client = registered()
    with xarray.open_dataset(tmp_path / "short.nc", engine="h5netcdf", decode_cf=False) as expected:
        xarray.testing.assert_equal(client["short"].read(), expected.load())
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
    got, names = client["series"].read(), list(series.variables)
    assert {name: got[name].dims for name in names} == {name: ("t",) for name in names}
    for name in names:
        np.testing.assert_array_equal(got[name].values.astype(series[name].dtype), series[name].values, name)
    plain = client["plain"].read()
    assert plain["a"].dims == ("phony_dim_3", "phony_dim_3_1") and plain["b"].dims == ("phony_dim_3",)


def test_many_attributes(tmp_path, registered):
    """The attributes of an object have limits together, and nobody is kept from the data by them."""
    with h5py.File(tmp_path / "attributes.h5", "w", libver="latest") as file:
        file["many"] = np.arange(5)
        for n in range(3000):
            file["many"].attrs[f"a{n}"] = n
        file["many"].attrs["texts"] = ["é", "", "x" * 1000]
        file["large"] = np.arange(5)
        for n in range(20):
            file["large"].attrs[f"b{n}"] = np.full(1 << 17, n, "u1")
        file["large"].attrs["end"] = "here"
    client = registered()["attributes"]
    shown = dict(client["many"].metadata)
    assert shown == {f"a{n}": n for n in range(3000)} | {"texts": ["é", "", "x" * 1000]}
    shown = dict(client["large"].metadata)
    assert set(shown) == {f"b{n}" for n in range(20)} | {"end"} and shown.pop("end") == "here"
    left_out = [value for value in shown.values() if str(value).startswith("(too large")]
    assert 0 < len(left_out) < 20 and all(len(value) == 1 << 17 for value in shown.values() if value not in left_out)
    np.testing.assert_array_equal(client["large"].read(), np.arange(5))


@pytest.mark.parametrize("libver", LIBVERS)
def test_many_chunks(tmp_path, registered, libver):
    with h5py.File(tmp_path / "chunks.h5", "w", libver=libver) as file:
        many = file.create_dataset("many", (40_000,), "i4", chunks=(1,), maxshape=(None,), fillvalue=7)
        many[:30_000] = np.arange(30_000)
        shrunk = file.create_dataset("shrunk", data=NUMBERS.normal(size=(40, 30)), chunks=(2, 3), maxshape=(None, None))
        shrunk.resize((17, 11))
        more = file.create_dataset("more", (3_000_000,), "i4", chunks=(1,), maxshape=(None,))
        more[2_999_999] = 5
    client = registered()["chunks"]
    with h5py.File(tmp_path / "chunks.h5") as file:
        for name in ["many", "shrunk"]:
            np.testing.assert_array_equal(client[name].read(), file[name][()])
            np.testing.assert_array_equal(client[name][::-13], file[name][()][::-13])
    if libver == "earliest":  # its index has only what was written
        assert client["more"][2_999_995:].tolist() == [0, 0, 0, 0, 5]
    else:
        with pytest.raises(Exception, match="more than 2097152 chunks"):
            client["more"][:10]


def test_long_texts(tmp_path, registered):
    """Texts are read piece by piece: in references of 256 KiB, in chunks of them, at the end of axes, over files."""
    texts = np.full((20_000,), "", object)
    texts[[0, 9_999, 19_999]] = ["x" * 30_000, "é", "end"]
    plane = np.array([[f"{x}{y}" * 50_000 for x in range(7)] for y in range(9)], object)
    with h5py.File(tmp_path / "texts.h5", "w") as file:
        file.create_dataset("contiguous", data=texts, dtype=h5py.string_dtype())
        file.create_dataset("plane", data=plane, dtype=h5py.string_dtype(), chunks=(8, 5))
        file.create_dataset("row", data=plane[:2], dtype=h5py.string_dtype())
    client = registered()["texts"]
    contiguous = client["contiguous"]
    assert contiguous.dtype == "S30000" and contiguous.shape == (20_000,)
    assert contiguous[9_990:10_000].tolist() == [b""] * 9 + ["é".encode()]
    assert contiguous[::-19_999].tolist() == [b"end", b"x" * 30_000]
    expected = plane.astype("S")
    for name, part in [("plane", expected), ("row", expected[:2])]:
        np.testing.assert_array_equal(client[name].read(), part)
        np.testing.assert_array_equal(client[name][1:, ::-2], part[1:, ::-2])
