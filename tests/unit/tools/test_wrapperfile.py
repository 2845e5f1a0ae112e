"""Wrapper files are checked whole; a bad one is refused by line and column, and never hides behind an older one."""

from pathlib import Path

import pytest

from aaos.core.cell import HostPort
from aaos.core.errors import SettingsError
from aaos.tools.wrapper import Argument, Limits, Parser, PathUse, Wrapper
from aaos.tools.wrapperfile import load_wrappers, read_wrapper
from qa.fuzz.seeds import LISTER


def read(text: str, *, name: str = "lister", taken: frozenset[str] = frozenset()) -> Wrapper:
    return read_wrapper(text.encode(), f"/w/{name}.yaml", taken=taken)


def test_a_wrapper_is_read_whole() -> None:
    """TOL-4"""
    wrapper = read(LISTER)
    assert (wrapper.name, wrapper.program, wrapper.package) == ("lister", "/usr/bin/ls", "coreutils")
    assert wrapper.arguments[1] == Argument(("--all",), "all")
    assert wrapper.parameters["place"].use is PathUse.READ
    assert wrapper.parameters["all"].default is False
    assert wrapper.egress == (HostPort("example.com", 443),)
    assert (wrapper.success, wrapper.output, wrapper.limits) == ((0, 1), Parser.LINES, Limits(wall_s=5))
    assert wrapper.is_effect, "it connects"
    assert not read(LISTER.replace('egress: ["example.com:443"]\n', "")).is_effect


@pytest.mark.parametrize(
    ("old", "new", "place", "message", "remedy"),
    [
        ("program:", "programm:", "line 3, column 11", "programm: unknown key", "did you mean 'program'?"),
        ("type: strings", "type: sting", "line 7, column 17", "parameters.names.type", ""),
        ("wall_s", "wal_s", "line 24, column 17", "limits.wal_s: unknown key", "did you mean 'wall_s'?"),
        ('"{place}"\n  - {if', '"{plac}"\n  - {if', "line 14, column 5", "{plac} is not a parameter", "'place'"),
        ("if_given: all", "if_given: al", "line 12, column 5", "'al' is not a parameter", "'all'"),
        ("name: lister", "name: other", "line 1, column 7", "'other' is not the file's name", "name: lister"),
        ('"[a-z]+"', '"[a-z"', "line 7, column 35", "parameters.names.pattern", "correct"),
        ("/usr/bin/ls", "/usr/bin/../bin/ls", "line 3, column 10", "program", "without '..'"),
        ("example.com:443", "https://example.com", "line 21, column 10", "no HOST:PORT", "example.com:443"),
        ("package: coreutils", "package: coreutils\npackage: x", "line 5, column 1", "twice", ""),
    ],
)
def test_a_wrong_file_is_refused_by_its_place(old: str, new: str, place: str, message: str, remedy: str) -> None:
    """TOL-4, H-FUZZ-05"""
    assert old in LISTER
    with pytest.raises(SettingsError) as error:
        read(LISTER.replace(old, new, 1))
    assert error.value.message.startswith(f"/w/lister.yaml, {place}: "), error.value.message
    assert message in error.value.message
    assert remedy in error.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('args: ["{names}"]', 'args: ["--x={names}"]', "names is a list and stands with other text"),
        ('  - {if_given: names, args: ["{names}"]}', '  - "{names}"', "names may be missing"),
        ("--color=never", '"{all}"', "all is true or false"),
        ("{type: path}", "{type: path, pattern: x}", "parameters.place.pattern: does not belong to type path"),
        ("{type: path}", "{type: path, default: /etc}", "parameters.place.default: nothing is granted by a default"),
        ("default: x", 'default: ""', "parameters.mark.default: '' is not a value of it"),
        ("default: x", "default: x, required: true", "is required and has a default"),
        ("{type: boolean}", "{type: enum}", "an enum needs choices"),
        ("{type: boolean}", "{type: integer, min: 3, max: 2}", "min 3 and max 2"),
        ("  all:", "  max_bytes:", "max_bytes means something else"),
        ('cwd: "{place}"', 'cwd: "{mark}"', "is no directory"),
        ('cwd: "{place}"', "cwd: tmp", "is not an absolute path"),
        ('stdin: "{mark}"', 'stdin: "{all}"', "all is no string"),
        ("--color=never", '""', "an argument is empty"),
        ("--color=never", '"{0}"', "is not a placeholder"),
        ("--color=never", '"{place.__class__}"', "is not a placeholder"),
        ("[/usr/bin/true]", "[/]", "exec_paths.0"),
    ],
)
def test_a_wrapper_that_could_surprise_is_refused(old: str, new: str, message: str) -> None:
    """TOL-4, H-SUB-09, H-SEC-06"""
    assert old in LISTER
    with pytest.raises(SettingsError) as error:
        read(LISTER.replace(old, new, 1))
    assert message in error.value.message


