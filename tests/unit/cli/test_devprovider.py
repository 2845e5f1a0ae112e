"""What `agentd dev-provider` prints; that it serves is shown in tests/provider."""

import io
import json

from aaos.cli import devprovider
from aaos.cli.output import Output
from aaos.devprovider.reply import refusal
from tests.unit.devprovider.asking import said, turns

URL = "http://127.0.0.1:8000"


def _printed(*, is_json: bool) -> list[str]:
    out = io.StringIO()
    output = Output(out, io.StringIO(), is_json=is_json)
    devprovider.announce(output, URL, model="scripted")
    devprovider.show(output, turns(1), said("text: a, calls: [{tool: file_read, repeat: 2}]"))
    devprovider.show(output, turns(0), said("status: 429, retry_after: 1"))
    devprovider.show(output, None, refusal(404, "no such path: /\x1b[2J", wire=None))
    return out.getvalue().splitlines()


def test_addresses_and_answers_are_shown() -> None:
    lines = _printed(is_json=False)
    assert lines[0].startswith(f"the script is played on {URL} ")
    assert any(f"{URL}/v1" in line for line in lines)
    assert lines[-3:] == [
        "chat m turn 2: 200 file_read x2, text",
        "chat m turn 1: 429 status",
        "no question: 404 no such path: /\\e[2J",
    ]


def test_in_json_each_is_a_document() -> None:
    first, *_, answer, fault, stray = map(json.loads, _printed(is_json=True))
    assert (first["url"], first["openai_base_url"], first["anthropic_base_url"]) == (URL, f"{URL}/v1", URL)
    assert answer == {"wire": "chat", "model": "m", "turn": 2, "status": 200, "said": "file_read x2, text"}
    assert fault["said"] == "status"
    assert stray["status"] == 404
