"""Functions of text, regular expressions, masks, bytes, URLs."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

CASES = [
    ("UCASE('Straße')", "STRASSE"),
    ("LCASE('ÀBC')", "àbc"),
    ("INITCAP('the QUICK  fox')", "The Quick  Fox"),
    ("LEN('abc')", 3),
    ("LEN('\U0001f600')", 2),
    ("LEN(TO_BYTES('é', 'utf8'))", 2),
    ("TRIM('  \t a b ')", "a b"),
    ("SUBSTRING('stream', 2)", "tream"),
    ("SUBSTRING('stream', 2, 3)", "tre"),
    ("SUBSTRING('stream', -3)", "eam"),
    ("SUBSTRING('stream', -3, 2)", "ea"),
    ("SUBSTRING('stream', 0, 2)", "st"),
    ("SUBSTRING('stream', -10, 2)", "st"),
    ("SUBSTRING('stream', 20)", ""),
    ("SUBSTRING('stream', 2, -1)", ""),
    ("SUBSTRING('stream', NULL)", None),
    ("SUBSTRING(CAST(NULL AS STRING), 1)", None),
    ("FROM_BYTES(SUBSTRING(TO_BYTES('stream', 'utf8'), 2, 3), 'utf8')", "tre"),
    ("CONCAT('a', NULL, 'b')", "ab"),
    ("CONCAT_WS('-', 'a', NULL, 'b')", "a-b"),
    ("CONCAT_WS(NULL, 'a', 'b')", None),
    ("CONCAT_WS('-', CAST(NULL AS STRING))", ""),
    ("REPLACE('banana', 'an', 'x')", "bxxa"),
    ("LPAD('foo', 7, 'Bar')", "BarBfoo"),
    ("LPAD('foo', 2, 'Bar')", "fo"),
    ("RPAD('foo', 7, 'Bar')", "fooBarB"),
    ("RPAD('foo', -1, 'Bar')", None),
    ("RPAD('foo', 7, '')", None),
    ("FROM_BYTES(LPAD(TO_BYTES('yes', 'utf8'), 5, TO_BYTES('no', 'utf8')), 'utf8')", "noyes"),
    ("INSTR('corporate floor', 'or')", 2),
    ("INSTR('corporate floor', 'or', 4)", 5),
    ("INSTR('corporate floor', 'or', 4, 2)", 14),
    ("INSTR('corporate floor', 'or', -4)", 5),
    ("INSTR('corporate floor', 'or', -1)", 14),
    ("INSTR('corporate floor', 'xx')", 0),
    ("INSTR('corporate floor', 'or', 99)", 0),
    ("ELT(2, 'a', 'b')", "b"),
    ("ELT(0, 'a', 'b')", None),
    ("ELT(3, 'a', 'b')", None),
    ("FIELD('b', 'a', 'b')", 2),
    ("FIELD('b', 'a', NULL)", 0),
    ("FIELD(NULL, 'a')", 0),
    ("CHR(75)", "K"),
    ("CHR(99000)", "\U000182b8"),
    ("CHR(-1)", None),
    ("CHR('\\u004b')", "K"),
    ("CHR('\\ud820\\udeb8')", "\U000182b8"),
    ("CHR('75')", None),
    ("SPLIT('a.b.', '.')", ["a", "b", ""]),
    ("SPLIT('', '.')", [""]),
    ("SPLIT('abc', '')", ["a", "b", "c"]),
    ("SPLIT(TO_BYTES('a,b', 'utf8'), TO_BYTES(',', 'utf8'))", [b"a", b"b"]),
    ("SPLIT_TO_MAP('a:1/b:2//c', '/', ':')", {"a": "1", "b": "2"}),
    ("SPLIT_TO_MAP('a:1/a:2', '/', ':')", {"a": "2"}),
    ("SPLIT_TO_MAP('a:1', '', ':')", None),
    ("SPLIT_TO_MAP('a:1', ':', ':')", None),
    ("MD5('')", "d41d8cd98f00b204e9800998ecf8427e"),
    ("REGEXP_EXTRACT('(.*) (.*)', 'hello there', 2)", "there"),
    ("REGEXP_EXTRACT('.x', 'hello')", None),
    ("REGEXP_EXTRACT('(l)', 'hello', 2)", None),
    ("REGEXP_EXTRACT_ALL('.at', 'cat hat')", ["cat", "hat"]),
    ("REGEXP_REPLACE('baababaa', '(ab)+', 'cat')", "bacataa"),
    ("REGEXP_REPLACE('a1', '([a-z])(\\d)', '$2$1')", "1a"),
    ("REGEXP_REPLACE('a1', '\\p{Digit}', '#')", "a#"),
    ("REGEXP_REPLACE('a1', '[\\p{Alpha}]', '#')", "#1"),
    ("REGEXP_SPLIT_TO_ARRAY('aabcda', '(ab|cd)')", ["a", "", "a"]),
    ("REGEXP_SPLIT_TO_ARRAY('abc', '')", ["a", "b", "c"]),
    ("MASK('My Test $123')", "Xx-Xxxx--nnn"),
    ("MASK('My Test $123', '*', NULL, '1', NULL)", "*y *est $111"),
    ("MASK_LEFT('My Test $123', 4)", "Xx-Xest $123"),
    ("MASK_RIGHT('My Test $123', 4)", "My Test -nnn"),
    ("MASK_KEEP_LEFT('My Test $123', 4)", "My Txxx--nnn"),
    ("MASK_KEEP_RIGHT('My Test $123', 4)", "Xx-Xxxx-$123"),
    ("MASK_RIGHT('ab', 9)", "xx"),
    ("ENCODE('4578616d706C6521', 'hex', 'ascii')", "Example!"),
    ("ENCODE('0x4578616d706C6521', 'hex', 'utf8')", "Example!"),
    ("ENCODE('X''4578616d706C6521''', 'hex', 'base64')", "RXhhbXBsZSE="),
    ("ENCODE('0x578616d706C6521', 'hex', 'base64')", "BXhhbXBsZSE="),
    ("ENCODE('Ελ', 'utf8', 'ascii')", "\ufffd" * 4),
    ("ENCODE('Example!', 'ascii', 'hex')", "4578616d706c6521"),
    ("TO_BYTES('1aB2', 'hex')", b"\x1a\xb2"),
    ("FROM_BYTES(TO_BYTES('1aB2', 'hex'), 'hex')", "1AB2"),
    ("INT_FROM_BYTES(TO_BYTES('000007E5', 'hex'))", 2021),
    ("INT_FROM_BYTES(TO_BYTES('E5070000', 'hex'), 'LITTLE_ENDIAN')", 2021),
    ("BIGINT_FROM_BYTES(TO_BYTES('AAAAASoF8gA=', 'base64'))", 5000000000),
    ("DOUBLE_FROM_BYTES(TO_BYTES('QICm/ZvJ9YI=', 'base64'))", 532.8738323),
    ("UUID(TO_BYTES('00112233445566778899aabbccddeeff', 'hex'))",
     "00112233-4455-6677-8899-aabbccddeeff"),
    ("UUID(TO_BYTES('00', 'hex'))", None),
    ("URL_ENCODE_PARAM('?foo $bar~*')", "%3Ffoo+%24bar%7E*"),
    ("URL_DECODE_PARAM('%3Ffoo+%24bar')", "?foo $bar"),
    ("URL_EXTRACT_FRAGMENT('http://www.test.com/?query#fragment')", "fragment"),
    ("URL_EXTRACT_FRAGMENT('http://www.test.com')", None),
    ("URL_EXTRACT_HOST('http://test@confluent.io:8080')", "confluent.io"),
    ("URL_EXTRACT_PORT('http://test@confluent.io:8080/x')", 8080),
    ("URL_EXTRACT_PORT('http://test@confluent.io')", None),
    ("URL_EXTRACT_PATH('http://www.test.com?query#f')", ""),
    ("URL_EXTRACT_PATH('http://a.io/nested/path?q')", "/nested/path"),
    ("URL_EXTRACT_PROTOCOL('https://a.io')", "https"),
    ("URL_EXTRACT_PROTOCOL('www.confluent.io')", None),
    ("URL_EXTRACT_QUERY('http://a.io/path?q1&q2')", "q1&q2"),
    ("URL_EXTRACT_QUERY('http://a.io/path')", None),
    ("URL_EXTRACT_PARAMETER('http://a.io/?one=a&two=b%20c&three', 'two')", "b c"),
    ("URL_EXTRACT_PARAMETER('http://a.io/?one=a&three', 'three')", ""),
    ("URL_EXTRACT_PARAMETER('http://a.io/?one=a', 'four')", None),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), CASES)
def test_values(value: Any, sql: str, expected: Any) -> None:
    given = value(sql)
    assert given == expected
    assert type(given) is type(expected)


@pytest.mark.parametrize(
    "sql",
    [
        "MASK_LEFT('abc', -1)",
        "MASK('abc', 'XX', 'x', 'n', '-')",
        "ENCODE('x', 'rot13', 'utf8')",
        "ENCODE('abc', 'hex', 'utf8')",
        "TO_BYTES('xyz', 'hex')",
        "INT_FROM_BYTES(TO_BYTES('00', 'hex'))",
        "INT_FROM_BYTES(TO_BYTES('00000000', 'hex'), 'MIDDLE')",
        "REGEXP_EXTRACT('(', 'a')",
        "REGEXP_REPLACE('a', 'a', '$9')",
        "URL_EXTRACT_HOST('http://a b.io')",
        "URL_DECODE_PARAM('%zz')",
    ],
)
def test_failures(value: Any, failed: Any, sql: str) -> None:
    assert value(sql) is failed


def test_random_uuids_differ(value: Any) -> None:
    one, other = value("UUID()"), value("UUID()")
    assert uuid.UUID(one).version == 4
    assert one != other
