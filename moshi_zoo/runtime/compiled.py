"""Steps on a CPU as compiled code: what the CUDA graph is on a GPU.

A step of a small model is hundreds of small operations, and its time goes into Python and into the way to each of
them. TorchInductor draws most of them together into C++ and calls what is left one after the other. That takes a C++
compiler, and minutes when a model is compiled for the first time on a machine; then it is found in PyTorch's cache.

As in a recorded step, shapes are fixed, all rows are computed, and who takes part is said by masks: nothing is compiled
again as conversations come and go.
"""

import logging
import os
import shutil
import sys
import sysconfig
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch

from moshi_zoo.models.generation import Step, step_of
from moshi_zoo.models.helium import Helium

T = TypeVar("T")

Compile = Literal["auto", "always", "never"]
"""Whether steps are compiled; ``auto``: where that can be done, and there are several conversations to pay for it."""

Tell = Callable[[str], None]
"""Is told what takes long, or is not done."""

_BACKEND = "inductor"
_Options = dict[str, str | int | bool | Callable[..., Any]] | None


class CannotCompile(ValueError):  # noqa: N818 - said to the user, who can do without
    """This machine cannot compile steps, or not these."""


class Compiled(Generic[T]):
    """A part of a step, compiled when it is first called.

    Args:
        part: works on tensors, looks at no values, and changes nothing but tensors, in place.
        name: of the part, for who waits.
        tell: is told how long that took.
        long: whether its loops are long enough to be shared among threads, as those over sound are; those over the
            tokens of a frame are not. Products are not compiled: they are shared in any case.
    """

    def __init__(self, part: Callable[..., T], name: str, tell: Tell, *, long: bool = False):
        options: _Options = None
        if _BACKEND == "inductor":
            # what calls loops and products is compiled, too: as Python it would take a quarter of a small model's time
            options = {"cpp.threads": torch.get_num_threads() if long else 1, "cpp_wrapper": True}
        self._part = torch.compile(part, fullgraph=True, dynamic=False, backend=_BACKEND, options=options)
        self._name, self._tell, self._is_made = name, tell, False

    def __call__(self, *inputs: Any) -> T:
        """Do the part.

        Raises:
            CannotCompile: when it is first called, if that fails.
        """
        if self._is_made:
            return self._part(*inputs)
        start = time.monotonic()
        self._tell(f"compiling {self._name} ...")
        try:
            with _no_noise():
                result = self._part(*inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            why = str(error).strip().splitlines()[0]
            raise CannotCompile(f"{self._name} cannot be compiled here: {why}") from error
        self._tell(f"compiled {self._name} in {time.monotonic() - start:.0f} s")
        self._is_made = True
        return result


@contextmanager
def _no_noise() -> Iterator[None]:
    """Silences what compiling says of Fourier transforms, which stay PyTorch's, and of GPUs that are not there."""
    loggers = [logging.getLogger(name) for name in ("torch.utils.cpp_extension", "torch._inductor.ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*complex operators.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def compiled_text_step(model: Helium, tell: Tell) -> Step:
    """The step of a text model, compiled when it is first taken; once more for each shape of the state.

    Args:
        model: in eval mode.
        tell: see above.
    """
    return Compiled(step_of(model), "the step of a token", tell)


def shall_compile(wish: Compile, device: torch.device, *, max_sessions: int = 1, tell: Tell) -> bool:
    """Whether steps are to be compiled.

    Args:
        wish: of the user. With ``auto``, ``tell`` hears why it is not done where a compiler is all that is missing.
        device: of the model.
        max_sessions: conversations at once.
        tell: see above.

    Raises:
        CannotCompile: if they are to be, and cannot.
    """
    if wish == "never" or (wish == "auto" and max_sessions == 1):
        return False
    if device.type != "cpu":
        if wish == "always":
            raise CannotCompile(f"a step on {device.type} is not compiled, only one on a CPU: leave --compile away")
        return False
    missing = _missing()
    if missing and wish == "always":
        raise CannotCompile(f"steps cannot be compiled: {missing}")
    if missing:
        tell(f"steps are not compiled, and take up to twice as long: {missing}")
    return not missing


def _missing() -> str | None:
    """What this machine lacks to compile."""
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler {compiler}: install one, or name it in the environment as CXX"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "Python's headers are not installed (python3-dev)"
    return None
