#!/usr/bin/env python3
"""Makes the samples in testdata/files and testdata/directories with the programs that define their formats.

    pip install numpy h5py h5netcdf hdf5plugin tifffile imagecodecs pillow pandas pyarrow openpyxl scipy astropy zarr
"""

import shutil
from pathlib import Path

import h5netcdf
import h5py
import hdf5plugin
import numpy as np
import pandas as pd
import tifffile
import zarr
from astropy.io import fits
from PIL import Image
from scipy.io import netcdf_file

FILES = Path(__file__).parent.parent / "testdata" / "files"
DIRECTORIES = FILES.parent / "directories"


def main() -> None:
    FILES.mkdir(exist_ok=True)
    pages = np.arange(2 * 20 * 33, dtype="u2").reshape(2, 20, 33)
    grey = np.add.outer(np.arange(12), np.arange(17)).astype("u1") * 5
    tifffile.imwrite(FILES / "strips.tif", pages, compression="zlib", predictor=True, photometric="minisblack")
    tifffile.imwrite(FILES / "tiles.tif", pages, compression="lzw", tile=(16, 16), photometric="minisblack")
    tifffile.imwrite(FILES / "big.tif", pages[0].astype("f4"), bigtiff=True, byteorder=">", compression="packbits")
    colours = np.stack([grey, grey[::-1], grey], axis=-1)
    options = {"photometric": "ycbcr", "compression": "jpeg", "subsampling": (2, 2), "tile": (16, 16)}
    tifffile.imwrite(FILES / "jpeg.tif", np.tile(colours, (3, 2, 1)), **options)
    tifffile.imwrite(FILES / "imagej.tif", pages[:, None], imagej=True, metadata={"axes": "TZYX"}, truncate=True)
    options = {"photometric": "minisblack", "compression": "lzma", "metadata": {"axes": "ZYX"}}
    tifffile.imwrite(FILES / "ome.tif", pages, ome=True, byteorder=">", **options)
    volume = np.arange(5 * 20 * 33, dtype="f4").reshape(5, 20, 33)
    tifffile.imwrite(FILES / "volume.tif", volume, volumetric=True, tile=(2, 16, 16), compression="zstd", predictor=True)
    Image.fromarray(grey > 40).save(FILES / "fax.tif", compression="group4")
    Image.fromarray(colours).save(FILES / "progressive.jpg", progressive=True, restart_marker_blocks=1)
    Image.fromarray(grey).save(FILES / "grey.png")
    Image.fromarray(grey).convert("RGB").quantize(8).save(FILES / "palette.png")
    Image.fromarray(grey).save(FILES / "grey.jpg")
    Image.fromarray(colours).save(FILES / "colour.jpg")
    np.save(FILES / "array.npy", np.asfortranarray(pages[0]))
    np.savez_compressed(FILES / "arrays.npz", x=pages[0], y=np.float32(3))
    np.savez(FILES / "plain.npz", x=grey)
    frame = pd.DataFrame({"i": [1, 2], "f": [1.5, None], "s": ["a", None], "b": [True, False]})
    frame["d"] = pd.to_datetime(["2020-01-01", "2021-05-06"])
    frame.to_csv(FILES / "table.csv")
    frame.to_csv(FILES / "table.tsv", sep="\t", index=False)
    np.savetxt(FILES / "header-absent.csv", grey[:4, :3], fmt="%d", delimiter=",")
    frame.to_parquet(FILES / "table.parquet")
    frame.to_feather(FILES / "table.feather", compression="uncompressed")
    frame.to_excel(FILES / "book.xlsx", index=False)
    with netcdf_file(FILES / "classic.nc", "w") as file:
        file.createDimension("t", None)
        file.createDimension("x", 3)
        file.createVariable("x", "f4", ("x",))[:] = [1, 2, 3]
        file.createVariable("v", "i2", ("t", "x"))[:] = np.arange(12).reshape(4, 3)
        file.createVariable("t", "f8", ("t",))[:] = np.arange(4)
        file.history = b"made for a test"
    table = fits.BinTableHDU.from_columns(
        [fits.Column("n", "J", array=[1, 2, 3]), fits.Column("s", "4A", array=["a", "bc", "def"])], name="rows"
    )
    images = [fits.PrimaryHDU(pages[0]), fits.ImageHDU(pages[0].astype("f4"), name="real"), table]
    fits.HDUList(images).writeto(FILES / "units.fits", overwrite=True)
    for name, version in [("old", "earliest"), ("new", "latest")]:
        with h5py.File(FILES / f"{name}.h5", "w", libver=version) as file:
            file.attrs["sample"] = "gold"
            group = file.create_group("entry")
            group.create_dataset("gzip", data=pages, chunks=(1, 7, 11), compression="gzip", shuffle=True, fletcher32=True)
            group.create_dataset("grows", data=pages, chunks=(1, 20, 33), maxshape=(None, 20, 33), compression="lzf")
            group.create_dataset("blosc", data=pages, chunks=(2, 20, 33), **hdf5plugin.Blosc())
            group.create_dataset("blosc2", data=pages, chunks=(2, 20, 33), **hdf5plugin.Blosc2(filters=3))
            group.create_dataset("blocks", data=pages, chunks=(2, 20, 33), **hdf5plugin.LZ4(nbytes=1000))
            group.create_dataset("raw", (5, 7), "i2", external=[(f"{name}.h5", 0, 40), (f"{name}.h5", 8, 30)])
            group.create_dataset("bits", data=pages, chunks=(2, 20, 33), **hdf5plugin.Bitshuffle())
            group["plain"] = grey
            group["texts"] = ["é", "longer", ""]
            group["record"] = np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True))
            group["link"] = h5py.SoftLink("/entry/plain")
            group["circle"] = h5py.SoftLink("/entry")
            layout = h5py.VirtualLayout((4, 12, 17), "u1")
            for n in range(4):
                layout[n] = h5py.VirtualSource(group["plain"])
            group.create_virtual_dataset("virtual", layout)
    with h5netcdf.File(FILES / "four.nc", "w") as file:
        file.dimensions = {"t": None, "x": 3, "bare": 2}
        file.create_variable("x", ("x",), data=np.arange(3.0))
        file.create_variable("v", ("t", "x"), "i2", chunks=(2, 3), compression="gzip").attrs["scale_factor"] = 0.5
        file.resize_dimension("t", 4)
        file["v"][:] = np.arange(12).reshape(4, 3)
        file.create_variable("group/deep", ("bare", "x"), data=np.zeros((2, 3)))
        file.create_variable("scalar", data=7)
        file.attrs["title"] = "made for a test"
    directories(pages, grey, frame)


