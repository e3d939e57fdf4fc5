"""Directories that are served and followed, and the command that registers files in a running server."""

import json
import os
import shutil
import subprocess

import h5py
import numpy as np
import pytest
import tifffile
from conftest import PROGRAM, environment, wait_until


def write_csv(path, *rows):
    path.write_text("\n".join(["a,b", *rows]) + "\n")


@pytest.fixture
def files(tmp_path):
    directory = tmp_path / "files"
    (directory / "sub" / "deep.dir").mkdir(parents=True)
    for n in (1, 2, 10):
        tifffile.imwrite(directory / f"frame{n}.tif", np.full((4, 5), n, "u2"))
    write_csv(directory / "table.csv", "1,2")
    np.save(directory / "sub" / "x.npy", np.arange(3))
    with h5py.File(directory / "sub" / "deep.dir" / "tree.h5", "w") as file:
        file["g/x"] = np.arange(4)
    (directory / "notes.txt").write_text("hello")
    (directory / ".hidden.csv").write_text("a\n1\n")
    return directory


def everything(node, prefix=""):
    """Paths of all that lies below a container, in order."""
    paths = []
    for key, child in node.items():
        paths.append(f"{prefix}{key}")
        if child.structure_family == "container":
            paths += everything(child, f"{prefix}{key}/")
    return sorted(paths)


ALL = ["frame", "notes.txt", "sub", "sub/deep", "sub/deep/tree", "sub/deep/tree/g", "sub/deep/tree/g/x", "sub/x", "table"]


def test_serve_a_directory(files, start, tmp_path):
    server = start("directory", files, "--public")
    wait_until(lambda: "indexing complete" in server.read_log(), "all files are indexed")
    client = server.client()
    assert everything(client) == ALL
    np.testing.assert_array_equal(client["frame"].read()[:, 0, 0], [1, 2, 10])
    assert client["frame"].data_sources()[0].mimetype == "multipart/related;type=image/tiff"
    assert client["table"].read().to_dict("list") == {"a": [1], "b": [2]}
    assert client["notes.txt"].raw_export(tmp_path / "raw")[0].read_text() == "hello"
    assert len(client["frame"].raw_export(tmp_path / "raw")) == 3
    with pytest.raises(Exception, match="40[15]"):
        client.write_array(np.arange(3))


def test_a_directory_is_followed(files, start):
    server = start("directory", files, "--watch", "--public")
    wait_until(lambda: "watching" in server.read_log(), "the directory is watched")
    client = server.client()
    before = {path: client[path].item["attributes"] for path in ["sub/x", "frame"]}
    ids = [asset.id for asset in client["sub/x"].data_sources()[0].assets]

    write_csv(files / "table.csv", "1,2", "3,4")
    tifffile.imwrite(files / "frame11.tif", np.full((4, 5), 11, "u2"))
    shutil.copytree(files / "sub" / "deep.dir", files / "sub" / "new")
    (files / "notes.txt").unlink()
    wait_until(lambda: "sub/new/tree" in everything(client), "a new directory is seen")
    wait_until(lambda: client["frame"].shape == (4, 4, 5), "a new frame is seen")
    wait_until(lambda: len(client["table"].read()) == 2, "a table has grown")
    wait_until(lambda: "notes.txt" not in client, "a file is gone")
    assert client["sub/x"].item["attributes"] == before["sub/x"]
    assert [asset.id for asset in client["sub/x"].data_sources()[0].assets] == ids

    def is_marked_and_whole():
        assert client["frame"].shape == (4, 4, 5), "a frame that is written anew keeps its place"
        return "marker" in client

    tifffile.imwrite(files / "frame2.tif", np.full((4, 5), 22, "u2"))
    write_csv(files / "marker.csv", "1,2")
    wait_until(is_marked_and_whole, "what came with it is seen")
    assert client["frame"].read()[:, 0, 0].tolist() == [1, 22, 10, 11]
    (files / "marker.csv").unlink()

    (files / "sub").rename(files / "moved")
    wait_until(lambda: "moved" in client and "sub" not in client, "a directory is renamed")
    np.testing.assert_array_equal(client["moved/deep/tree/g/x"].read(), np.arange(4))
    # A burst, with a file that cannot be read among them.
    for n in range(200):
        write_csv(files / f"burst{n}.csv", f"{n},{n}")
    (files / "bad.h5").write_text("nonsense")
    wait_until(lambda: len(client) == 4 + 200 - 1, "all of a burst are seen")
    wait_until(lambda: "bad.h5" in server.read_log(), "a bad file is told of")
    assert client["burst199"].read()["a"][0] == 199

    shutil.rmtree(files)
    files.mkdir()
    wait_until(lambda: "removed or replaced" in server.read_log(), "it is told that the directory is another")


