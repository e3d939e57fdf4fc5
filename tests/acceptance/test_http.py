"""What HTTP promises: validators, codings, errors."""

import pathlib
import resource
import socket

import httpx
import numpy as np
import pytest


def test_each_coding_of_the_data_has_a_tag_of_its_own(catalog):
    catalog.client().write_array(np.arange(100_000), key="tagged")
    tags = {}
    with catalog.http() as http:
        for coding in ["identity", "gzip", "zstd"]:
            reply = http.get("/array/block/tagged?block=0", headers={"Accept-Encoding": coding})
            assert reply.headers.get("Content-Encoding", "identity") == coding
            assert "Accept-Encoding" in reply.headers["Vary"]
            tags[coding] = reply.headers["ETag"]
        assert len(set(tags.values())) == 3
        for coding, tag in tags.items():
            headers = {"Accept-Encoding": coding, "If-None-Match": f'"other", {tag}'}
            reply = http.get("/array/block/tagged?block=0", headers=headers)
            assert (reply.status_code, reply.headers["ETag"]) == (304, tag)


def test_damaged_data_is_an_error_and_not_an_answer_that_breaks_off(start, tmp_path):
    server = start("catalog", tmp_path)
    with server.http() as http:
        for key, rows in [("whole", 1), ("long", 64)]:
            structure = {
                "data_type": {"endianness": "little", "kind": "f", "itemsize": 8},
                "shape": [rows, 100_000],
                "chunks": [[1] * rows, [100_000]],
            }
            source = {"structure_family": "array", "structure": structure}
            node = {"id": key, "structure_family": "array", "data_sources": [source]}
            http.post("/metadata/", json=node).raise_for_status()
            data = np.random.default_rng(0).random((rows, 100_000)).tobytes()
            headers = {"Content-Type": "application/octet-stream"}
            http.put(f"/array/full/{key}", content=data, headers=headers).raise_for_status()
    (tmp_path / "data/whole/c/0/0").write_bytes(b"no chunk")
    (tmp_path / "data/long/c/63/0").write_bytes(b"no chunk")
    with server.http() as http:
        reply = http.get("/array/full/whole", headers={"Accept-Encoding": "identity"})
        damaged = 'The stored chunk "c/0/0" of this array is damaged: it cannot be decompressed.'
        assert (reply.status_code, reply.json()) == (500, {"detail": damaged})
        with pytest.raises(httpx.RemoteProtocolError):
            http.get("/array/full/long", headers={"Accept-Encoding": "identity"})
    log = server.read_log()
    assert log.count("ERROR") == 2 and "request failed" in log and "an answer broke off" in log
    assert server.client()["long"][:63].shape == (63, 100_000)


def ask(server, request):
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(request)
        return connection.makefile("rb").read()


def test_a_request_names_one_host(catalog):
    line = b"GET /api/v1/ HTTP/1.1\r\nConnection: close\r\n"
    assert ask(catalog, line + b"Host: a\r\n\r\n").startswith(b"HTTP/1.1 200")
    for hosts in [b"", b"Host: a\r\nHost: b\r\n", b"Host: a/b\r\n"]:
        reply = ask(catalog, line + hosts + b"\r\n")
        assert reply.startswith(b"HTTP/1.1 400") and b"Host header" in reply


def test_who_takes_nothing_keeps_nobody_out(start, tmp_path):
    server = start("catalog", tmp_path)
    with server.http() as http:
        structure = {
            "data_type": {"endianness": "little", "kind": "f", "itemsize": 8},
            # Never written: its 256 MB are zeros that take no place.
            "shape": [32, 1024, 1024],
            "chunks": [[1] * 32, [1024], [1024]],
        }
        node = {
            "id": "x",
            "structure_family": "array",
            "data_sources": [{"structure_family": "array", "structure": structure}],
        }
        http.post("/metadata/", json=node).raise_for_status()
        request = (
            "GET /api/v1/array/full/x?format=application/octet-stream HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Apikey {server.key}\r\nAccept-Encoding: identity\r\n\r\n"
        )
        idle = [socket.create_connection(server.address, timeout=60) for _ in range(60)]
        try:
            for connection in idle:
                connection.sendall(request.encode())
            heads = [connection.recv(100).split()[1] for connection in idle]
            assert {b"200", b"503"} == set(heads), heads
            reply = http.get("/array/full/x?slice=0", headers={"Accept-Encoding": "identity"})
            for _ in range(10):
                if reply.status_code == 200:
                    break
                assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1"), reply.text
                reply = http.get("/array/full/x?slice=0", headers={"Accept-Encoding": "identity"})
            assert len(reply.content) == 8 << 20
            resident = int(pathlib.Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
            assert resident * resource.getpagesize() < 700 << 20
        finally:
            for connection in idle:
                connection.close()
