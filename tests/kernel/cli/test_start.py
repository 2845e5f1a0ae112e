"""The command line starts fast: by what it does not import."""

import json
import subprocess
import sys

import pytest

from aaos.cli.parser import COMMANDS

SLOW = {
    "asyncio",
    "pydantic",
    "pydantic_core",
    "yaml",
    "ssl",
    "http",
    "email",
    "sqlite3",
    "subprocess",
    "logging",
    "uuid",
}
DEADLINE_S = 30
PROGRAM = """
import json, sys
before = set(sys.modules)
from aaos.cli.__main__ import command
command(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "dev-provider"])  # a server, not a client
def test_no_command_imports_more_than_a_client_needs(name: str) -> None:
    result = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, name], capture_output=True, text=True, check=True, timeout=DEADLINE_S
    )
    modules = json.loads(result.stdout)
    assert SLOW & {module.split(".")[0] for module in modules} == set()
    ours = {module for module in modules if module.startswith(("aaos", "worker")) and not module.startswith("aaos.cli")}
    assert ours <= {"aaos", "aaos.core", "aaos.core.errors", "aaos.core.rpc", "aaos.core.text"}
    foreign = {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names)
    assert {name for name in foreign if not name.startswith("_")} <= {"aaos"}
