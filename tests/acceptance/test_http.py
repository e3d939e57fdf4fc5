"""What HTTP promises: validators, codings, errors."""

import numpy as np


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
