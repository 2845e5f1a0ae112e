"""The wire format: every frame goes through it unchanged, and nothing else does (BRK-1)."""

import dataclasses
import json
import random
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker import abi
from worker.jsontext import Encode

FRAMES: tuple[type, ...] = (*abi.FROM_WORKER, *abi.TO_WORKER, *abi.TO_ZYGOTE, *abi.FROM_ZYGOTE)
RIGHT: dict[object, object] = {
    int: 7,
    str: "ünïcode \n \U0001f600",
    bool: True,
    tuple[str, ...]: ("a", "b"),
    tuple[int, ...]: (1, 2),
    Mapping[str, str]: {"k": "v"},
    Mapping[str, int]: {"k": 1},
    Mapping[str, float]: {"k": 1.5},
    Mapping[str, abi.Json]: {"k": [1, {"deep": None}], "f": 1.5},
    str | None: "a-1-1-0",
}
VALUES: tuple[object, ...] = (
    None, True, False, 0, 1, -1, 2**53 - 1, 2**53, 2**64, 1.0, 0.5, "", "1", [], [1], [None], ["a"], [["a"]], {},
    {"k": 1}, {"k": "v"}, {"k": None},
)  # fmt: skip


def accepts(annotation: object, value: object) -> bool:
    """An independent statement of what each type takes from JSON."""
    if annotation is int:
        return type(value) is int and 0 <= value < 2**53
    if annotation is str or annotation is bool:
        return type(value) is annotation
    if annotation == str | None:
        return value is None or type(value) is str
    if typing.get_origin(annotation) is tuple:
        item = typing.get_args(annotation)[0]
        return type(value) is list and all(accepts(item, one) for one in value)
    of_values = typing.get_args(annotation)[1]
    return type(value) is dict and (of_values is abi.Json or all(accepts(of_values, one) for one in value.values()))


def sample(kind: type) -> typing.Any:  # Any: a frame of whatever kind was asked for
    hints = typing.get_type_hints(kind)
    return kind(**{field.name: RIGHT[hints[field.name]] for field in dataclasses.fields(kind)})


def document_of(frame: typing.Any) -> dict[str, object]:  # Any: see sample
    document = json.loads(abi.encode(frame))
    assert isinstance(document, dict)
    return document


def as_bytes(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_comes_out_as_it_went_in(kind: type) -> None:
    frame = sample(kind)
    assert abi.decode(abi.encode(frame), FRAMES) == frame


@pytest.mark.parametrize("kind", FRAMES)
def test_each_field_takes_its_type_and_nothing_else(kind: type) -> None:
    """H-BRK-04"""
    document, hints = document_of(sample(kind)), typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        for value in VALUES:
            changed = as_bytes({**document, field.name: value})
            if accepts(hints[field.name], value):
                assert isinstance(abi.decode(changed, FRAMES), kind)
            else:
                with pytest.raises(abi.FrameError, match=f"^{field.name}: "):
                    abi.decode(changed, FRAMES)


@pytest.mark.parametrize("kind", FRAMES)
def test_a_missing_or_unknown_field_is_named(kind: type) -> None:
    """H-BRK-04"""
    document = document_of(sample(kind))
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING:
            with pytest.raises(abi.FrameError, match=f"{field.name}.*missing"):
                abi.decode(as_bytes({k: v for k, v in document.items() if k != field.name}), FRAMES)
    with pytest.raises(abi.FrameError, match="'zz': unknown field"):
        abi.decode(as_bytes({**document, "zz": 1}), FRAMES)


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_of_the_other_direction_is_refused(kind: type) -> None:
    others = tuple(other for other in FRAMES if other is not kind)
    with pytest.raises(abi.FrameError, match="may arrive here"):
        abi.decode(abi.encode(sample(kind)), others)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"1",
        b'"log"',
        b'{"t":"log"',
        b'{"t":"log","text":"a"}{}',
        b'{"t":"log","text":"a"}x',
        b'{"t":"log","text":"a"}\0',
        b'\xef\xbb\xbf{"t":"log","text":"a"}',
        b'{"t":"log","text":"\xff"}',
        b'{"t":"log","text":"\xed\xa0\x80"}',
        b'{"t":"log","text":"a\0b"}',
        b'{"t":"log","text":"a\\u0000b"}',
        b'{"t":"log","text":"a\\\\\\u0000b"}',
        b'{"t":"log","te\\u0000xt":"a"}',
        b'{"t":"log","text":"\\ud800"}',
        b'{"t":"log","text":"\\udc00\\ud800"}',
        b'{"t":"log","text":"a","text":"b"}',
        b'{"t":"log","t":"log","text":"a"}',
        b'{"t":["log"],"text":"a"}',
        b'{"t":{"log":1},"text":"a"}',
        b'{"text":"a"}',
        b'{"t":"model.complete","id":1e400}',
        b'{"t":"model.complete","id":NaN}',
        b'{"t":"model.complete","id":Infinity}',
        b'{"t":"model.complete","id":-0.0}',
        b'{"t":"model.complete","id":' + b"9" * 5_000 + b"}",
        b'{"t":"tool.call","id":1,"tool":"x","args":{"a":1e999}}',
        b'{"t":"tool.call","id":1,"tool":"x","args":{"a":{"b":1,"b":2}}}',
        b'{"t":' + b"[" * 100_000,
        b'{"t":' + b'{"a":' * 50_000,
    ],
)
def test_what_is_no_frame_is_refused_with_a_reason(data: bytes) -> None:
    """H-BRK-01, H-BRK-02"""
    with pytest.raises(abi.FrameError):
        abi.decode(data, FRAMES)


