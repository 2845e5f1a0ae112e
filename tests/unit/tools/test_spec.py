"""Rows of the table of tools."""

import pytest
from pydantic import ValidationError

from aaos.tools.catalog import CATALOG, EchoInput
from aaos.tools.spec import WorkerTool


def test_an_input_is_closed_and_strict() -> None:
    """H-LLM-04: nothing is guessed."""
    for args in ({"text": 1}, {"text": None}, {}, {"text": "a", "more": 1}, {"text": ["a"]}):
        with pytest.raises(ValidationError):
            EchoInput.model_validate(args)


def test_the_schema_is_what_a_model_reads() -> None:
    schema = CATALOG["file_read"].schema
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["path"]
    assert schema is CATALOG["file_read"].schema


def test_an_effect_is_a_tool_whose_content_is_checked() -> None:
    effects = {name for name, tool in CATALOG.items() if isinstance(tool, WorkerTool) and tool.is_effect}
    assert effects == {"file_write", "file_edit"}
