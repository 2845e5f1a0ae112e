"""The shipped wrappers against the shapes of known attacks on their programs: nothing is run, no argv comes to be."""

from pathlib import Path

import pytest

from aaos.core.errors import InputError
from aaos.core.text import nearest
from aaos.daemon.validate import OWN_NAMES
from aaos.tools.admit import parse
from aaos.tools.rendering import Rendered, render
from aaos.tools.wrapper import ParameterKind, PathUse, Wrapper
from aaos.tools.wrapperfile import load_wrappers
from aaos.tools.wrapperparameter import cell_tool
from worker.abi import Json

LOADED = load_wrappers([Path(__file__).parents[3] / "etc/aaos/wrappers"], taken=OWN_NAMES)
SHIPPED = LOADED.wrappers
GIT = [name for name in SHIPPED if name.startswith("git_")]
ANY_CODE = {"python_run", "shell", "make_run", "cargo_run"}  # they say so in their first line


def rendered(name: str, args: dict[str, Json]) -> Rendered:
    tool = cell_tool(SHIPPED[name])
    return render(SHIPPED[name], parse(tool, args))


def test_all_of_them_are_read() -> None:
    """TOL-4"""
    assert LOADED.refused == ()
    assert set(SHIPPED) == {
        "browser_render", "cargo_run", "ffmpeg", "gcc_build", "git_add", "git_clone", "git_commit", "git_diff",
        "git_log", "git_show",
        "git_status", "imagemagick", "jq", "make_run", "pandoc", "python_run", "ripgrep", "shell", "sqlite_read",
    }  # fmt: skip


