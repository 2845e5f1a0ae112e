"""The commands and their arguments."""

import pytest
from pydantic import ValidationError

from aaos.cli.client import DEFAULT_SOCKET
from aaos.cli.parser import COMMANDS, MAX_ROWS, absolute, parse
from aaos.core.errors import ExitCode, InputError
from aaos.daemon.params import ListParams

ARGUMENTS = {
    "submit": ["goal"],
    "status": ["r"],
    "stop": ["r"],
    "diff": ["r"],
    "pause": ["r"],
    "resume": ["a"],
    "logs": ["r"],
    "attest": ["a"],
    "dev-provider": ["--script", "s"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["before", "after"])
def test_json_and_socket_stand_before_or_after_the_command(command: str, place: str) -> None:
    options, rest = ["--json", "--socket", "/s"], [command, *ARGUMENTS.get(command, [])]
    args = parse([*options, *rest] if place == "before" else [*rest, *options])
    assert (args.command, args.json, args.socket) == (command, True, "/s")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_defaults(command: str) -> None:
    args = parse([command, *ARGUMENTS.get(command, [])])
    assert (args.json, args.socket) == (False, DEFAULT_SOCKET)


def test_a_later_socket_wins() -> None:
    assert parse(["--socket", "/a", "list", "--socket", "/b"]).socket == "/b"


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        (["sumbit", "goal"], "no command 'sumbit'", "agentd submit"),
        (["--socket", "/s", "lst"], "no command 'lst'", "agentd list"),
        (["qqqq"], "no command 'qqqq'", "agentd --help"),
        ([], "the following arguments are required: COMMAND", "agentd --help"),
        (["submit"], "the following arguments are required: GOAL", "agentd submit --help"),
        (["list", "--jsn"], "list: no argument '--jsn'", "agentd list --help"),
        (["submit", "goal", "--rea", "/x"], "submit: no argument '--rea'", "agentd submit --help"),
        (["status", "r", "\x1b[2J"], "status: no argument '\\x1b[2J'", "agentd status --help"),
    ],
)
def test_a_wrong_word_is_named_with_what_to_type(words: list[str], message: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(words)
    assert (caught.value.message, caught.value.remedy) == (message, remedy)
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "1e3", "NaN", "", "9" * 30, "\u0663", "true", "+1"])
def test_a_wall_time_is_a_whole_number_within_bounds(number: str) -> None:
    """H-FUZZ-02"""
    with pytest.raises(InputError, match="--wall"):
        parse(["submit", "goal", f"--wall={number}"])


@pytest.mark.parametrize("port", ["0", "-1", "65536", "http", "9" * 30, "\u0663", ""])
def test_a_port_is_one(port: str) -> None:
    """H-FUZZ-02"""
    assert parse(["dev-provider", "--script", "s", "--port", "65535"]).port == 65535
    with pytest.raises(InputError, match="--port"):
        parse(["dev-provider", "--script", "s", f"--port={port}"])


def test_grants_add_up() -> None:
    args = parse(["submit", "--read", "/a", "--read", "/b", "--write", "/c", "--tool", "grep", "goal", "--detach"])
    assert (args.read, args.write, args.tool, args.detach) == (["/a", "/b"], ["/c"], ["grep"], True)
    assert parse(["submit", "goal"]).read == []


def test_a_relative_path_is_taken_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert absolute("x/../y") == f"{tmp_path}/x/../y"
    assert absolute("/x") == "/x"


def test_help_leaves_with_success(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["submit", "--help"])
    assert caught.value.code == 0
    assert "--read PATH" in capsys.readouterr().out


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "1e9", "", "many", "2147483648", "9" * 5_000, "٣"])
def test_a_number_of_tokens_is_a_whole_number_within_bounds(number: str) -> None:
    """H-FUZZ-02"""
    with pytest.raises(InputError, match="--max-tokens"):
        parse(["submit", "goal", f"--max-tokens={number}"])


@pytest.mark.parametrize("amount", ["0", "0.0", "-1", "1e3", "nan", "inf", "", "$5", "1000001", "9" * 5_000, "٣"])
def test_an_amount_of_money_is_within_bounds(amount: str) -> None:
    """H-FUZZ-02"""
    with pytest.raises(InputError, match="--max-usd"):
        parse(["submit", "goal", f"--max-usd={amount}"])


def test_a_budget_is_taken_as_it_stands() -> None:
    """LLM-4"""
    args = parse(["submit", "goal", "--max-tokens", "5000", "--max-usd", "0.25"])
    assert (args.max_tokens, args.max_usd) == (5_000, 0.25)


@pytest.mark.parametrize(("text", "size"), [("16M", 16 * 2**20), ("4G", 4 * 2**30)])
def test_a_workspace_has_a_size(text: str, size: int) -> None:
    assert parse(["submit", "goal", "--workspace", text]).workspace == size
    assert parse(["submit", "goal", "--workspace"]).workspace == 0
    assert parse(["submit", "goal"]).workspace is None


@pytest.mark.parametrize("text", ["", "0M", "16", "16K", "1.5G", "9999999M", "\u0661M", "summarise a file"])
def test_what_is_no_size_is_named(text: str) -> None:
    with pytest.raises(InputError, match="is not a size such as 512M"):
        parse(["submit", "--workspace", text, "goal"])


@pytest.mark.parametrize("number", ["0", "-1", "10001", "99999", "9" * 30, "", "\u0663"])
def test_a_number_of_runs_is_what_the_daemon_lists(number: str) -> None:
    """H-FUZZ-02"""
    assert parse(["list", "-n", "10000"]).limit == 10_000
    with pytest.raises(InputError, match="is not a whole number from 1 to 10000"):
        parse(["list", f"-n{number}"] if number else ["list", "-n", ""])


def test_no_command_is_explained_by_another() -> None:
    assert not COMMANDS["pause"].startswith("stop")


def test_the_command_line_asks_for_as_many_rows_as_agentd_gives() -> None:
    """Two rooms say the bound, since the command line knows nothing of the daemon's."""
    assert ListParams(limit=MAX_ROWS).limit == MAX_ROWS
    with pytest.raises(ValidationError):
        ListParams(limit=MAX_ROWS + 1)
