#!/usr/bin/env python3
"""Makes testdata/hostile: small files that claim what is not so, or that grow when they are read.

    pip install numpy h5py pyarrow

Every reader has to refuse them, or to give what there is, within the memory and the time that a small file is worth.
"""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

FILES = Path(__file__).parent.parent / "testdata" / "hostile"
HUGE = 1 << 40


def main() -> None:
    FILES.mkdir(exist_ok=True)
    for make in [tiff, pictures, numpys, hdf5, netcdf, fits, tables, workbooks]:
        for name, content in make():
            (FILES / name).write_bytes(content)


def ifd(*entries, after=0, at=8):
    """A little-endian directory; entries are (tag, type, count, value)."""
    body = struct.pack("<H", len(entries))
    for tag, kind, count, value in sorted(entries):
        body += struct.pack("<HHII", tag, kind, count, value)
    return body + struct.pack("<I", after)


def tiff():
    head = b"II*\0" + struct.pack("<I", 8)
    image = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]

    def changed(**values):
        tags = {"width": 256, "length": 257, "bits": 258, "compression": 259, "samples": 277}
        new = {tags[name]: value for name, value in values.items()}
        return [(tag, kind, count, new.get(tag, value)) for tag, kind, count, value in image]

    strips = [(273, 4, 1, 8), (278, 4, 1, 8), (279, 4, 1, 64)]
    yield "directory-that-follows-itself.tif", head + ifd(*image, *strips, after=8)
    size = len(ifd(*image, *strips))
    yield "two-directories-in-a-circle.tif", (
        head + ifd(*image, *strips, after=8 + size) + ifd(*image, *strips, after=8)
    )
    yield "picture-of-4-billion-rows.tif", head + ifd(*changed(width=0xFFFFFFFF, length=0xFFFFFFFF), *strips)
    yield "four-billion-strips.tif", head + ifd(
        *changed(length=0xFFFFFFFF), (273, 4, 0xFFFFFFFF, 8), (278, 4, 1, 1), (279, 4, 0xFFFFFFFF, 8)
    )
    yield "no-rows-in-a-strip.tif", head + ifd(*image, (273, 4, 1, 8), (278, 4, 1, 0), (279, 4, 1, 64))
    yield "tiles-of-no-width.tif", head + ifd(
        *image, (322, 4, 1, 0), (323, 4, 1, 16), (324, 4, 1, 8), (325, 4, 1, 64)
    )
    yield "samples-of-no-bits.tif", head + ifd(*changed(bits=0, samples=0), *strips)
    bomb = zlib.compress(bytes(64 << 20), 9)
    at = 8 + len(ifd(*image, *strips))
    yield "strip-that-grows.tif", (
        head + ifd(*changed(compression=8), (273, 4, 1, at), (278, 4, 1, 8), (279, 4, 1, len(bomb))) + bomb
    )
    yield "beyond-the-end.tif", head + ifd(*image, (273, 4, 1, 0x7FFFFFFF), (278, 4, 1, 8), (279, 4, 1, 64), after=0x7FFFFFF0)
    big = b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<Q", 1 << 60)
    yield "directory-of-2-to-the-60.tif", big


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def pictures():
    signature = b"\x89PNG\r\n\x1a\n"

    def header(width, height, depth=8, colour=0):
        return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))

    yield "two-billion-pixels-wide.png", (
        signature + header(0x7FFFFFFF, 0x7FFFFFFF, 16, 6) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )
    yield "pixels-that-grow.png", (
        signature + header(4, 4) + chunk(b"IDAT", zlib.compress(bytes(64 << 20), 9)) + chunk(b"IEND", b"")
    )
    text = b"Comment\0\0" + zlib.compress(b"a" * (64 << 20), 9)
    yield "text-that-grows.png", (
        signature + header(1, 1) + chunk(b"zTXt", text) + chunk(b"IDAT", zlib.compress(bytes(2))) + chunk(b"IEND", b"")
    )
    frame = struct.pack(">HBHHB", 17, 8, 65535, 65535, 3) + bytes([1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0])
    scan = struct.pack(">HB", 12, 3) + bytes([1, 0, 2, 0, 3, 0, 0, 63, 0])
    yield "picture-without-pixels.jpg", b"\xff\xd8\xff\xc0" + frame + b"\xff\xda" + scan + b"\xff\xd9"
    progressive = b"\xff\xc2" + frame + (b"\xff\xda" + scan) * 2000
    yield "a-thousand-scans.jpg", b"\xff\xd8" + progressive + b"\xff\xd9"


