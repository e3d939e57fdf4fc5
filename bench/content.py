"""The same content for every server, uploaded over HTTP."""

import base64
import http.client
import io
import json
import random

import numpy
import pyarrow
import pyarrow.ipc
from load import AUTHORIZATION
from servers import Server

NODES = 300
CATEGORIES = ["alkali metal", "noble gas", "halogen", "transition metal", "lanthanide", "actinide"]
WORDS = "beam lattice sample phase oxide thin film anneal scan reference vacuum mirror slit detector".split()


class Uploader:
    def __init__(self, server: Server):
        self.connection = http.client.HTTPConnection(server.address, timeout=600)

    def send(self, method: str, path: str, body: bytes, media_type: str) -> bytes:
        headers = AUTHORIZATION | {"content-type": media_type}
        # While content was made, the server may have closed the connection.
        self.connection.close()
        self.connection.request(method, f"/api/v1{path}", body, headers)
        response = self.connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
        return answer

    def create(self, parent: str, key: str, family: str, metadata: dict, source: dict | None = None) -> None:
        body = {"id": key, "structure_family": family, "metadata": metadata, "specs": []}
        body["data_sources"] = [source] if source else []
        self.send("POST", f"/metadata/{parent}", json.dumps(body).encode(), "application/json")

    def container(self, parent: str, key: str) -> None:
        self.create(parent, key, "container", {})

    def array(self, parent: str, key: str, array: numpy.ndarray, chunk: tuple[int, ...]) -> None:
        """Uploads an array block by block."""
        self.create(parent, key, "array", {"unit": "counts"}, array_source(array.shape, chunk, array.dtype))
        for index in numpy.ndindex(*(-(-n // c) for n, c in zip(array.shape, chunk))):
            part = array[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunk))]
            block = ",".join(map(str, index))
            path = f"/array/block/{parent}/{key}?block={block}"
            self.send("PUT", path, part.tobytes(), "application/octet-stream")

    def table(self, parent: str, key: str, table: pyarrow.Table) -> None:
        schema = table.schema.serialize().to_pybytes()
        structure = {
            "arrow_schema": f"data:application/vnd.apache.arrow.file;base64,{base64.b64encode(schema).decode()}",
            "npartitions": 1,
            "columns": table.column_names,
            "resizable": False,
        }
        source = {"structure_family": "table", "structure": structure, "management": "writable"}
        self.create(parent, key, "table", {"kind": "demo"}, source | {"mimetype": "application/x-parquet"})
        stream = io.BytesIO()
        with pyarrow.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table)
        path = f"/table/partition/{parent}/{key}?partition=0"
        self.send("PUT", path, stream.getvalue(), "application/vnd.apache.arrow.file")


def array_source(shape: tuple[int, ...], chunk: tuple[int, ...], dtype: numpy.dtype) -> dict:
    chunks = [[c] * (n // c) + ([n % c] if n % c else []) for n, c in zip(shape, chunk)]
    kind = {"kind": dtype.kind, "itemsize": dtype.itemsize, "endianness": "little", "dt_units": None}
    if dtype.itemsize == 1:
        kind["endianness"] = "not_applicable"
    structure = {"data_type": kind, "chunks": chunks, "shape": list(shape), "dims": None, "resizable": False}
    return {"structure_family": "array", "structure": structure, "management": "writable"}


def element(n: int) -> dict:
    """Metadata of the shape that the demo's elements have."""
    chosen = random.Random(n)
    return {
        "element": {
            "symbol": f"E{n % 120}",
            "name": f"element {n % 120}",
            "atomic_number": n % 120,
            "molar_mass": round(chosen.uniform(1, 300), 3),
            "period": n % 7,
            "category": CATEGORIES[n % 3 if n % 10 < 9 else n % 6],
        },
        "scan_id": n,
        "temperature": round(chosen.uniform(4, 300), 3),
        "title": " ".join(chosen.sample(WORDS, 4)),
        "sample": {"name": f"sample-{n % 1000}"},
    }


def fill(server: Server) -> None:
    upload = Uploader(server)
    for key in ["nodes", "small", "large", "inbox"]:
        upload.container("", key)
    for n in range(NODES):
        upload.create("nodes", f"n{n:05}", "container", element(n))

    noise = numpy.random.default_rng(0)
    upload.array("small", "array", noise.random((10, 10)), (10, 10))
    rows = pyarrow.table({name: noise.random(10) for name in "abcde"})
    upload.table("small", "table", rows)

    frame = numpy.add.outer(numpy.arange(512), numpy.arange(512)) // 8
    stack = (frame + noise.poisson(3, (200, 512, 512))).astype("uint16")
    upload.array("large", "stack", stack, (1, 512, 512))
    chunked = noise.integers(0, 255, (4096, 4096)).astype("float32")
    upload.array("large", "chunked", chunked, (512, 512))
    upload.array("large", "image", noise.random((1000, 1000)), (1000, 1000))
    upload.array("large", "block", noise.integers(0, 255, (2048, 4096), dtype="uint8"), (2048, 4096))
    whole = numpy.broadcast_to(stack[:16].reshape(8, 1024, 512), (8, 8, 1024, 512)).reshape(64, 1024, 512)
    upload.array("large", "whole", whole, (4, 1024, 512))
    upload.array("large", "archive", numpy.tile(whole, (3, 1, 1)), (4, 1024, 512))
    count = 500_000
    columns = {name: noise.random(count) for name in "xyz"}
    columns |= {"i": numpy.arange(count), "label": numpy.array(CATEGORIES)[noise.integers(0, 6, count)]}
    upload.table("large", "table", pyarrow.table(columns))