def test_the_name_of_another_tool_is_not_taken() -> None:
    """TOL-4, H-CAP-11"""
    with pytest.raises(SettingsError) as error:
        read(LISTER, taken=frozenset({"lister"}))
    assert "lister is the name of a tool of aaOS" in error.value.message


def test_a_later_directory_overrides_and_a_broken_override_takes_the_wrapper_away(tmp_path: Path) -> None:
    """TOL-4"""
    first, second = tmp_path / "a", tmp_path / "b"
    for directory in (first, second):
        directory.mkdir()
        (directory / "lister.yaml").write_text(LISTER)
    (second / "lister.yaml").write_text(LISTER.replace("Lists a", "Shows a"))
    assert load_wrappers([first, second], taken=()).wrappers["lister"].summary == "Shows a directory"
    (second / "lister.yaml").write_text("name: lister")
    found = load_wrappers([first, second], taken=())
    assert found.wrappers == {}
    assert "b/lister.yaml" in found.refused[0].message
    assert load_wrappers([tmp_path / "none"], taken=()).wrappers == {}


def test_a_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "lister.yaml").write_text(LISTER)
    (tmp_path / "bad.yaml").write_text("{")
    (tmp_path / "odd-name.yaml").write_text(LISTER.replace("lister", "odd-name"))
    (tmp_path / ".hidden.yaml").write_text("{")
    found = load_wrappers([tmp_path], taken=())
    assert list(found.wrappers) == ["lister"]
    assert len(found.refused) == 2


SECRET = b"""
name: get
summary: Gets
program: /usr/bin/get
package: get
parameters:
  url: {type: url}
  token: {type: secret, required: false}
argv: [{if_given: token, args: [--plain]}, --, "{url}"]
asks: [GET /**/info/refs, POST /*/up-load]
"""


def test_a_secret_goes_with_requests_that_are_named() -> None:
    """TOL-9"""
    wrapper = read_wrapper(SECRET, "/get.yaml", taken=())
    assert (wrapper.secret, wrapper.asks) == ("token", ("GET /**/info/refs", "POST /*/up-load"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("args: [--plain]", 'args: ["--plain={token}"]', "no program is told it"),
        ("asks: [GET /**/info/refs, POST /*/up-load]", 'asks: [GET /**]\nstdin: "{token}"', "token is no string"),
        ("asks: [GET /**/info/refs, POST /*/up-load]", "", "none are named"),
        ("url: {type: url}", "url: {type: string}", "none are named"),
        ("token: {type: secret, required: false}", "x: {type: string, default: x}", "no parameter of type secret"),
        ("required: false}", "required: false}\n  other: {type: secret, required: false}", "a call has one secret"),
        ("required: false}", "default: github}", "granted by a default"),
        ("GET /**/info/refs", "GET", "is no METHOD /PATH"),
        ("GET /**/info/refs", "CONNECT /", "is no METHOD /PATH"),
        ("GET /**/info/refs", "get /x", "is no METHOD /PATH"),
        ("GET /**/info/refs", "GET /**/a*/b*", "is no METHOD /PATH"),
        ("GET /**/info/refs", "GET /***", "is no METHOD /PATH"),
        ("GET /**/info/refs", "GET /a b", "is no METHOD /PATH"),
    ],
)
def test_a_secret_that_could_go_elsewhere_is_refused(old: str, new: str, message: str) -> None:
    """TOL-9"""
    text = SECRET.decode()
    assert old in text
    if message == "no parameter of type secret":
        text = text.replace("{if_given: token, args: [--plain]}, ", "")
    with pytest.raises(SettingsError, match=message):
        read_wrapper(text.replace(old, new).encode(), "/get.yaml", taken=())
