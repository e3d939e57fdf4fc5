"""Tables in files where they lie give what pandas reads from them, with the same types."""

import itertools
import random

import numpy as np
import pandas as pd
import pytest
from tiled.structures.array import ArrayStructure
from tiled.structures.core import StructureFamily
from tiled.structures.data_source import Asset, DataSource, Management
from tiled.structures.table import TableStructure

MISSING = ["", "NA", "null", "N/A", "NaN", "nan", "None", "#N/A", "<NA>", "n/a", "NULL", "-nan"]
VALUES = {
    "whole": ["1", "-2", "0", "+3", "007", " 4", "5 ", "-0"],
    "large": ["9223372036854775808", "18446744073709551615", "7"],
    "long": ["18446744073709551616", "-9223372036854775809", "1"],
    "real": ["1.5", "-2.", "1e5", ".5", "+.25", "1E-3", "inf", "-Infinity", " 2.5", "1e-400"],
    "truth": ["True", "FALSE", "true", "fAlse"],
    "text": ["x", "2020-01-01", "1_000", "1,000", "0x10", "1e", "--1", "$3", "é", "NA ", 'a"b', " lead", "1j", "a\nb"],
}
NAMES = ["a", "b", "a", "", "a.1", " c", "x,y", "é", "1", "Unnamed: 0"]


