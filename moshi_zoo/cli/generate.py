"""The verb ``generate``: a text language model goes on from prompts."""

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from moshi_zoo.cli.aside import say_aside

if TYPE_CHECKING:
    from moshi_zoo.tokenizer import Tokenizer

_TORN = "\ufffd"  # what a tokenizer makes of the first bytes of a character


def generate(
    *,
    model: str,
    prompt: str | None = None,
    prompts: Path | None = None,
    max_tokens: int = 128,
    temperature: float = 0.8,
    top_k: int = 0,
    top_p: float = 0.95,
    seed: int = 0,
    device: str = "cpu",
    weights: Literal["float16", "int8", "int4"] | None = None,
    compile: Literal["always", "never"] = "never",
) -> None:
    """Continue a text, from --prompt or from standard input; or each line of a file, all in one batch.

    A text appears as it is written. Of a file, each line comes out with its continuation, as JSON.

    Args:
        model: name or folder of a language model.
        prompt: the text to continue; it may be empty. Standard input, if not given.
        prompts: a file with a text to continue in each line; a .jsonl file has them in its field `prompt`.
        max_tokens: how many tokens to add at most.
        temperature: chance in the choice of a token; 0 takes the likeliest.
        top_k: choose among the k likeliest tokens; 0 among all.
        top_p: choose among the likeliest tokens that have this probability together.
        seed: of the choices.
        device: where to compute, such as cpu or cuda.
        weights: on a CPU: of the model's products, in fewer bits, which are read faster; small ones stay as they are.
        compile: compile the step, on a CPU: a token takes half to two thirds of the time, but the first time on a
            machine is a minute's wait. For long texts.
    """
    if prompt is not None and prompts is not None:
        raise ValueError("--prompt and --prompts exclude each other: give one text, or a file of them")
    texts = [_one_text(prompt)] if prompts is None else _read_lines(prompts)

    from moshi_zoo.cli.load_lm import load_lm
    from moshi_zoo.models import generation
    from moshi_zoo.modules.columns import store_by_columns
    from moshi_zoo.runtime.compiled import compiled_text_step, shall_compile

    loaded = load_lm(model, device)
    if weights is not None:
        from moshi_zoo.modules.quantised_layers import quantise

        quantise(loaded.net, weights)
    store_by_columns(loaded.net)
    is_compiled = shall_compile(compile, loaded.net.embedding.weight.device, tell=say_aside)
    tokenizer = loaded.tokenizer
    tokens = [[tokenizer.bos, *tokenizer.encode(text)] for text in texts]
    steps = generation.generate(
        loaded.net,
        tokens,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        eos=tokenizer.eos,
        step=compiled_text_step(loaded.net, say_aside) if is_compiled else None,
    )
    if is_compiled:  # in the first step after the prompt: before the text appears
        steps = chain(list(islice(steps, 2)), steps)
    spellings = [_Spelling(prompt, tokenizer) for prompt in tokens]
    if prompts is None:
        _write_along(texts[0], (step[0] for step in steps), spellings[0])
        return
    for text, spelling, added in zip(texts, spellings, generation.continuations(steps, len(texts)), strict=True):
        print(json.dumps({"prompt": text, "continuation": spelling.added(added)}, ensure_ascii=False))


def _one_text(prompt: str | None) -> str:
    if prompt is not None:
        return prompt
    if sys.stdin.isatty():
        raise ValueError("give a text to continue: --prompt TEXT, --prompts FILE, or one on standard input")
    return sys.stdin.read().removesuffix("\n")


def _read_lines(path: Path) -> list[str]:
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from error
    if not lines:
        raise ValueError(f"{path} is empty: it should have a text to continue in each line")
    if path.suffix != ".jsonl":
        return lines
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number} is no JSON: {error}") from error
        if not isinstance(value, dict) or not isinstance(value.get("prompt"), str):
            raise ValueError(f'{path}, line {number}: it should be like {{"prompt": "a text"}}')
        texts.append(value["prompt"])
    return texts


def _write_along(text: str, tokens: Iterator[int | None], spelling: "_Spelling") -> None:
    """Print a text and its continuation, a token at a time."""
    sys.stdout.write(text)
    sys.stdout.flush()
    added: list[int | None] = []
    written = 0
    for token in tokens:
        added.append(token)
        whole = spelling.added(added)
        if not whole.endswith(_TORN):  # else the next tokens may bring the rest of a character
            sys.stdout.write(whole[written:])
            sys.stdout.flush()
            written = len(whole)
    print(spelling.added(added)[written:])


class _Spelling:
    """The text of what a model adds to a prompt."""

    def __init__(self, prompt: Sequence[int], tokenizer: "Tokenizer"):
        self.prompt, self.tokenizer = list(prompt), tokenizer
        self._start = len(tokenizer.decode(self.prompt))

    def added(self, tokens: Sequence[int | None]) -> str:
        """Spelled together with the prompt: some tokenizers drop the space a text begins with."""
        # A net may have more ids than its tokenizer; nothing has taught it to use them.
        known = [token for token in tokens if token is not None and token < self.tokenizer.vocab_size]
        return self.tokenizer.decode(self.prompt + known)[self._start :]
