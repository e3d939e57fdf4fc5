"""Clients that write, and know what must be there afterwards: for tests in which the server is harmed."""

import base64
import io
import threading

import httpx
import numpy as np
import pyarrow as pa

KEY = "secret"
ARROW = "application/vnd.apache.arrow.file"
CHUNKS, CHUNK = 3, 1000


class Refused(AssertionError):
    """An answer other than success."""

    def __init__(self, method, path, reply):
        super().__init__(f"{method} {path}: {reply.status_code} {reply.text}")
        self.status = reply.status_code
        self.detail = reply.json().get("detail", "")


class Writer(threading.Thread):
    """Writes until the server is gone. Each has nodes of its own; a subclass knows what they must be afterwards."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.key = name
        self.http = None
        self.over = threading.Event()
        self.fault = None
        #: Acknowledged requests.
        self.done = 0
        #: Says whether the writer may go on after such a refusal.
        self.bears = lambda refused: False
        #: Refusals that were borne.
        self.refusals = []

    def begin(self, server):
        """Another life: threads run once."""
        fresh = type(self)(self.key)
        fresh.__dict__.update({k: v for k, v in self.__dict__.items() if not k.startswith("_")})
        fresh.over = threading.Event()
        fresh.http = httpx.Client(
            base_url=f"{server.base}/api/v1", headers={"Authorization": f"Apikey {KEY}"}, timeout=60
        )
        return fresh

    def run(self):
        try:
            while not self.over.is_set():
                try:
                    self.step()
                except Refused as refused:
                    if not self.bears(refused):
                        raise
                    self.refusals.append(refused)
                    self.verify(self.http)
        except httpx.TransportError:
            pass
        except AssertionError as fault:
            self.fault = fault

    def ask(self, method, path, **options):
        reply = self.http.request(method, path, **options)
        if reply.status_code != 200:
            raise Refused(method, path, reply)
        self.done += 1
        return reply

    def create(self, parent, key, family, structure=None, **more):
        source = {"structure_family": family, "structure": structure, "management": "writable"} | more
        body = {"id": key, "structure_family": family, "metadata": {}, "data_sources": [source] if structure else []}
        return self.ask("POST", f"/metadata/{parent}", json=body)

    def exists(self, http, path):
        status = http.get(f"/metadata/{path}").status_code
        assert status in (200, 404), f"{path}: {status}"
        return status == 200


class Arrays(Writer):
    """Arrays of a few chunks that are created, and written over and over."""

    stored = None  # what was acknowledged
    coming = None  # what was on its way
    number = 0

    def step(self):
        if self.stored is None or self.stored == 5:
            self.number += 1
            self.stored, self.coming = None, "created"
            kind = {"kind": "u", "itemsize": 1, "endianness": "not_applicable"}
            structure = {"data_type": kind, "chunks": [[CHUNK] * CHUNKS], "shape": [CHUNK * CHUNKS]}
            self.create("", f"{self.key}-{self.number}", "array", structure)
            self.stored, self.coming = 0, None
        self.coming = self.stored + 1
        body = bytes([self.coming]) * (CHUNK * CHUNKS)
        path = f"/array/full/{self.key}-{self.number}"
        self.ask("PUT", path, content=body, headers={"Content-Type": "application/octet-stream"})
        self.stored, self.coming = self.coming, None

    def verify(self, http):
        key = f"{self.key}-{self.number}"
        if self.stored is None:
            if self.coming and not self.exists(http, key):
                self.number -= 1
            self.stored = 5 if self.number else None
            return
        reply = http.get(f"/array/full/{key}", params={"format": "application/octet-stream"})
        assert reply.status_code == 200, reply.text
        chunks = np.frombuffer(reply.content, "u1").reshape(CHUNKS, CHUNK)
        assert (chunks == chunks[:, :1]).all(), f"{key}: a chunk is half written"
        allowed = {self.stored, self.coming} - {None}
        assert set(chunks[:, 0].tolist()) <= allowed, f"{key}: {chunks[:, 0]} instead of {allowed}"
        self.stored, self.coming = 5, None


class Growing(Writer):
    """An array that is extended, and counts up."""

    length = None
    coming = False

    def step(self):
        if self.length is None:
            kind = {"kind": "i", "itemsize": 4, "endianness": "little"}
            self.create("", self.key, "array", {"data_type": kind, "chunks": [[0]], "shape": [0]})
            self.length = 0
        self.coming = True
        body = np.arange(self.length, self.length + 10, dtype="<i4").tobytes()
        query = {"offset": str(self.length), "shape": "10", "extend": "true"}
        headers = {"Content-Type": "application/octet-stream"}
        self.ask("PATCH", f"/array/full/{self.key}", params=query, content=body, headers=headers)
        self.length, self.coming = self.length + 10, False

    def verify(self, http):
        if self.length is None:
            if self.exists(http, self.key):
                self.length = 0
            return
        shape = http.get(f"/metadata/{self.key}").json()["data"]["attributes"]["structure"]["shape"]
        assert shape[0] in {self.length, self.length + 10 * self.coming}, f"{shape} instead of {self.length}"
        self.length, self.coming = shape[0], False
        if self.length:
            reply = http.get(f"/array/full/{self.key}", params={"format": "application/octet-stream"})
            np.testing.assert_array_equal(np.frombuffer(reply.content, "<i4"), np.arange(self.length))


class Rows(Writer):
    """A table to which rows are appended."""

    key_of_write = None  # its Idempotency-Key, if it is to have one
    count = None
    coming = False
    schema = pa.schema([("n", pa.int64())])

    def step(self):
        if self.count is None:
            schema = base64.b64encode(self.schema.serialize().to_pybytes()).decode()
            structure = {"arrow_schema": f"data:{ARROW};base64,{schema}", "npartitions": 1, "columns": ["n"]}
            self.create("", self.key, "table", structure, mimetype="application/x-parquet")
            self.count = 0
        self.coming = True
        file = io.BytesIO()
        with pa.ipc.new_file(file, self.schema) as writer:
            writer.write_table(pa.table({"n": range(self.count, self.count + 10)}))
        path = f"/table/partition/{self.key}?partition=0"
        headers = {"Content-Type": ARROW} | ({"Idempotency-Key": self.key_of_write} if self.key_of_write else {})
        self.ask("PATCH", path, content=file.getvalue(), headers=headers)
        self.count, self.coming = self.count + 10, False

    def verify(self, http):
        if self.count is None:
            if self.exists(http, self.key):
                self.count = 0
            return
        reply = http.get(f"/table/full/{self.key}", params={"format": ARROW})
        assert reply.status_code == 200, reply.text
        rows = pa.ipc.open_file(reply.content).read_all()["n"].to_pylist()
        assert len(rows) in {self.count, self.count + 10 * self.coming}, f"{len(rows)} rows instead of {self.count}"
        assert rows == list(range(len(rows)))
        self.count, self.coming = len(rows), False


class Notes(Writer):
    """Metadata that is changed, and keeps what it was as revisions."""

    number = None
    coming = False

    def step(self):
        if self.number is None:
            self.create("", self.key, "container")
            self.number = 0
        self.coming = True
        self.ask("PUT", f"/metadata/{self.key}", json={"metadata": {"n": self.number + 1}})
        self.number, self.coming = self.number + 1, False

    def verify(self, http):
        if self.number is None:
            if self.exists(http, self.key):
                self.number = 0
            return
        found = http.get(f"/metadata/{self.key}").json()["data"]["attributes"]["metadata"].get("n", 0)
        assert found in {self.number, self.number + self.coming}, f"{found} instead of {self.number}"
        revisions = http.get(f"/revisions/{self.key}", params={"page[limit]": 1}).json()["meta"]["count"]
        assert revisions == found, f"{revisions} revisions of {found} changes"
        self.number, self.coming = found, False


class Crowds(Writer):
    """Many nodes at once, and their end."""

    number = 0
    state = None  # what was acknowledged of the crowd: None, "there"
    coming = None

    def step(self):
        if self.state is None:
            self.number += 1
            self.coming = "create"
            nodes = [{"id": f"{self.key}-{self.number}", "structure_family": "container"}]
            nodes += [
                {"parent": nodes[0]["id"], "id": f"k{n}", "structure_family": "container", "metadata": {"n": n}}
                for n in range(20)
            ]
            reply = self.ask("POST", "/bulk/", json=nodes)
            assert reply.json()["data"]["created"] == 21, reply.text
            self.state, self.coming = "there", None
        self.coming = "delete"
        query = {"recursive": "true", "external_only": "false"}
        self.ask("DELETE", f"/metadata/{self.key}-{self.number}", params=query)
        self.state, self.coming = None, None

    def verify(self, http):
        if not self.number:
            return
        key = f"{self.key}-{self.number}"
        there = self.exists(http, key)
        if self.coming is None:
            assert there == (self.state == "there"), f"{key}: {there} instead of {self.state}"
        if there:
            found = http.get(f"/search/{key}", params={"page[limit]": 100, "filter[keypresent][condition][key]": "n",
                                                       "filter[keypresent][condition][exists]": "true"})
            assert len(found.json()["data"]) == 20, f"{key} is half there"
            count = http.get(f"/metadata/{key}").json()["data"]["attributes"]["structure"]["count"]
            assert count == 20
        self.state, self.coming = ("there" if there else None), None


def a_crew():
    """One of each, and two of those whose writes have parts."""
    kinds = [Arrays, Arrays, Growing, Rows, Notes, Crowds]
    return [kind(f"{kind.__name__.lower()}{n}") for n, kind in enumerate(kinds)]
