"""`agentd submit`: what is sent, and files that are opened here and nowhere else."""

import os
from pathlib import Path

import pytest

from aaos.cli.answers import Document
from aaos.cli.parser import parse
from aaos.cli.submit import PROGRAM_BYTES, echo_lines, echoed, read_program, submission
from aaos.core.errors import InputError


def test_only_what_was_said_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert submission(parse(["submit", "do it", "--read", "x"])) == {
        "goal": "do it",
        "cwd": str(tmp_path),
        "read": ["x"],
        "write": [],
        "net": [],
        "connect": [],
        "tool": [],
    }


def test_options_are_sent_under_their_names(tmp_path: Path) -> None:
    program = tmp_path / "p.py"
    program.write_text("print(1)\n")
    words = [
        "submit",
        "g",
        "--tool",
        "echo",
        "--ask",
        "file_write",
        "--ask",
        "file_edit",
        "--write",
        "/w",
        "--role",
        "program",
        "--wall",
        "9",
        "--orchestration",
        "direct",
        "--program",
        str(program),
        "--max-tokens",
        "7",
        "--max-usd",
        "0.5",
    ]
    sent = submission(parse(words))
    assert (sent["tool"], sent["write"], sent["role"]) == (["echo"], ["/w"], "program")
    assert (sent["wall_s"], sent["program"], sent["orchestration"]) == (9, "print(1)\n", "direct")
    assert (sent["max_tokens"], sent["max_usd"]) == (7, 0.5)
    assert sent["ask"] == ["file_write", "file_edit"]


@pytest.mark.parametrize("goal", ["", "  \n"])
def test_an_empty_goal_is_not_sent(goal: str) -> None:
    """OPS-5: the remedy is a goal that can be typed."""
    with pytest.raises(InputError, match="the goal is empty") as caught:
        submission(parse(["submit", goal]))
    assert caught.value.remedy.startswith('say what to do: agentd submit "')


def test_an_orchestration_is_one_of_two() -> None:
    with pytest.raises(InputError, match="--orchestration"):
        parse(["submit", "g", "--orchestration", "plans"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"x\0", "NUL"),
        (b"ok \xff", "not UTF-8 at byte 3"),
        (b"x" * (PROGRAM_BYTES + 1), "more than"),
    ],
)
def test_a_program_that_is_no_text_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_program(str(tmp_path / "p"))


def test_a_program_of_the_largest_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"#" * PROGRAM_BYTES)
    assert len(read_program(str(tmp_path / "p"))) == PROGRAM_BYTES


def test_only_a_regular_file_is_a_program(tmp_path: Path) -> None:
    """H-API-12, H-FS-08: a FIFO does not block."""
    os.mkfifo(tmp_path / "fifo")
    for path in ("fifo", "missing", "."):
        with pytest.raises(InputError) as caught:
            read_program(str(tmp_path / path))
        assert caught.value.remedy


def test_a_path_with_nul_is_refused() -> None:
    with pytest.raises(InputError, match="NUL"):
        read_program("a\0b")


def test_the_echo_has_id_envelope_and_plan() -> None:
    accepted: Document = {
        "run": "r-abc",
        "envelope": ["file_read: /etc/motd", "at most 60 s"],
        "plan": {"shape": "summarise", "final": "s1", "subtasks": [{"id": "s1", "role": "analyzer", "inputs": []}]},
    }
    assert echo_lines(accepted) == [
        "run r-abc",
        "  file_read: /etc/motd",
        "  at most 60 s",
        "plan: summarise, 1 subtask",
        "  s1  analyzer",
    ]
    assert echo_lines({"run": "r-abc", "envelope": []}) == ["run r-abc"]


def test_a_plan_that_a_model_is_to_make_is_told_when_it_is_made() -> None:
    assert "run.planned" in echoed({"plan": {"shape": "summarise"}})
    assert "run.planned" not in echoed({"plan": {"shape": "model"}})