def test_a_frame_over_the_limit_is_refused_before_it_is_parsed() -> None:
    """H-BRK-01"""
    with pytest.raises(abi.FrameError, match="over the limit"):
        abi.decode(b" " * (abi.LARGE_BYTES + 1), FRAMES)
    with pytest.raises(abi.FrameError, match="over the limit"):
        abi.encode(abi.Log("x" * abi.LARGE_BYTES))


def nested(depth: int) -> bytes:
    """A call whose arguments are nested so deep that the document has `depth` levels."""
    inner = depth - 2
    return b'{"t":"tool.call","id":1,"tool":"x","args":{"a":' + b"[" * inner + b"]" * inner + b"}}"


def test_depth_is_bounded_on_every_python() -> None:
    """H-LLM-04: what may be nested can be walked by everything behind it."""
    assert abi.decode(nested(abi.MAX_DEPTH), FRAMES)
    with pytest.raises(abi.FrameError, match="nested deeper"):
        abi.decode(nested(abi.MAX_DEPTH + 1), FRAMES)
    many = abi.ToolCall(1, "x", {"a": [[]] * 1_000, "brackets in text": "[{" * 1_000})
    assert abi.decode(abi.encode(many), FRAMES) == many


@pytest.mark.parametrize(
    "text", ["\\u0000", "\\\\u0000", "\\ud800", "\\", "a\\u0000b\\\\", "\U0001f600", "\u2028\ufeff"]
)
def test_text_that_only_looks_like_an_escape_passes(text: str) -> None:
    """A source file may well contain the six characters of an escaped NUL."""
    frame = abi.Finish(ok=True, text=text)
    assert abi.decode(abi.encode(frame), FRAMES) == frame
    assert abi.decode(json.dumps({"t": "finish", "ok": True, "text": text}).encode(), FRAMES) == frame


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1, 2}, object()])
def test_what_has_no_place_in_json_is_not_sent(value: object) -> None:
    with pytest.raises(abi.FrameError, match=r"tool\.call"):
        abi.encode(abi.ToolCall(1, "x", {"a": value}))


def test_a_policy_comes_back_from_json_and_is_checked() -> None:
    mount = abi.Mount(path="/data", is_dir=True, writable=True, idmapped=True, covered=("/data/.git",))
    hints = typing.get_type_hints(abi.Policy)
    fields = {f.name: (mount,) if f.name == "mounts" else RIGHT[hints[f.name]] for f in dataclasses.fields(abi.Policy)}
    policy = abi.Policy(**fields)  # type: ignore[arg-type]  # each has its own type
    document = json.loads(json.dumps(abi.policy_to_json(policy)))
    assert abi.policy_from_json(document) == policy
    wrongs: tuple[dict[str, object], ...] = (
        {"mounts": 1}, {"mounts": [1]}, {"mounts": [{}]}, {"pids": -1}, {"more": 1},
    )  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(abi.FrameError):
            abi.policy_from_json({**document, **wrong})


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to four changes: bits, bytes, pieces of other frames, structure."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << chance.randrange(8)
            case 1:
                del changed[at : at + chance.randrange(8)]
            case 2:
                changed[at:at] = chance.choice(PIECES)
            case 3:
                changed[at:at] = changed[: chance.randrange(30)]
            case 4 if changed:
                changed[at % len(changed)] = chance.randrange(256)
            case _:
                changed = changed.replace(chance.choice(PIECES[:12]), chance.choice(PIECES), 1)
    return bytes(changed)


