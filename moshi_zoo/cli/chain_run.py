"""Runs the steps of a chain, each in a process of its own: its memory goes back, and it breaks nothing but itself."""

import contextlib
import io
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import IO

from moshi_zoo.cli.aside import say_aside
from moshi_zoo.cli.chain_recipe import FIT, PREPARATIONS, Chain, Step
from moshi_zoo.cli.chain_record import (
    Decision,
    Entry,
    Inputs,
    Record,
    decide,
    has_result,
    inputs_of,
    result_of,
    standing_result,
)
from moshi_zoo.cli.command import make_parser, with_underscores
from moshi_zoo.cli.run_folder import move_aside

INTERRUPTED = 130

Command = Callable[[list[str]], int]
"""Runs the words behind ``python -m moshi_zoo``; returns the exit code."""


@dataclass(frozen=True)
class Outcome:
    """How a step ended.

    Args:
        status: in words.
        seconds: that the step took, in this run or the one that did it.
        code: exit code of its command; 0: it is done.
    """

    status: str
    seconds: float = 0.0
    code: int = 0


def plan(chain: Chain, record: Record, chosen: Container[str] | None = None) -> Iterator[tuple[Step, Decision]]:
    """What would be done, step by step.

    Args:
        chain: to be run.
        record: of what is done.
        chosen: names of the only steps to do, even if they are done and unchanged; None: those that need it.
    """
    results: dict[str, str] = {}
    for step in chain.steps:
        decision = _decide(step, record, inputs_of(step, results), chosen)
        known = standing_result(step, record[step]) if decision.action == "skip" else None
        results[step.name] = known or "to be made"
        yield step, decision


def run(
    chain: Chain, record: Record, command: Command, *, chosen: Container[str] | None = None
) -> Iterator[tuple[Step, Outcome]]:
    """Do what is to be done, in order, until a step fails.

    Args:
        chain: to be run.
        record: of what is done; it is kept up to date.
        command: runs a step.
        chosen: as in :func:`plan`.
    """
    results: dict[str, str] = {}
    for number, step in enumerate(chain.steps, start=1):
        inputs = inputs_of(step, results)
        decision = _decide(step, record, inputs, chosen)
        entry = record[step]
        if decision.action == "skip":
            outcome = Outcome(decision.reason, entry.seconds if entry else 0.0)
        else:
            print(f"\n[{number}/{len(chain.steps)}] {step.name}: {decision.reason}", flush=True)
            outcome = _do(step, decision, inputs, record, command)
        yield step, outcome
        if outcome.code:
            return
        results[step.name] = standing_result(step, record[step]) or ""


def check_parents(chain: Chain, record: Record, chosen: Container[str]) -> None:
    """See that what the chosen steps take from others is there.

    Raises:
        ValueError: if a step that was not chosen is not done, and one that was needs it.
    """
    for step in chain.steps:
        for parent in step.parents if step.name in chosen else ():
            if parent not in chosen and not standing_result(chain[parent], record[chain[parent]]):
                raise ValueError(
                    f"the step {step.name!r} needs the result of {parent!r}, which is not done: do it first"
                )


def words_of(step: Step, decision: Decision) -> list[str]:
    """The words behind ``python -m moshi_zoo``."""
    goes_on = step.verb == FIT and decision.action == "resume"
    return [*step.words, *(["--ckpt_path", "last"] if goes_on else [])]


def typed(words: list[str]) -> str:
    """A command as it would be typed."""
    return shlex.join(["python", "-m", "moshi_zoo", *words])


def check(step: Step) -> None:
    """Read a step's options as its verb will: a slip of the pen shall cost seconds, not the hours until it is reached.

    Raises:
        ValueError: if they are wrong.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            if step.verb == FIT:
                from moshi_zoo.cli import trainer

                trainer.run([*step.words, "--print_config"])
            else:
                make_parser(PREPARATIONS[step.verb], name=step.verb).parse_args(with_underscores(list(step.words[1:])))
    except ValueError as error:
        raise ValueError(f"the step {step.name!r} is no command: {error}") from error
    except SystemExit as stop:
        if stop.code:
            message = said.getvalue().strip().splitlines()[-1:] or [f"exit code {stop.code}"]
            raise ValueError(f"the step {step.name!r} is no command: {message[0]}") from stop


def in_own_process(lock: IO[str]) -> Command:
    """Runs a step's command in a process of its own, on this terminal.

    Ctrl-C reaches both processes; this one waits until the other has saved its state. SIGTERM is passed on. The other
    holds the lock as well: should this one be killed, nobody else starts while a step is still at work.

    Args:
        lock: the open file that keeps other chains out.
    """

    def command(words: list[str]) -> int:
        line = [sys.executable, "-m", "moshi_zoo", *words]
        child: subprocess.Popen[bytes] | None = None
        caught: list[int] = []

        def handle(number: int, frame: FrameType | None) -> None:
            caught.append(number)
            if number == signal.SIGTERM and child:
                child.terminate()

        # functions, not SIG_IGN: the child would inherit that
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            child = subprocess.Popen(line, stdin=subprocess.DEVNULL, pass_fds=(lock.fileno(),))
            code = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return INTERRUPTED if caught else code if code >= 0 else 128 - code

    return command


def _decide(step: Step, record: Record, inputs: Inputs, chosen: Container[str] | None) -> Decision:
    if chosen is not None and step.name not in chosen:
        return Decision("skip", "not asked for")
    return decide(step, record[step], inputs, is_asked_for=chosen is not None)


def _do(step: Step, decision: Decision, inputs: Inputs, record: Record, command: Command) -> Outcome:
    """Run a step; the record says what is under way before it begins, and how it ended."""
    entry = record[step]
    goes_on = decision.action == "resume" and entry is not None
    before = entry.seconds if goes_on else 0.0
    if (entry is None or decision.action == "redo") and step.folder.is_dir() and any(step.folder.iterdir()):
        print(f"what was in {step.folder} is now in {move_aside(step.folder)}", flush=True)
    record[step] = Entry("begun", inputs, before)
    words = words_of(step, decision)
    print(typed(words), flush=True)
    if step.verb != FIT:
        step.folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    code = command(words)
    seconds = before + time.monotonic() - start
    if code == 0 and not has_result(step):
        say_aside(f"the step {step.name!r} has left no result in {step.folder}")
        code = 1
    if code:
        record[step] = Entry("begun", inputs, seconds)
        return Outcome("stopped" if code == INTERRUPTED else "failed", seconds, code)
    record[step] = Entry("done", inputs, seconds, result_of(step, inputs))
    return Outcome("resumed, done" if goes_on else "done", seconds)