REPO: dict[str, Json] = {"repository": "/r"}
GOOD: dict[str, dict[str, Json]] = {
    "browser_render": {"url": "https://h/x", "pdf": "/o.pdf", "width": 800},
    "cargo_run": {"directory": "/w", "command": "test"},
    "ffmpeg": {"input": "/i", "output": "/o", "format": "mp4"},
    "gcc_build": {"sources": ["/a.c"], "output": "/o"},
    "git_add": {**REPO, "paths": ["/r/x"]},
    "git_clone": {"url": "https://h/x", "into": "/w/x", "branch": "b", "depth": 1},
    "git_commit": {**REPO, "message": "m", "author": "a b <c@d>"},
    "git_diff": {**REPO, "revision": "A..B"},
    "git_log": {**REPO, "revision": "HEAD~2", "paths": ["/r/x"]},
    "git_show": {**REPO, "object": "v1:a/b"},
    "git_status": REPO,
    "imagemagick": {"input": "/i", "from": "png", "output": "/o", "to": "png"},
    "jq": {"file": "/j", "filter": "."},
    "make_run": {"directory": "/w", "target": "all"},
    "pandoc": {"input": "/d.md", "from": "gfm", "to": "html", "output": "/o"},
    "python_run": {"directory": "/w", "code": "1", "args": ["x"]},
    "ripgrep": {"pattern": "x", "path": "/r"},
    "shell": {"directory": "/w", "script": "x"},
    "sqlite_read": {"database": "/d", "sql": "SELECT 1"},
}
HOSTILE: list[tuple[str, dict[str, Json]]] = [
    # H-SUB-01: CVE-2025-68143 to -68145, CVE-2026-27735 and their kin
    *(("git_log", {**REPO, "revision": value}) for value in (
        "--upload-pack=sh", "--exec-path=/x", "--output=/etc/cron.d/x", "-c", "--x", "-", "--", "", "\n--output=/x",
        "HEAD\0--x", "a b", "HEAD;id", "$(id)", "`id`", ":(exclude)x", "--no-index", "-O/etc/passwd",
        "HEAD --ext-diff")),
    *(("git_diff", {**REPO, "revision": value}) for value in ("--no-index", "--output=/x", "-c", "--ext-diff", "-O/x")),
    *(("git_show", {**REPO, "object": value}) for value in ("--output=/x", "--textconv", "-p", "ext::sh -c id")),
    *(("git_log", {**REPO, "paths": [value]}) for value in ("--x", ":(top)/etc", "../../etc", "/r/../etc", "a/b")),
    *(("git_add", {**REPO, "paths": [value]}) for value in ("../../x", "--pathspec-from-file=/x", "-e", "/r/../../x")),
    *(("git_status", {"repository": value}) for value in ("-C/", "--git-dir=/x", "/r/../x", "relative", "")),
    *(("git_commit", {**REPO, "message": "m", "author": value}) for value in ("x", "--amend", "a <b> --amend\n", "<>")),
    ("git_commit", {**REPO, "message": "m\0--amend"}),
    ("git_commit", {**REPO, "message": "m", "amend": True}),
    *(("git_clone", {"into": "/w/x", "url": value}) for value in (
        "ext::sh -c id", "--upload-pack=sh", "-u sh", "file:///etc", "ssh://-oProxyCommand=id/x", "git://h/x", "/etc",
        "https://user:pw@h/x", "https://h/x --config", "fd::17/foo", "https:h", "https://h/\n-x")),
    *(("git_clone", {"into": "/w/x", "url": "https://h/x", "branch": value}) for value in ("--x", "-u", "a b", "")),
    ("git_clone", {"into": "--bare", "url": "https://h/x"}),
    ("git_clone", {"into": "/w/x", "url": "https://h/x", "depth": -1}),
    # H-SUB-03
    *(("ripgrep", {"pattern": "x", "path": value}) for value in ("--pre=sh", "-f/etc/shadow", "--search-zip")),
    *(("ripgrep", {"pattern": "x", "path": "/r", name: "x"}) for name in ("pre", "hostname_bin", "search_zip", "file")),
    ("ripgrep", {"pattern": "x\0", "path": "/r"}),
    ("ripgrep", {"pattern": "x\n--pre=sh", "path": "/r"}),
    # H-SUB-04: none of find, tar, zip, sed, awk, sort, less, man is a tool; what is like them takes typed values alone
    *(("jq", {"file": "/j", "filter": value}) for value in ("-L/x", "--from-file", "-n", "--rawfile x /etc/shadow")),
    ("jq", {"file": "--rawfile", "filter": "."}),
    # H-SUB-06
    *(("pandoc", {"input": "/d.md", name: value}) for name, value in (
        ("from", "markdown+lhs"), ("from", "/x.lua"), ("to", "pdf"), ("to", "--pdf-engine=sh"), ("to", "custom.lua"),
        ("output", "--filter=sh"), ("filter", "/x"), ("lua_filter", "/x"), ("extract_media", "/"), ("template", "/x"))),
    ("pandoc", {"input": "--lua-filter=/x"}),
    ("pandoc", {"input": "http://h/x"}),
    # H-SUB-07
    *(("ffmpeg", {"input": value, "output": "/o", "format": "mp4"}) for value in (
        "concat:/a|/etc/passwd", "subfile,,start,0,end,9,,:/etc/passwd", "-f lavfi", "http://h/x", "hls+http://h",
        "file:///etc/passwd", "data:x", "tee:/x")),
    *(("ffmpeg", {"input": "/i", "output": "/o", "format": value}) for value in ("tee", "hls", "segment", "-")),
    ("ffmpeg", {"input": "/i", "output": "/o", "format": "mp4", "width": "1:movie=/etc/passwd"}),
    ("ffmpeg", {"input": "/i", "output": "/o", "format": "mp4", "filter_script": "/x"}),
    *(("imagemagick", {"input": value, "from": "png", "output": "/o", "to": "png"}) for value in (
        "msl:/x", "@/etc/passwd", "ephemeral:/x", "label:@/etc/passwd", "-write", "|id", "https://h/x")),
    *(("imagemagick", {"input": "/i", "from": value, "output": "/o", "to": "png"}) for value in (
        "msl", "mvg", "svg", "ephemeral", "label", "text", "pdf", "ps", "url", "vid", "inline")),
    *(("imagemagick", {"input": "/i", "from": "png", "output": "/o", "to": v}) for v in ("msl", "show", "win", "info")),
    # a browser
    *(("browser_render", {"url": value}) for value in (
        "file:///etc/passwd", "chrome://version", "data:text/html,x", "javascript:x", "about:blank", "view-source:https://h",
        "--renderer-cmd-prefix=sh", "--utility-cmd-prefix=sh", "--load-extension=/x", "-", "https://u:p@h/", "h", "")),
    *(("browser_render", {"url": "https://h/x", name: value}) for name, value in (
        ("pdf", "--gpu-launcher=sh"), ("png", "x.png"), ("width", 0), ("height", "1 --x"), ("wait_ms", 10**9),
        ("proxy", "x"), ("user_data_dir", "/home"))),
    # H-SUB-08
    *(("cargo_run", {"directory": "/w", "command": value}) for value in (
        "+nightly", "--config=build.rustc-wrapper=sh", "install", "-Zunstable", "publish", "run --config x")),
    *(("make_run", {"directory": "/w", "target": value}) for value in (
        "--eval=$(shell id)", "SHELL=/x", "-f/x", "-C/", "CC=sh", "a b", "$(shell id)", "x\n")),
    *(("gcc_build", {"sources": [value], "output": "/o"}) for value in (
        "@/etc/shadow", "-fplugin=/x.so", "-specs=/x", "-wrapper", "-B/x", "--sysroot=/x")),
    *(("gcc_build", {"sources": ["/a.c"], "output": "/o", "standard": v}) for v in ("c99 -fplugin=/x", "-x", "gnu89")),
    # H-SUB-09
    *(("sqlite_read", {"database": "/d", "sql": value}) for value in ("-cmd", "--init", "-unsafe-testing", "-A")),
    *(("sqlite_read", {"database": value, "sql": "x"}) for value in ("-cmd", "file:/d?mode=rwc", "zip:/x", "")),
    *(("python_run", {"directory": "/w", "code": "1", "args": [value]}) for value in ("-c", "-m", "--", "-i")),
    ("shell", {"directory": "/w", "script": "x\0"}),
    ("shell", {"directory": "-i", "script": "x"}),
    # H-SUB-11: no tool takes variables
    *((name, {**args, "env": {"LD_PRELOAD": "/x"}}) for name, args in GOOD.items()),
]  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_an_honest_call_makes_a_command(name: str) -> None:
    """TOL-4: so that what is refused below is refused for what is hostile in it."""
    assert rendered(name, GOOD[name]).argv[0] == SHIPPED[name].program.rpartition("/")[2]