@pytest.fixture
def registered(tmp_path, start, girih):
    """Registers all files of the directory; the client of the server."""

    def registered():
        server = start("catalog", "--read", tmp_path)
        done = girih("register", server.url, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return server.client()

    return registered


def quoted(field, chance):
    needs = any(character in field for character in ',"\r\n')
    return '"' + field.replace('"', '""') + '"' if needs or chance.random() < 0.1 else field


def made(kinds, rows, chance):
    """A file with a column of each kind: some of these values, and perhaps missing ones."""
    columns = []
    for kind, has_missing in kinds:
        of = VALUES[kind] + (MISSING if has_missing else [])
        columns.append([VALUES[kind][0]] + [chance.choice(of) for _ in range(rows - 1)])
    lines = [[chance.choice(NAMES) for _ in kinds], *zip(*columns)]
    lines = [",".join(quoted(field, chance) for field in line) for line in lines]
    lines.insert(chance.randrange(1, len(lines)), chance.choice(["", "  "]))
    end = chance.choice(["\n", "\r\n"])
    return chance.choice(["", "\ufeff"]) + end.join(lines) + chance.choice(["", end])


def same(got, expected, name):
    """Equal values, and equal types, but for what the client calls text and missing."""
    assert [str(column) for column in expected] == list(got), name
    assert len(got) == len(expected), name
    for (column, want), (_, have) in zip(expected.items(), got.items()):
        where = f"{name}: {column}"
        if want.dtype != object:
            assert have.dtype == want.dtype, where
            if want.dtype.kind == "f":  # pandas rounds a little differently
                np.testing.assert_allclose(have, want, rtol=1e-15, err_msg=where)
            else:
                assert have.equals(want), where
        else:
            for a, b in zip(want, have):
                assert (pd.isna(a) and pd.isna(b)) or str(a) == str(b), (where, list(want), list(have))


def test_types_of_columns(tmp_path, registered):
    chance = random.Random(3)
    # Where whole numbers are too large, pandas takes missing values for text.
    kinds = [kind for kind in itertools.product(VALUES, [False, True]) if kind not in [("large", True), ("long", True)]]
    names = []
    for n, (first, second) in enumerate(itertools.product(kinds, kinds)):
        for rows in [1, 4]:
            names.append(f"{n}-{rows}")
            (tmp_path / f"{names[-1]}.csv").write_bytes(made([first, second], rows, chance).encode())
    client = registered()
    for name in names:
        same(client[name].read(), pd.read_csv(tmp_path / f"{name}.csv"), name)
    for name in names[::20]:
        expected = pd.read_csv(tmp_path / f"{name}.csv")
        for column in expected.select_dtypes("number"):
            np.testing.assert_allclose(client[name][column].read(), expected[column], rtol=1e-15)


def registered_as(client, key, paths, mimetype, structure, parameters=None):
    """As a client registers what it has looked at itself."""
    is_table = isinstance(structure, TableStructure)
    family = StructureFamily.table if is_table else StructureFamily.array
    assets = [
        Asset(data_uri=f"file://localhost{path}", is_directory=False, parameter="data_uris", num=num)
        for num, path in enumerate(paths)
    ]
    source = DataSource(
        structure_family=family,
        structure=structure,
        mimetype=mimetype,
        parameters=parameters or {},
        management=Management.external,
        assets=assets,
    )
    return client.new(structure_family=family, data_sources=[source], key=key)


def test_parameters_of_pandas(tmp_path, start):
    texts = {
        "semicolons": ("a;b\n1;x\n2;y\n", {"sep": ";"}),
        "blanks": ("  a  b\n 1\t2.5\n3   4 \n", {"sep": r"\s+"}),
        "comments": ("# made by a program\n#\na,b # names\n1,2\n#3,4\n5,6\n", {"comment": "#"}),
        "preamble": ("Instrument 7\n\nrun: 3\na,b\n1,2\n", {"skiprows": 3}),
        "second": ("x,y\na,b\n1,2\n", {"header": 1}),
        "named": ("1,2\n3,4\n", {"names": ["u", "v"]}),
        "renamed": ("a,b\n3,4\n", {"names": ["u", "v"], "header": 0}),
        "some": ("a,b,c\n1,2,3\n", {"usecols": ["c", "a"]}),
        "beginning": ("a,b\n1,2\n3,4\n5,6\n", {"nrows": 2}),
        "labels": ("a,b\nx,1,2\ny,3,4\n", {}),
    }
    client = start("catalog", "--read", tmp_path).client()
    for name, (text, parameters) in texts.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(text)
        expected = pd.read_csv(path, **parameters)
        expected = expected[parameters.get("usecols", list(expected))].reset_index(drop=True)
        structure = TableStructure.from_pandas(expected)
        table = registered_as(client, name, [path], "text/csv", structure, parameters)
        same(table.read(), expected, name)
        for column in expected:
            np.testing.assert_array_equal(table[column].read(), expected[column])


def test_labels_of_rows_are_the_index(tmp_path, start, registered):
    texts = {
        "whole": "a,b\n1,2,3\n4,5,6\n",
        "real": "a,b\n1,2,3\n,5,6\n",
        "text": "a,b\nx,1,2\ny,3\n",
        "commas": "a,b\n1,2,\n3,4,\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    client = registered()
    for name in texts:
        expected = pd.read_csv(tmp_path / f"{name}.csv")
        assert list(client[name]) == ["a", "b"]
        same(client[name].read().reset_index(), expected.reset_index(), name)
        same(client[name].read(["b"]).reset_index(), expected[["b"]].reset_index(), name)
        np.testing.assert_array_equal(client[name]["a"].read(), expected["a"])


def test_other_encodings_are_refused(tmp_path, start, girih):
    for encoding in ["utf-16", "utf-8-sig", "latin-1"]:
        (tmp_path / f"{encoding}.csv").write_bytes("é,b\n1,2\n".encode(encoding))
    (tmp_path / "body.csv").write_bytes("a,b\n1,é\n".encode("latin-1"))
    server = start("catalog", "--read", tmp_path)
    done = girih("register", server.url, tmp_path)
    assert (done.stdout + done.stderr).count("Save the text as UTF-8") == 3, done.stdout + done.stderr
    assert list(server.client()) == ["utf-8-sig"]
    same(server.client()["utf-8-sig"].read(), pd.read_csv(tmp_path / "utf-8-sig.csv"), "utf-8-sig")


def test_damaged_files_are_no_bodies(tmp_path, start, girih):
    (tmp_path / "a.arrow").write_bytes(b"ARROW1\0\0nothing")
    (tmp_path / "b.csv").write_text('a,b\n1,"2\n')
    (tmp_path / "c.parquet").write_bytes(b"PAR1 nothing")
    done = girih("register", start("catalog", "--read", tmp_path).url, tmp_path)
    assert "not a valid Arrow file" in done.stdout + done.stderr
    assert "body" not in (done.stdout + done.stderr).replace(str(tmp_path), "")


def test_errors_of_workbooks_are_missing_values(tmp_path, registered):
    sheets = {
        "one": [["a"], ["#DIV/0!"]],
        "last": [["a", "b"], [1, 2], ["#N/A", None]],
        "beside": [["a"], [1], [None, "#REF!"]],
        "named": [["a", "#N/A", "#N/A"], [1, 2, None]],
    }
    for name, rows in sheets.items():
        pd.DataFrame(rows).to_excel(tmp_path / f"{name}.xlsx", index=False, header=False)
    client = registered()
    for name in sheets:
        same(client[name]["Sheet1"].read(), pd.read_excel(tmp_path / f"{name}.xlsx"), name)


def test_several_files_are_partitions(tmp_path, start):
    frame = pd.DataFrame({"a": range(10), "b": [f"t{n}" for n in range(10)], "c": np.arange(10) / 4})
    paths = [tmp_path / f"{n}.csv" for n in range(3)]
    for n, path in enumerate(paths):
        frame[4 * n : 4 * n + 4].to_csv(path, index=False)
    client = start("catalog", "--read", tmp_path).client()
    structure = TableStructure.from_pandas(frame)
    structure.npartitions = 3
    table = registered_as(client, "table", paths, "multipart/related;type=text/csv", structure)
    same(table.read().reset_index(drop=True), frame, "all")
    same(table.read_partition(1).reset_index(drop=True), frame[4:8].reset_index(drop=True), "one")
    np.testing.assert_array_equal(table["a"][3:9:2], frame["a"][3:9:2])


def test_arrays_without_a_header(tmp_path, start):
    numbers = np.random.default_rng(4)
    arrays = {
        "whole": numbers.integers(-9, 9, (50, 4)),
        "real": numbers.normal(size=(30, 3)),
        "truth": numbers.integers(0, 2, (9, 2)).astype(bool),
        "text": numbers.integers(0, 10**6, (20, 3)).astype(str).astype(object) + "x",
    }
    client = start("catalog", "--read", tmp_path).client()
    for name, array in arrays.items():
        path = tmp_path / f"{name}.csv"
        pd.DataFrame(array).to_csv(path, index=False, header=False)
        array = array.astype(str) if array.dtype == object else array
        node = registered_as(client, name, [path], "text/csv;header=absent", ArrayStructure.from_array(array))
        np.testing.assert_array_equal(node.read(), array)
        np.testing.assert_array_equal(node[7:2:-2, 1:], array[7:2:-2, 1:])
    padded = ArrayStructure.from_array(np.zeros((60, 4), int))
    node = registered_as(client, "padded", [tmp_path / "whole.csv"], "text/csv;header=absent", padded, {"nrows": 60})
    np.testing.assert_array_equal(node.read(), np.pad(arrays["whole"], ((0, 10), (0, 0))))


def frame_of_all_types(rows=50):
    numbers = np.random.default_rng(6)
    frame = pd.DataFrame({dtype: numbers.integers(0, 100, rows).astype(dtype) for dtype in ["i1", "u2", "i4", "u8", "i8"]})
    frame = frame.assign(f4=numbers.normal(size=rows).astype("f4"), f8=numbers.normal(size=rows))
    frame["b"] = frame["i1"] % 2 == 0
    frame["text"] = [f"é{n}" if n % 7 else None for n in range(rows)]
    frame["category"] = pd.Categorical(["xyz"[n % 3] for n in range(rows)])
    frame["time"] = pd.date_range("2020-01-01", periods=rows, freq="7min")
    frame["zone"] = frame["time"].dt.tz_localize("UTC")
    frame["step"] = pd.to_timedelta(frame["i8"], unit="s")
    frame["nullable"] = frame["i8"].astype("Int64").where(frame["b"])
    return frame


def plain(frame):
    """Categories as their values, and the index as columns."""
    frame = frame.reset_index()
    frame = frame.astype({name: frame[name].cat.categories.dtype for name in frame.select_dtypes("category")})
    return frame.astype({"nullable": float} if "nullable" in frame else {})


def test_parquet_and_arrow_files(tmp_path, registered):
    frame = frame_of_all_types()
    for compression in ["snappy", "gzip", "zstd", "lz4", None]:
        frame.to_parquet(tmp_path / f"parquet-{compression}.parquet", compression=compression, row_group_size=20)
    for compression in ["lz4", "zstd", "uncompressed"]:
        frame.to_feather(tmp_path / f"arrow-{compression}.feather", compression=compression, chunksize=20)
    (tmp_path / "arrow-plain.arrow").write_bytes((tmp_path / "arrow-lz4.feather").read_bytes())
    frame.set_index("text").to_parquet(tmp_path / "index.parquet")
    client = registered()
    for path in tmp_path.iterdir():
        expected = pd.read_feather(path) if path.stem.startswith("arrow") else pd.read_parquet(path)
        same(plain(client[path.stem].read()), plain(expected), path.name)
        for column in ["i1", "u8", "f4", "b", "time"]:
            array = client[path.stem][column].read()
            assert array.dtype == expected[column].dtype
            np.testing.assert_array_equal(array, expected[column])


def test_directories_of_parquet_files(tmp_path, registered):
    frame = frame_of_all_types().drop(columns=["zone", "nullable"])
    for n in range(12):
        (tmp_path / "many.parquet").mkdir(exist_ok=True)
        frame[4 * n : 4 * n + 4].reset_index(drop=True).to_parquet(tmp_path / "many.parquet" / f"part.{n}.parquet")
    keyed = frame[["i1", "f8", "text"]].assign(run=frame["i8"] % 5, site=frame["category"].astype(str) + " 1")
    keyed.to_parquet(tmp_path / "keyed.parquet", partition_cols=["run", "site"])
    client = registered()
    assert set(client) == {"many", "keyed"}
    many = client["many"]
    same(plain(many.read()).drop(columns="index"), plain(frame[:48]).drop(columns="index"), "many")
    last = frame[44:48].drop(columns="category").reset_index(drop=True)  # of which the client knows no categories
    same(many.read_partition(11, list(last)), last, "part.11.parquet")
    expected = pd.read_parquet(tmp_path / "keyed.parquet").sort_values("f8", ignore_index=True)
    got = client["keyed"].read().sort_values("f8", ignore_index=True)
    assert list(got) == list(expected) == ["i1", "f8", "text", "run", "site"]
    assert str(got["run"].dtype) == str(got["site"].dtype) == "category"
    same(plain(got), plain(expected), "keyed")
    np.testing.assert_array_equal(np.sort(client["keyed"]["run"].read()), np.sort(expected["run"].astype(int)))
