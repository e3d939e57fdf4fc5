"""Whole files and trees in them, registered by `girih register`, give what the programs that wrote them read."""

import itertools
import os
import warnings

import h5py
import numcodecs
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
import zarr.codecs
from astropy.io import fits
from PIL import Image
from scipy.io import netcdf_file

NUMBERS = np.random.default_rng(5)


@pytest.fixture
def registered(tmp_path, start, girih):
    """Registers all files of the directory; the client of the server."""

    def registered(*options):
        server = start("catalog", "--read", tmp_path)
        done = girih("register", server.url, tmp_path, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return server.client()

    return registered


def made(dtype, shape):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return NUMBERS.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iumM":
        return NUMBERS.integers(0, 100, shape).astype(dtype)
    if dtype.kind in "fc":
        return NUMBERS.normal(size=shape).astype(dtype)
    return NUMBERS.integers(0, 100, shape).astype("U").astype(dtype)


def same(got, expected):
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(got, expected)


def same_table(got, expected):
    """But for what the client calls text, and missing text."""
    for column in expected:
        if expected[column].dtype == object:
            got[column] = got[column].astype(object).where(got[column].notna(), np.nan)
    pd.testing.assert_frame_equal(got, expected)


def test_trees_in_hdf5_files(tmp_path, registered):
    padded = np.zeros(5, np.dtype([("a", "i1"), ("b", "f8"), ("c", "S3"), ("d", "i4", (2,))], align=True))
    padded["a"], padded["b"], padded["c"], padded["d"] = range(5), 1.5, b"xy", [1, 2]
    data = {
        "entry/data": made(">i4", (4, 5, 6)),
        "entry/complex": made("c16", (7,)),
        "entry/bool": made("b1", (3, 2)),
        "text": np.array([b"a", b"bcd"]),
    }
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file["far/x"] = np.arange(3)
    with h5py.File(tmp_path / "tree.h5", "w") as file:
        for path, array in data.items():
            file[path] = array
        file["padded"] = padded
        file["scalar"] = 7.5
        file["texts"] = ["é", "longer", ""]
        file["times"] = np.arange(3).astype("M8[ms]").astype(h5py.opaque_dtype("M8[ms]"))
        file.attrs.update(sample="gold", numbers=[1.5, np.nan], flag=True, texts=["a", "b"])
        file["entry"].attrs["NX_class"] = "NXentry"
        file["entry/data"].attrs["units"] = b"mm"
        file["links/soft"] = h5py.SoftLink("/entry/data")
        file["links/extern"] = h5py.ExternalLink("linked.h5", "/far")
        file["links/broken"] = h5py.SoftLink("/nowhere")
        file["links/circle"] = h5py.SoftLink("/links")
        file["links/outside"] = h5py.ExternalLink("/etc/hostname", "/")
    client = registered()
    tree = client["tree"]
    assert list(tree) == ["entry", "links", "padded", "scalar", "text", "texts", "times"]
    assert dict(tree.metadata) == {"flag": True, "numbers": [1.5, None], "sample": "gold", "texts": ["a", "b"]}
    assert dict(tree["entry"].metadata) == {"NX_class": "NXentry"} and tree["entry/data"].metadata["units"] == "mm"
    for path, array in data.items():
        same(tree[path].read(), array)
    for name in padded.dtype.names:
        np.testing.assert_array_equal(tree["padded"].read()[name], padded[name])
    same(tree["scalar"].read(), np.array([7.5]))
    same(tree["texts"].read(), np.array(["é".encode(), b"longer", b""]))
    same(tree["times"].read(), np.arange(3).astype("M8[ms]"))
    same(tree["links/soft"].read(), data["entry/data"])
    same(tree["links/extern/x"].read(), np.arange(3))
    for name, reason in [("broken", "leads nowhere"), ("circle", "leads back"), ("outside", "cannot be read here")]:
        with pytest.raises(KeyError):
            tree["links"][name]
        assert reason in dict(tree["links"].items())[name].metadata["error"]
    with client.context.http_client.stream("GET", f"{client.context.api_uri}container/full/tree?format=h5") as reply:
        path = tmp_path / "back.h5"
        path.write_bytes(reply.read())
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["links/extern/x"], np.arange(3))


