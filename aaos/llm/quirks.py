"""How servers that speak a known wire format differ from it: one row per kind of server, data only.

Invariant: what a server documents to be different is a field here, and nothing else asks which server it speaks to.
Rows rest on the servers' own documents, named beside them as they were in November 2026.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class WireName(StrEnum):
    """The wire formats: OpenAI's chat completions and Anthropic's Messages."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Kind(StrEnum):
    """The kinds of server that have a row."""

    OPENAI = "openai"
    DEEPSEEK = "deepseek"
    OPENROUTER = "openrouter"
    OLLAMA = "ollama"
    LMSTUDIO = "lmstudio"
    LLAMACPP = "llamacpp"
    VLLM = "vllm"
    ANTHROPIC = "anthropic"


class Echo(StrEnum):
    """What the `model` of an answer says: the asked name, at most with a version behind it, or nothing to rely on."""

    SAME = "same"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Quirks:
    """One kind of server. `default_url` is the part that every path is added to."""

    wire: WireName
    default_url: str
    needs_key: bool
    output_limit: str = "max_tokens"  # the parameter that bounds an answer
    has_stream_usage: bool = True  # takes `stream_options.include_usage`
    asks_parallel_tools: bool = False  # needs `parallel_tool_calls: true`; elsewhere it is the default
    has_tool_choice: bool = True  # takes `tool_choice: auto`
    reasoning_fields: tuple[str, ...] = ("reasoning_content", "reasoning")  # kept apart from the text
    wants_reasoning_back: bool = False  # with answers that asked for calls
    empty_content_is_null: bool = True  # an answer of calls alone has `content: null`, else `content: ""`
    echo: Echo = Echo.SAME


QUIRKS = MappingProxyType(
    {
        # platform.openai.com/docs/api-reference/chat/create: `max_tokens` is deprecated and refused by newer models,
        # some of which refuse `parallel_tool_calls` too, whose default is true;
        # `content` may be null beside `tool_calls`; a dated snapshot's name is echoed for its alias.
        Kind.OPENAI: Quirks(
            WireName.OPENAI, "https://api.openai.com/v1", needs_key=True, output_limit="max_completion_tokens"
        ),
        # api-docs.deepseek.com/guides/thinking_mode: it thinks by default, and refuses (400) a conversation with tool
        # calls whose `reasoning_content` does not come back, be it empty; .../quick_start/rate_limit: comments
        # `: keep-alive`.
        Kind.DEEPSEEK: Quirks(
            WireName.OPENAI,
            "https://api.deepseek.com",
            needs_key=True,
            wants_reasoning_back=True,
            empty_content_is_null=False,
        ),
        # openrouter.ai/docs/api/reference/streaming: `: OPENROUTER PROCESSING` comments; an error in mid-stream is an
        # event with `error` and finish_reason "error"; .../parameters: `max_tokens`; reasoning comes as `reasoning`;
        # a model is echoed under its canonical name, or that of a fallback.
        Kind.OPENROUTER: Quirks(WireName.OPENAI, "https://openrouter.ai/api/v1", needs_key=True, echo=Echo.ANY),
        # github.com/ollama/ollama docs/openai.md: `tool_choice` is not among the supported fields; issue 15457: every
        # streamed call has index 0; reasoning comes as `reasoning`.
        Kind.OLLAMA: Quirks(
            WireName.OPENAI,
            "http://127.0.0.1:11434/v1",
            needs_key=False,
            has_tool_choice=False,
            empty_content_is_null=False,
        ),
        # lmstudio.ai/docs/developer/openai-compat: any loaded model may answer for an unknown name.
        Kind.LMSTUDIO: Quirks(
            WireName.OPENAI,
            "http://127.0.0.1:1234/v1",
            needs_key=False,
            empty_content_is_null=False,
            echo=Echo.ANY,
        ),
        # github.com/ggml-org/llama.cpp tools/server/README.md: one model per server, whatever `model` says; tools need
        # --jinja, several in one answer `parallel_tool_calls`; `--api-key` makes it ask for a key.
        Kind.LLAMACPP: Quirks(
            WireName.OPENAI, "http://127.0.0.1:8080/v1", needs_key=False, asks_parallel_tools=True, echo=Echo.ANY
        ),
        # docs.vllm.ai/en/latest/features/tool_calling: calls need --enable-auto-tool-choice and --tool-call-parser;
        # `--api-key` makes it ask for a key; reasoning comes as `reasoning_content`, later as `reasoning`.
        Kind.VLLM: Quirks(WireName.OPENAI, "http://127.0.0.1:8000/v1", needs_key=False),
        # platform.claude.com/docs/en/api/messages: `max_tokens` is required; thinking blocks go back with the calls
        # that followed them (docs/build-with-claude/thinking); 529 is an overloaded service (docs/en/api/errors).
        Kind.ANTHROPIC: Quirks(
            WireName.ANTHROPIC, "https://api.anthropic.com/v1", needs_key=True, wants_reasoning_back=True
        ),
    }
)
