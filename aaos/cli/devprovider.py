"""`agentd dev-provider`: plays a script as a language model on loopback, until Ctrl-C.

Invariant: it is a program of its own that speaks with no daemon: what uses it is told its address like any model's.
"""

import asyncio
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

from aaos.cli.output import Output
from aaos.core.errors import ExitCode
from aaos.core.rpc import Json
from aaos.devprovider.asked import Asked
from aaos.devprovider.reply import Reply
from aaos.devprovider.script import load_script
from aaos.devprovider.server import ScriptedProvider

TABLE = """\
providers:
  scripted: {{kind: vllm, url: "{url}/v1"}}
models:
  scripted: {{provider: scripted, model: "{model}", tier: T2}}
"""
SETTINGS = """\
[models]
T2 = "scripted"
"""


def dev_provider(args: Namespace, output: Output) -> ExitCode:
    """Serve the script and show a line for each answer."""
    script = load_script(Path(args.script))

    async def serve() -> None:
        async with ScriptedProvider(
            script, port=args.port, keep=0, on_answer=lambda asked, reply: show(output, asked, reply)
        ) as provider:
            announce(output, provider.url, model=script.models[0])
            await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):  # the way to end it
        asyncio.run(serve())
    return ExitCode.OK


def announce(output: Output, url: str, *, model: str) -> None:
    """Where it listens, and how to use it."""
    if output.is_json:
        output.document({"url": url, "openai_base_url": f"{url}/v1", "anthropic_base_url": url, "model": model})
        return
    output.line(f"the script is played on {url} until Ctrl-C")
    output.line(f"  as an OpenAI-compatible server: {url}/v1")
    output.line(f"  as an Anthropic server:         {url}")
    output.line("to use it as tier T2: in models.yaml")
    for line in TABLE.format(url=url, model=model).splitlines():
        output.line(f"  {line}")
    output.line("and in agentd.toml")
    for line in SETTINGS.splitlines():
        output.line(f"  {line}")


def show(output: Output, asked: Asked | None, reply: Reply) -> None:
    """One answer."""
    if output.is_json:
        output.document({**_asked(asked), "status": reply.status, "said": reply.note})
        return
    question = f"{asked.wire} {asked.model} turn {asked.turn}" if asked else "no question"
    output.line(f"{question}: {reply.status} {reply.note}".rstrip())


def _asked(asked: Asked | None) -> dict[str, Json]:
    return {} if asked is None else {"wire": asked.wire, "model": asked.model, "turn": asked.turn}