def test_what_cannot_be_read_keeps_nobody_from_the_rest(tmp_path, registered):
    np.save(tmp_path / "gone.npy", np.arange(3))
    np.save(tmp_path / "there.npy", np.arange(4))
    pages = np.arange(60, dtype="u2").reshape(3, 4, 5)
    tifffile.imwrite(tmp_path / "cut.tif", pages, photometric="minisblack")
    with h5py.File(tmp_path / "tree.h5", "w") as file:
        file["link"] = h5py.SoftLink("/nowhere")
        file.create_dataset("damaged", data=np.arange(1000), compression="gzip")
        file["sound"] = np.arange(5)
        start = file["damaged"].id.get_chunk_info(0).byte_offset
    client = registered()
    (tmp_path / "gone.npy").unlink()
    for name, start in {"cut.tif": 400, "tree.h5": start}.items():
        damaged = bytearray((tmp_path / name).read_bytes())
        damaged[start : start + 40] = bytes(40)
        (tmp_path / name).write_bytes(damaged[:400] if name == "cut.tif" else damaged)
        # Long ago: it is not being written any more.
        os.utime(tmp_path / name, (1e9, 1e9))
    client.export(str(tmp_path / "out.hdf5"), format="h5")
    with h5py.File(tmp_path / "out.hdf5") as file:
        np.testing.assert_array_equal(file["there"], np.arange(4))
        np.testing.assert_array_equal(file["tree/sound"], np.arange(5))
        for path, reason in {
            "gone": "missing",
            "cut": "shorter",
            "tree/link": "leads nowhere",
            "tree/damaged": "damaged",
        }.items():
            assert reason in file[path].attrs["error"] and not len(file[path]), path


