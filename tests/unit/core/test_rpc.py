"""JSON-RPC by lines: strict, bounded, and errors keep their class over the wire."""

import ast
import contextlib
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core import errors, rpc
from aaos.core.errors import AaosError, ExitCode
from aaos.core.rpc import LineBuffer, Notification, Request, Response, RpcError


def test_a_request_survives_the_wire() -> None:
    request = Request(7, "submit", {"goal": "ü\n\u2028", "read": ["/a"], "wall_s": 60})
    line = rpc.encode_request(request)
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert rpc.decode_request(line) == request
    note = Notification("event", {"seq": 1})
    assert rpc.decode_reply(rpc.encode_notification(note)) == note


def test_a_result_survives_the_wire() -> None:
    results: list[rpc.Json] = [{"run": "r-1"}, [1, 2.5, None, True], None, "x", 0]
    for result in results:
        assert rpc.decode_reply(rpc.encode_result("a", result)) == Response("a", result=result)


_ERRORS = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, AaosError)]


@pytest.mark.parametrize("error_class", _ERRORS)
def test_an_error_keeps_class_remedy_and_exit_status(error_class: type[AaosError]) -> None:
    """OPS-1"""
    reply = rpc.decode_reply(rpc.encode_error(3, error_class("it failed", "do that")))
    assert isinstance(reply, Response)
    assert reply.failure is not None
    again = reply.failure.to_error()
    assert (type(again), again.message, again.remedy) == (error_class, "it failed", "do that")
    assert (reply.id, reply.failure.code, reply.failure.exit_code) == (3, -32000, error_class.exit_code)


def test_an_error_of_a_newer_daemon_is_still_an_error() -> None:
    error = '{"code":-32000,"message":"m","data":{"code":"new","exit_code":99,"remedy":5}}'
    line = f'{{"jsonrpc":"2.0","id":1,"error":{error}}}'.encode()
    reply = rpc.decode_reply(line)
    assert isinstance(reply, Response)
    assert reply.failure is not None
    assert (reply.failure.to_error().remedy, reply.failure.exit_code) == ("", ExitCode.INTERNAL)


def test_a_protocol_error_is_answered_with_its_code() -> None:
    line = rpc.encode_error(None, RpcError(rpc.METHOD_NOT_FOUND, "no such method"))
    assert json.loads(line) == {"jsonrpc": "2.0", "id": None, "error": {"code": -32601, "message": "no such method"}}


_R = '{"jsonrpc":"2.0","id":1,"method":"list"'


@pytest.mark.parametrize(
    ("line", "code", "request_id"),
    [
        ("", rpc.PARSE_ERROR, None),
        ("{", rpc.PARSE_ERROR, None),
        ("{} {}", rpc.PARSE_ERROR, None),
        (_R + ',"params":{"a":NaN}}', rpc.PARSE_ERROR, None),
        (_R + ',"params":{"a":1e999}}', rpc.PARSE_ERROR, None),
        (_R + ',"params":{"a":' + "9" * 5000 + "}}", rpc.PARSE_ERROR, None),
        (_R + ',"params":{"a":1,"a":2}}', rpc.PARSE_ERROR, None),
        (_R + ',"params":{"a":"\\ud800"}}', rpc.PARSE_ERROR, None),
        ("[" * 200_000, rpc.PARSE_ERROR, None),
        ("\ufeff" + _R + "}", rpc.PARSE_ERROR, None),
        ("[" + _R + "}]", rpc.INVALID_REQUEST, None),
        ("5", rpc.INVALID_REQUEST, None),
        ('{"id":1,"method":"list"}', rpc.INVALID_REQUEST, 1),
        ('{"jsonrpc":"1.0","id":1,"method":"list"}', rpc.INVALID_REQUEST, 1),
        ('{"jsonrpc":"2.0","id":1.5,"method":"list"}', rpc.INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":true,"method":"list"}', rpc.INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":-1,"method":"list"}', rpc.INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":9007199254740992,"method":"list"}', rpc.INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":null,"method":"list"}', rpc.INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":[],"method":"list"}', rpc.INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":"' + "x" * 129 + '","method":"list"}', rpc.INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":1}', rpc.INVALID_REQUEST, 1),
        ('{"jsonrpc":"2.0","id":1,"method":5}', rpc.INVALID_REQUEST, 1),
        ('{"jsonrpc":"2.0","id":1,"method":""}', rpc.INVALID_REQUEST, 1),
        (_R + ',"params":[]}', rpc.INVALID_PARAMS, 1),
        (_R + ',"params":null}', rpc.INVALID_PARAMS, 1),
        (_R + ',"parms":{}}', rpc.INVALID_REQUEST, 1),
        (_R + ',"result":1}', rpc.INVALID_REQUEST, 1),
        ('{"jsonrpc":"2.0","id":1,"result":1}', rpc.INVALID_REQUEST, 1),
    ],
    ids=range(29),
)
def test_a_bad_request_has_its_code_and_id(line: str, code: int, request_id: int | None) -> None:
    """H-FUZZ-10"""
    with pytest.raises(RpcError) as caught:
        rpc.decode_request(line.encode())
    assert (caught.value.code, caught.value.id) == (code, request_id)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("data", [b"\xff", b'"\xed\xa0\x80"', b"\x00"])
def test_bytes_that_are_no_text_are_a_parse_error(data: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        rpc.decode_message(data)
    assert caught.value.code == rpc.PARSE_ERROR


@pytest.mark.parametrize(
    "line",
    [
        _R + "}",
        '{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":""}}',
        '{"jsonrpc":"2.0","result":1}',
        '{"jsonrpc":"2.0","id":1,"error":5}',
        '{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":""}}',
        '{"jsonrpc":"2.0","id":1,"error":{"code":true,"message":""}}',
        '{"jsonrpc":"2.0","id":1,"error":{"code":1}}',
        '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"","data":[]}}',
    ],
)
def test_a_bad_reply_is_refused(line: str) -> None:
    with pytest.raises(RpcError):
        rpc.decode_reply(line.encode())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_document_is_a_message_or_an_rpc_error(document: object) -> None:
    """H-FUZZ-10"""
    for whole in (
        document,
        {"jsonrpc": "2.0", "id": 1, "method": "m", "params": document},
        {"jsonrpc": "2.0", "id": document, "error": document},
    ):
        with contextlib.suppress(RpcError):
            assert isinstance(rpc.decode_message(json.dumps(whole).encode()), Request | Response)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    whole = LineBuffer().feed(data + b"\n")
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    buffer = LineBuffer()
    assert [line for piece in [*pieces, b"\n"] for line in buffer.feed(piece)] == whole


def test_a_line_over_the_limit_is_refused_before_it_ends() -> None:
    buffer = LineBuffer(max_bytes=10)
    assert buffer.feed(b"0123456789\n\n  \r\n") == [b"0123456789"]
    assert buffer.feed(b"01234") == []
    with pytest.raises(RpcError, match="over the limit of 10 bytes"):
        buffer.feed(b"567890")
    with pytest.raises(RpcError):
        LineBuffer(max_bytes=10).feed(b"01234567890\n")


def test_it_imports_only_the_standard_library_and_the_errors() -> None:
    """OPS-1: the command line starts with this module"""
    tree = ast.parse(Path(rpc.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"json", "collections.abc", "dataclasses", "aaos.core.errors"}
