"""The role builder, from a plan to a commit: a real repository, real programs in cells, a model made of a script."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from aaos.devprovider.asked import Asked
from aaos.devprovider.script import Call, Script, Step, When
from aaos.devprovider.server import ScriptedProvider
from tests.kernel.test_main import OPERATOR, TREE, as_operator, daemon, place, stop
from tests.kernel.wrapped import OFFERED
from tests.provider.stage import MODELS, serving

__all__ = ["place"]

TOOLS = (
    "file_read", "file_edit", "file_list", "git_status", "git_diff", "git_add", "git_commit", "git_log", "make_run",
)  # fmt: skip
pytestmark = pytest.mark.skipif(
    not {"git_commit", "make_run", "gcc_build"} <= set(OFFERED.tools), reason="git, make or gcc is not on this machine"
)

FILES = {
    "PLAN.md": "# Plan\n\nAdd `sub(a, b)` beside `add`, with a test. Run `make test`.\n",
    "calc.h": "int add(int a, int b);\n",
    "calc.c": '#include "calc.h"\n\nint add(int a, int b) { return a + b; }\n',
    "test.c": '#include <assert.h>\n#include "calc.h"\n\nint main(void)\n{\n'
    "    assert(add(2, 3) == 5);\n    return 0;\n}\n",
    "Makefile": "test: run\n\t./run\n\t@echo all tests passed\n"
    "run: test.c calc.c calc.h\n\tgcc -Wall -o $@ test.c calc.c\n",
    ".gitignore": "run\n",
}


@pytest.fixture
def workspace(place: Path) -> Path:
    """A repository of the operator with one commit."""
    made = place / "calc"
    made.mkdir()
    for name, text in FILES.items():
        (made / name).write_text(text)
    for path in (made, *made.iterdir()):
        os.chown(path, OPERATOR, OPERATOR)
    git(made, "init", "-q", "-b", "main")
    git(made, "add", "-A")
    git(made, "commit", "-q", "-m", "Calculate")
    return made


def git(workspace: Path, *words: str) -> str:
    """git as the operator uses it."""
    env = {"PATH": "/usr/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    command = ("/usr/bin/git", "-c", "user.name=o", "-c", "user.email=o@x", *words)
    return subprocess.run(
        command, cwd=workspace, env=env, user=OPERATOR, group=OPERATOR, extra_groups=(), check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip


def script(work: Path) -> Iterator[Step]:
    """What a builder does, with a mistake on the way that the test finds."""
    repository, at = str(work), f"{work}/"
    wrong, right = "int sub(int a, int b) { return b - a; }\n", "int sub(int a, int b) { return a - b; }\n"
    turns: Sequence[Sequence[Call]] = (
        (
            Call(tool="file_read", args={"path": f"{at}PLAN.md"}),
            Call(tool="git_status", args={"repository": repository}),
            Call(tool="file_list", args={"path": repository}),
        ),
        (
            Call(tool="file_edit", args={"path": f"{at}calc.h", "old": "b);\n", "new": f"b);\n{wrong[:22]};\n"}),
            Call(tool="file_edit", args={"path": f"{at}calc.c", "old": "a + b; }\n", "new": f"a + b; }}\n{wrong}"}),
            Call(tool="file_edit", args={
                "path": f"{at}test.c", "old": "    return 0;", "new": "    assert(sub(5, 3) == 2);\n    return 0;",
            }),
        ),
        (Call(tool="make_run", args={"directory": repository, "target": "test"}),),
        (Call(tool="file_edit", args={"path": f"{at}calc.c", "old": wrong, "new": right}),),
        (Call(tool="make_run", args={"directory": repository, "target": "test"}),),
        (
            Call(tool="git_diff", args={"repository": repository}),
            Call(tool="file_edit", args={"path": f"{at}.git/config", "old": "[core]", "new": "[core]\n\tx = y"}),
        ),
        (Call(tool="git_add", args={"repository": repository, "all": True}),),
        (Call(tool="git_commit", args={"repository": repository, "message": "Add sub\n\nThe plan asks for it."}),),
        (Call(tool="git_log", args={"repository": repository, "count": 1, "patch": True}),),
    )  # fmt: skip
    for number, calls in enumerate(turns, start=1):
        yield Step(when=When(turn=number), calls=tuple(calls))
    yield Step(when=When(), text="Added sub with a test; all tests pass; committed.")


def told(asked: Sequence[Asked], turn: int) -> list[str]:
    """The results that the model got after its answer in `turn`."""
    request = next(one for one in asked if one.turn == turn + 1)
    count = (
        len(request.messages)
        - 1
        - max(index for index, message in enumerate(request.messages) if message["role"] == "assistant")
    )
    return [str(message["content"]) for message in request.messages[-count:]]


def built(place: Path, work: Path, provider: ScriptedProvider) -> dict[str, object]:
    """The run's end and the events that its operator saw."""
    (place / "models.yaml").write_text(MODELS.format(url=provider.url))
    with (place / "agentd.toml").open("a") as settings:
        settings.write(f'[wrappers]\ndirs = ["{TREE}/etc/aaos/wrappers"]\n')
        settings.write(f'[models]\ntable = "{place}/models.yaml"\nT2 = "scripted"\n')
    tools = list(TOOLS)
    with daemon(place) as process:
        done = as_operator(
            place,
            "with Client(place) as client:\n"
            f"    asked = {{'goal': 'Do what PLAN.md says.', 'cwd': {str(work)!r}, 'tool': {tools!r}}}\n"
            f"    asked |= {{'read': [{str(work)!r}], 'write': [{str(work)!r}]}}\n"
            "    accepted = client.ask('submit', role='builder', orchestration='direct', **asked)\n"
            "    result = client.ask('watch', run=accepted['run'])\n"
            "    kinds = client.kinds\n"
            "    print(json.dumps({'result': result, 'kinds': kinds}))\n",
        )
        assert done.returncode == 0, done.stderr
        stop(process)
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_a_builder_reads_a_plan_edits_builds_tests_and_commits(place: Path, workspace: Path) -> None:
    """RUN-2, TOL-4: a test that fails is seen, mended and passes; git's own files are changed by git alone."""
    with serving(Script(steps=tuple(script(workspace)))) as provider:
        seen = built(place, workspace, provider)
        asked = tuple(provider.requests)
    result = seen["result"]
    assert isinstance(result, dict)
    assert result["state"] == "completed", result
    assert result["result"] == "Added sub with a test; all tests pass; committed."
    failed, passed = told(asked, 3)[0], told(asked, 5)[0]
    assert "make_run failed: exit status 2" in failed
    assert "sub(5, 3) == 2' failed" in failed
    assert passed.splitlines()[-1] == "all tests passed"
    assert "controls other programs" in told(asked, 6)[1]
    assert "Add sub" in told(asked, 9)[0]
    assert git(workspace, "log", "--format=%s|%an", "-2").splitlines() == ["Add sub|aaOS agent", "Calculate|o"]
    assert git(workspace, "status", "--porcelain") == ""
    assert "return a - b" in git(workspace, "show", "HEAD:calc.c")
    assert "x = y" not in (workspace / ".git" / "config").read_text()
    assert {os.stat(path).st_uid for path in workspace.rglob("*")} == {OPERATOR}
    kinds = seen["kinds"]
    assert isinstance(kinds, list)
    assert kinds.count("cell.ended") == 7
    assert "file.changed" in kinds
    assert "file.unreported" not in kinds, "what programs changed is on record"
