"""Options of connectors: which are known, what they may say, and what is never shown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from millstream.connect.base import ConnectorClass, ConnectorError, Option

MASK = "********"
"""What stands where a secret would."""

_SECRET_ENDINGS = ("password", "secret", "token", "key", "credentials")
_USER_INFO = re.compile(r"(?<=://)[^/@\s,]+(?=@)")

COMMON_OPTIONS: tuple[Option, ...] = (
    Option("connector.class", "The kind of connector.", required=True),
    Option("name", "A name to show; the connector is known by its SQL name.", ignored=True),
    Option("tasks.max", "Millstream runs one task a connector.", ignored=True),
    Option("kafka.api.key", "Confluent Cloud's; nothing to log in to here.", ignored=True),
    Option("kafka.api.secret", "Confluent Cloud's; nothing to log in to here.", ignored=True),
    Option("kafka.auth.mode", "Confluent Cloud's; nothing to log in to here.", ignored=True),
    Option("kafka.service.account.id", "Confluent Cloud's.", ignored=True),
    Option("kafka.endpoint", "Confluent Cloud's.", ignored=True),
    Option("kafka.region", "Confluent Cloud's.", ignored=True),
    Option("kafka.max.partition.validation.disable", "Confluent Cloud's.", ignored=True),
    Option("key.converter", "Keys are text, as Confluent's connectors send them.", ignored=True),
    Option("key.converter.*", "Settings of the key's converter.", ignored=True),
    Option("value.converter", "Values are JSON.", ignored=True),
    Option("value.converter.*", "Settings of the value's converter.", ignored=True),
    Option("header.converter", "Records have no headers.", ignored=True),
    Option("schemas.enable", "JSON never carries its schema here.", ignored=True),
    Option("schema.context.name", "There is no schema registry in between.", ignored=True),
    Option("value.subject.name.strategy", "There is no schema registry in between.", ignored=True),
    Option("key.subject.name.strategy", "There is no schema registry in between.", ignored=True),
    Option("auto.restart.on.user.error", "Confluent Cloud's.", ignored=True),
    Option("errors.*", "Bad records always go to the processing log.", ignored=True),
    Option("topic.creation.*", "Topics that a connector makes have one partition.", ignored=True),
    Option("config.action.reload", "Kafka Connect's.", ignored=True),
)
"""What every connector class accepts besides its own options."""

_NOT_JSON = re.compile(r"avro|protobuf|jsonschema", re.IGNORECASE)


def check_options(cls: ConnectorClass, options: Mapping[str, str]) -> dict[str, str]:
    """The options under the names that the class gives them, in the order of writing.

    Names are matched exactly first, then without regard to case. Raises ConnectorError for an
    unknown option (with a suggestion), one given twice, or a required one missing.
    """
    known = (*cls.options, *COMMON_OPTIONS)
    result: dict[str, str] = {}
    for written, value in options.items():
        name = _known_name(cls, known, written)
        if name in result:
            raise ConnectorError(f"The option '{name}' is given more than once.")
        result[name] = value
    for option in known:
        if option.required and not result.get(option.name, "").strip():
            raise ConnectorError(
                f"The option '{option.name}' of {cls.names[0]} is missing.",
                hint=f"{option.description} Write it in the WITH clause: '{option.name}' = '...'.",
            )
    _check_converters(result)
    return result


def ignored_options(cls: ConnectorClass, options: Mapping[str, str]) -> list[str]:
    """Those of the (checked) options that the class accepts and does not use."""
    known = (*cls.options, *COMMON_OPTIONS)
    return [name for name in options if (o := _match(known, name)) is not None and o.ignored]


def masked(options: Mapping[str, str]) -> dict[str, str]:
    """The options as they may be shown: secrets, and log-in parts of URLs, are covered."""
    return {
        name: MASK if is_secret(name) else _USER_INFO.sub(MASK, value)
        for name, value in options.items()
    }


def is_secret(name: str) -> bool:
    """Whether an option of this name holds a secret, judged by the end of the name."""
    return name.lower().endswith(_SECRET_ENDINGS)


def is_placeholder(value: str) -> bool:
    """Whether the value is a `<blank to fill in>` that was left as it is."""
    text = value.strip()
    return text.startswith("<") and text.endswith(">")


class OptionReader:
    """Reads checked options by name and type, with the defaults of the class."""

    def __init__(self, cls: ConnectorClass, options: Mapping[str, str]) -> None:
        self._values = options
        self._defaults = {option.name: option.default for option in cls.options}

    def text(self, name: str) -> str | None:
        """The option's text without outer blanks, its default, or None."""
        value = self._values.get(name, self._defaults.get(name))
        return None if value is None else str(value).strip()

    def required(self, name: str) -> str:
        """The option's text; raises ConnectorError where there is none."""
        value = self.text(name)
        if not value:
            raise ConnectorError(f"The option '{name}' needs a value.")
        return value

    def integer(self, name: str, least: int = 0) -> int:
        """The option as a whole number of at least `least`."""
        text = self.required(name)
        try:
            number = int(text)
        except ValueError:
            raise ConnectorError(
                f"The option '{name}' must be a whole number, not '{text}'."
            ) from None
        if number < least:
            raise ConnectorError(f"The option '{name}' must be at least {least}, not {number}.")
        return number

    def flag(self, name: str) -> bool:
        """The option as true or false."""
        return self.choice(name, ("true", "false")) == "true"

    def choice(self, name: str, allowed: Iterable[str]) -> str:
        """The option as one of the allowed words, compared without regard to case."""
        text = self.required(name)
        words = list(allowed)
        for word in words:
            if word.lower() == text.lower():
                return word
        raise ConnectorError(
            f"The option '{name}' cannot be '{text}'.",
            hint=f"It may be {', '.join(words[:-1])} or {words[-1]}." if words[1:] else None,
        )


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be, or None."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def _known_name(cls: ConnectorClass, known: tuple[Option, ...], written: str) -> str:
    option = _match(known, written)
    if option is not None:
        return written if option.name.endswith("*") else option.name
    if written.lower().startswith(("transforms", "predicates")):
        raise ConnectorError(
            f"Single message transforms ('{written}') are not supported yet.",
            hint="A query (CREATE STREAM ... AS SELECT) can transform the records instead.",
        )
    close = suggestion(written, (o.name for o in known if not o.name.endswith("*")))
    raise ConnectorError(
        f"{cls.names[0]} has no option '{written}'.",
        hint=None if close is None else f"Did you mean '{close}'?",
    )


def _match(known: tuple[Option, ...], written: str) -> Option | None:
    lower = written.lower()
    for option in known:
        if option.name == written:
            return option
    for option in known:
        if option.name.lower() == lower:
            return option
        if option.name.endswith("*") and lower.startswith(option.name[:-1].lower()):
            return option
    return None


def _check_converters(options: Mapping[str, str]) -> None:
    for name in ("key.converter", "value.converter"):
        converter = options.get(name, "")
        if _NOT_JSON.search(converter):
            raise ConnectorError(
                f"The option '{name}' asks for {converter}, which is not supported yet.",
                hint="Leave the option out: values are JSON, keys are text.",
            )
