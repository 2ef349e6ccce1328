"""The quickstart CLICKSTREAM_USERS: a fixed population, told over and over."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from millstream.connect.datagen.rng import below, random_bits

DEFAULT_USERS = 50
"""How many users there are unless the option `users` says otherwise."""

_FIRST_NAMES = (
    "Amara", "Bodil", "Cem", "Dalia", "Emeka", "Farida", "Goran", "Hanae", "Ilse", "Jonas",
    "Katja", "Lindiwe", "Mateo", "Noor", "Oisin", "Paloma", "Quang", "Rosa", "Sanjay", "Tove",
    "Ulla", "Vikram", "Wanda", "Ximena", "Yusuf", "Zofia",
)  # fmt: skip
_LAST_NAMES = (
    "Abara", "Brandt", "Castellan", "Dimova", "Eklund", "Farkas", "Gallo", "Hoang", "Ibarra",
    "Jansen", "Kowal", "Lindgren", "Moreau", "Nakata", "Okoye", "Pereira", "Quinn", "Rossi",
    "Silva", "Tanaka", "Urban", "Varga", "Weber", "Yilmaz", "Zeman",
)  # fmt: skip
_CITIES = (
    "Aarhus", "Bilbao", "Cusco", "Dakar", "Esbjerg", "Fukuoka", "Ghent", "Hamburg", "Izmir",
    "Jaipur", "Krakow", "Lagos", "Montevideo", "Nairobi", "Oulu", "Porto", "Quito", "Riga",
    "Seoul", "Turin",
)  # fmt: skip
_LEVELS = ("Basic", "Plus", "Premium")

_STREAM = 11
_FIRST_DAY_MS = 1_577_836_800_000  # 2020-01-01
_DAYS = 1_800


class Users:
    """Fields: user_id (number), username, registered_at (ms), first_name, last_name, city, level.

    Record i tells of user 1 + i mod `users`; what it tells is a function of (seed, user id), so
    that it never changes. User names are unique. The key is the user id as text.
    """

    key_field = "user_id"

    def __init__(self, seed: int, users: int = DEFAULT_USERS) -> None:
        self._users = users
        ids = np.arange(1, users + 1)
        draws = [random_bits(seed, _STREAM + part, ids) for part in range(5)]
        parts = zip(
            below(draws[0], len(_FIRST_NAMES)).tolist(),
            below(draws[1], len(_LAST_NAMES)).tolist(),
            below(draws[2], len(_CITIES)).tolist(),
            below(draws[3], len(_LEVELS)).tolist(),
            below(draws[4], _DAYS * 86_400).tolist(),
            strict=True,
        )
        values = [
            _user(user_id, _FIRST_NAMES[first], _LAST_NAMES[last], _CITIES[city], _LEVELS[level], s)
            for user_id, (first, last, city, level, s) in enumerate(parts, start=1)
        ]
        self._keys = pa.array([str(i).encode() for i in ids.tolist()], pa.binary())
        self._values = pa.array(values, pa.binary())

    def generate(self, first: int, count: int) -> tuple[pa.Array, pa.Array]:
        """Keys and values (binary) of `count` records from index `first` on."""
        row = pa.array(np.arange(first, first + count) % self._users)
        return self._keys.take(row), self._values.take(row)


def _user(user_id: int, first: str, last: str, city: str, level: str, seconds: int) -> bytes:
    user = {
        "user_id": user_id,
        "username": f"{first.lower()}_{user_id}",
        "registered_at": _FIRST_DAY_MS + seconds * 1_000,
        "first_name": first,
        "last_name": last,
        "city": city,
        "level": level,
    }
    return json.dumps(user, separators=(",", ":")).encode()