def npy(header, data=b"", version=1):
    header = header.encode() if isinstance(header, str) else header
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def numpys():
    yield "array-of-2-to-the-80.npy", npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({HUGE}, {HUGE})}}\n")
    yield "header-of-4-gigabytes.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'"
    yield "brackets.npy", npy("{'descr': " + "[" * 30_000 + "\n")
    yield "texts-of-a-gigabyte.npy", npy("{'descr': '<U268435456', 'fortran_order': False, 'shape': (1000,)}\n")
    yield "items-of-no-bytes.npy", npy(f"{{'descr': '|V0', 'fortran_order': False, 'shape': ({HUGE},)}}\n")
    body = npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({64 << 20},)}}\n", bytes(64 << 20))
    yield "array-that-grows.npz", archive({"x.npy": body})
    yield "array-that-ends.npz", archive({"x.npy": npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({HUGE},)}}\n")})
    yield "names-that-lead-out.npz", archive({"../../x.npy": npy("{}"), "/etc/passwd.npy": npy("{}"), "": b"", "a\0b.npy": b""})


def archive(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for name, content in files.items():
            out.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED, 9)
    return file.getvalue()


def made_by_h5py(make, **options):
    file = io.BytesIO()
    with h5py.File(file, "w", **options) as out:
        make(out)
    return file.getvalue()


