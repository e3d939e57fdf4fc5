"""What was acknowledged is there afterwards, however the server ended."""

import io
import signal
import socket

import numpy as np
import pyarrow as pa
import pytest
from conftest import wait_until

DATA = np.arange(2_000_000, dtype="f8").reshape(1000, 2000)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_data_outlives_the_server(start, tmp_path, how):
    server = start("catalog", tmp_path / "lab")
    client = server.client()
    box = client.create_container("box", metadata={"n": 1})
    box.write_array(DATA, key="data")
    box.write_table({"a": [1, 2]}, key="table")
    box.update_metadata({"n": 2})
    status = server.stop(how)
    assert status == (0 if how == signal.SIGTERM else -signal.SIGKILL)

    client = start("catalog", tmp_path / "lab").client()
    assert client["box"].metadata["n"] == 2
    assert [r["attributes"]["metadata"]["n"] for r in client["box"].metadata_revisions[:]] == [1]
    np.testing.assert_array_equal(client["box/data"].read(), DATA)
    assert client["box/table"].read()["a"].tolist() == [1, 2]


def test_temporary_catalogs_leave_nothing(start, tmp_path):
    server = start("catalog", env={"TMPDIR": str(tmp_path)})
    server.client().write_array([1], key="x")
    assert list(tmp_path.iterdir())
    assert server.stop() == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_finished(start, tmp_path, how):
    server = start("catalog", tmp_path / "lab")
    body = np.arange(1000, dtype="<i8").tobytes()
    server.client().write_array(np.zeros(1000, "<i8"), key="x")
    head = (
        f"PUT /api/v1/array/full/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Apikey {server.key}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(head.encode() + body[:4000])
        # Only when the server no longer takes connections has it heard the signal.
        wait_until(lambda: server.http().get("/").status_code == 200, "the server answers")
        server.process.send_signal(how)
        wait_until(lambda: not connects(server.address), "the server stops listening")
        connection.sendall(body[4000:])
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert server.process.wait(30) == 0
    stored = start("catalog", tmp_path / "lab").client()["x"].read()
    assert stored.tolist() == list(range(1000))


def test_what_a_caller_has_left_behind_is_finished(start, tmp_path):
    server = start("catalog", tmp_path / "lab")
    # Arrives in an instant, and takes longer to be stored.
    numbers = pa.table({"n": np.random.default_rng(0).permutation(2_000_000)})
    server.client().write_table(numbers.slice(0, 1).to_pandas(), key="x")
    with io.BytesIO() as file:
        with pa.ipc.new_file(file, numbers.schema) as writer:
            writer.write_table(numbers)
        body = file.getvalue()
    head = (
        f"PUT /api/v1/table/partition/x?partition=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Apikey {server.key}\r\n"
        f"Content-Type: application/vnd.apache.arrow.file\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(head.encode() + body)
    assert server.stop() == 0
    stored = start("catalog", tmp_path / "lab").client()["x"].read()
    np.testing.assert_array_equal(stored["n"], numbers["n"])


def test_a_clean_stop_leaves_the_whole_catalog_in_its_file(start, tmp_path):
    configured = tmp_path / "config.yml"
    configured.write_text(
        f"catalog: {{uri: 'sqlite:///{tmp_path}/conf/catalog.db', init_if_not_exists: true, writable_storage: [{tmp_path}/conf/data]}}\n"
        "authentication: {single_user_api_key: secret}\n"
    )
    (tmp_path / "conf").mkdir()
    for name, arguments in [("lab", ("catalog", tmp_path / "lab")), ("conf", ("config", configured))]:
        server = start(*arguments)
        server.key = server.key or "secret"
        server.http().post("/metadata/", json={"structure_family": "container", "id": "x"}).raise_for_status()
        assert (tmp_path / name / "catalog.db-wal").exists()
        assert server.stop() == 0
        assert {path.name for path in (tmp_path / name).iterdir()} == {
            "catalog.db",
            "catalog.db-reserve",
            "catalog.db-updates",
            "data",
        }


def connects(address):
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
