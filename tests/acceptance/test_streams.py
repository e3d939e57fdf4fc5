"""Those who watch: with the published Python client, and message by message."""

import json
import threading
import time

import msgpack
import numpy as np
import pandas as pd
import pyarrow
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

PATIENCE = 20


class Ear:
    """A WebSocket, and all that was heard."""

    def __init__(self, server, path, start=None, envelope="json", key=True):
        query = f"envelope_format={envelope}" + (f"&start={start}" if start is not None else "")
        headers = {"Authorization": f"Apikey {server.key}"} if key else {}
        url = f"{server.base.replace('http', 'ws')}/api/v1/stream/single{path}?{query}"
        self.decode = json.loads if envelope == "json" else msgpack.unpackb
        self.socket = connect(url, additional_headers=headers, max_size=1 << 30)
        self.schema = self.next() if key else None

    def next(self, timeout=PATIENCE):
        return self.decode(self.socket.recv(timeout=timeout))

    def some(self, count):
        return [self.next() for _ in range(count)]

    def nothing(self):
        with pytest.raises(TimeoutError):
            print(self.next(timeout=0.3))

    def end(self):
        """How it was closed."""
        with pytest.raises(ConnectionClosed) as closed:
            print(self.next())
        return closed.value.rcvd.code, closed.value.rcvd.reason

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_tutorial(catalog):
    client = catalog.client().create_container("tutorial")
    log, children = [], []

    def on_child_created(update):
        log.append(f"New item named {update.key}")
        child = update.child().subscribe()
        child.new_data.add_callback(on_new_data)
        child.start_in_thread(start=0)
        children.append(child)

    def on_new_data(update):
        log.append(f"New data: {update.data()}")

    subscription = client.subscribe()
    subscription.child_created.add_callback(on_child_created)
    subscription.start_in_thread()
    array = client.write_array(np.array([1, 2, 3]), key="a")
    array.patch(np.array([4, 5, 6]), offset=3, extend=True)
    array.patch(np.array([7, 8, 9]), offset=6, extend=True)
    until(lambda: len(log) == 4)
    assert log == ["New item named a", "New data: [1 2 3]", "New data: [4 5 6]", "New data: [7 8 9]"]
    assert array.read().tolist() == list(range(1, 10))
    for each in [subscription, *children]:
        each.disconnect()


@pytest.mark.parametrize("envelope", ["json", "msgpack"])
def test_what_an_array_tells(catalog, envelope):
    client = catalog.client().create_container(f"array_{envelope}")
    array = client.new("array", [source_of((2, 4), ((1, 1), (4,)))], key="a")
    with Ear(catalog, f"/array_{envelope}/a", envelope=envelope) as ear:
        kind = {"endianness": "little", "kind": "i", "itemsize": 4, "dt_units": None}
        assert ear.schema == {"type": "array-schema", "version": 1, "data_type": kind}
        array.write(np.arange(8, dtype="i4").reshape(2, 4))
        array.write_block(np.full((1, 4), 7, "i4"), (1, 0))
        array.patch(np.array([[9]], dtype="i4"), offset=(0, 2))
        whole, block, patch = ear.some(3)
        assert [update["sequence"] for update in [whole, block, patch]] == [1, 2, 3]
        assert {update["type"] for update in [whole, block, patch]} == {"array-data"}
        assert (whole["shape"], whole["offset"], whole["block"]) == ([2, 4], None, None)
        assert (block["shape"], block["offset"], block["block"]) == ([1, 4], None, [1, 0])
        assert (patch["shape"], patch["offset"], patch["block"]) == ([1, 1], [0, 2], None)
        if envelope == "json":
            assert whole["payload"] == [[0, 1, 2, 3], [4, 5, 6, 7]] and whole["content-type"] == "application/json"
        else:
            assert whole["payload"] == np.arange(8, dtype="i4").tobytes()
        ear.nothing()
    with Ear(catalog, f"/array_{envelope}/a", start=2, envelope=envelope) as ear:
        assert ear.some(2) == [block, patch]
    with Ear(catalog, f"/array_{envelope}/a", start=0, envelope=envelope) as ear:
        assert ear.some(3) == [whole, block, patch]
    with Ear(catalog, f"/array_{envelope}/a", start=99, envelope=envelope) as ear:
        ear.nothing()
        array.write_block(np.full((1, 4), 8, "i4"), (0, 0))
        assert ear.next()["sequence"] == 4


def source_of(shape, chunks):
    from tiled.structures.array import ArrayStructure, BuiltinDtype
    from tiled.structures.data_source import DataSource

    dtype = BuiltinDtype.from_numpy_dtype(np.dtype("i4"))
    return DataSource("array", ArrayStructure(dtype, chunks, shape))


