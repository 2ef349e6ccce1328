"""The NONE format: no bytes, no columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from millstream.serde.base import Decoded, Decoder, Encoder, Layout
from millstream.serde.rules import never_wrapped
from millstream.types import Column, quote_name


class NoneFormat:
    """Parts that do not exist: always null, whatever the record's bytes are."""

    name = "NONE"

    def check(self, columns: Sequence[Column], *, is_key: bool) -> str | None:
        """See `Format.check`."""
        if not columns:
            return None
        names = ", ".join(quote_name(c.name) for c in columns)
        part = "key" if is_key else "value"
        return f"The NONE format has no place for columns, but the {part} has {names}."

    def wrapping(self, wrap: bool | None, columns: Sequence[Column]) -> bool:
        """See `Format.wrapping`."""
        never_wrapped(self.name, wrap, columns)
        return False

    def decoder(self, layout: Layout) -> Decoder:
        """See `Format.decoder`."""
        return NoneCodec()

    def encoder(self, layout: Layout) -> Encoder:
        """See `Format.encoder`."""
        return NoneCodec()


class NoneCodec:
    """Reads and writes nulls."""

    def decode(self, records: pa.Array, needed: Sequence[bool] | None = None) -> Decoded:
        """See `Decoder.decode`."""
        return Decoded([], np.ones(len(records), bool) if len(records) else None)

    def encode(self, arrays: list[pa.Array], null: np.ndarray | None, length: int) -> pa.Array:
        """See `Encoder.encode`."""
        return pa.nulls(length, pa.binary())

    def normalise(
        self, arrays: list[pa.Array], null: np.ndarray | None
    ) -> tuple[list[pa.Array], np.ndarray | None]:
        """See `Encoder.normalise`; without a mask the number of records is not known here."""
        return [], None if null is None else np.ones(len(null), bool)
