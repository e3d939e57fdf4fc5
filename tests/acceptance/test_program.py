"""The program itself: its options, its configuration, its errors."""

import json
import os
import re
import sqlite3
import socket

import httpx
import pytest

KEY = "secret"


def check_fails(result, status, *parts):
    """One line that says what is wrong, and a status that says of which kind."""
    assert result.returncode == status, result
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for part in parts:
        assert str(part) in result.stderr, result.stderr


def config(tmp_path, more=""):
    path = tmp_path / "config.yml"
    path.write_text(f"""\
catalog:
  uri: sqlite:///{tmp_path}/catalog.db
  init_if_not_exists: true
  writable_storage: ["file://localhost{tmp_path}/data"]
authentication:
  single_user_api_key: {KEY}
{more}""")
    return path


def test_the_printed_address_has_a_new_key_each_time(start):
    urls = [start("catalog").url for _ in range(2)]
    keys = [re.fullmatch(r"http://127\.0\.0\.1:\d+/api/v1\?api_key=([0-9a-f]{64})", url).group(1) for url in urls]
    assert keys[0] != keys[1]


def test_secrets_are_not_logged(start):
    server = start("catalog", "-vv")
    assert httpx.get(server.url, follow_redirects=True).status_code == 200
    server.client().write_array([1])
    server.stop()
    assert server.key not in server.read_log()


def test_logs_can_be_json(start):
    server = start("catalog", "--log-format", "json")
    server.http().get("/")
    server.stop()
    lines = [json.loads(line) for line in server.read_log().splitlines()]
    assert lines and all("timestamp" in line for line in lines)


def test_a_configured_server(start, tmp_path):
    server = start("config", config(tmp_path, "uvicorn: {root_path: /tiled}\n"))
    assert server.url.endswith("/tiled/api/v1"), "a key that was given is not printed"
    server.key = KEY
    about = server.http().get(f"{server.base}/tiled/api/v1/").json()
    assert about["meta"]["root_path"] == "/tiled/api"
    assert server.http().post(
        f"{server.base}/tiled/api/v1/metadata/", json={"structure_family": "container", "metadata": {}}
    ).is_success
    assert httpx.get(f"{server.base}/tiled/api/v1/metadata/").status_code == 401


def test_the_environment_configures_too(start, tmp_path):
    server = start("config", config(tmp_path), env={"TILED_ALLOW_ANONYMOUS_ACCESS": "1", "GIRIH_SINGLE_USER_API_KEY": "k2"})
    assert httpx.get(f"{server.base}/api/v1/metadata/").status_code == 200
    server.key = "k2"
    assert server.http().get("/metadata/").status_code == 200
    server.key = KEY
    assert server.http().get("/metadata/").status_code == 401


def test_public_catalogs_are_read_by_everybody(start):
    server = start("catalog", "--public", "--api-key", "k1")
    server.key = "k1"
    server.http().post("/metadata/", json={"structure_family": "container", "id": "x"}).raise_for_status()
    assert httpx.get(f"{server.base}/api/v1/metadata/x").status_code == 200
    reply = httpx.post(f"{server.base}/api/v1/metadata/", json={"structure_family": "container"})
    assert reply.status_code == 401


def test_a_taken_port(girih):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check_fails(girih("serve", "catalog", "--port", port), 5, port, "in use")


@pytest.mark.parametrize(
    "text, parts",
    [
        ("catalog: {uri: x, writeable_storage: []}\n", ["config.yml:1", "writeable_storage", "writable_storage"]),
        ("catalog: {uri: x}\naccess_control: {access_policy: 'a:b'}\n", ["config.yml:2", "not supported yet"]),
        ("catalog: {uri: $NO_SUCH_VARIABLE}\n", ["NO_SUCH_VARIABLE"]),
        ("catalog: [\n", ["config.yml", "YAML"]),
        ("{}\n", ["nothing to serve"]),
    ],
)
def test_a_wrong_configuration(girih, tmp_path, text, parts):
    path = tmp_path / "config.yml"
    path.write_text(text)
    check_fails(girih("serve", "config", path), 3, *parts)


def test_no_configuration(girih, tmp_path):
    check_fails(girih("serve", "config", tmp_path / "no.yml"), 3, "no.yml")


def test_no_database(girih, tmp_path):
    check_fails(girih("serve", "catalog", tmp_path / "no.db", "--port", 0), 4, "no.db")


def test_a_directory_of_other_things(girih, tmp_path):
    (tmp_path / "thesis.tex").touch()
    check_fails(girih("serve", "catalog", tmp_path, "--port", 0), 4, tmp_path, "--init")


def test_foreign_databases_are_left_alone(girih, tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE nodes (id INTEGER)")
    before = path.read_bytes()
    for arguments in [("serve", "catalog", path, "--port", 0), ("serve", "catalog", path, "--init", "--port", 0)]:
        check_fails(girih(*arguments), 4, "other.db")
    (tmp_path / "text.db").write_text("no database at all, but long enough to be looked at " * 50)
    check_fails(girih("serve", "catalog", tmp_path / "text.db", "--port", 0), 4, "text.db")
    assert path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_disk(girih, tmp_path):
    tmp_path.chmod(0o500)
    check_fails(girih("serve", "catalog", tmp_path / "new", "--port", 0), 4, "new")


def test_storage_that_cannot_be_made(girih, tmp_path):
    (tmp_path / "file").touch()
    arguments = ["serve", "catalog", tmp_path / "c.db", "--init", "--write", tmp_path / "file" / "data", "--port", 0]
    check_fails(girih(*arguments), 4, "file")


def test_catalogs_are_made_and_looked_at(girih, tmp_path, start):
    path = tmp_path / "c.db"
    assert girih("catalog", "init", path).returncode == 0
    check_fails(girih("catalog", "init", path), 4, "c.db")
    assert girih("catalog", "init", "--if-not-exists", path).returncode == 0
    server = start("catalog", path)
    assert server.http().get("/search/").json()["data"] == []
    server.stop()
    info = girih("catalog", "info", path)
    assert info.returncode == 0 and json.loads(info.stdout)
    assert girih("catalog", "upgrade", path).returncode == 0
    check_fails(girih("catalog", "info", tmp_path / "no.db"), 4, "no.db")


def test_without_storage_a_catalog_is_read_only(girih, tmp_path, start):
    girih("catalog", "init", tmp_path / "c.db")
    server = start("catalog", tmp_path / "c.db")
    body = {
        "structure_family": "array",
        "metadata": {},
        "specs": [],
        "data_sources": [
            {
                "structure_family": "array",
                "structure": {
                    "data_type": {"endianness": "little", "kind": "i", "itemsize": 8},
                    "shape": [1],
                    "chunks": [[1]],
                },
            }
        ],
    }
    reply = server.http().post("/metadata/", json=body)
    assert 400 <= reply.status_code < 500 and "--write" in reply.text
    assert "read-only" in server.read_log()


def test_help_and_version(girih):
    assert girih("--version").stdout.startswith("girih ")
    for arguments in [(), ("serve",), ("serve", "catalog"), ("serve", "config"), ("serve", "demo"), ("catalog", "init")]:
        result = girih(*arguments, "--help")
        assert result.returncode == 0 and "Usage: girih" in result.stdout
    wrong = girih("serve", "catalogue")
    assert wrong.returncode == 2 and "catalog" in wrong.stderr
