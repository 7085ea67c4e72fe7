"""The rules of clients/js/test/json.test.ts; what both refuse in evidence is in vectors/attestation."""

from __future__ import annotations

import pytest

from blindsight import strict_json
from tests.support.misspelt import misspelt


def refused(data: bytes | str) -> bool:
    try:
        strict_json.loads(data)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        (' {"a": [1, 1.5, 1e2, -0, true, "\\u00fc\\ud83d\\ude00 ü"], "b": {"a": {}}}\n', None),
        ("[" * 101 + "]" * 101, None),
        ("[" * 100 + "0" + "]" * 100, None),
        ('"\\ud800"', "\ud800"),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_json_is_read_as_everybody_reads_it(text: str, value: object) -> None:
    import json

    assert strict_json.loads(text) == strict_json.loads(text.encode()) == (value or json.loads(text))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"\xff", b"nul", b"[1,]", b"'x'", b"{} {}", b"01", b"-Infinity", b"Infinity", b"[NaN]", b'"\n"',
        "\ufeff{}",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_not_json(data: bytes | str) -> None:
    assert refused(data)


@pytest.mark.parametrize(
    "text", ["1e999", "-1e999", "[1.0e+309]", '{"a": 123456789.5e400}', "9" * 309 + ".0", "1" * 4301]
)
def test_a_number_that_no_double_and_not_every_reader_holds(text: str) -> None:
    """`json` would make infinities of the first, which cannot be written as JSON again."""
    assert refused(text)


@pytest.mark.parametrize("text", ["1e308", "-1.7976931348623157e308", "1e-999", "1" * 4300, "-" + "1" * 4300])
def test_a_number_that_every_reader_holds(text: str) -> None:
    assert not refused(text)


@pytest.mark.parametrize("spelling", misspelt("{}"))
def test_other_spellings(spelling: str) -> None:
    assert not refused('{"a": 1}')
    assert refused(misspelt('{"a": 1}')[spelling])


@pytest.mark.parametrize("text", ['{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '[{"x":{"a":1,"b":2,"a":3}}]'])
def test_a_member_twice_is_told_apart(text: str) -> None:
    with pytest.raises(strict_json.DuplicateMemberError):
        strict_json.loads(text)


@pytest.mark.parametrize("text", ["[" * 101 + "0" + "]" * 101, '{"a":' * 101 + "0" + "}" * 101, "[" * 200_000])
def test_depth_is_bounded_by_the_same_number_everywhere(text: str) -> None:
    with pytest.raises(ValueError, match="nested"):
        strict_json.loads(text)