def hdf5():
    def circles(file):
        group = file.create_group("a")
        group["hard"] = file["/"]
        group["soft"] = h5py.SoftLink("/b/soft")
        file["b/soft"] = h5py.SoftLink("/a/soft")
        file["self"] = h5py.SoftLink("/self")
        file["out"] = h5py.ExternalLink("circles.h5", "/out")
        file["passwd"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["up"] = h5py.ExternalLink("../../../../../../etc/hostname", "/x")

    yield "circles.h5", made_by_h5py(circles)

    def deep(file):
        group = file
        for _ in range(2000):
            group = group.create_group("g")

    yield "two-thousand-groups-deep.h5", made_by_h5py(deep, libver="latest")

    def grows(file):
        for n in range(4):
            data = file.create_dataset(f"x{n}", (64 << 20,), "u1", chunks=(64 << 20,), compression="gzip", compression_opts=9)
            data.id.write_direct_chunk((0,), zlib.compress(bytes(64 << 20), 9))
        small = file.create_dataset("small", (64,), "u1", chunks=(64,), compression="gzip")
        small.id.write_direct_chunk((0,), zlib.compress(bytes(64 << 20), 9))
        for n, factor in enumerate([2, 200]):
            many = file.create_dataset(f"filters{n}", (64,), "u1", chunks=(64,), compression="gzip", shuffle=True, fletcher32=True)
            many.id.write_direct_chunk((0,), b"x" * factor)

    yield "chunks-that-grow.h5", made_by_h5py(grows)

    def claims(file):
        file.create_dataset("sparse", (HUGE, HUGE), "f8", chunks=(1, 1))
        file.create_dataset("large chunks", (HUGE,), "u1", chunks=(1 << 31,), fillvalue=7)
        file.create_dataset("scalar", data=np.zeros((), "V65000"))
        layout = h5py.VirtualLayout((HUGE,), "u1")
        layout[:] = h5py.VirtualSource(".", "virtual", (HUGE,))
        file.create_virtual_dataset("virtual", layout)
        twice = h5py.VirtualLayout((10,), "u1")
        twice[:] = h5py.VirtualSource(".", "once", (10,))
        file.create_virtual_dataset("twice", twice)
        once = h5py.VirtualLayout((10,), "u1")
        once[:] = h5py.VirtualSource(".", "twice", (10,))
        file.create_virtual_dataset("once", once)

    yield "claims.h5", made_by_h5py(claims, libver="latest")

    def attributes(file):
        for n in range(100):
            file.attrs[f"attribute {n}"] = np.zeros(2000, "u1")
        file.attrs["texts"] = ["long " * 1000] * 20

    yield "megabytes-of-attributes.h5", made_by_h5py(attributes, libver="latest")

    def records(file):
        inner = np.dtype("u1")
        for n in range(60):
            inner = np.dtype([(f"f{n}", inner)])
        file["nested"] = np.zeros(2, inner)

    sound = made_by_h5py(records)
    yield "records-in-records.h5", sound
    yield "end-of-file-is-not-there.h5", sound[: len(sound) // 2]
    # The root group's tree of names is its own child.
    old = bytearray(made_by_h5py(lambda file: [file.create_group(f"group {n}") for n in range(40)]))
    tree = old.index(b"TREE")
    old[tree + 5] = 1
    for at in range(tree + 32, tree + 32 + 16 * 4, 16):
        old[at : at + 8] = struct.pack("<Q", tree)
    yield "tree-that-is-its-own-child.h5", bytes(old)


def netcdf():
    def classic(dimensions, variables, records=0, version=1):
        out = b"CDF" + bytes([version]) + struct.pack(">i", records)
        out += struct.pack(">ii", 10, len(dimensions))
        for name, length in dimensions:
            out += struct.pack(">i", len(name)) + name.ljust(-(-len(name) // 4) * 4, b"\0") + struct.pack(">i", length)
        out += struct.pack(">ii", 0, 0) + struct.pack(">ii", 11, len(variables))
        for name, axes in variables:
            out += struct.pack(">i", len(name)) + name.ljust(-(-len(name) // 4) * 4, b"\0")
            out += struct.pack(f">i{len(axes)}i", len(axes), *axes) + struct.pack(">ii", 0, 0)
            out += struct.pack(">iii", 6, 8, 60)
        return out

    yield "axes-of-2-billion.nc", classic([(b"x", 0x7FFFFFFF)], [(b"v", [0] * 12)])
    yield "axis-that-is-not-there.nc", classic([(b"x", 2)], [(b"v", [0, 7])])
    yield "records-without-end.nc", classic([(b"t", 0), (b"x", 3)], [(b"v", [0, 1])], records=-1)
    yield "name-of-2-gigabytes.nc", b"CDF\x01\0\0\0\0" + struct.pack(">iii", 10, 1, 0x7FFFFFFF)
    yield "two-billion-variables.nc", b"CDF\x01" + struct.pack(">iiiii", 0, 0, 0, 0, 0) + struct.pack(">ii", 11, 0x7FFFFFFF)


def fits():
    def header(*cards):
        text = "".join(card.ljust(80) for card in [*cards, "END"]).encode()
        return text.ljust(-(-len(text) // 2880) * 2880)

    def card(key, value):
        return f"{key:8}= {value!s:>20}"

    axes = [card(f"NAXIS{n + 1}", 999_999_999_999) for n in range(999)]
    yield "a-thousand-axes.fits", header(card("SIMPLE", "T"), card("BITPIX", -64), card("NAXIS", 999), *axes)
    yield "axis-below-zero.fits", header(card("SIMPLE", "T"), card("BITPIX", 8), card("NAXIS", 1), card("NAXIS1", -5))
    yield "no-end.fits", (card("SIMPLE", "T").ljust(80) + card("BITPIX", 8).ljust(80)).encode().ljust(28800)
    table = [card("XTENSION", "'BINTABLE'"), card("BITPIX", 8), card("NAXIS", 2), card("NAXIS1", 0), card("NAXIS2", HUGE)]
    table += [card("PCOUNT", 0), card("GCOUNT", 1), card("TFIELDS", 999), card("TFORM1", "'99999999999999D'")]
    yield "table-of-wide-columns.fits", header(card("SIMPLE", "T"), card("BITPIX", 8), card("NAXIS", 0)) + header(*table)


def tables():
    yield "quote-without-end.csv", b'a,b\n1,"' + b"x,\n" * 30_000
    yield "a-hundred-thousand-columns.csv", b"a," * 100_000 + b"\n" + b"1," * 100_000 + b"\n"
    yield "no-text.csv", bytes(range(256)) * 400
    rows = io.BytesIO()
    pa.parquet.write_table(pa.table({"x": np.zeros(16 << 20)}), rows, compression="zstd", use_dictionary=False)
    yield "rows-that-grow.parquet", rows.getvalue()
    whole = bytearray(rows.getvalue())
    whole[-8:-4] = struct.pack("<I", 0x7FFFFFFF)
    yield "foot-of-2-gigabytes.parquet", bytes(whole)
    yield "only-a-foot.parquet", b"PAR1" + b"\x15\x04\x19\xfc\xff\xff\xff\xff\x07" + struct.pack("<I", 9) + b"PAR1"
    rows = io.BytesIO()
    pa.feather.write_feather(pa.table({"x": np.zeros(8 << 20)}), rows, compression="zstd")
    yield "rows-that-grow.feather", rows.getvalue()
    yield "message-of-2-gigabytes.feather", b"ARROW1\0\0" + struct.pack("<II", 0xFFFFFFFF, 0x7FFFFFF8) + bytes(8) + struct.pack("<I", 0x7FFFFFFF) + b"ARROW1"


def workbooks():
    parts = {
        "_rels/.rels": (
            b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
            b'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
            b'Target="xl/workbook.xml"/></Relationships>'
        ),
        "[Content_Types].xml": b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "xl/workbook.xml": (
            b'<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
            b'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
            b'<sheets><sheet name="one" sheetId="1" r:id="rId1"/></sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": (
            b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
            b'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" '
            b'Target="worksheets/sheet1.xml"/></Relationships>'
        ),
    }

    def book(cells, strings=None):
        sheet = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        more = {"xl/sharedStrings.xml": strings} if strings else {}
        return archive(parts | more | {"xl/worksheets/sheet1.xml": sheet + cells + b"</sheetData></worksheet>"})

    yield "cell-at-the-far-corner.xlsx", book(
        b'<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    )
    yield "sheet-that-grows.xlsx", book(b"<row>" + b" " * (64 << 20) + b"</row>")
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
    )
    yield "entities-that-multiply.xlsx", book(
        b'<row r="1"><c r="A1" t="s"><v>0</v></c></row>', entities + b"]><sst><si><t>&j;</t></si></sst>"
    )
    yield "string-that-is-not-there.xlsx", book(b'<row r="1"><c r="A1" t="s"><v>4294967295</v></c></row>')
    yield "brackets.xlsx", book(b"<row>" * 100_000)


if __name__ == "__main__":
    main()
