"""What is measured, and what each figure has to be."""

import random
import urllib.parse
from dataclasses import dataclass, field

from content import NODES


@dataclass
class Case:
    name: str
    steps: list[dict]
    #: girih's requests per second have to be this many times the reference's.
    bar: float
    #: And this share of what nginx does with the same bytes as a file; None: not compared.
    limit: float | None = None
    #: The bytes come out of a codec: the limit is its rate on all cores and, after it, what nginx does with what it makes.
    decoded: bool = False
    connections: int = 16
    headers: dict[str, str] = field(default_factory=dict)
    #: The reference cannot do it, or takes too long.
    alone: bool = False


def get(*paths: str) -> list[dict]:
    return [{"path": f"/api/v1{path}"} for path in paths]


def where(kind: str, **condition: object) -> str:
    import json

    return "&".join(
        f"filter[{kind}][condition][{name}]={urllib.parse.quote(value if name in ('text', 'operator', 'key') else json.dumps(value))}"
        for name, value in condition.items()
    )


def slices(count: int = 100, size: int = 100) -> list[str]:
    chosen = random.Random(1)
    corners = [(chosen.randrange(4096 - size), chosen.randrange(4096 - size)) for _ in range(count)]
    spans = [f"{y}:{y + size},{x}:{x + size}" for y, x in corners]
    return [f"/array/full/large/chunked?slice={span}&format=application/octet-stream" for span in spans]


OCTETS = "format=application/octet-stream"
IDENTITY = {"accept-encoding": "identity"}
ZSTD = {"accept-encoding": "zstd"}
NODE = f"/metadata/nodes/n{NODES // 2:05}"
SEARCHES = [
    f"/search/nodes?page[limit]=100&{where('eq', key='element.symbol', value='E7')}",
    f"/search/nodes?page[limit]=100&{where('comparison', operator='ge', key='temperature', value=200)}",
    f"/search/nodes?page[limit]=100&{where('fulltext', text='lattice')}",
    "/search/nodes?page[limit]=100&sort=temperature",
]
LISTING = ["/search/nodes?page[limit]=100", "/search/nodes?page[offset]=150&page[limit]=100"]
DISTINCT = ["/distinct/nodes?metadata=element.category&counts=true"]

CASES = [
    Case("one node's metadata", get(NODE), bar=200, limit=0.3),
    Case("any node's metadata", get("/metadata/nodes/n00{r:2}{r:10}{r:10}"), bar=200),
    Case("small array", get(f"/array/full/small/array?{OCTETS}"), bar=200, headers=IDENTITY),
    Case("small array as JSON", get("/array/full/small/array?format=application/json"), bar=200),
    Case("small table", get("/table/full/small/table?format=application/vnd.apache.arrow.file"), bar=200),
    Case("search pages", get(*SEARCHES), bar=100),
    Case("listings", get(*LISTING), bar=100),
    Case("distinct", get(*DISTINCT), bar=100),
    Case("slices of a chunked array", get(*slices()), bar=100, headers=IDENTITY),
    Case("frames of a stack", get(f"/array/full/large/stack?slice={{r:200}}&{OCTETS}"), bar=50, headers=IDENTITY),
    Case("large CSV", get("/table/full/large/table?format=text/csv"), bar=20, connections=2, headers=IDENTITY),
    Case("PNG", get("/array/full/large/image?format=image/png"), bar=10, connections=4),
    Case(
        "8 MB block, identity",
        get(f"/array/block/large/block?block=0,0&{OCTETS}"),
        bar=1,
        limit=0.7,
        connections=4,
        headers=IDENTITY,
    ),
    Case(
        "8 MB block, stored zstd",
        get(f"/array/block/large/block?block=0,0&{OCTETS}"),
        bar=1,
        limit=0.7,
        connections=4,
        headers=ZSTD,
    ),
    # Its chunks stay decoded from one time to the next; those of the next one are too many.
    Case(
        "64 MB zstd array, whole", get(f"/array/full/large/whole?{OCTETS}"), bar=1, connections=2, headers=IDENTITY
    ),
    Case(
        "192 MB zstd array, whole",
        get(f"/array/full/large/archive?{OCTETS}"),
        bar=1,
        limit=0.8,
        decoded=True,
        connections=2,
        headers=IDENTITY,
    ),
]
