"""`agentd tools validate`: what is wrong, where, and the nearest right name."""

import json
from pathlib import Path

import pytest

from aaos.core.errors import ExitCode
from aaos.daemon import validate

GOOD = "name: lister\nsummary: Lists\nprogram: /usr/bin/none\npackage: lister\nparameters: {place: {type: path}}\n"


def test_a_good_file_is_told_with_its_parameters_and_its_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TOL-4"""
    file = tmp_path / "lister.yaml"
    file.write_text(GOOD)
    assert validate.main([str(file)]) == ExitCode.OK
    assert capsys.readouterr().out == (
        f"ok   {file}: lister (place); /usr/bin/none is not there: apt-get install lister\n"
    )


def test_a_wrong_file_is_told_with_line_column_and_nearest_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TOL-4"""
    (tmp_path / "lister.yaml").write_text(GOOD.replace("summary", "sumary"))
    (tmp_path / "echo.yaml").write_text(GOOD.replace("lister", "echo", 1))
    (tmp_path / "odd.yaml").write_text("a: \x1b[2J")
    files = [str(tmp_path / name) for name in ("lister.yaml", "echo.yaml", "odd.yaml", "none.yaml")]
    assert validate.main(["--json", *files]) == ExitCode.USAGE
    lister, echo, odd, none = map(json.loads, capsys.readouterr().out.splitlines())
    assert (lister["message"].partition(": ")[0], lister["remedy"]) == (
        f"{tmp_path}/lister.yaml, line 2, column 9", "did you mean 'summary'?",
    )  # fmt: skip
    assert "echo is the name of a tool of aaOS" in echo["message"]
    assert not odd["ok"]
    assert "cannot be opened" in none["message"]
    validate.main([files[2]])
    assert "\x1b" not in capsys.readouterr().out


def test_the_names_of_all_own_tools_are_taken() -> None:
    """H-CAP-11"""
    assert {"file_read", "file_write", "echo", "web_fetch"} <= validate.OWN_NAMES