@pytest.mark.parametrize(("name", "args"), HOSTILE)
def test_a_hostile_argument_makes_no_command(name: str, args: dict[str, Json]) -> None:
    """H-SUB-01, H-SUB-03, H-SUB-04, H-SUB-06, H-SUB-07, H-SUB-08, H-SUB-09, H-SUB-11"""
    with pytest.raises(InputError):
        rendered(name, args)


HARMLESS: list[tuple[str, dict[str, Json], str]] = [
    ("ripgrep", {"pattern": "--pre=sh", "path": "/r"}, "--regexp=--pre=sh"),
    ("ripgrep", {"pattern": "x", "path": "/r", "glob": "--pre=sh"}, "--glob=--pre=sh"),
    ("git_commit", {**REPO, "message": "--amend\n-F/etc/shadow"}, "--message=--amend\n-F/etc/shadow"),
    ("git_add", {**REPO, "paths": ["/r/--x"]}, "/r/--x"),
    ("git_show", {**REPO, "object": "HEAD:a/b.c"}, "HEAD:a/b.c"),
    ("shell", {"directory": "/w", "script": "-c id; x"}, "-c id; x"),
    ("pandoc", {"input": "/d.md", "output": "/o --filter"}, "--output=/o --filter"),
    ("jq", {"file": "/j", "filter": "env, $__prog_args, input_filename"}, "env, $__prog_args, input_filename"),
]


