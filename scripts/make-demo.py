#!/usr/bin/env python3
"""Make testdata/demo/content.zst, the content that `girih serve demo` serves.

It only needs to be run again when the content is to change:

    python3 -m venv demo && demo/bin/pip install numpy==2.4.6 pyarrow xraydb==4.5.8 scikit-image==0.26.0 zstandard
    demo/bin/python scripts/make-demo.py

The result is a zstd frame. Its first line is a JSON list of nodes in the order of their creation; the bodies of those
that have `nbytes` follow one after another, each exactly what a client would upload for the node's structure.
"""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import skimage.data
import xraydb
import zstandard

TARGET = Path(__file__).parent.parent / "testdata" / "demo" / "content.zst"

# Only images whose photographers put them into the public domain or under CC0, and computed ones.
IMAGES = [
    "astronaut", "binary_blobs", "brick", "camera", "cat", "cell", "chelsea", "clock", "coffee", "grass", "gravel",
    "horse", "rocket", "shepp_logan_phantom",
]  # fmt: skip

NOBLE_GASES = [2, 10, 18, 36, 54, 86, 118]  # each closes a period
CATEGORIES = {
    "nonmetal": [1, 6, 7, 8, 15, 16, 34],
    "noble_gas": NOBLE_GASES,
    "alkali_metal": [3, 11, 19, 37, 55, 87],
    "alkaline_earth": [4, 12, 20, 38, 56, 88],
    "metalloid": [5, 14, 32, 33, 51, 52],
    "halogen": [9, 17, 35, 53, 85],
    "post_transition_metal": [13, 31, 49, 50, 81, 82, 83, 84],
    "lanthanide": range(57, 72),
    "actinide": range(89, 104),
}

nodes, bodies = [], []


def container(path, metadata):
    nodes.append({"path": path, "family": "container", "metadata": metadata})


def array(path, data, metadata):
    kind, itemsize = data.dtype.kind, data.dtype.itemsize
    order = "not_applicable" if itemsize == 1 else "little"
    structure = {
        "data_type": {"endianness": order, "kind": kind, "itemsize": itemsize, "dt_units": None},
        "chunks": [[length] for length in data.shape],
        "shape": list(data.shape),
        "dims": None,
        "resizable": False,
    }
    body = np.ascontiguousarray(data, data.dtype.newbyteorder("<")).tobytes()
    leaf(path, "array", metadata, structure, "application/octet-stream", body)


def table(path, columns):
    data = pa.table(columns)
    schema = base64.b64encode(data.schema.serialize()).decode()
    structure = {
        "arrow_schema": f"data:application/vnd.apache.arrow.file;base64,{schema}",
        "npartitions": 1,
        "columns": data.column_names,
        "resizable": False,
    }
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, data.schema) as writer:
        writer.write_table(data)
    leaf(path, "table", {}, structure, "application/vnd.apache.arrow.file", sink.getvalue())


def leaf(path, family, metadata, structure, content_type, body):
    nodes.append(
        {
            "path": path,
            "family": family,
            "metadata": metadata,
            "structure": structure,
            "content_type": content_type,
            "nbytes": len(body),
        }
    )
    bodies.append(body)


def category(z):
    return next((name for name, members in CATEGORIES.items() if z in members), "transition_metal")


def element(z):
    symbol = xraydb.atomic_symbol(z)
    edges, lines = xraydb.xray_edges(z), xraydb.xray_lines(z)
    facts = {
        "symbol": symbol,
        "name": xraydb.atomic_name(z),
        "atomic_number": z,
        "molar_mass": round(xraydb.atomic_mass(z), 4),
        "period": 1 + sum(z > last for last in NOBLE_GASES),
        "category": category(z),
    }
    if density := xraydb.atomic_density(z):
        facts["density_g_cm3"] = round(density, 4)
    metadata = {"element": facts}
    edge_rows = [(name, round(e.energy, 2), round(e.fyield, 6), round(e.jump_ratio, 4)) for name, e in edges.items()]
    line_rows = [
        (name, round(v.energy, 2), round(v.intensity, 6), v.initial_level, v.final_level) for name, v in lines.items()
    ]
    if edge_rows:
        metadata["edges"] = {
            name: {"energy_eV": energy, "fluorescence_yield": fluorescence, "jump_ratio": jump}
            for name, energy, fluorescence, jump in edge_rows
        }
    if line_rows:
        strongest = sorted(line_rows, key=lambda row: -lines[row[0]].intensity)[:5]
        metadata["strongest_lines"] = {name: {"energy_eV": e, "intensity": i} for name, e, i, *_ in strongest}

    path = f"examples/xraydb/{symbol}"
    container(path, metadata)
    try:
        energies = xraydb.chantler_energies(symbol, emin=100, emax=300_000)
        attenuation = xraydb.mu_elam(z, energies, kind="total")
    except Exception as error:  # beyond the tables
        print(f"{symbol} has no mu_total: {error}")
    else:
        if len(energies):
            rows = ["energy_eV", "mu_total_cm2_per_g"]
            array(f"{path}/mu_total", np.vstack([energies, attenuation]), {"rows": rows})
    if line_rows:
        names = ["line", "energy_eV", "intensity", "initial_level", "final_level"]
        table(f"{path}/emission_lines", dict(zip(names, map(list, zip(*line_rows)))))
    if edge_rows:
        names = ["edge", "energy_eV", "fluorescence_yield", "jump_ratio"]
        table(f"{path}/edges", dict(zip(names, map(list, zip(*edge_rows)))))


def main():
    container("examples", {})
    container(
        "examples/xraydb",
        {
            "description": "X-ray reference data for the elements, sourced from XrayDB "
            "(https://github.com/xraypy/XrayDB). Includes mass attenuation "
            "coefficients, emission lines, and absorption edges.",
            "source": "xraydb",
            "version": "9.2",
            "energy_units": "eV",
            "mu_units": "cm^2/g",
        },
    )
    for z in range(1, 99):
        element(z)
    container("examples/images", {})
    for name in IMAGES:
        make = getattr(skimage.data, name)
        array(f"examples/images/{name}", make(rng=0) if name == "binary_blobs" else make(), {})

    content = b"".join([json.dumps(nodes, separators=(",", ":")).encode(), b"\n", *bodies])
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=23, write_checksum=True)
    TARGET.write_bytes(zstandard.ZstdCompressor(compression_params=parameters).compress(content))
    print(f"{len(nodes)} nodes, {len(content)} bytes, {TARGET.stat().st_size} compressed")


if __name__ == "__main__":
    main()