def test_register_files(files, start, girih, tmp_path):
    server = start("catalog", "--read", files)
    report = tmp_path / "report.jsonl"
    planned = girih("register", server.url, files, "--dry-run")
    assert planned.returncode == 0 and "5 entries from 7 files" in planned.stdout and "/sub/deep/tree" in planned.stderr
    client = server.client()
    assert list(client) == []

    (files / "bad.h5").write_text("nonsense")
    done = girih("register", server.url, files, "--prefix", "/run/7", "--report", report)
    assert done.returncode == 1 and "5 entries from 7 files, 1 not readable" in done.stdout
    records = {record["file"]: record for record in map(json.loads, report.read_text().splitlines())}
    assert records["frame1.tif … frame10.tif (3 files)"]["path"] == "run/7/frame"
    assert records["sub/x.npy"]["outcome"] == "registered" and "magic" in records["bad.h5"]["reason"]
    assert everything(client["run/7"]) == ALL
    before = client["run/7/frame"].data_sources()[0]

    (files / "bad.h5").unlink()
    (files / "notes.txt").unlink()
    write_csv(files / "table.csv", "1,2", "3,4")
    again = girih("register", server.url, files, "--prefix", "/run/7")
    assert again.returncode == 0 and "1 entries removed" in again.stdout, again
    assert len(client["run/7/table"].read()) == 2 and "notes.txt" not in client["run/7"]
    assert client["run/7/frame"].data_sources()[0] == before


def test_what_is_registered_is_followed(files, start, tmp_path):
    server = start("catalog", "--read", files)
    client = server.client()
    with open(tmp_path / "log", "w+") as log:
        arguments = [PROGRAM, "register", server.url, files, "--prefix", "run", "--watch"]
        command = subprocess.Popen(list(map(str, arguments)), stdout=log, stderr=log, env=environment())
        try:
            wait_until(lambda: "watching" in (tmp_path / "log").read_text(), "the directory is watched")
            assert everything(client["run"]) == ALL
            write_csv(files / "new.csv", "5,6")
            (files / "sub" / "x.npy").unlink()
            wait_until(lambda: "new" in client["run"], "a new file is seen")
            wait_until(lambda: "x" not in client["run/sub"], "a file is gone")
            assert command.poll() is None and client["run/new"].read()["b"][0] == 6
        finally:
            command.kill()
            command.wait()
    assert "new" in client["run"]


def test_one_bad_file_spoils_no_other(files, start, girih, tmp_path):
    (files / "frame2.tif").write_text("nonsense")
    (files / "back\\slash\n.csv").write_text("a\n1\n")
    (files / "sub" / "loop").symlink_to("..")
    server = start("catalog", "--read", files)
    client = server.client()
    client.write_array(np.arange(3), key="kept")
    client.write_array(np.arange(4), key="table")
    (tmp_path / "elsewhere").mkdir()
    for options, odd in [([], {"frame2.tif", "table.csv"}), (["--no-overwrite"], {"frame2.tif"})]:
        command = girih("register", server.url, "../files", *options, "--report", "report", cwd=tmp_path / "elsewhere")
        assert command.returncode == 1, command.stderr
        records = list(map(json.loads, (tmp_path / "elsewhere" / "report").read_text().splitlines()))
        assert {record["file"] for record in records if record["outcome"] == "failed"} == odd
        assert {"sub/loop"} <= {record["file"] for record in records if record["outcome"] == "skipped"}
    assert client["frame"].shape == (2, 4, 5) and client["back_slash_"].read()["a"][0] == 1
    assert client["kept"].read()[2] == 2 and client["table"].read()[3] == 3


