"""The user guide says what the server does."""

from conftest import ROOT


def test_every_format_has_its_row(catalog):
    guide = (ROOT / "docs" / "user" / "formats.md").read_text()
    announced = catalog.http().get("/").json()["formats"]
    missing = {name for formats in announced.values() for name in formats if f"`{name}`" not in guide}
    assert announced and not missing


def test_every_query_has_its_section(catalog):
    guide = (ROOT / "docs" / "user" / "search.md").read_text()
    announced = catalog.http().get("/").json()["queries"]
    missing = {name for name in announced if f"`{name}`" not in guide}
    assert announced and not missing
