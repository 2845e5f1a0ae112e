"""What an agent gets of a cell: the program's output as its wrapper says, and how the program ended.

Invariant: the words are the program's, marked as such; whether it went well is judged by how the cell ended, as agentd
saw it, and by the exit statuses that the wrapper names. Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from aaos.core.cell import CellEnd, CellResult
from aaos.core.events import Scalar
from aaos.core.text import clip
from aaos.tools.wrapper import Parser, Wrapper

STDERR_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class CellText:
    """The text of a result, whether the call went well, and whether anything of the output is missing."""

    text: str
    is_ok: bool
    is_cut: bool


def cell_text(wrapper: Wrapper, result: CellResult, *, max_bytes: int) -> CellText:
    """The result of a call."""
    why = _why(wrapper, result)
    out, is_parsed = _parsed(wrapper.output, result.stdout.decode("utf-8", "replace"))
    if not why and not is_parsed:
        why = "its output is not JSON" + (", since it was cut" if result.stdout_cut else "")
    shown, is_clipped = clip(out, max_bytes, hint="ask for less")
    errors, is_error_clipped = clip(result.stderr.decode("utf-8", "replace"), STDERR_BYTES)
    parts = [f"{wrapper.name} failed: {why}"] if why else []
    parts += [shown.rstrip("\n")] if shown.strip() else []
    if result.stdout_cut and not is_clipped:
        parts.append(f"[cut: the program wrote more than {wrapper.limits.output_bytes} bytes]")
    parts += [f"[standard error]\n{errors.rstrip()}"] if errors.strip() else []
    is_cut = is_clipped or is_error_clipped or result.stdout_cut or result.stderr_cut
    return CellText("\n".join(parts) or "[no output]", not why, is_cut)


def exit_facts(result: CellResult) -> Mapping[str, Scalar]:
    """How the cell ended, for the audit."""
    return {
        "end": result.end.value,
        "exit_code": result.exit_code,
        "signal": result.signal,
        "cell_ms": round(result.duration_ms, 3),
        "cpu_ms": round(result.cpu_ms, 3),
        "peak_bytes": result.peak_bytes,
        "stdout_bytes": len(result.stdout),
        "stderr_bytes": len(result.stderr),
        "policy_digest": result.policy_digest,
        "filter_digest": result.filter_digest,
    }


def _parsed(parser: Parser, text: str) -> tuple[str, bool]:
    match parser:
        case Parser.TEXT:
            return text, True
        case Parser.LINES:
            lines = [line for line in text.splitlines() if line.strip()]
            return "\n".join((f"{len(lines)} lines", *lines)) if lines else "0 lines", True
        case Parser.JSON:
            try:
                return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")), True
            except (ValueError, RecursionError):
                return text, False
        case _:
            assert_never(parser)


def _why(wrapper: Wrapper, result: CellResult) -> str:
    """Why the call did not go well, or ""."""
    limits = wrapper.limits
    match result.end:
        case CellEnd.EXITED:
            return "" if result.exit_code in wrapper.success else f"exit status {result.exit_code}"
        case CellEnd.SIGNALLED:
            return f"it was ended by signal {result.signal}"
        case CellEnd.WALL:
            return f"it was not done in {limits.wall_s} s"
        case CellEnd.CPU:
            return f"it used more than {limits.cpu_s} s of processor time"
        case CellEnd.MEMORY:
            return f"it used more than {limits.memory_bytes // 2**20} MiB of memory"
        case CellEnd.OUTPUT:
            return f"it wrote more than {limits.output_bytes} bytes"
        case CellEnd.CANCELLED:
            return "it was stopped"
        case CellEnd.LOST:
            return "it was lost: how it ended is not known"
        case _:
            assert_never(result.end)