@pytest.mark.parametrize(("name", "args", "argument"), HARMLESS)
def test_text_that_looks_like_an_option_stays_one_argument(name: str, args: dict[str, Json], argument: str) -> None:
    """H-SUB-01, H-SUB-03, H-SUB-14"""
    argv = rendered(name, args).argv
    assert argv.count(argument) == 1


def test_code_goes_where_code_belongs() -> None:
    """H-SUB-09: not into a place of options, and not through a shell that nobody asked for."""
    python = rendered("python_run", {"directory": "/w", "code": "-c\nimport os", "args": ["a b"]})
    assert python.argv == ("python3", "-I", "-B", "-", "a b")
    assert python.stdin == b"-c\nimport os"
    assert rendered("shell", {"directory": "/w", "script": "id"}).argv == ("sh", "-eu", "-c", "--", "id")


def test_no_shell_runs_but_the_one_that_is_asked_for() -> None:
    """H-SUB-14"""
    shells = ("sh", "bash", "dash", "env", "busybox", "xargs")
    for name, wrapper in SHIPPED.items():
        assert wrapper.program.rpartition("/")[2] not in shells or name == "shell"


@pytest.mark.parametrize("name", SHIPPED)
def test_only_what_says_so_executes_what_it_wrote_or_whole_directories(name: str) -> None:
    """ISO-12, H-SUB-08"""
    wrapper = SHIPPED[name]
    is_any = wrapper.exec_writable or any(path.count("/") <= 2 for path in wrapper.exec_paths)
    assert not is_any or name in ANY_CODE
    assert not wrapper.connects or name in ("git_clone", "browser_render")
    assert not wrapper.control_writable or name in ("git_add", "git_commit", "git_clone")


@pytest.mark.parametrize("name", SHIPPED)
def test_an_environment_is_names_that_are_known(name: str) -> None:
    """H-SUB-11"""
    for variable in SHIPPED[name].env:
        assert not variable.startswith(("LD_", "PYTHON", "BASH_", "PERL", "NODE_", "RUSTC_")), variable
        assert variable not in ("PATH", "IFS", "ENV", "SHELL", "EDITOR")


@pytest.mark.parametrize("name", GIT)
def test_git_takes_no_orders_from_settings_or_helpers(name: str) -> None:
    """H-SUB-02, H-SUB-13"""
    wrapper = SHIPPED[name]
    assert wrapper.env["GIT_CONFIG_NOSYSTEM"] == "1"
    assert wrapper.env["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert wrapper.env["GIT_TERMINAL_PROMPT"] == "0"
    fixed = _fixed(wrapper)
    for setting in ("core.hooksPath=/dev/null", "core.fsmonitor=false", "credential.helper=", "protocol.allow=never"):
        assert fixed[fixed.index(setting) - 1] == "-c"
    if name != "git_clone":
        assert {"--no-pager", "--literal-pathspecs", "--git-dir={repository}/.git"} <= set(fixed)
        assert wrapper.env["GIT_ALLOW_PROTOCOL"] == "none"
    if name in ("git_log", "git_diff", "git_show"):
        assert {"--no-ext-diff", "--no-textconv", "--ignore-submodules=all"} <= set(fixed)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_parameter_is_of_use_and_paths_say_what_for(name: str) -> None:
    """TOL-4: a parameter that goes nowhere would promise something."""
    wrapper = SHIPPED[name]
    used = "\n".join((*(t for a in wrapper.arguments for t in a.templates), wrapper.stdin, wrapper.cwd))
    for parameter in wrapper.parameters.values():
        is_flag = any(argument.if_given == parameter.name for argument in wrapper.arguments)
        assert is_flag or f"{{{parameter.name}}}" in used
        if parameter.kind is ParameterKind.INTEGER:
            assert parameter.least >= 0, "a number is never an option"
        if parameter.use is PathUse.MAKE:
            assert parameter.name in ("output", "into", "pdf", "png")


def test_a_misspelt_tool_finds_its_name() -> None:
    """TOL-1"""
    assert nearest("git_comit", SHIPPED) == "git_commit"


def _fixed(wrapper: Wrapper) -> list[str]:
    return [template for argument in wrapper.arguments for template in argument.templates]