def directories(pages: np.ndarray, grey: np.ndarray, frame: pd.DataFrame) -> None:
    """What is data only together: directories, and files that continue each other."""
    shutil.rmtree(DIRECTORIES, ignore_errors=True)
    for version in (2, 3):
        group = zarr.create_group(DIRECTORIES / f"zarr-{version}.zarr", zarr_format=version)
        group.attrs["sample"] = "gold"
        group.create_array("pages", data=pages, chunks=(1, 16, 16))
        group.create_group("below").create_array("grey", data=grey, chunks=(12, 17), fill_value=7)
    shards = {"shards": (8, 16), "chunks": (4, 8), "compressors": zarr.codecs.GzipCodec()}
    zarr.open_group(DIRECTORIES / "zarr-3.zarr").create_array("sharded", data=grey, **shards)
    named = {"basename_template": "part-{i}.parquet"}
    frame.assign(k=["x", "y"], n=[1, 2]).to_parquet(DIRECTORIES / "parts.parquet", partition_cols=["k", "n"], **named)
    frames = DIRECTORIES / "frames"
    frames.mkdir()
    for n in range(3):
        np.save(frames / f"{n}.npy", grey + n)
        Image.fromarray(grey + np.uint8(n)).save(frames / f"{n}.png")
        Image.fromarray(grey + np.uint8(n)).save(frames / f"{n}.jpg")
        tifffile.imwrite(frames / f"{n}.tif", grey + np.uint8(n))
        frame.assign(i=n).to_csv(frames / f"{n}.csv", index=False)


if __name__ == "__main__":
    main()
