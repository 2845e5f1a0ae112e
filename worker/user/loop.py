"""The turn loop of a model-driven agent: ask for an answer, make the calls it asks for, until the answer is the last.

The conversation is agentd's; this loop decides only how long to go on and adds no words to it.
"""

from worker.user.client import Abi, Asked, RefusedError

FATAL = frozenset({"limit", "cancelled"})  # codes after which another turn is of no use


def run(abi: Abi) -> None:
    """Turns until an answer without calls, a limit or a refusal. `abi` was started."""
    while True:
        try:
            answer = abi.complete()
        except RefusedError as error:
            abi.finish(error.message, ok=False)
            return
        if answer["done"]:
            abi.finish(answer["text"])
            return
        results = abi.call_many([Asked(c["tool"], c["args"], c["call"]) for c in answer["calls"]])
        fatal = next((result for result in results if result.code in FATAL), None)
        if fatal is not None:
            abi.finish(fatal.text, ok=False)
            return
