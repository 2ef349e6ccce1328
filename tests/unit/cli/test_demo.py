from __future__ import annotations

import pytest

from millstream.cli.demo import (
    drop_failed_sink,
    recipe_script,
    with_elasticsearch,
)
from millstream.errors import MillstreamError
from millstream.recipes import read_recipe
from tests.unit.cli.fakes import FakeConnector, FakeDatabase, FakeMetrics

SINK = "url '<elasticsearch-URI>' user '<elasticsearch-username>' secret '<elasticsearch-password>'"


def test_the_servers_address_takes_the_placeholders_place() -> None:
    assert with_elasticsearch(SINK, "http://localhost:9200") == (
        "url 'http://localhost:9200' user '' secret ''"
    )


def test_user_and_password_may_stand_in_the_url() -> None:
    assert with_elasticsearch(SINK, "https://me:a%40b'c@host:1/path") == (
        "url 'https://host:1/path' user 'me' secret 'a@b''c'"
    )


def test_user_and_password_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_ELASTICSEARCH_USER", "me")
    monkeypatch.setenv("MILLSTREAM_ELASTICSEARCH_PASSWORD", "hush")
    assert "user 'me' secret 'hush'" in with_elasticsearch(SINK, "http://h:9200")


@pytest.mark.parametrize("url", ["localhost:9200", "ftp://host", "http://", "9200"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(MillstreamError, match="not the URL of a server"):
        with_elasticsearch(SINK, url)


def test_the_log_takes_the_generators_place_and_the_rest_is_unchanged() -> None:
    verbatim = recipe_script("clickstream", from_log=False, elasticsearch=None)
    script = recipe_script("clickstream", from_log=True, elasticsearch=None)
    assert verbatim == read_recipe("clickstream")
    rest = verbatim[verbatim.index("SET 'auto.offset.reset'") :]
    assert script.endswith(rest)
    assert "DatagenSource" not in script
    assert "AccessLogSource" in script


@pytest.mark.parametrize(("state", "drops"), [("FAILED", 1), ("RUNNING", 0)])
def test_a_sink_that_had_no_address_is_made_anew(state: str, drops: int) -> None:
    connectors = [FakeConnector("ANALYZED_CLICKSTREAM", state), FakeConnector("OTHER", "FAILED")]
    db = FakeDatabase(measured=FakeMetrics(connectors=connectors))
    drop_failed_sink(db)
    assert len(db.executed) == drops
