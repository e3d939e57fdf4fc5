"""Whatever is asked of the documented API, the server never fails."""

import json

import hypothesis
import msgpack
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error


@schemathesis.serializer("application/x-msgpack")
def as_msgpack(ctx, value):
    # MessagePack has no integers beyond 64 bits.
    return msgpack.packb(value, default=str) if fits(value) else b""


@schemathesis.serializer("application/x-ndjson")
def as_lines(ctx, value):
    return b"\n".join(json.dumps(line).encode() for line in [value, value])


def fits(value):
    if isinstance(value, dict):
        return all(map(fits, value.values()))
    if isinstance(value, list):
        return all(map(fits, value))
    return not isinstance(value, int) or -(1 << 63) <= value < 1 << 64


@pytest.fixture(scope="module")
def api(catalog):
    client = catalog.client()
    client.write_array([[1, 2], [3, 4]], key="array")
    client.write_table({"a": [1, 2]}, key="table")
    schema = schemathesis.openapi.from_url(f"{catalog.base}/openapi.json")
    return schema.exclude(path_regex="/stream/")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@hypothesis.settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_breaks_the_server(catalog, case):
    # With made-up credentials most requests would end at the door.
    for given in (case.query, case.cookies, case.headers):
        for name in ("api_key", "tiled_api_key", "Authorization"):
            (given or {}).pop(name, None)
    headers = {"Authorization": f"Apikey {catalog.key}"}
    case.call_and_validate(base_url=catalog.base, headers=headers, checks=[not_a_server_error], timeout=20)


@pytest.mark.parametrize("key", ["", "%00", "%F4%8D", "zz", "a" * 5000, "0" * 64])
def test_wrong_keys_are_refused(catalog, key):
    with catalog.http(cookies={}) as http:
        http.headers.pop("authorization")
        assert http.get(f"{catalog.base}/api/v1/metadata/?api_key={key}").status_code in (400, 401)


def test_the_document_describes_what_clients_use(catalog):
    paths = catalog.http().get(f"{catalog.base}/openapi.json").json()["paths"]
    described = " ".join(paths)
    for part in ["/metadata/", "/search/", "/array/block/", "/array/full/", "/table/partition/", "/container/full/"]:
        assert part in described, part
