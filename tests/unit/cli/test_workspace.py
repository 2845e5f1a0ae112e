"""`agentd workspace export -o FILE`: a whole archive or none. The rest is in tests/kernel/cli/test_workspace.py."""

import errno
import io
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from aaos.cli import answers, workspace
from aaos.cli.output import Output
from aaos.cli.parser import parse
from aaos.core.errors import InputError, UnreachableError


def receiving(error: BaseException | None) -> Callable[[Namespace, Callable[[bytes], object]], answers.Document]:
    def receive(_: Namespace, write: Callable[[bytes], object]) -> answers.Document:
        write(b"half")
        if error is not None:
            raise error
        return {"entries": 1}

    return receive


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), InputError),
        (UnreachableError("agentd fell silent", "agentd doctor"), UnreachableError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_half_an_archive_is_not_left_as_if_it_were_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BaseException, told: type[BaseException]
) -> None:
    """RUN-9"""
    monkeypatch.setattr(workspace, "_receive", receiving(error))
    with pytest.raises(told):
        workspace._to_file(Namespace(output=str(tmp_path / "a.tar")))
    assert list(tmp_path.iterdir()) == []


def test_a_whole_archive_stays_and_a_file_that_is_there_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(workspace, "_receive", receiving(None))
    assert workspace._to_file(Namespace(output=str(tmp_path / "a.tar"))) == {"entries": 1}
    with pytest.raises(InputError, match="File exists"):
        workspace._to_file(Namespace(output=str(tmp_path / "a.tar")))
    assert (tmp_path / "a.tar").read_bytes() == b"half"


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        (["list", "r-1"], "workspace list: takes no run", "agentd workspace show r-1"),
        (["list", "-o", "x"], "workspace list: takes no -o", "agentd workspace export RUN -o FILE"),
        (["show", "r-1", "-o", "x"], "workspace show: takes no -o", "agentd workspace export r-1 -o FILE"),
        (["rm", "r-1", "-o", "x"], "workspace rm: takes no -o", "agentd workspace export r-1 -o FILE"),
    ],
)
def test_a_word_that_would_do_nothing_is_refused(words: list[str], message: str, remedy: str) -> None:
    args = parse(["--socket", "/nowhere", "workspace", *words])
    with pytest.raises(InputError) as caught:
        workspace.workspace(args, Output(io.StringIO(), io.StringIO(), is_json=False))
    assert (caught.value.message, caught.value.remedy) == (message, remedy)
