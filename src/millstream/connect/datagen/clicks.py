"""The quickstart CLICKSTREAM: visitors who click their way through a made-up shop.

A few visitors are there at any time. Each stays for a visit of many clicks, with one user, one
address and one browser, and is then followed by another. Everything about record i is a function
of (seed, i): `i` picks the visitor's place by chance and thereby the visit, and one draw of 64
random bits decides what is clicked and how it ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream.connect.datagen.rng import below, field, random_bits, weighted
from millstream.connect.datagen.users import DEFAULT_USERS

_PLACES = 12
_SHORTEST_VISIT, _LONGEST_VISIT = 600, 1_800  # in clicks of all visitors together

_HTML = (
    "GET /index.html HTTP/1.1", "GET /shop/kettles.html HTTP/1.1",
    "GET /shop/lamps.html HTTP/1.1", "GET /shop/chairs.html HTTP/1.1",
    "GET /shop/offers.html?page=2 HTTP/1.1", "GET /basket.html HTTP/1.1",
    "GET /checkout.html HTTP/1.1", "GET /help/delivery.html HTTP/1.1",
    "GET /help/returns.html HTTP/1.1", "GET /about/workshop.html HTTP/1.1",
)  # fmt: skip
_OTHER = (
    "GET /style/main.css HTTP/1.1", "GET /script/basket.js HTTP/1.1",
    "GET /pictures/kettle-blue.jpg HTTP/1.1", "GET /pictures/lamp-tall.jpg HTTP/1.1",
    "GET /favicon.ico HTTP/1.1", "GET /api/stock?item=1207 HTTP/1.1",
    "POST /api/basket HTTP/1.1", "POST /api/search HTTP/1.1",
)  # fmt: skip
_REQUESTS = _HTML + _OTHER
_REQUEST_WEIGHTS = [6] * len(_HTML) + [5] * len(_OTHER)

_STATUS_WEIGHTS = {200: 800, 302: 40, 304: 40, 404: 50, 403: 15, 405: 15, 407: 10, 500: 15, 503: 15}
_STATUSES = tuple(_STATUS_WEIGHTS)
_SIZES = tuple(180 + 97 * i + i * i for i in range(64))  # of answers, in bytes

_REFERRERS = (
    "-", "https://shop.example/index.html", "https://shop.example/shop/offers.html",
    "https://search.example/?q=blue+kettle", "https://letters.example/spring",
)  # fmt: skip
_REFERRER_WEIGHTS = [30, 35, 20, 10, 5]
_AGENTS = (
    "Lantern/4.2 (Desktop; X11)", "Lantern/4.2 (Phone; Touch)", "Fieldbrowse/17.1 (Tablet)",
    "Fieldbrowse/17.3 (Desktop; rv:9)", "Otter/2.0 (Phone)", "Reader/1.1 (+https://letters.example)",
)  # fmt: skip

_ADDRESS_NETS = ("192.0.2", "198.51.100", "203.0.113")  # for documentation: RFC 5737
_HOMES = 2  # addresses of one user

_CLICK_STREAM, _VISIT_STREAM, _PLACE_STREAM = 1, 2, 3


class Clicks:
    """Fields: _time (number), time, ip, userid (number), remote_user, request, status, bytes,
    referrer, agent (text). The key is the ip.

    `_time` counts up by 10 a record and `time` is the same as text; the record's timestamp is when
    the click happened.
    """

    key_field = "ip"

    def __init__(self, seed: int, users: int = DEFAULT_USERS) -> None:
        self._seed = seed
        self._users = users
        places = random_bits(seed, _PLACE_STREAM, np.arange(_PLACES))
        self._visit_length = _SHORTEST_VISIT + below(places, _LONGEST_VISIT - _SHORTEST_VISIT)
        self._phase = field(places, 0, 12)
        self._request_of = weighted(_REQUEST_WEIGHTS, 10)
        self._status_of = weighted(list(_STATUS_WEIGHTS.values()), 10)
        self._referrer_of = weighted(_REFERRER_WEIGHTS, 8)
        addresses = [_address(seed, user, home) for user in range(users) for home in range(_HOMES)]
        self._keys = pa.array([a.encode() for a in addresses], pa.binary())
        self._visitor_text = _texts(
            f'","ip":"{a}","userid":{n // _HOMES + 1},"remote_user":"-","request":"'
            for n, a in enumerate(addresses)
        )
        self._request_text = _texts(_escaped(r) + '","status":"' for r in _REQUESTS)
        self._answer_text = _texts(
            f'{status}","bytes":"{size}","referrer":"' for status in _STATUSES for size in _SIZES
        )
        self._end_text = _texts(
            f'{_escaped(r)}","agent":"{_escaped(a)}"}}' for r in _REFERRERS for a in _AGENTS
        )

    def generate(self, first: int, count: int) -> tuple[pa.Array, pa.Array]:
        """Keys and values (binary) of `count` records from index `first` on."""
        index = np.arange(first, first + count, dtype=np.int64)
        bits = random_bits(self._seed, _CLICK_STREAM, index)
        visitor, agent = self._visitors(index, below(bits, _PLACES))
        request = self._request_of[field(bits, 0, 10)]
        status = self._status_of[field(bits, 10, 10)]
        size = field(bits, 20, 6)
        size[np.array(_STATUSES)[status] != 200] >>= 3  # what is no page is short
        referrer = self._referrer_of[field(bits, 24, 8)]
        number = pc.cast(pa.array((index + 1) * 10), pa.string()).cast(pa.binary())
        value = pc.binary_join_element_wise(
            pa.scalar(b'{"_time":', pa.binary()),
            number,
            pa.scalar(b',"time":"', pa.binary()),
            number,
            self._visitor_text.take(pa.array(visitor)),
            self._request_text.take(pa.array(request)),
            self._answer_text.take(pa.array(status * len(_SIZES) + size)),
            self._end_text.take(pa.array(referrer * len(_AGENTS) + agent)),
            pa.scalar(b"", pa.binary()),
        )
        return self._keys.take(pa.array(visitor)), value

    def _visitors(self, index: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each record's visitor (an index of user and address) and browser."""
        visit = (index + self._phase[place]) // self._visit_length[place]
        bits = random_bits(self._seed, _VISIT_STREAM, visit * _PLACES + place)
        user = below(bits, self._users)
        return user * _HOMES + field(bits, 0, 1), field(bits, 1, 16) % len(_AGENTS)


def _address(seed: int, user: int, home: int) -> str:
    """An address of a user; with more users than addresses, several share one."""
    start = int(below(random_bits(seed, _PLACE_STREAM + 1, np.arange(1)), 762)[0])
    number = (start + (user * _HOMES + home) * 5) % 762  # 5 and 762 have no common divisor
    return f"{_ADDRESS_NETS[number // 254]}.{number % 254 + 1}"


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


def _texts(parts: Iterable[str]) -> pa.Array:
    return pa.array([p.encode() for p in parts], pa.binary())
