"""Watching a run to its end, and what Ctrl-C does meanwhile: once detaches, twice stops the run.

Invariant: whatever happens to this process, the run goes on unless the operator said stop. It must not judge a run: its
exit status is what the daemon's result says.
"""

import time
from collections.abc import Mapping

from aaos.cli import answers, render
from aaos.cli.client import Client, command
from aaos.cli.output import Output
from aaos.core import rpc
from aaos.core.errors import AaosError, ExitCode, UnreachableError

TICK_S = 0.5
SECOND_CTRL_C_S = 2.0
SAID_CHARS = 32
FINAL_EXIT = {"completed": ExitCode.OK, "cancelled": ExitCode.CANCELLED}
NOTE = "model.text"  # what a model says as it comes; shown in the status line only
ENDED = ("subtask.completed", "subtask.failed", "subtask.skipped", "subtask.cancelled")


class Follower:
    """Shows one run's events until its result."""

    def __init__(
        self, socket_path: str, output: Output, *, shows_all: bool = False, echoed: frozenset[str] = frozenset()
    ) -> None:
        self._path = socket_path
        self._output = output
        self._shows_all = shows_all
        self._echoed = echoed  # kinds whose sense the operator has seen already
        self._began_s = time.monotonic()
        self._subtasks: dict[str, bool] = {}  # whether each is still running
        self._written: dict[str, str] = {}  # path -> its line, the newest version only
        self._said = ""  # the end of what a model says now

    def follow(self, run: str) -> ExitCode:
        """Until the run ends or the operator leaves; the exit status of the command."""
        try:
            return self.finish(self._stream("watch", {"run": run, "after_seq": 0}))
        except KeyboardInterrupt:
            return self._leave(run)
        except UnreachableError as error:  # a run outlives its daemon
            raise UnreachableError(
                error.message, f"when agentd runs again: {self.command('logs', '-f', run)}"
            ) from error

    def follow_all(self) -> ExitCode:
        """The events of all runs until Ctrl-C."""
        try:
            self._stream("tail", {})
        except KeyboardInterrupt:
            self._output.clear_status()
        return ExitCode.OK

    def show(self, params: Mapping[str, rpc.Json]) -> None:
        """One event, as it came or as lines."""
        body = {name: value for name, value in params.items() if name != "request"}
        if self._output.is_json:
            self._output.document(body)
            return
        event = answers.event(body)
        self._note(event)
        if event.kind in self._echoed or event.kind == NOTE:
            return
        for line in render.log_lines(event) if self._shows_all else render.stream_lines(event):
            self._output.line(line)

    def finish(self, run: answers.Document) -> ExitCode:
        """The run's end: its answer, where results lie, or what went wrong."""
        if self._output.is_json:
            self._output.document(run)
            return exit_code(run)
        self._output.line(render.end_line(run))
        if answer := answers.text(run, "result"):
            self._output.quote(answer)
        for line in self._written.values():
            self._output.line(line)
        error = answers.inner(run, "error")
        for line in render.error_lines(error) if error else []:
            self._output.hint(line)
        return exit_code(run)

    def command(self, *words: str) -> str:
        """A command line for this daemon, to be typed as it stands."""
        return command(self._path, *words)

    def _stream(self, method: str, params: Mapping[str, rpc.Json]) -> answers.Document:
        with Client(self._path) as client:
            for message in client.stream(method, params, tick_s=TICK_S):
                if isinstance(message, rpc.Response):
                    self._output.clear_status()
                    return answers.document(message.result)
                if message is not None:
                    self.show(message.params)
                self._output.status(self._progress())
        raise UnreachableError("the stream of events ended without a result", self.command("doctor"))

    def _leave(self, run: str) -> ExitCode:
        try:  # from the first moment: the second Ctrl-C may come as soon as the offer is read
            self._output.hint("")  # the terminal has just echoed ^C
            self._output.hint(f"detached, the run goes on; come back: {self.command('logs', '-f', run)}")
            self._output.hint(f"Ctrl-C again within {SECOND_CTRL_C_S:g} s stops the run")
            time.sleep(SECOND_CTRL_C_S)
        except KeyboardInterrupt:
            with Client(self._path) as client:
                client.call("stop", {"run": run})
            self._output.hint(f"stopped {run}")
            return ExitCode.CANCELLED
        return ExitCode.OK

    def _note(self, event: answers.Event) -> None:
        if event.kind == "subtask.started":
            self._subtasks[event.subtask] = True
        elif event.kind in ENDED:
            self._subtasks[event.subtask] = False
        elif event.kind == NOTE:
            self._said = f"{self._said}{answers.text(event.fields, 'text')}"[-SAID_CHARS:]
        elif event.kind == "model.answered":
            self._said = ""
        elif event.kind == "file.written":
            self._written[answers.text(event.fields, "path")] = render.file_line(event.fields)

    def _progress(self) -> str:
        running = sum(self._subtasks.values())
        done = len(self._subtasks) - running
        counts = f"  {running} running, {done} done, {time.monotonic() - self._began_s:.0f} s   (Ctrl-C detaches)"
        return f"{counts}  | {' '.join(self._said.split())}" if self._said else counts


def exit_code(run: answers.Document) -> ExitCode:
    """The exit status for a run that ended: that of its error, where it has a known one."""
    known = FINAL_EXIT.get(answers.text(run, "state"))
    if known is not None:
        return known
    error = rpc.Failure(rpc.AAOS_ERROR, "", answers.inner(run, "error")).to_error()
    return ExitCode.RUN_FAILED if type(error) is AaosError else error.exit_code
