"""TIFF files where they lie give what tifffile reads from them: values, dtype and shape."""

import itertools
import os
import struct
import time

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

CHANCE = np.random.default_rng(11)
CODED = ["zlib", "lzw", "packbits", "zstd", "deflate"]
LAYOUTS = [{}, {"rowsperstrip": 7}, {"tile": (32, 48)}]


def made(dtype, shape):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return CHANCE.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        return CHANCE.integers(bounds.min, bounds.max, shape, dtype.newbyteorder("="), endpoint=True).astype(dtype)
    if dtype.kind == "c":
        return (CHANCE.normal(size=shape) + 1j * CHANCE.normal(size=shape)).astype(dtype)
    return CHANCE.normal(size=shape).astype(dtype)


def smooth(*shape):
    axes = np.indices(shape)
    return (127 + 60 * np.sin(axes[0] / 9) + 60 * np.cos(axes[1] / 11 + axes[-1])).astype("u1")


class Tags:
    """A TIFF of one page, tag by tag: what no library writes."""

    KINDS = {"B": 1, "s": 2, "H": 3, "I": 4, "f": 11}

    def __init__(self, order="<"):
        self.order, self.tags, self.data = order, {}, b""

    def tag(self, number, kind, *values):
        self.tags[number] = (kind, values)
        return self

    def segments(self, offsets, counts, segments):
        """Segments that are `None` are left out."""
        places = []
        for segment in segments:
            places.append(0 if segment is None else 8 + len(self.data))
            self.data += segment or b""
        self.tag(offsets, "I", *places)
        return self.tag(counts, "I", *[len(segment or b"") for segment in segments])

    def page(self, width, height, bits, *, samples=1, photometric=1, compression=1, rows=None, **more):
        names = {"format": 339, "planar": 284, "predictor": 317, "fill": 266, "depth": 32997}
        self.tag(256, "I", width).tag(257, "I", height).tag(258, "H", *[bits] * samples)
        self.tag(259, "H", compression).tag(262, "H", photometric).tag(277, "H", samples)
        for name, value in more.items():
            self.tag(names[name], "H", value)
        return self.tag(278, "I", rows or height) if rows != 0 else self

    def __bytes__(self):
        pack = lambda kind, *values: struct.pack(self.order + kind, *values)
        at = 8 + len(self.data) + len(self.data) % 2
        entries, extra = b"", b""
        behind = at + 2 + 12 * len(self.tags) + 4
        for number, (kind, values) in sorted(self.tags.items()):
            raw = values[0] if kind == "s" else pack(f"{len(values)}{kind}", *values)
            count = len(raw) if kind == "s" else len(values)
            place = raw.ljust(4, b"\0")
            if len(raw) > 4:
                place, extra = pack("I", behind + len(extra)), extra + raw
            entries += pack("HHI", number, self.KINDS[kind], count) + place
        start = {"<": b"II*\0", ">": b"MM\0*"}[self.order] + pack("I", at)
        body = self.data + b"\0" * (len(self.data) % 2)
        return start + body + pack("H", len(self.tags)) + entries + pack("I", 0) + extra


@pytest.fixture
def registered(tmp_path, start, girih):
    """Registers all files of the directory; the client of the server, and what was told."""

    def registered():
        server = start("catalog", "--read", tmp_path)
        done = girih("register", server.url, tmp_path)
        return server.client(), done.stdout + done.stderr

    return registered


@pytest.fixture
def checked(tmp_path, registered):
    """Writes files by name (an array with options for tifffile, or bytes), and compares what is read of each."""

    def checked(files):
        for name, content in files.items():
            path = tmp_path / f"{name}_.tif"  # a number at the end would make sequences of them
            if isinstance(content, (bytes, Tags)):
                path.write_bytes(bytes(content))
            elif content is not None:
                tifffile.imwrite(path, content[0], **content[1])
        client, told = registered()
        wrong = []
        for name in files:
            with tifffile.TiffFile(tmp_path / f"{name}_.tif") as file:
                expected = file.series[0].asarray()
            try:
                got = client[f"{name}_"].read()
                assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
                np.testing.assert_array_equal(got, expected)
                part = (..., slice(1, None, 3), slice(None, -2)) if expected.ndim > 1 else slice(1, -2)
                np.testing.assert_array_equal(client[f"{name}_"][part], expected[part])
            except Exception as e:
                wrong.append(f"{name}: {type(e).__name__} {str(e)[:600]}")
        assert not wrong, "\n".join(wrong) + "\n" + told

    return checked


DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16", "b1"]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("layout", range(len(LAYOUTS)))
def test_every_dtype_in_every_layout(checked, order, layout):
    files = {}
    for dtype, codec in itertools.product(DTYPES, [None, "zlib", "lzw"]):
        options = {"byteorder": order, "compression": codec, "photometric": "minisblack"} | LAYOUTS[layout]
        files[f"{dtype}_{codec}"] = (made(dtype, (2, 60, 77)), options)
    checked(files)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("codec", CODED)
def test_predictors(checked, order, codec):
    files = {}
    for dtype, (n, layout) in itertools.product(["u1", "i2", "u4", "f2", "f4", "f8"], enumerate(LAYOUTS)):
        for name, shape, more in [
            ("grey", (60, 77), {}),
            ("side", (60, 77, 3), {"photometric": "rgb"}),
            ("apart", (3, 60, 77), {"photometric": "rgb", "planarconfig": "separate"}),
        ]:
            options = {"byteorder": order, "compression": codec, "predictor": True} | layout | more
            files[f"{dtype}_{n}_{name}"] = (made(dtype, shape), options)
    checked(files)


@pytest.mark.parametrize("order", "<>")
def test_few_bits_and_odd_samples(checked, order):
    files = {}
    for bits in [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 20, 31]:
        for samples, planar in [(1, 1), (3, 1), (3, 2)]:
            per_line = 1 if planar == 2 else samples
            line = -(-21 * per_line * bits // 8)
            strips = [CHANCE.bytes(line * rows) for rows in [8, 2]] * (3 if planar == 2 else 1)
            photometric = 2 if samples > 1 else 1
            page = Tags(order).page(21, 10, bits, samples=samples, photometric=photometric, rows=8, planar=planar)
            files[f"bits{bits}_{samples}_{planar}"] = page.segments(273, 279, strips)
    for bits, form in [(24, 3), (32, 5), (64, 5), (64, 6), (128, 6), (8, 4), (1, 4)]:
        page = Tags(order).page(21, 10, bits, format=form)
        # No floats that are not numbers: these are not equal to themselves.
        data = bytes(byte & 0x3F for byte in CHANCE.bytes(10 * -(-21 * bits // 8)))
        files[f"format{form}_{bits}"] = page.segments(273, 279, [data])
    for bits in [4, 8, 12, 16]:
        data = CHANCE.bytes(10 * -(-21 * bits // 8))
        page = Tags(order).page(21, 10, bits, predictor=2, compression=8)
        files[f"difference{bits}"] = page.segments(273, 279, [imagecodecs.zlib_encode(data)])
        files[f"reversed{bits}"] = Tags(order).page(21, 10, bits, fill=2).segments(273, 279, [data])
        packed = imagecodecs.bitorder_encode(imagecodecs.zlib_encode(data))
        page = Tags(order).page(21, 10, bits, fill=2, compression=8)
        files[f"packed{bits}"] = page.segments(273, 279, [packed])
    palette = Tags(order).page(21, 10, 8, photometric=3).tag(320, "H", *range(768))
    files["palette"] = palette.segments(273, 279, [CHANCE.bytes(210)])
    files["lab"] = Tags(order).page(7, 10, 8, samples=3, photometric=8).segments(273, 279, [CHANCE.bytes(210)])
    files["white"] = Tags(order).page(21, 10, 8, photometric=0).segments(273, 279, [CHANCE.bytes(210)])
    checked(files)


def old_lzw(data):
    """As it was written before 1988: the lowest bits first, and longer codes one later."""
    bits, count, width, table = 0, 0, 9, {}
    out = bytearray()

    def put(code):
        nonlocal bits, count
        bits, count = bits | code << count, count + width
        while count >= 8:
            out.append(bits & 255)
            bits, count = bits >> 8, count - 8

    put(256)
    word, following = b"", 258
    for byte in data:
        longer = word + bytes([byte])
        if len(longer) == 1 or longer in table:
            word = longer
            continue
        put(table.get(word, word[0]))
        table[longer] = following
        if following == 1 << width and width < 12:
            width += 1
        following += 1
        word = bytes([byte])
        if following > 4000:
            put(table.get(word, word[0]))
            put(256)
            word, following, width, table = b"", 258, 9, {}
    if word:
        put(table.get(word, word[0]))
    put(257)
    out.append(bits & 255)
    return bytes(out)


def test_compressions(checked, tmp_path):
    data = np.repeat(made("u1", (90, 30)), 7, axis=1)
    strips = [data[:50].tobytes(), data[50:].tobytes()]
    files = {}
    for name, number, encode in [
        ("stored", 1, bytes),
        ("lzw", 5, imagecodecs.lzw_encode),
        ("old_lzw", 5, old_lzw),
        ("deflate", 8, imagecodecs.zlib_encode),
        ("old_deflate", 32946, imagecodecs.zlib_encode),
        ("pixtiff", 50013, imagecodecs.zlib_encode),
        ("packbits", 32773, imagecodecs.packbits_encode),
        ("zstandard", 50000, imagecodecs.zstd_encode),
        ("lzma", 34925, imagecodecs.lzma_encode),
        ("old_zstandard", 34926, imagecodecs.zstd_encode),
    ]:
        page = Tags().page(210, 90, 8, compression=number, rows=50)
        files[name] = page.segments(273, 279, [encode(strip) for strip in strips])
    assert imagecodecs.lzw_decode(old_lzw(strips[0])) == strips[0]
    lines = made("b1", (40, 83)).repeat(3, axis=1)[:, :200]
    for name, number, encode in [
        ("fax4", 4, imagecodecs.ccittfax4_encode),
        ("fax3", 3, imagecodecs.ccittfax3_encode),
        ("fax2", 2, imagecodecs.ccittrle_encode),
    ]:
        try:
            packed = encode(lines.astype("u1"))
        except Exception:
            continue  # not every one can be encoded
        files[name] = Tags().page(200, 40, 1, compression=number, photometric=0).segments(273, 279, [packed])
    for name in ["group3", "group4", "tiff_ccitt"]:
        Image.fromarray(lines).save(tmp_path / f"{name}_.tif", compression=name)
        files[name] = None
    checked(files)


def test_what_is_left_out_is_filled(checked):
    strip = CHANCE.bytes(210)
    files = {}
    for number, encode in [(1, bytes), (8, imagecodecs.zlib_encode)]:
        page = lambda **more: Tags().page(21, 30, 8, compression=number, rows=10, **more)
        files[f"strip{number}"] = page().segments(273, 279, [encode(strip), None, encode(strip)])
        files[f"filled{number}"] = page().tag(42113, "s", b"7\0").segments(273, 279, [None, encode(strip), None])
        files[f"none{number}"] = page().segments(273, 279, [None, None, None])
        tile = CHANCE.bytes(16 * 16)
        named = Tags().page(16, 16, 8, compression=number, rows=0).tag(322, "I", 16).tag(323, "I", 16)
        files[f"as_strips{number}"] = named.segments(273, 279, [encode(tile)])
        page = Tags().page(21, 30, 8, compression=number, rows=0).tag(322, "I", 16).tag(323, "I", 16)
        files[f"tile{number}"] = page.segments(324, 325, [encode(tile), None, None, encode(tile)])
    checked(files)


def test_volumes(checked):
    files = {}
    for samples, planar in [(1, 1), (3, 1), (3, 2)]:
        photometric = 2 if samples > 1 else 1
        planes, side = (samples, 1) if planar == 2 else (1, samples)
        page = lambda **more: Tags().page(
            21, 30, 8, samples=samples, photometric=photometric, planar=planar, depth=5, **more
        )
        strips = [CHANCE.bytes(21 * side * rows) for _ in range(5 * planes) for rows in [20, 10]]
        files[f"strips{samples}{planar}"] = page(rows=20).segments(273, 279, strips)
        for depth, number, encode in [(1, 1, bytes), (2, 8, imagecodecs.zlib_encode), (4, 1, bytes)]:
            count = planes * -(-5 // depth) * 2 * 2
            tiles = [encode(CHANCE.bytes(16 * 16 * side * depth)) for _ in range(count)]
            tiled = page(compression=number, rows=0).tag(322, "I", 16).tag(323, "I", 16).tag(32998, "I", depth)
            files[f"tiles{samples}{planar}{depth}"] = tiled.segments(324, 325, tiles)
    checked(files)
    checked({"written": (made("u2", (40, 60, 70)), {"volumetric": True, "tile": (16, 32, 32), "compression": "zlib"})})


def test_series(checked, tmp_path):
    u2 = lambda *shape: made("u2", shape)
    grey = {"photometric": "minisblack"}
    stacks = {
        "line": (u2(7), {}),
        "page": (u2(1, 5, 6), {}),
        "deep": (u2(2, 3, 5, 6), grey),
        "ones": (u2(1, 1, 5, 6, 1), grey),
        "coded": (u2(3, 5, 6), grey | {"compression": "zlib"}),
        "truncated": (u2(3, 5, 6), grey | {"truncate": True}),
        "plain": (u2(3, 5, 6), grey | {"metadata": None}),
        "many": (u2(12, 5, 6), grey | {"metadata": None, "compression": "zlib"}),
        "sample": Tags().page(6, 5, 8, photometric=2).segments(273, 279, [bytes(range(30))]),
        "told": (u2(5, 6), {"description": "of somebody"}),
        "planes": (u2(2, 3, 5, 6), {"photometric": "rgb", "planarconfig": "separate"}),
        "big": (u2(3, 5, 6), grey | {"bigtiff": True, "truncate": True}),
    }
    for n, (axes, shape) in enumerate(
        [("TZCYX", (2, 3, 4, 5, 6)), ("ZYX", (3, 5, 6)), ("TCYX", (2, 3, 5, 6)), ("YX", (5, 6)), ("CYX", (4, 5, 6))]
    ):
        for order in "<>":
            options = {"imagej": True, "metadata": {"axes": axes}, "byteorder": order}
            stacks[f"imagej{n}{order == '>'}"] = (u2(*shape), options)
            stacks[f"short{n}{order == '>'}"] = (u2(*shape), options | {"truncate": True})
            options = {"ome": True, "metadata": {"axes": axes}, "byteorder": order}
            stacks[f"ome{n}{order == '>'}"] = (u2(*shape), options | grey)
            coded = {"ome": True, "metadata": {"axes": axes}, "compression": "lzw"}
            stacks[f"coded{n}{order == '>'}"] = (u2(*shape), coded | grey)
    colours = made("u1", (2, 3, 5, 6, 3))
    stacks["imagej_rgb"] = (colours, {"imagej": True, "metadata": {"axes": "TZYXS"}})
    stacks["imagej_coded"] = (colours, {"imagej": True, "metadata": {"axes": "TZYXS"}, "compression": "zlib"})
    stacks["ome_rgb"] = (colours, {"ome": True, "metadata": {"axes": "TZYXS"}, "photometric": "rgb"})
    stacks["ome_planes"] = (
        made("u1", (2, 3, 3, 5, 6)),
        {"ome": True, "metadata": {"axes": "TZSYX"}, "photometric": "rgb", "planarconfig": "separate"},
    )
    bare = {"photometric": "minisblack", "metadata": None}
    for name, arrays in {
        "mixed": [u2(5, 6), u2(9, 8), u2(5, 6), made("f4", (5, 6)), u2(5, 6)],
        "first": [u2(4, 4), u2(5, 6), u2(5, 6)],
        "pyramid": [u2(64, 64), u2(32, 32), u2(16, 16)],
    }.items():
        with tifffile.TiffWriter(tmp_path / f"{name}_.tif") as file:
            for array in arrays:
                file.write(array, contiguous=False, **bare)
        stacks[name] = None
    with tifffile.TiffWriter(tmp_path / "two_.tif") as file:
        file.write(u2(3, 5, 6), photometric="minisblack")
        file.write(u2(9, 8), photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "levels.ome.tif", ome=True) as file:
        file.write(u2(2, 64, 64), subifds=1, photometric="minisblack", metadata={"axes": "ZYX"})
        file.write(u2(2, 32, 32), subfiletype=1, photometric="minisblack")
    os.rename(tmp_path / "levels.ome.tif", tmp_path / "levels_.tif")
    pages = [Image.fromarray(page) for page in u2(3, 5, 6)]
    pages[0].save(tmp_path / "pillow_.tif", save_all=True, append_images=pages[1:])
    checked(stacks | dict.fromkeys(["two", "levels", "pillow"]))


def test_sequences(tmp_path, registered):
    frames = {
        "line": (made("u2", (3, 7)), {}),
        "sample": (made("u1", (3, 5, 6, 1)), {"photometric": "minisblack", "metadata": {"axes": "YXS"}}),
        "stack": (made(">f4", (3, 2, 5, 6)), {"photometric": "minisblack", "byteorder": ">"}),
        "colours": (made("u1", (3, 50, 40, 3)), {"photometric": "rgb", "compression": "lzw", "tile": (16, 16)}),
    }
    expected = {}
    for name, (arrays, options) in frames.items():
        paths = [tmp_path / f"{name}{n}.tif" for n in range(3)]
        for path, array in zip(paths, arrays):
            tifffile.imwrite(path, array, **options)
        expected[name] = np.stack([tifffile.imread(path) for path in paths])
    client, told = registered()
    for name, array in expected.items():
        got = client[name].read()
        assert (got.shape, got.dtype) == (array.shape, array.dtype), name
        np.testing.assert_array_equal(got, array)
        np.testing.assert_array_equal(client[name][1, ..., 1:3], array[1, ..., 1:3])


def test_pictures_of_pillow(checked, tmp_path):
    colours = smooth(70, 90, 3)
    alpha = np.concatenate([colours, smooth(70, 90, 1)], axis=-1)
    pictures = {
        "rgb": Image.fromarray(colours),
        "rgba": Image.fromarray(alpha),
        "grey": Image.fromarray(colours[..., 0]),
        "bits": Image.fromarray(colours[..., 0] > 127),
        "palette": Image.fromarray(colours).quantize(16),
        "cmyk": Image.fromarray(colours).convert("CMYK"),
        "lab": Image.frombytes("LAB", (90, 70), colours.tobytes()),
        "ycbcr": Image.fromarray(colours).convert("YCbCr"),
        "deep": Image.fromarray(made("u2", (70, 90))),
        "real": Image.fromarray(made("f4", (70, 90))),
        "grey_alpha": Image.fromarray(alpha[..., :2], "LA"),
    }
    files = []
    codecs = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"]
    for (name, picture), codec in itertools.product(pictures.items(), codecs):
        picture.save(tmp_path / f"{name}_{codec}_.tif", compression=codec)
        with tifffile.TiffFile(tmp_path / f"{name}_{codec}_.tif") as file:
            try:
                file.series[0].asarray()
            except Exception:  # YCbCr: tifffile cannot
                (tmp_path / f"{name}_{codec}_.tif").unlink()
                continue
        files.append(f"{name}_{codec}")
    assert len(files) > 36
    checked(dict.fromkeys(files))


def test_jpeg(checked, tmp_path):
    colours, noise = smooth(100, 120, 3), made("u1", (100, 120, 3))
    files = {}
    for (name, picture), (n, layout) in itertools.product(
        {"smooth": colours, "noise": noise}.items(), enumerate([{}, {"rowsperstrip": 16}, {"tile": (64, 48)}])
    ):
        for level, photometric in itertools.product([75, 98], ["rgb", "ycbcr"]):
            options = {"compression": "jpeg", "compressionargs": {"level": level}, "photometric": photometric}
            options |= {"subsampling": (1, 1)} if level == 98 else {}
            files[f"{name}{n}{level}{photometric}"] = (picture, options | layout)
        for sampling in [(2, 1), (2, 2), (4, 1)]:
            options = {"compression": "jpeg", "photometric": "rgb", "subsampling": sampling}
            if sampling[0] < 4 or "tile" not in layout:
                files[f"{name}{n}_{sampling[0]}{sampling[1]}"] = (picture, options | layout)
        files[f"{name}{n}grey"] = (picture[..., 0], {"compression": "jpeg"} | layout)
        files[f"{name}{n}apart"] = (
            np.moveaxis(picture, -1, 0),
            {"compression": "jpeg", "photometric": "rgb", "planarconfig": "separate"} | layout,
        )
    four = np.concatenate([colours, smooth(100, 120, 1)], axis=-1)
    files["cmyk"] = (four, {"compression": "jpeg", "photometric": "separated"})
    for name, mode, quality in [("pillow_rgb", "RGB", 90), ("pillow_cmyk", "CMYK", 90), ("pillow_ycbcr", "YCbCr", 75)]:
        picture = Image.fromarray(colours).convert(mode)
        picture.save(tmp_path / f"{name}_.tif", compression="jpeg", quality=quality)
        files[name] = None
    for transform, samples in [(0, 3), (1, 3), (0, 4), (2, 4)]:
        space = "RGB" if samples == 3 else "CMYK"
        pixels = np.ascontiguousarray(four[..., :samples])
        stream = imagecodecs.jpeg_encode(pixels, level=90, colorspace=space, outcolorspace=space)
        stream = stream[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]) + stream[2:]
        for photometric in [1, 2 if samples == 3 else 5]:
            page = Tags().page(120, 100, 8, samples=samples, photometric=photometric, compression=7)
            files[f"adobe{transform}{samples}{photometric}"] = page.segments(273, 279, [stream])
    checked(files)


def test_what_is_not_read_is_told(tmp_path, registered):
    data = bytes(range(200)) * 3
    page = lambda **more: Tags().page(20, 10, 8, **more)
    files = {
        "webp": (page(compression=50001).segments(273, 279, [data]), "WebP"),
        "jpeg2000": (page(compression=34712).segments(273, 279, [data]), "JPEG 2000"),
        "strange": (page(compression=4711).segments(273, 279, [data]), "4711"),
        "predictor": (page(compression=8, predictor=77).segments(273, 279, [data]), "77"),
        "unlike": (page().tag(258, "H", 5, 6, 5).tag(277, "H", 3).segments(273, 279, [data]), "not alike"),
        "signed": (Tags().page(20, 10, 12, format=2).segments(273, 279, [data]), "12 bits"),
        "coarse": (page(samples=3, photometric=6).segments(273, 279, [data]), "coarser"),
        "deep": (Tags().page(20, 10, 12, compression=7).segments(273, 279, [data]), "JPEG"),
        "huge": (Tags().page(1 << 30, 1 << 30, 8, compression=8, rows=1 << 30).segments(273, 279, [data]), "more than"),
        "empty": (b"", "is empty"),
        "short": (bytes(page().segments(273, 279, [data]))[:-9], "shorter"),
        "other": (b"%PDF-1.4 is not a TIFF", "begin"),
    }
    old = time.time() - 3600
    for name, (content, _) in files.items():
        (tmp_path / f"{name}_.tif").write_bytes(bytes(content))
        os.utime(tmp_path / f"{name}_.tif", (old, old))
    client, told = registered()
    assert len(client) == 0
    for name, (_, why) in files.items():
        line = [line for line in told.splitlines() if f"{name}_.tif" in line]
        assert line and why in line[0], f"{name}: {line}"


def test_a_file_that_ends_too_early(tmp_path, start):
    """It may still be growing, unless it is old."""
    from test_files import registered

    server = start("catalog", "--read", tmp_path)
    path = tmp_path / "cut.tif"
    data = made("u2", (6, 200, 300))
    tifffile.imwrite(path, data, photometric="minisblack", metadata=None, rowsperstrip=10)
    array = registered(server, path, data, "image/tiff")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with server.http() as http:
        for modified, status in [(time.time(), 503), (time.time() - 3600, 422)]:
            os.utime(path, (modified, modified))
            assert http.get("/array/full/cut-tif?slice=5").status_code == status
        path.write_bytes(b"")
        os.utime(path, (modified, modified))
        reply = http.get("/array/full/cut-tif?slice=5")
        assert reply.status_code == 422 and "is empty" in reply.json()["detail"]


def test_another_structure_may_be_registered(tmp_path, start):
    """In the other byte order, or in another shape."""
    from test_files import registered

    server = start("catalog", "--read", tmp_path)
    for n, dtype in enumerate(["u2", "f8", "c8"]):
        for name, options in [("stored", {}), ("coded", {"compression": "zlib", "tile": (16, 16)})]:
            path = tmp_path / f"{name}{n}.tif"
            data = made(dtype, (4, 30, 20))
            tifffile.imwrite(path, data, photometric="minisblack", **options)
            for key, array in [("big", data.astype(data.dtype.newbyteorder(">"))), ("flat", data.reshape(2, 2, 600))]:
                node = registered(server, path, array, "image/tiff", key=f"{key}-{name}{n}")
                assert (node.dtype, node.shape) == (array.dtype, array.shape)
                np.testing.assert_array_equal(node.read(), array)
                np.testing.assert_array_equal(node[1:, 1, ::7], array[1:, 1, ::7])
    with pytest.raises(Exception, match="samples are"):
        registered(server, path, made("i4", data.shape), "image/tiff", key="wrong").read()


def test_long_lists_of_offsets(checked, tmp_path):
    """One that only claims to be long is no harm."""
    data = made("u1", (60_000, 20))
    tifffile.imwrite(tmp_path / "rows_.tif", data, rowsperstrip=1, compression="zlib")
    page = Tags().page(20, 10, 8, rows=1).segments(273, 279, [bytes(20)])
    content = bytearray(bytes(page))
    at = content.index(struct.pack("<HHI", 273, 4, 1)) + 4
    content[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)
    (tmp_path / "hostile_.tif").write_bytes(content)
    checked({"rows": None})
