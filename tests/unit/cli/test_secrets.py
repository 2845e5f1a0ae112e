"""`agentd secrets` hands over what was said, and nothing that is secret."""

import pytest

from aaos.cli.parser import parse
from aaos.cli.secrets import secrets_options
from aaos.core.errors import InputError


def test_what_was_said_is_handed_on() -> None:
    words = "secrets set github --host=--json --header X-Token --config /c.toml --prefix".split()
    assert secrets_options(parse([*words, ""]), is_json=True) == [
        "--host=--json", "--header=X-Token", "--prefix=", "--config=/c.toml", "--json", "--", "set", "github",
    ]  # fmt: skip
    words = "secrets allow github --user=alice --user bob --group dev".split()
    assert secrets_options(parse(words), is_json=False) == [
        "--user=alice", "--user=bob", "--group=dev", "--", "allow", "github",
    ]  # fmt: skip
    assert secrets_options(parse(["secrets", "list"]), is_json=False) == ["--", "list"]


@pytest.mark.parametrize("words", [["get"], ["set", "a", "b"], ["set", "a", "--value", "x"]])
def test_a_secret_is_no_argument(words: list[str]) -> None:
    """H-SEC-01: there is no option that takes one, and no way to see one."""
    with pytest.raises(InputError):
        parse(["secrets", *words])