def test_frames_that_join_find_their_place(files, start, girih):
    server = start("catalog", "--read", files)
    client = server.client()
    for joins, expected in [([], [1, 2, 10]), ([12, 15], [1, 2, 10, 12, 15]), ([5], [1, 2, 5, 10, 12, 15]), ([2], [1, 2, 5, 10, 12, 15])]:
        for n in joins:
            tifffile.imwrite(files / f"frame{n}.tif", np.full((4, 5), n, "u2"))
        assert girih("register", server.url, files).returncode == 0
        assert client["frame"].read()[:, 0, 0].tolist() == expected
        assert [asset.num for asset in client["frame"].data_sources()[0].assets] == list(range(len(expected)))


def test_a_file_may_become_a_directory(files, start, girih):
    (files / "flip").write_text("a file")
    server = start("catalog", "--read", files)
    client = server.client()
    assert girih("register", server.url, files).returncode == 0
    assert client["flip"].item["attributes"]["structure_family"] != "container"
    (files / "flip").unlink()
    (files / "flip" / "deep").mkdir(parents=True)
    write_csv(files / "flip" / "b.csv", "1,2")
    write_csv(files / "flip" / "deep" / "c.csv", "3,4")
    done = girih("register", server.url, files)
    assert done.returncode == 0, done.stderr
    assert everything(client["flip"]) == ["b", "deep", "deep/c"]
    shutil.rmtree(files / "flip")
    (files / "flip").write_text("a file")
    assert girih("register", server.url, files).returncode == 0
    assert client["flip"].item["attributes"]["structure_family"] != "container"


def test_keys_never_collide(files, start, girih):
    write_csv(files / "frame.csv", "1,2")
    tifffile.imwrite(files / "frame5.tif", np.zeros((6, 7), "u2"))
    tifffile.imwrite(files / "odd7.tif", np.zeros((2, 2), "f4"))
    np.save(files / "odd8.npy", np.arange(2))
    (files / "table").mkdir()
    server = start("catalog", "--read", files)
    for _ in range(2):
        done = girih("register", server.url, files, "--skip-unknown")
        assert done.returncode == 0 and "removed" not in done.stdout, done
        keys = set(server.client())
        assert keys == {"frame.tif", "frame5.tif", "frame.csv", "odd.tif", "odd.npy", "sub", "table", "table.csv"}
    assert server.client()["frame.tif"].shape == (3, 4, 5) and server.client()["frame5.tif"].shape == (1, 6, 7)