@pytest.mark.parametrize("envelope", ["json", "msgpack"])
def test_what_a_table_tells(catalog, envelope):
    client = catalog.client()
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    table = client.write_dataframe(frame, key=f"table_{envelope}")
    with Ear(catalog, f"/table_{envelope}", start=1, envelope=envelope) as ear:
        assert ear.schema["type"] == "table-schema"
        assert ear.schema["arrow_schema"].startswith("data:application/vnd.apache.arrow.file;base64,")
        first = ear.next()
        assert (first["type"], first["partition"], first["append"]) == ("table-data", None, False)
        table.append_partition(0, frame)
        more = ear.next()
        assert (more["partition"], more["append"], more["sequence"]) == (0, True, 2)
        if envelope == "json":
            assert more["payload"] == {"a": [1, 2], "b": ["x", "y"]}
        else:
            assert pyarrow.ipc.open_file(more["payload"]).read_pandas().equals(frame)


def test_what_a_container_tells(catalog):
    client = catalog.client().create_container("parent")
    with Ear(catalog, "/parent") as ear:
        assert ear.schema == {"type": "container-schema", "version": 1}
        child = client.create_container("c", metadata={"n": 1}, specs=["s"])
        array = client.write_array(np.zeros(3), key="d")
        child.update_metadata({"n": 2})
        child.update_metadata({"n": 3}, drop_revision=True)
        grandchild = child.create_container("below")
        made, other, once, twice = ear.some(4)
        assert (made["type"], made["key"], made["metadata"]) == ("container-child-created", "c", {"n": 1})
        assert made["specs"] == [{"name": "s", "version": None}] and made["structure_family"] == "container"
        (source,) = other["data_sources"]
        assert source["structure"]["shape"] == [3] and source["assets"] == [] and source["id"] > 0
        assert (once["type"], once["metadata"], once["revision_number"]) == (
            "container-child-metadata-updated",
            {"n": 2},
            1,
        )
        assert twice["metadata"] == {"n": 3} and "revision_number" not in twice
        assert [update["sequence"] for update in [made, other, once, twice]] == [1, 2, 3, 4]
        ear.nothing()
        del array, grandchild
    lines = [json.dumps({"id": f"n{n}", "structure_family": "container", "metadata": {"n": n}}) for n in range(700)]
    with Ear(catalog, "/parent") as ear, catalog.http() as http:
        headers = {"Content-Type": "application/x-ndjson"}
        reply = http.post("/bulk/parent", content="\n".join(lines), headers=headers).raise_for_status()
        assert reply.json()["data"]["created"] == 700
        assert [update["metadata"]["n"] for update in ear.some(700)] == list(range(700))


def test_data_that_is_only_watched(catalog):
    array = catalog.client().write_array(np.zeros(3, "u1"), key="passing")
    with Ear(catalog, "/passing") as ear, catalog.http() as http:
        octets = {"Content-Type": "application/octet-stream"}
        body = bytes([1, 2, 3])
        http.put("/array/full/passing?persist=false", content=body, headers=octets).raise_for_status()
        assert ear.next()["payload"] == [1, 2, 3]
        assert array.read().tolist() == [0, 0, 0]
        # What does not fit is heard by nobody.
        assert http.put("/array/full/passing?persist=false", content=b"12", headers=octets).status_code == 422
        assert http.put("/array/full/passing", content=b"12", headers=octets).status_code == 422
        ear.nothing()


def test_the_end_of_a_stream(catalog):
    array = catalog.client().write_array(np.zeros(3, "u1"), key="ending")
    with Ear(catalog, "/ending") as live, catalog.http() as http:
        assert http.delete("/stream/close/ending").json() is None
        assert live.end() == (1000, "Producer ended stream")
    with Ear(catalog, "/ending", start=0) as late:
        assert late.next()["sequence"] == 1
        assert late.end() == (1000, "Producer ended stream")
    # Who comes later hears what comes later.
    with Ear(catalog, "/ending") as later:
        array.write(np.ones(3, "u1"))
        assert later.next()["sequence"] == 3
    with Ear(catalog, "/ending") as ear, catalog.http() as http:
        http.delete("/metadata/ending?external_only=false").raise_for_status()
        assert ear.end() == (1000, "The entry was deleted")


def test_numbers_go_on_after_a_restart(start, tmp_path):
    lab = tmp_path / "lab"
    environment = {"GIRIH_SINGLE_USER_API_KEY": "secret"}
    server = start("catalog", lab, env=environment)
    server.key = "secret"
    from tiled.client import from_uri

    array = from_uri(server.base, api_key="secret").write_array(np.zeros(3, "u1"), key="a")
    array.write(np.ones(3, "u1"))
    with Ear(server, "/a") as ear:
        server.stop()
        code, _ = ear.end()
        assert code == 1012, "so that the client connects again"
    again = start("catalog", lab, env=environment)
    again.key = "secret"
    from_uri(again.base, api_key="secret")["a"].write(np.full(3, 2, "u1"))
    with Ear(again, "/a", start=2) as ear:
        assert [(update["sequence"], update["payload"]) for update in ear.some(2)] == [(2, [1] * 3), (3, [2] * 3)]
    with Ear(again, "/", start=0) as ear:
        assert ear.next()["key"] == "a"
        ear.nothing()