PIECES = (
    b'"', b":", b",", b"{", b"}", b"[", b"]", b"true", b"null", b"1", b"7", b'"id"', b"-", b"1e5", b"\\",
    b"\\u0000", b"\\ud800", b"\0", b"\xff", b"\xc3", b" ", b"NaN", b"99999999999999999999", b'"t":"finish"', b'{"a":1}',
    b"[[[[", b"\xe2\x80\xa8",
)  # fmt: skip


def mutants(count: int) -> Iterator[bytes]:
    chance = random.Random(20_251)  # noqa: S311  # a seed, not a secret
    originals = [abi.encode(sample(kind)) for kind in FRAMES]
    for _ in range(count):
        yield mutated(chance.choice(originals), chance)


def test_twenty_thousand_mutants_are_frames_or_frame_errors() -> None:
    """H-BRK-14, R9: and what passes can be sent on as it is."""
    passed = refused = 0
    for data in mutants(20_000):
        try:
            frame: abi.Frame = abi.decode(data, FRAMES)
        except abi.FrameError:
            refused += 1
        else:
            assert abi.decode(abi.encode(frame), FRAMES) == frame
            passed += 1
    assert passed > 500
    assert refused > 5_000


PAGE = (Path(__file__).parents[3] / "docs" / "aaos-abi.md").read_text()
WORDS = {
    int: "whole number",
    str: "text",
    bool: "true or false",
    tuple[str, ...]: "list of text",
    Mapping[str, str]: "object of text",
    Mapping[str, int]: "object of whole numbers",
    Mapping[str, abi.Json]: "object",
    str | None: "text or null",
}


def rows_of_the_page() -> list[tuple[str, str, str]]:
    """(frame, field, type) of every row of its tables of frames."""
    rows = re.findall(r"^\| (`[a-z.]+`)? ?\| `([a-z]+)` \| ([a-z, ]+) \|", PAGE, re.MULTILINE)
    frames: list[tuple[str, str, str]] = []
    for frame, field, kind in rows:
        frames.append((frame.strip("`") or frames[-1][0], field, kind))
    return frames


def test_the_page_tells_every_field_of_every_frame() -> None:
    """BRK-1"""
    expected = [
        (
            kind.t,
            field.name,
            WORDS[hints[field.name]] + (", optional" if field.default is not dataclasses.MISSING else ""),
        )
        for kind in (*abi.FROM_WORKER, *abi.TO_WORKER)
        for hints in (typing.get_type_hints(kind),)
        for field in dataclasses.fields(kind)
    ]
    assert rows_of_the_page() == expected


def test_the_page_tells_the_limits() -> None:
    for limit in (abi.INLINE_BYTES, abi.LARGE_BYTES, abi.CHECKPOINT_BYTES, abi.LOG_BYTES):
        assert f"{limit:,} bytes" in PAGE
    assert f"At most {abi.FRAME_FDS} further fds" in PAGE
    assert f"most {abi.MAX_DEPTH} levels" in PAGE
    assert f"Version {abi.VERSION}." in PAGE


def test_the_example_of_the_page_is_made_of_frames() -> None:
    lines = re.findall(r"^([<>]) (\{.*\})$", PAGE, re.MULTILINE)
    assert len(lines) == 8
    for side, line in lines:
        frame: abi.Frame = abi.decode(line.encode(), abi.FROM_WORKER if side == ">" else abi.TO_WORKER)
        assert abi.encode(frame).decode() == line


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
@example("\x7f")
@example("\\u0041 \\ud800")
@example("é\x1b\u2028")
def test_text_travels_as_utf8_however_it_is_encoded(text: str) -> None:
    document = {"t": "log", "text": text}
    wanted = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    assert abi.encode(abi.Log(text)) == wanted
    assert abi.decode(wanted, abi.FROM_WORKER) == abi.Log(text)


@pytest.mark.parametrize("text", ["ж" * 9, "a" * 9])
def test_a_text_is_encoded_once(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice costs twice: of long texts that are not ASCII four times."""
    encoded: list[str] = []

    def counted(name: str) -> Encode:
        encode: Encode = vars(abi)[name]

        def count(document: object) -> str:
            encoded.append(name)
            return encode(document)

        return count

    for name in ("_text", "_ascii_text"):
        monkeypatch.setattr(abi, name, counted(name))
    for frame in (abi.Log(text), abi.Reply(1, {"text": text}), abi.Reply(1, {"args": {"content": text}})):
        abi.encode(frame)
    assert encoded == ["_ascii_text" if text.isascii() else "_text"] * 3