def test_options_of_register(files, start, girih, tmp_path):
    (files / "data.xyz").write_text("a,b\n1,2\n")
    (tmp_path / "naming.py").write_text("def hook(path, guess):\n    return 'text/csv' if path.suffix == '.xyz' else guess\n")
    server = start("catalog", "--read", files)
    for options, keys in [
        (["--keep-ext", "--skip-unknown"], {"frame", "sub", "table.csv"}),
        (["--include-ext", ".csv"], {"table", "sub"}),
        (["--ext", ".xyz=text/csv", "--skip-unknown"], {"data", "frame", "sub", "table"}),
        (["--mimetype-hook", "naming:hook", "--skip-unknown"], {"data", "frame", "sub", "table"}),
        (["--walker", "group_image_sequences", "--walker", "skip_all"], {"frame", "sub"}),
    ]:
        done = girih("register", server.url, files, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert set(server.client()) == keys, options
    one = girih("register", server.url, files / "table.csv", "--prefix", "single", "--no-overwrite")
    assert one.returncode == 0 and list(server.client()["single"]) == ["table"]
    for arguments, mistake in [
        ([server.url, files / "none"], "cannot be read"),
        (["ftp://x", files], "is not the address of a server"),
        ([server.base, files], "permissions"),
        ([server.url, files, "--ext", "xyz"], "write an ending and a media type"),
        ([server.url, files, "--mimetype-hook", "none:none"], "has ended"),
    ]:
        done = girih("register", *arguments)
        assert done.returncode != 0 and mistake in done.stderr, done.stderr


def test_nothing_outside_is_registered(files, start, girih):
    os.symlink("/etc/hostname", files / "out.csv")
    os.symlink("/etc", files / "etc")
    server = start("catalog", "--read", files / "sub")
    done = girih("register", server.url, files)
    assert done.returncode == 1 and "readable_storage" in done.stderr
    assert set(server.client()) <= {"sub"}
    inside = start("directory", files, "--public")
    wait_until(lambda: "indexing complete" in inside.read_log(), "all files are indexed")
    assert not {"out", "etc"} & set(inside.client())


def test_a_directory_may_be_registered_by_a_link(files, start, girih, tmp_path):
    (tmp_path / "link").symlink_to(files)
    server = start("catalog", "--read", files)
    assert girih("register", server.url, tmp_path / "link").returncode == 0
    client = server.client()
    assert everything(client) == ALL
    np.testing.assert_array_equal(client["frame"].read()[:, 0, 0], [1, 2, 10])
    np.testing.assert_array_equal(client["sub/deep/tree/g/x"].read(), np.arange(4))
    # Where it leads to is looked at each time.
    shutil.copytree(files, tmp_path / "elsewhere")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with server.http() as http:
        assert http.get("/array/full/sub/x").status_code == 403
        assert http.get("/table/full/table").status_code == 403
    assert girih("register", server.url, tmp_path / "link", "--prefix", "other").returncode == 1


def test_a_hook_that_fails_for_a_file_spoils_no_other(files, start, girih, tmp_path):
    naming = "def hook(path, guess):\n    assert path.name != 'table.csv', 'odd'\n    return guess\n"
    (tmp_path / "naming.py").write_text(naming)
    server = start("catalog", "--read", files)
    done = girih("register", server.url, files, "--mimetype-hook", "naming:hook", cwd=tmp_path)
    assert done.returncode == 1 and "AssertionError: odd" in done.stderr, done
    assert everything(server.client()) == [path for path in ALL if path != "table"]


def test_long_sequences_are_listed_in_pages(files, start, girih):
    for n in range(12, 1012):
        (files / f"frame{n}.tif").write_bytes((files / "frame1.tif").read_bytes())
    server = start("catalog", "--read", files)
    assert girih("register", server.url, files).returncode == 0
    with server.http() as http:
        page = http.get("/asset/list/frame", params={"page[limit]": 300}).json()
        found = page["data"]
        while page["links"]["next"]:
            page = http.get(page["links"]["next"]).json()
            found += page["data"]
        assert page["meta"]["count"] == 1003 and [asset["num"] for asset in found] == list(range(1003))
        names = [asset["data_uri"].rpartition("/")[2] for asset in found]
        assert names == [f"frame{n}.tif" for n in [1, 2, 10, *range(12, 1012)]]
        url = "/metadata/frame?include_data_sources=true&max_assets=2"
        assert http.get(url).json()["data"]["attributes"]["data_sources"][0]["assets"] == found[:2]
        one = http.get("/asset/bytes/frame", params={"id": found[777]["id"]})
        assert one.content == (files / "frame12.tif").read_bytes() and "frame786.tif" in one.headers["content-disposition"]
        assert http.get("/asset/list/frame?page[cursor]=x").status_code == 400
        gone = http.delete("/asset/frame", params={"id": found[777]["id"]})
        assert gone.json() == {"asset_deleted": True, "data_deleted": False} and (files / "frame786.tif").exists()
        assert http.get("/asset/list/frame?page[limit]=0").json()["meta"]["count"] == 1002
