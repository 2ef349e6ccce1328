"""Options: names, defaults, suggestions, secrets."""

from __future__ import annotations

import pytest

from millstream.connect.base import ConnectorError
from millstream.connect.options import ignored_options, masked
from millstream.connect.registry import CLASSES, find_class, prepare

DATAGEN = {"connector.class": "DatagenSource", "kafka.topic": "t", "quickstart": "CLICKSTREAM"}


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("DatagenSource", "DatagenSource"),
        ("datagensource", "DatagenSource"),
        ("io.confluent.kafka.connect.datagen.DatagenConnector", "DatagenSource"),
        ("ElasticsearchSink", "ElasticsearchSink"),
        (
            "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector",
            "ElasticsearchSink",
        ),
        ("AccessLogSource", "AccessLogSource"),
    ],
)
def test_classes_are_found_by_every_name(name: str, first: str) -> None:
    assert find_class(name).names[0] == first


def test_unknown_class_suggests_a_near_one_or_lists_all() -> None:
    with pytest.raises(ConnectorError) as near:
        find_class("DatagenSorce")
    assert near.value.hint == "Did you mean 'DatagenSource'?"
    with pytest.raises(ConnectorError) as far:
        find_class("X")
    assert far.value.hint is not None
    assert all(cls.names[0] in far.value.hint for cls in CLASSES)


def test_missing_class_says_so() -> None:
    with pytest.raises(ConnectorError, match=r"connector\.class"):
        prepare("SOURCE", {"kafka.topic": "t"})


def test_direction_must_be_the_statements() -> None:
    with pytest.raises(ConnectorError) as error:
        prepare("SINK", DATAGEN)
    assert error.value.hint == "Write CREATE SOURCE CONNECTOR."


def test_names_are_matched_without_regard_to_case_and_come_back_as_known() -> None:
    _, options = prepare(
        "source",
        {"CONNECTOR.CLASS": "DatagenSource", "KAFKA.TOPIC": "t", "MAXINTERVAL": "3"},
    )
    assert options == {
        "connector.class": "DatagenSource",
        "kafka.topic": "t",
        "maxInterval": "3",
    }


def test_an_option_in_two_spellings_is_an_error() -> None:
    with pytest.raises(ConnectorError, match="more than once"):
        prepare("SOURCE", DATAGEN | {"Quickstart": "CLICKSTREAM"})


def test_an_unknown_option_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(ConnectorError) as error:
        prepare("SOURCE", DATAGEN | {"maxInterval.ms": "5"})
    assert error.value.hint == "Did you mean 'maxInterval'?"


def test_transforms_are_refused_with_a_way_out() -> None:
    with pytest.raises(ConnectorError, match="not supported yet") as error:
        prepare("SOURCE", DATAGEN | {"transforms.a.type": "x"})
    assert "query" in str(error.value.hint)


def test_a_required_option_that_is_missing_or_empty() -> None:
    for topic in ({}, {"kafka.topic": " "}):
        options = {"connector.class": "DatagenSource", "quickstart": "CLICKSTREAM"} | topic
        with pytest.raises(ConnectorError, match=r"kafka\.topic"):
            prepare("SOURCE", options)


def test_options_without_meaning_are_kept_and_listed() -> None:
    extra = {
        "name": "n",
        "tasks.max": "1",
        "kafka.api.key": "k",
        "kafka.auth.mode": "KAFKA_API_KEY",
        "value.converter.schemas.enable": "false",
        "errors.tolerance": "all",
    }
    cls, options = prepare("SOURCE", DATAGEN | extra)
    assert options == DATAGEN | extra
    assert ignored_options(cls, options) == list(extra)


def test_a_converter_that_would_change_the_bytes_is_refused() -> None:
    with pytest.raises(ConnectorError, match="AvroConverter"):
        prepare("SOURCE", DATAGEN | {"value.converter": "io.confluent.connect.avro.AvroConverter"})
    kept = {"value.converter": "org.apache.kafka.connect.json.JsonConverter"}
    assert prepare("SOURCE", DATAGEN | kept)[1] == DATAGEN | kept


def test_secrets_are_masked_and_what_only_sounds_like_one_is_not() -> None:
    options = {
        "kafka.api.key": "a",
        "kafka.api.secret": "b",
        "connection.password": "c",
        "Auth.Token": "d",
        "sasl.credentials": "e",
        "key.ignore": "true",
        "key.converter": "x",
        "connection.url": "https://me:hush@host:1,http://other",
    }
    shown = masked(options)
    assert {name for name, value in shown.items() if value == "********"} == {
        "kafka.api.key",
        "kafka.api.secret",
        "connection.password",
        "Auth.Token",
        "sasl.credentials",
    }
    assert shown["connection.url"] == "https://********@host:1,http://other"
    assert shown["key.ignore"] == "true"


def test_every_option_is_described_and_named_once() -> None:
    for cls in CLASSES:
        names = [option.name for option in cls.options]
        assert len(names) == len(set(names))
        assert all(option.description.endswith(".") for option in cls.options)
