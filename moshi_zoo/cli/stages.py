"""Progress of a verb that works in stages."""

import sys

from moshi_zoo.cli.aside import say_aside


class Stages:
    """What is going on: a bar on a terminal, a line for each stage elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._on_terminal = sys.stderr.isatty()
        self._progress = Progress(console=Console(stderr=True), disable=not self._on_terminal, transient=True)
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> "Stages":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def begin(self, what: str, total: int | None = None) -> None:
        """A new stage; without a total its length is not known."""
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=total)
        if not self._on_terminal:
            say_aside(what)

    def step(self) -> None:
        """One more is done."""
        self._progress.advance(self._task)
