"""Binary HTTP against RFC 9292, section 5, and against damage."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.errors import SealingError
from blindsight.sealing import bhttp

MIB = 1 << 20
TEXT_BYTES = 1024
INFORMATIONAL = 8
brief = settings(deadline=None, max_examples=40)  # The processor is shared; time is not what is tested.

FIELDS_HEX = (
    "0a757365722d6167656e74346375726c2f372e31362e33206c69626375726c2f372e31362e33204f70656e53534c2f302e392e376c207a6c"
    "69622f312e322e3304686f73740f7777772e6578616d706c652e636f6d0f6163636570742d6c616e677561676506656e2c206d69"
)
# Figure 8, a known-length request, and figure 9, the same of indeterminate length with 10 bytes of padding.
KNOWN_REQUEST = bytes.fromhex("0003474554056874747073000a2f68656c6c6f2e747874" + "406c" + FIELDS_HEX + "0000")
INDETERMINATE_REQUEST = bytes.fromhex("0203474554056874747073000a2f68656c6c6f2e747874" + FIELDS_HEX + "00" * 13)
REQUEST = bhttp.Request(
    "GET",
    "/hello.txt",
    [
        ("user-agent", "curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3"),
        ("host", "www.example.com"),
        ("accept-language", "en, mi"),
    ],
)
# Figure 11, with two informational responses.
INDETERMINATE_RESPONSE = bytes.fromhex(
    "0340660772756e6e696e670a22736c65657020313522004067046c696e6b233c2f7374796c652e6373733e3b2072656c3d7072656c6f6164"
    "3b2061733d7374796c65046c696e6b243c2f7363726970742e6a733e3b2072656c3d7072656c6f61643b2061733d7363726970740040c804"
    "646174651d4d6f6e2c203237204a756c20323030392031323a32383a353320474d5406736572766572064170616368650d6c6173742d6d6f"
    "6469666965641d5765642c203232204a756c20323030392031393a31353a353620474d5404657461671422333461613338372d642d313536"
    "3865623030220d6163636570742d72616e6765730562797465730e636f6e74656e742d6c656e67746802353104766172790f416363657074"
    "2d456e636f64696e670c636f6e74656e742d747970650a746578742f706c61696e003348656c6c6f20576f726c6421204d7920636f6e7465"
    "6e7420696e636c75646573206120747261696c696e672043524c462e0d0a0000"
)
# Figure 13, with a trailer.
KNOWN_RESPONSE = bytes.fromhex(
    "0140c8001d5468697320636f6e74656e7420636f6e7461696e732043524c462e0d0a0d07747261696c65720474657874"
)

token = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.!~", min_size=1, max_size=12)
text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
fields = st.lists(st.tuples(token, text), max_size=6)
requests = st.builds(
    bhttp.Request, text.filter(bool), text, fields, st.binary(max_size=2_000), st.sampled_from(["https", "http"]), text
)
responses = st.builds(bhttp.Response, st.integers(200, 599), fields, st.binary(max_size=2_000))


def counted(data: bytes) -> bytes:
    return bhttp.varint(len(data)) + data


def indeterminate(message: bhttp.Request | bhttp.Response, control: bytes, chunk: int, trailers: bytes) -> bytes:
    """Encode by hand in the form that the library only reads (section 3.2)."""
    lines = b"".join(counted(name.encode()) + counted(value.encode()) for name, value in message.fields)
    content = message.content
    chunks = b"".join(counted(content[at : at + chunk]) for at in range(0, len(content), chunk))
    return control + lines + b"\0" + chunks + b"\0" + trailers + b"\0"


def malformed(decode, data: bytes) -> None:
    with pytest.raises(SealingError) as refused:
        decode(data)
    assert refused.value.code == "malformed_message"


@pytest.mark.parametrize(
    ("value", "encoded"),
    # RFC 9000, A.1; and the values where the length changes.
    [
        (151_288_809_941_952_652, "c2197c5eff14e88c"),
        (494_878_333, "9d7f3e7d"),
        (15_293, "7bbd"),
        (37, "25"),
        (63, "3f"),
        (64, "4040"),
        (16_383, "7fff"),
        (16_384, "80004000"),
        ((1 << 30) - 1, "bfffffff"),
        (1 << 30, "c000000040000000"),
        ((1 << 62) - 1, "ffffffffffffffff"),
    ],
)
def test_integers_are_encoded_as_the_rfc_shows(value, encoded):
    assert bhttp.varint(value).hex() == encoded


def test_an_integer_beyond_62_bits_is_refused():
    malformed(bhttp.varint, 1 << 62)


def test_known_length_request_of_the_rfc():
    assert bhttp.decode_request(KNOWN_REQUEST) == REQUEST
    assert REQUEST.encode() == KNOWN_REQUEST
    assert REQUEST.header("host") == "www.example.com"
    assert REQUEST.header("cookie") is None


def test_indeterminate_length_request_of_the_rfc():
    assert bhttp.decode_request(INDETERMINATE_REQUEST) == REQUEST


def test_an_integer_in_a_longer_form_means_the_same():
    assert bhttp.decode_request(b"\x40\x00" + KNOWN_REQUEST[1:]) == REQUEST


def test_the_truncations_that_the_rfc_allows():
    for cut in (1, 2):
        assert bhttp.decode_request(KNOWN_REQUEST[:-cut]) == REQUEST
    for cut in range(1, 13):
        assert bhttp.decode_request(INDETERMINATE_REQUEST[:-cut]) == REQUEST


def test_every_other_truncation_is_refused():
    """Section 3.8: a message that is truncated at any other point is invalid."""
    for cut in range(3, len(KNOWN_REQUEST) + 1):
        # Without a header section at all, which appendix A of RFC 9458 does, the message is whole again.
        if KNOWN_REQUEST[:-cut] != KNOWN_REQUEST[: 1 + 4 + 6 + 1 + 11]:
            malformed(bhttp.decode_request, KNOWN_REQUEST[:-cut])
    for cut in range(13, len(INDETERMINATE_REQUEST) + 1):
        if INDETERMINATE_REQUEST[:-cut] != INDETERMINATE_REQUEST[: 1 + 4 + 6 + 1 + 11]:
            malformed(bhttp.decode_request, INDETERMINATE_REQUEST[:-cut])


def test_indeterminate_length_response_of_the_rfc_without_its_informational_ones():
    response = bhttp.decode_response(INDETERMINATE_RESPONSE)
    assert response.status == 200
    assert response.content == b"Hello World! My content includes a trailing CRLF.\r\n"
    assert response.fields[0] == ("date", "Mon, 27 Jul 2009 12:28:53 GMT")
    assert response.header("etag") == '"34aa387-d-1568eb00"'
    assert response.header("content-type") == "text/plain"
    assert len(response.fields) == 8
    assert response.header("link") is None


def test_content_without_its_terminator_is_refused():
    """An attacker who could cut a message at a chunk's edge must not be believed."""
    assert bhttp.decode_response(INDETERMINATE_RESPONSE[:-1]).status == 200  # only the trailers are left out
    malformed(bhttp.decode_response, INDETERMINATE_RESPONSE[:-2])