def test_what_is_kept_no_more_is_told(start, tmp_path):
    config = tmp_path / "config.yml"
    config.write_text(
        f"catalog: {{uri: 'sqlite:///{tmp_path}/c.db', init_if_not_exists: true, writable_storage: [{tmp_path}/data]}}\n"
        "girih: {stream_bytes: 300000}\nauthentication: {single_user_api_key: secret}\n"
    )
    server = start("config", config)
    server.key = "secret"
    with server.http() as http:
        from tiled.client import from_uri

        array = from_uri(server.base, api_key="secret").write_array(np.zeros(100_000, "u1"), key="a")
        for n in range(9):
            array.write(np.full(100_000, n, "u1"))
    with Ear(server, "/a", start=1) as ear:
        gap = ear.next()
        assert (gap["type"], gap["from"]) == ("gap", 1) and gap["to"] in (7, 8)
        assert gap["uri"] == f"{server.base}/api/v1/array/full/a"
        assert ear.next()["sequence"] == gap["to"] + 1
    # Who takes all that is kept misses nothing.
    with Ear(server, "/a", start=0) as ear:
        assert ear.next()["sequence"] == gap["to"] + 1
    del http


@pytest.mark.parametrize(
    ("greeting", "code"),
    [
        ("{}", 4001),
        ("[]", 4001),
        ("hello", 4001),
        ('{"type": "hello", "api_key": "x"}', 4001),
        ('{"type": "auth", "api_key": "wrong"}', 4003),
        ('{"type": "auth", "access_token": "wrong"}', 4003),
        ('{"type": "auth"}', 4003),
    ],
)
def test_strangers_hear_nothing(catalog, greeting, code):
    for path in ["/", "/there/is/no/such/entry"]:
        with Ear(catalog, path, key=False) as ear:
            ear.socket.send(greeting)
            assert ear.end()[0] == code


def test_who_says_the_key_first_may_hear(catalog):
    catalog.client().create_container("greeted")
    with Ear(catalog, "/greeted", key=False) as ear:
        ear.socket.send(json.dumps({"type": "auth", "api_key": catalog.key}))
        assert ear.next()["type"] == "container-schema"
    with Ear(catalog, "/no/such/entry", key=False) as ear:
        ear.socket.send(json.dumps({"type": "auth", "api_key": catalog.key}))
        assert ear.end()[0] == 4004


def test_refusals_before_anything_begins(catalog):
    with catalog.http() as http:
        socket = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        for path, status in [
            ("/no/such/entry", 404),
            ("/?envelope_format=xml", 422),
            ("/?start=x", 422),
            ("/?access_token=x", 401),
        ]:
            reply = http.get(f"/stream/single{path}", headers=socket)
            assert (reply.status_code, "detail" in reply.json()) == (status, True), path
        reply = http.get("/stream/single/")
        assert reply.status_code == 400 and "WebSocket" in reply.json()["detail"]
        wrong = http.get("/stream/single/", headers=socket | {"Authorization": "Apikey wrong"})
        assert wrong.status_code == 401


def test_large_data_is_told_as_a_reference(catalog):
    large = np.zeros(20 << 20, "u1")
    client = catalog.client()
    array = client.new("array", [source_of((5 << 20,), ((5 << 20,),))], key="large")
    with Ear(catalog, "/large", start=0) as ear, catalog.http() as http:
        headers = {"Content-Type": "application/octet-stream"}
        http.put("/array/full/large", content=large.tobytes(), headers=headers).raise_for_status()
        reference = ear.next()
        assert (reference["type"], reference["shape"], reference["patch"]) == ("array-ref", [5 << 20], None)
        assert reference["uri"] == f"{catalog.base}/api/v1/array/full/large?slice=:{5 << 20}"
        assert reference["data_source"]["structure"]["shape"] == [5 << 20]
    del array


def test_many_who_watch_while_many_write(catalog):
    """Each hears everything, once and in order, whenever they came."""
    writers, each, watchers = 4, 25, 8
    catalog.client().new("array", [source_of((writers, 1), ((1,) * writers, (1,)))], key="crowd")
    heard, faults = [[] for _ in range(watchers)], []

    def write(writer):
        with catalog.http() as http:
            for n in range(each):
                http.put(
                    f"/array/block/crowd?block={writer},0",
                    content=np.array([[n]], "i4").tobytes(),
                    headers={"Content-Type": "application/octet-stream"},
                ).raise_for_status()

    def watch(watcher):
        try:
            time.sleep(0.02 * watcher)
            with Ear(catalog, "/crowd", start=1, envelope="msgpack") as ear:
                while len(heard[watcher]) < writers * each:
                    heard[watcher].append(ear.next())
        except Exception as error:
            faults.append(error)

    crowd = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
    crowd += [threading.Thread(target=watch, args=(n,)) for n in range(watchers)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(PATIENCE)
    assert not faults, faults
    for updates in heard:
        assert [update["sequence"] for update in updates] == list(range(1, writers * each + 1))
        for writer in range(writers):
            values = [int.from_bytes(u["payload"], "little") for u in updates if u["block"] == [writer, 0]]
            assert values == list(range(each))
