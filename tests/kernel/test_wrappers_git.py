"""git in real cells: honest work is done, and a hostile repository starts nothing (H-SUB-01, H-SUB-02).

Each trap is first shown to catch plain git, as its owner would run it, so that one that catches nobody is noticed.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.core.errors import AaosError, InputError
from aaos.core.events import EventKind
from tests.kernel.harness import OWNER, Stand
from tests.kernel.wrapped import OFFERED, Workbench, workbench

pytestmark = pytest.mark.skipif("git_status" not in OFFERED.tools, reason="git is not on this machine")


@pytest.fixture
def bench(stand: Stand) -> Iterator[Workbench]:
    """A workbench whose workspace is a repository with one commit."""
    with workbench(stand.launcher.cells, stand.run) as made:
        made.write("a.txt", "one\n")
        plain(made, "init", "-q", "-b", "main")
        plain(made, "add", "-A")
        plain(made, "commit", "-q", "-m", "first")
        yield made


def plain(bench: Workbench, *words: str, check: bool = True) -> str:
    """git as the owner of the repository would run it, with all that the repository says."""
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_PAGER_IN_USE": "1"}
    names = ("-c", "user.name=o", "-c", "user.email=o@x", "-c", "protocol.file.allow=always")
    done = subprocess.run(
        ("/usr/bin/git", *names, *words), cwd=bench.workspace, env=env, user=OWNER, group=OWNER, extra_groups=(),
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert not check or not done.returncode, done.stderr
    return done.stdout


def trap(bench: Workbench) -> str:
    """A program that says that it was started."""
    return bench.write("trap.sh", f"#!/bin/sh\necho sprung >> {bench.workspace}/sprung\ncat\n", mode=0o755)


def is_sprung(bench: Workbench) -> bool:
    """Whether a trap was started since the last time it was asked."""
    file = bench.workspace / "sprung"
    found = file.exists()
    file.unlink(missing_ok=True)
    return found


def use_all(bench: Workbench) -> None:
    """Every tool of git, on the files and the history."""
    repository = str(bench.workspace)
    bench.write("a.txt", f"two {os.urandom(4).hex()}\n")
    for tool, args in (
        ("git_status", {}), ("git_diff", {}), ("git_log", {"patch": True}), ("git_show", {}),
        ("git_show", {"object": "HEAD:a.txt"}), ("git_add", {"all": True}), ("git_diff", {"staged": True}),
        ("git_commit", {"message": "second"}), ("git_log", {"patch": True, "revision": "HEAD"}),
    ):  # fmt: skip
        bench.call(tool, repository=repository, **args)


def test_a_change_is_seen_committed_and_shown(bench: Workbench) -> None:
    """TOL-4: the journey of a builder; the commit says that an agent made it."""
    repository = str(bench.workspace)
    path = bench.write("a.txt", "one\ntwo\n")
    bench.write("new --x.txt", "n\n")
    assert bench.call("git_status", repository=repository).text == '## main\n M a.txt\n?? "new --x.txt"'
    assert "+two" in bench.call("git_diff", repository=repository, paths=[path]).text
    assert bench.call("git_add", repository=repository, all=True).ok
    done = bench.call("git_commit", repository=repository, message="Add two\n\n--amend is text")
    assert done.ok, done.text
    assert plain(bench, "log", "--format=%an %cn", "-1").strip() == "aaOS agent aaOS agent"
    assert plain(bench, "log", "--format=%B", "-1").strip() == "Add two\n\n--amend is text"
    assert plain(bench, "status", "--porcelain") == ""
    log = bench.call("git_log", repository=repository, patch=True, count=1)
    assert "+two" in log.text
    assert "Add two" in log.text
    assert bench.call("git_show", repository=repository, object="HEAD~1:a.txt").text == "one"
    changed = [event for event in bench.audit.events if event.kind is EventKind.FILE_CHANGED]
    assert all("/.git/" in str(event.fields["made_paths"]) for event in changed)
    assert {os.stat(path).st_uid for path in (bench.workspace / ".git").rglob("*")} == {OWNER}


def test_what_is_ignored_and_removed_is_staged_as_git_does(bench: Workbench) -> None:
    """TOL-4"""
    bench.write(".gitignore", "*.o\n")
    bench.write("x.o", "")
    (bench.workspace / "a.txt").unlink()
    repository = str(bench.workspace)
    bench.call("git_add", repository=repository, paths=[f"{repository}/a.txt", f"{repository}/.gitignore"])
    assert bench.call("git_diff", repository=repository, staged=True, stat=True).text.count("|") == 2
    assert not bench.call("git_add", repository=repository, paths=[f"{repository}/x.o"]).ok


HOOKS = ("pre-commit", "commit-msg", "prepare-commit-msg", "post-commit", "post-index-change", "reference-transaction")
SETTINGS = {
    "core.fsmonitor": ("status",),
    "core.hooksPath": ("commit", "--allow-empty", "-m", "x"),
    "diff.external": ("diff",),
    "filter.x.clean": ("add", "-A"),
    "filter.x.process": ("add", "-A"),
    "diff.x.textconv": ("diff",),
    "diff.x.command": ("diff",),
    "core.pager": ("log", "-p"),
    "core.editor": ("commit", "--allow-empty"),
    "gpg.program": ("commit", "--allow-empty", "-S", "-m", "x"),
}
NEEDS_A_TERMINAL = {"core.pager"}


def test_hooks_do_not_run(bench: Workbench) -> None:
    """H-SUB-02"""
    script = Path(trap(bench)).read_text()
    for hook in HOOKS:
        bench.write(f".git/hooks/{hook}", script, mode=0o755)
    plain(bench, "commit", "-q", "--allow-empty", "-m", "x", check=False)
    assert is_sprung(bench), "the trap is one"
    use_all(bench)
    assert not is_sprung(bench)
    assert "second" in plain(bench, "log", "--format=%s")


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_of_the_repository_starts_nothing(bench: Workbench, setting: str) -> None:
    """H-SUB-02: by the file of settings, and by one that it includes."""
    program = trap(bench)
    value = f"{bench.workspace}/hooks" if setting == "core.hooksPath" else program
    for hook in HOOKS:
        bench.write(f"hooks/{hook}", Path(program).read_text(), mode=0o755)
    bench.write(".gitattributes", "*.txt filter=x diff=x\n")
    bench.write(".git/included", f"[include]\n\tpath = {bench.workspace}/.git/more\n")
    plain(bench, "config", "--file", f"{bench.workspace}/.git/more", setting, value)
    plain(bench, "config", "include.path", f"{bench.workspace}/.git/included")
    for key, said in (("commit.gpgSign", "false"), ("filter.x.required", "false"), ("core.untrackedCache", "true")):
        plain(bench, "config", key, said)
    bench.own()
    bench.write("a.txt", "other\n")
    if setting not in NEEDS_A_TERMINAL:
        plain(bench, *SETTINGS[setting], check=False)
        assert is_sprung(bench), "the trap is one"
    plain(bench, "config", "commit.gpgSign", "true")
    plain(bench, "config", "log.showSignature", "true")
    bench.own()
    use_all(bench)
    assert not is_sprung(bench)


def test_a_submodule_and_its_settings_are_left_alone(bench: Workbench) -> None:
    """H-SUB-02"""
    program = trap(bench)
    plain(bench, "init", "-q", "inner")
    plain(bench, "-C", "inner", "commit", "-q", "--allow-empty", "-m", "x")
    plain(bench, "submodule", "--quiet", "add", "./inner", "inner", check=False)
    plain(bench, "-C", "inner", "config", "core.fsmonitor", program)
    bench.own()
    plain(bench, "-C", "inner", "status")
    assert is_sprung(bench), "the trap is one"
    use_all(bench)
    assert not is_sprung(bench)


def test_a_directory_that_looks_like_a_repository_is_none(bench: Workbench) -> None:
    """H-SUB-02: a bare one in a subdirectory, with settings of its own."""
    program = trap(bench)
    plain(bench, "init", "-q", "--bare", "bare")
    plain(bench, "-C", "bare", "config", "core.fsmonitor", program)
    plain(bench, "-C", "bare", "config", "alias.status", f"!{program}")
    plain(bench, "-C", "bare", "config", "core.bare", "false")
    plain(bench, "-C", "bare", "config", "core.worktree", str(bench.workspace))
    bench.own()
    for tool in ("git_status", "git_log", "git_diff"):
        assert not bench.call(tool, repository=f"{bench.workspace}/bare").ok
    assert not is_sprung(bench)


@pytest.mark.parametrize("kind", ["link", "file", "commondir", "alternates", "worktree"])
def test_git_does_not_lead_out_of_the_workspace(bench: Workbench, kind: str) -> None:
    """H-SUB-02: what it points to is not there for the cell."""
    secret = bench.workspace.parent / "secret"
    secret.mkdir(mode=0o755)
    os.chown(secret, OWNER, OWNER)
    plain(bench, "-C", str(secret), "init", "-q")
    (secret / "s.txt").write_text("swordfish")
    plain(bench, "-C", str(secret), "add", "-A")
    plain(bench, "-C", str(secret), "commit", "-q", "-m", "swordfish")
    blob = plain(bench, "-C", str(secret), "rev-parse", "HEAD:s.txt").strip()
    git = bench.workspace / ".git"
    match kind:
        case "link":
            git.rename(bench.workspace / "old")
            git.symlink_to(secret / ".git")
        case "file":
            git.rename(bench.workspace / "old")
            git.write_text(f"gitdir: {secret}/.git\n")
        case "commondir":
            bench.write(".git/commondir", f"{secret}/.git\n")
        case "alternates":
            bench.write(".git/objects/info/alternates", f"{secret}/.git/objects\n")
        case "worktree":
            plain(bench, "config", "core.worktree", str(secret))
    bench.own()
    repository = str(bench.workspace)
    assert plain(bench, "show", blob, check=False) == "swordfish" or kind == "worktree", "the way out is one"
    for tool, args in (("git_show", {"object": blob}), ("git_log", {}), ("git_status", {}), ("git_diff", {})):
        text = bench.call(tool, repository=repository, **args).text
        assert "swordfish" not in text
        assert "s.txt" not in text


def test_values_that_are_no_revisions_reach_nothing(bench: Workbench) -> None:
    """H-SUB-01: no file is written, no other is read, whether the gate or git says no."""
    target = bench.workspace / "out"
    for value in (f"--output={target}", "--no-index", "HEAD:../../../etc/passwd", "HEAD:/etc/passwd", "@{/etc/passwd}",
                  "HEAD^{/--output}", f"HEAD --output={target}", "ext::sh", "refs/../../x", ":/first"):  # fmt: skip
        for tool, name in (("git_log", "revision"), ("git_diff", "revision"), ("git_show", "object")):
            try:
                result = bench.call(tool, repository=str(bench.workspace), **{name: value})
            except AaosError:
                continue
            assert "root:" not in result.text
    assert not target.exists()


def test_a_reference_that_looks_like_an_option_is_a_reference(bench: Workbench) -> None:
    """H-SUB-01: made by whoever made the repository."""
    head = plain(bench, "rev-parse", "HEAD").strip()
    bench.write(".git/refs/heads/--output", f"{head}\n")
    bench.write(".git/refs/heads/-x", f"{head}\n")
    for name in ("heads/--output", "heads/-x"):
        assert "first" in bench.call("git_log", repository=str(bench.workspace), revision=name).text
    for name in ("--output", "-x", "heads/--output=out"):
        with pytest.raises(InputError):
            bench.call("git_log", repository=str(bench.workspace), revision=name)


def test_a_commit_does_not_wait_for_an_editor_or_a_lock(bench: Workbench) -> None:
    """H-SUB-13"""
    bench.write(".git/index.lock", "")
    result = bench.call("git_commit", repository=str(bench.workspace), message="x")
    assert not result.ok
    assert "index.lock" in result.text