def test_known_length_response_of_the_rfc_with_a_trailer():
    response = bhttp.decode_response(KNOWN_RESPONSE)
    assert response == bhttp.Response(200, [], b"This content contains CRLF.\r\n")


def test_known_length_informational_responses_are_skipped():
    data = b"\x01" + b"\x40\x66" + counted(b"\x01a\x01b") + b"\x40\x67\x00" + b"\x40\xc8" + b"\x00" + counted(b"ok")
    assert bhttp.decode_response(data) == bhttp.Response(200, [], b"ok")


@brief
@given(requests, st.integers(0, 40))
def test_requests_come_back(request, padding):
    assert bhttp.decode_request(request.encode() + bytes(padding)) == request


@brief
@given(responses, st.integers(0, 40))
def test_responses_come_back(response, padding):
    assert bhttp.decode_response(response.encode() + bytes(padding)) == response


@brief
@given(responses, st.integers(1, 3000), st.sampled_from([b"", b"\x01t\x01v"]))
def test_indeterminate_responses_are_read(response, chunk, trailers):
    control = b"\x03" + bhttp.varint(response.status)
    assert bhttp.decode_response(indeterminate(response, control, chunk, trailers)) == response


@brief
@given(responses)
def test_padding_other_than_zeros_is_refused(response):
    malformed(bhttp.decode_response, response.encode() + b"\0\0\x01")
    malformed(bhttp.decode_response, response.encode() + b"\x01\0\0")


@pytest.mark.parametrize("framing", [1, 3, 4, 63, 64])
def test_only_request_framings_are_requests(framing):
    malformed(bhttp.decode_request, bhttp.varint(framing) + KNOWN_REQUEST[1:])


@pytest.mark.parametrize("framing", [0, 2, 4, 63, 64])
def test_only_response_framings_are_responses(framing):
    malformed(bhttp.decode_response, bhttp.varint(framing) + KNOWN_RESPONSE[1:])


@pytest.mark.parametrize("status", [0, 99, 600, 700, 16_383])
def test_a_status_that_is_none_is_refused(status):
    malformed(bhttp.decode_response, b"\x01" + bhttp.varint(status) + b"\0\0\0")


@pytest.mark.parametrize("status", [100, 150, 199])
def test_an_informational_response_is_no_answer(status):
    malformed(bhttp.decode_response, b"\x01" + bhttp.varint(status) + b"\0\0\0")


@pytest.mark.parametrize(
    "field",
    [
        ("", "x"),
        ("Accept", "x"),
        (":method", "GET"),
        (":anything", "x"),
        ("a b", "x"),
        ("a\n", "x"),
        ("a", "x\r\ny: z"),
        ("a", "x\n"),
        ("a", "\0"),
    ],
    ids=str,
)
def test_invalid_fields_are_refused(field):
    name, value = (counted(part.encode()) for part in field)
    malformed(bhttp.decode_response, b"\x01\x40\xc8" + counted(b"\x01a\x01b" + name + value) + b"\0\0")