@pytest.mark.parametrize("libver", [("earliest", "v110"), "latest"])
def test_virtual_datasets(tmp_path, registered, libver):
    for n in range(4):
        with h5py.File(tmp_path / f"part{n}.h5", "w") as file:
            file["data"] = np.arange(60, dtype="i4").reshape(3, 4, 5) + 100 * n
            file["flat"] = np.arange(100.0) + n
    data = [h5py.VirtualSource(f"part{n}.h5", "data", (3, 4, 5)) for n in range(4)]
    flat = [h5py.VirtualSource(f"part{n}.h5", "flat", (100,)) for n in range(5)]
    layouts = {name: h5py.VirtualLayout((12, 4, 5), "i4") for name in ["after", "between"]}
    layouts |= {"beside": h5py.VirtualLayout((3, 4, 10), "i4"), "every": h5py.VirtualLayout((5, 50), "f8")}
    for n in range(4):
        layouts["after"][3 * n : 3 * n + 3] = data[n]
        layouts["between"][n::4] = data[n]
    for n in range(5):  # the last file is missing
        layouts["every"][n] = flat[n][::2]
    layouts["beside"][:, :, :5], layouts["beside"][:, :, 5:] = data[1], data[2]
    with h5py.File(tmp_path / "master.h5", "w", libver=libver) as file:
        for name, layout in layouts.items():
            file.create_virtual_dataset(name, layout, fillvalue=-1)
    master = registered()["master"]
    with h5py.File(tmp_path / "master.h5") as file:
        for name in layouts:
            same(master[name].read(), file[name][:])
            same(master[name][1:, ::2, ...][..., ::-1], file[name][1:, ::2, ...][..., ::-1])


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_directories(tmp_path, registered, version):
    expected = {}

    def write(name, array, chunks=None, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = tmp_path / f"{name}.zarr"
            chunks = chunks or tuple(max(1, len // 2 + 1) for len in array.shape)
            stored = zarr.create_array(
                path, shape=array.shape, dtype=array.dtype, chunks=chunks, zarr_format=version, **options
            )
            stored[...] = array
            expected[name] = array if version == 2 else array.astype(array.dtype.newbyteorder("="))

    for n, dtype in enumerate(["b1", "i1", ">i4", "u2", "f2", ">f8", "c8", "M8[ns]", "m8[s]", "S5", "U4"]):
        write(f"dtype{n}", made(dtype, (7, 9)))
    write("scalar", made("f8", ()), chunks=())
    write("turned", made("f4", (6, 7, 8)), order="F")
    if version == 2:
        codecs = [numcodecs.GZip(), numcodecs.Zlib(), numcodecs.BZ2(), numcodecs.LZ4(), numcodecs.Zstd(), None]
        names = ["lz4", "lz4hc", "zstd", "zlib", "blosclz"]
        codecs += [numcodecs.Blosc(cname=name, shuffle=n) for name, n in itertools.product(names, range(3))]
        for n, codec in enumerate(codecs):
            write(f"codec{n}", np.arange(40_000, dtype="u2").reshape(200, 200), (133, 150), compressors=codec)
        write("shuffled", made("f8", (50, 60)), compressors=numcodecs.Zlib(), filters=[numcodecs.Shuffle(8)])
    else:
        blosc = zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")
        for n, codec in enumerate([zarr.codecs.GzipCodec(), zarr.codecs.ZstdCodec(checksum=True), blosc]):
            write(f"codec{n}", made("f4", (50, 60)), compressors=codec)
        write("transposed", made("f4", (5, 6, 7)), filters=[zarr.codecs.TransposeCodec(order=(2, 0, 1))])
        write("shards", made("i4", (60, 61)), chunks=(8, 8), shards=(32, 32), compressors=blosc)
        write("named", made("i4", (8, 8)), dimension_names=["y", "x"])
    sparse = zarr.create_array(
        tmp_path / "sparse.zarr", shape=(20, 20), chunks=(5, 5), dtype="i4", fill_value=7, zarr_format=version
    )
    sparse[3:9, 3:9] = 1
    expected["sparse"] = sparse[...]
    for name in ["plain", "consolidated"]:
        group = zarr.open_group(tmp_path / f"{name}.zarr", mode="w", zarr_format=version)
        group.attrs["title"] = "x"
        group.create_group("a").create_array("b", shape=(4, 5), dtype="f8")[...] = 3
        group["a"].attrs["k"] = [1, 2]
        if name == "consolidated":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                zarr.consolidate_metadata(tmp_path / f"{name}.zarr")
    client = registered()
    for name, array in expected.items():
        same(client[name].read(), array)
        if array.ndim == 2:
            same(client[name][1:6:2, ::-3], array[1:6:2, ::-3])
    for name in ["plain", "consolidated"]:
        tree = client[name]
        assert tree.metadata["attributes"] == {"title": "x"} and list(tree) == ["a"] and list(tree["a"]) == ["b"]
        assert tree["a"].metadata["attributes"]["k"] == [1, 2] and tree["a/b"].read().sum() == 60
    if version == 3:
        assert client["named"].dims == ("y", "x")
    client["sparse"].raw_export(tmp_path / "raw")
    assert zarr.open_array(next((tmp_path / "raw").rglob("zarr.json" if version == 3 else ".zarray")).parent)[0, 0] == 7


def test_csv_files_are_what_pandas_reads(tmp_path, registered):
    texts = {
        "plain": "a,b\n1,2.5\n3,4\n",
        "missing": "a,b,c\n1,,x\n,3,NA\n",
        "names": ",a,a\n0,1,2\n",
        "large": "a,b\n18446744073709551615,1\n2,-3\n",
        "mixed": "a,b\n1,True\nx,False\n",
        "blanks": "a, b\n1, 2\n+3, 4\n",
        "quoted": 'a,b\n"x, y","1"\n"line\nbreak","2"\n',
        "dates": "t\n2020-01-01\n2020-01-02\n",
        "short": "a,b,c\n1,2\n1,2,3\n",
        "infinite": "a\ninf\n-1e5\n",
        "windows": "\ufeffa,b\r\n1,2\r\n",
        "empty": "a,b\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text, newline="")
    (tmp_path / "tabs.tsv").write_text("a\tb\n1\t2\n")
    client = registered()
    for name in texts:
        same_table(client[name].read(), pd.read_csv(tmp_path / f"{name}.csv"))
    assert client["tabs"].read().to_dict("list") == {"a": [1], "b": [2]}


def test_sheets_of_workbooks(tmp_path, registered):
    days = pd.to_datetime(["2020-01-01", "2021-05-06 07:08:09"], format="mixed")
    frame = pd.DataFrame({"i": [1, 2], "f": [1.5, 2], "s": ["a", None], "b": [True, False], "d": days, "n": [1, None]})
    with pd.ExcelWriter(tmp_path / "book.xlsx") as writer:
        frame.to_excel(writer, sheet_name="First", index=False)
        frame[["i"]].to_excel(writer, sheet_name="With an index")
    book = registered()["book"]
    assert list(book) == ["First", "With an index"]
    for sheet in book:
        same_table(book[sheet].read(), pd.read_excel(tmp_path / "book.xlsx", sheet_name=sheet))
    np.testing.assert_array_equal(book["First/i"].read(), [1, 2])


def test_pictures_and_archives(tmp_path, registered):
    colours, grey = made("u1", (30, 40, 3)), made("u1", (30, 40))
    pictures = {"colour.png": colours, "grey.png": grey, "deep.png": made("u2", (30, 40)), "bits.png": made("b1", (9, 11))}
    for name, array in pictures.items():
        Image.fromarray(array).save(tmp_path / name)
    Image.fromarray(colours).quantize(16).save(tmp_path / "palette.png")
    smooth = np.add.outer(np.arange(64), np.arange(80)).astype("u1")
    for n in range(3):
        Image.fromarray(smooth + n).save(tmp_path / f"frame{n}.jpg")
    noise = Image.fromarray(made("u1", (61, 83, 3)))
    jpegs = {"grey": ("L", {}), "fine": ("RGB", {"subsampling": 0}), "wide": ("RGB", {"subsampling": 1})}
    jpegs |= {"coarse": ("RGB", {"subsampling": 2}), "inks": ("CMYK", {}), "best": ("RGB", {"quality": 100})}
    jpegs |= {"marks": ("RGB", {"restart_marker_blocks": 3}), "later": ("RGB", {"progressive": True, "quality": 30})}
    jpegs |= {"later_inks": ("CMYK", {"progressive": True}), "kept": ("RGB", {"keep_rgb": True})}
    for name, (mode, options) in jpegs.items():
        noise.convert(mode).save(tmp_path / f"{name}_jpeg.jpg", **options)
    arrays = {"x": made("f8", (4, 5)), "y": np.asfortranarray(made("i2", (3, 4))), "z": np.float32(3)}
    np.savez(tmp_path / "plain.npz", **arrays)
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    client = registered()
    for name in [*pictures, "palette.png"]:
        same(client[name.removesuffix(".png")].read(), np.asarray(Image.open(tmp_path / name)))
    frames = client["frame"]
    assert (frames.shape, frames.chunks) == ((3, 64, 80), ((1, 1, 1), (64,), (80,)))
    for n in range(3):
        same(frames[n], np.asarray(Image.open(tmp_path / f"frame{n}.jpg")))
    for name in jpegs:
        same(client[f"{name}_jpeg"].read(), np.asarray(Image.open(tmp_path / f"{name}_jpeg.jpg")))
    for archive, (name, array) in itertools.product(["plain", "packed"], arrays.items()):
        same(client[archive][name].read(), np.asarray(array))
        if array.ndim == 2:
            same(client[archive][name][1:, ::-2], array[1:, ::-2])


def test_gaps_between_fields(tmp_path, registered):
    """NumPy hides what is between the fields of aligned dtypes; here it is left out."""

    def made_of(align):
        inner = np.dtype([("x", "u1"), ("y", ">i2")], align=align)
        return np.dtype([("a", "i1"), ("b", "f8"), ("c", inner, (2,)), ("d", "S3")], align=align)

    aligned, packed = made_of(True), made_of(False)
    array = np.frombuffer(np.random.default_rng(5).bytes(aligned.itemsize * 700), aligned).reshape(20, 35)
    arrays = {"rows": array, "columns": np.asfortranarray(array), "one": array[0, 0]}
    for name, given in arrays.items():
        np.save(tmp_path / f"{name}.npy", given)
    for n in range(3):
        np.save(tmp_path / f"frame{n}.npy", np.roll(array, n))
    np.savez(tmp_path / "plain.npz", **arrays)
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    client = registered()

    def check(node, expected):
        expected = np.asarray(expected).astype(packed)
        got = node.read()
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        assert got.tobytes() == expected.tobytes()
        if expected.ndim > 1:
            assert node[1:, ::-2].tobytes() == expected[1:, ::-2].tobytes()

    for name, given in arrays.items():
        for node in [client[name], client["plain"][name], client["packed"][name]]:
            check(node, given)
    check(client["frame"], np.stack([np.roll(array, n) for n in range(3)]))


def test_shapes_of_tiff_files(tmp_path, registered):
    stacks = {
        "plane": (made("f8", (5, 6)), {}),
        "line": (made("u2", (7,)), {}),
        "pages": (made("u2", (4, 5, 6)), {"photometric": "minisblack"}),
        "deep": (made("u2", (1, 5, 6)), {}),
        "hyper": (made("u2", (2, 3, 5, 6)), {"photometric": "minisblack"}),
        "rgb": (made("u1", (5, 6, 3)), {"photometric": "rgb"}),
        "bool": (made("b1", (4, 5, 6)), {}),
    }
    for name, (array, options) in stacks.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", array, **options)
    client = registered()
    for name, (array, _) in stacks.items():
        same(client[name].read(), tifffile.imread(tmp_path / f"{name}.tif").reshape(array.shape))
        same(client[name][..., 1::2], array[..., 1::2])
    assert client["plane"].metadata["Software"] == "tifffile.py" and client["plane"].metadata["ImageWidth"] == 6


@pytest.mark.parametrize("version", [1, 2])
def test_classic_netcdf_files(tmp_path, registered, version):
    data = {"v": made(">i2", (4, 3)), "t": made(">f8", (4,)), "x": made(">f4", (3,)), "fixed": made(">i4", (3, 5))}
    with netcdf_file(tmp_path / "classic.nc", "w", version=version) as file:
        for name, len in [("t", None), ("x", 3), ("y", 5)]:
            file.createDimension(name, len)
        for name, dims in [("v", ("t", "x")), ("t", ("t",)), ("x", ("x",)), ("fixed", ("x", "y"))]:
            file.createVariable(name, data[name].dtype, dims)[:] = data[name]
        file.variables["v"].units = b"mm"
        file.title = b"a title"
    with h5py.File(tmp_path / "four.nc", "w") as file:
        file["x"] = data["x"]
    client = registered()
    tree = client["classic"]
    for name, array in data.items():
        same(tree[name].read(), array)
    same(tree["v"][::-2, 1:], data["v"][::-2, 1:])
    dataset = tree.read()
    assert dataset.attrs == {"title": "a title"} and dataset["v"].attrs == {"units": "mm"}
    assert dataset["v"].dims == ("t", "x") and set(dataset.coords) == {"t", "x"}
    same(client["four/x"].read(), data["x"])


def test_fits_files(tmp_path, registered):
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("n", "J", array=made("i4", (6,))),
            fits.Column("pair", "2D", array=made("f8", (6, 2))),
            fits.Column("s", "4A", array=["a", "bc", "def", "", "x", "y"]),
        ],
        name="rows",
    )
    units = [fits.PrimaryHDU(made("f4", (5, 6))), fits.ImageHDU(made("u2", (7, 8)), name="unsigned")]
    units += [fits.ImageHDU(made("i1", (3, 4)), name="signed"), fits.ImageHDU(made("i4", (2, 3, 4)), name="cube"), table]
    units[0].header["OBJECT"] = "M31"
    fits.HDUList(units).writeto(tmp_path / "units.fits")
    scaled = fits.ImageHDU(made("f4", (9, 9)) * 100)
    scaled.scale("int16", bscale=0.5, bzero=3)
    fits.HDUList([fits.PrimaryHDU(), scaled]).writeto(tmp_path / "scaled.fits")
    client = registered()
    assert client["units"].metadata["OBJECT"] == "M31" and list(client["scaled"]) == ["HDU1"]
    with fits.open(tmp_path / "units.fits") as file:
        for name in ["PRIMARY", "UNSIGNED", "SIGNED", "CUBE"]:
            got, expected = client["units"][name].read(), file[name].data
            assert got.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
            np.testing.assert_array_equal(got, expected)
        rows = client["units/ROWS"].read()
        for name in ["n", "pair"]:
            np.testing.assert_array_equal(rows[name], file["ROWS"].data[name])
        assert [text.decode() for text in rows["s"]] == list(file["ROWS"].data["s"])
    with fits.open(tmp_path / "scaled.fits") as file:
        same(client["scaled/HDU1"].read(), file[1].data.astype("f4"))


def test_fits_columns_and_blanks(tmp_path, registered):
    lists = np.array([made("f4", (n,)) for n in [1, 2, 0, 3]], dtype=object)
    columns = [
        fits.Column("u2", "I", bzero=2**15, array=made("u2", (4,))),
        fits.Column("u4", "2J", bzero=2**31, array=made("u4", (4, 2))),
        fits.Column("u8", "K", bzero=2**63, array=made("u8", (4,))),
        fits.Column("list", "PE()", array=lists),
        fits.Column("scaled", "I", array=made("i2", (4,))),
        fits.Column("real", "E", array=made("f4", (4,))),
    ]
    written = [
        fits.Column("i", "I4", array=made("i2", (4,))),
        fits.Column("long", "I12", array=made("i8", (4,)) << 30),
        fits.Column("f", "F8.3", array=[1.5, -2.25, 0, 3]),
        fits.Column("d", "D25.17", array=made("f8", (4,))),
        fits.Column("s", "A5", array=["a", "bc", "", "d e"]),
    ]
    units = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="BINARY")]
    units += [fits.TableHDU.from_columns(written, name="ASCII")]
    for dtype in ["u1", "i2", "i4", "i8"]:
        for name, cards in [("PLAIN", {}), ("SCALED", {"BSCALE": 0.1, "BZERO": 3.3})]:
            unit = fits.ImageHDU(np.arange(20, dtype=dtype).reshape(4, 5), name=f"{name}{dtype}")
            unit.header.update(cards | {"BLANK": 7})
            units.append(unit)
    fits.HDUList(units).writeto(tmp_path / "made.fits")
    for card, value in {"TSCAL5": 0.1, "TZERO5": 3.0, "TSCAL6": 2.5}.items():
        fits.setval(tmp_path / "made.fits", card, value=value, ext=1)
    client = registered()["made"]
    with fits.open(tmp_path / "made.fits") as file:
        for unit in file[3:]:
            got = client[unit.name].read()
            assert np.isnan(got[1, 2]) and got.dtype == unit.data.dtype.newbyteorder("=")
            np.testing.assert_array_equal(got, unit.data)
        for name in ["BINARY", "ASCII"]:
            got, expected = client[name].read(), file[name].data
            assert list(got.dtype.names) == [column for column in expected.names if column != "list"]
            for column in got.dtype.names:
                if column == "s":
                    assert [text.decode() for text in got[column]] == list(expected[column])
                else:
                    assert got[column].dtype.newbyteorder("=") == expected[column].dtype.newbyteorder("=")
                    np.testing.assert_array_equal(got[column], expected[column])
    assert list(client["BINARY"].metadata["omitted"]) == ["list"]


def test_variables_without_coordinates(tmp_path, registered):
    """Clients of xarray ask for short variables as one table."""
    data = {"v": made(">i2", (4,)), "w": made(">f8", (4,)), "wide": made(">f4", (4, 3))}
    dims = {"v": ("t",), "w": ("t",), "wide": ("t", "x")}
    with netcdf_file(tmp_path / "three.nc", "w") as file:
        file.createDimension("t", 4)
        file.createDimension("x", 3)
        for name in data:
            file.createVariable(name, data[name].dtype, dims[name])[:] = data[name]
    with h5py.File(tmp_path / "four.nc", "w") as file:
        file.attrs["_NCProperties"] = "version=2"
        for name in data:
            file[name] = data[name]
    client = registered()
    for key in ["three", "four"]:
        dataset = client[key].read()
        for name, array in data.items():
            np.testing.assert_array_equal(dataset[name].values, array)
            assert dataset[name].dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
        assert client[key].read(["w"])["w"].values.tolist() == data["w"].tolist()