def test_a_field_without_its_value_is_refused():
    malformed(bhttp.decode_response, b"\x01\x40\xc8" + counted(b"\x01a") + b"\0\0")


def test_too_many_fields_are_refused():
    fields = [("a", "b")] * bhttp.MAX_FIELDS
    assert bhttp.decode_response(bhttp.Response(200, fields).encode()).fields == fields
    malformed(bhttp.decode_response, bhttp.Response(200, [*fields, ("a", "b")]).encode())


def test_too_many_chunks_are_refused():
    head, tail = b"\x03\x40\xc8\0", b"\0\0"
    assert len(bhttp.decode_response(head + b"\x01x" * bhttp.MAX_CHUNKS + tail).content) == bhttp.MAX_CHUNKS
    malformed(bhttp.decode_response, head + b"\x01x" * (bhttp.MAX_CHUNKS + 1) + tail)


PARTS = ["method", "scheme", "authority", "path"]


@pytest.mark.parametrize("part", PARTS)
def test_long_control_data_is_refused(part):
    """A path of 18 MiB is a message like any other to an envelope, and seconds of work to who takes it apart."""
    control = dict.fromkeys(PARTS, b"x")
    control[part] = b"x" * TEXT_BYTES
    assert bhttp.decode_request(b"\x00" + b"".join(map(counted, control.values()))).fields == []
    control[part] += b"x"
    malformed(bhttp.decode_request, b"\x00" + b"".join(map(counted, control.values())))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("long", ["name", "value"])
def test_long_fields_are_refused(known, long):
    def message(length: int) -> bytes:
        name, value = (b"x" * (length if part == long else 1) for part in ("name", "value"))
        line = counted(name) + counted(value)
        return b"\x01\x40\xc8" + counted(line) + b"\0\0" if known else b"\x03\x40\xc8" + line + b"\0\0\0"

    assert len(bhttp.decode_response(message(TEXT_BYTES)).fields) == 1
    malformed(bhttp.decode_response, message(TEXT_BYTES + 1))


def test_a_field_section_that_is_longer_than_all_its_fields_may_be_is_refused_before_it_is_taken_apart():
    section = counted(b"x" * TEXT_BYTES) + counted(b"y" * TEXT_BYTES)
    full = b"\x01\x40\xc8" + counted(section * bhttp.MAX_FIELDS) + b"\0\0"
    assert len(bhttp.decode_response(full).fields) == bhttp.MAX_FIELDS
    tracemalloc.start()
    try:
        malformed(bhttp.decode_response, b"\x01\x40\xc8" + counted(bytes(MIB)) + b"\0\0")
        assert tracemalloc.get_traced_memory()[1] < 3 * MIB  # The message itself, and the making of it.
    finally:
        tracemalloc.stop()


def test_too_many_informational_responses_are_refused():
    def message(count: int) -> bytes:
        return b"\x01" + b"\x40\x66\x00" * count + b"\x40\xc8\x00\x00\x00"

    assert bhttp.decode_response(message(INFORMATIONAL)).status == 200
    malformed(bhttp.decode_response, message(INFORMATIONAL + 1))


@pytest.mark.parametrize("length", [0, 1, 65_535, 65_536, 65_537, 3 * 65_536, 3 * 65_536 + 7])
def test_padding_of_every_length_is_looked_at_to_its_end(length):
    assert bhttp.decode_request(REQUEST.encode() + bytes(length)) == REQUEST
    for at in {0, length // 2, length - 1} & set(range(length)):
        malformed(bhttp.decode_request, REQUEST.encode() + bytes(at) + b"\x01" + bytes(length - at - 1))


def test_a_length_beyond_the_message_is_refused_without_reserving_it():
    malformed(bhttp.decode_request, b"\x00\x03GET\x05https\x00\x01/" + b"\x00" + b"\xff" * 8)


@pytest.mark.parametrize("byte", [b"\x80", b"\xe9", b"\xff"])
def test_control_data_is_ascii(byte):
    malformed(bhttp.decode_request, b"\x00\x03GET\x05https\x00" + counted(b"/" + byte))


@brief
@given(st.binary(max_size=200))
def test_garbage_is_decoded_or_refused(data):
    _decoded_or_refused(data)


@brief
@given(
    st.sampled_from([KNOWN_REQUEST, INDETERMINATE_REQUEST, KNOWN_RESPONSE, INDETERMINATE_RESPONSE]),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=4),
    st.integers(0, 500),
)
def test_changed_messages_are_decoded_or_refused(message, changes, cut):
    changed = bytearray(message)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    _decoded_or_refused(bytes(changed[: max(1, len(changed) - cut)]))


def _decoded_or_refused(data: bytes) -> None:
    for decode in (bhttp.decode_request, bhttp.decode_response):
        try:
            message = decode(data)
        except SealingError as error:
            refused = error.code
        else:
            refused = None
            assert decode(message.encode()) == message
        assert refused in {None, "malformed_message"}
