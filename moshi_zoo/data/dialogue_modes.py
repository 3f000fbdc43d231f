"""The ways of using Moshi's rows: conversation, listening, and reading aloud (Moshi paper 5.7).

One model may learn all of them. It sees which is meant by what the rows hold, and from the first text token on: a mark,
bos or eos, which any tokenizer has and no conversation uses. Who talks with such a model forbids both; who lets it
transcribe or read aloud begins with one.
"""

from dataclasses import dataclass
from typing import Literal

from moshi_zoo.tokenizer import Tokenizer

ModeName = Literal["duplex", "asr", "tts"]
"""``duplex``: all rows, a conversation. ``asr``: the user's codes, and the user's words behind them; nothing in Moshi's
rows. ``tts``: Moshi's words ahead of Moshi's codes; nothing in the user's rows."""


@dataclass(frozen=True)
class Mode:
    """One of the modes of a training.

    Args:
        name: Which.
        weight: How often, beside the others.
        text_delay_s: How much earlier than the speech the text is: a range, drawn from for each window. In ``asr``
            below 0, such as [-0.4, -0.4], in ``tts`` above.

    Raises:
        ValueError: if the delay does not fit the mode, or the weight is not positive.
    """

    name: ModeName = "duplex"
    weight: float = 1.0
    text_delay_s: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        low, high = self.text_delay_s
        if not low <= high:
            raise ValueError(f"text_delay_s is {self.text_delay_s!r}; it must be a range such as [-0.6, 0.6]")
        if not self.weight > 0:
            raise ValueError(f"the weight of the mode {self.name} is {self.weight}; it must be above 0")
        if (self.name == "asr" and high > 0) or (self.name == "tts" and low < 0):
            rule = "at most 0: the text follows what is heard" if self.name == "asr" else "0 or more: speech follows"
            raise ValueError(f"text_delay_s of the mode {self.name} is {list(self.text_delay_s)}; it must be {rule}")


def mark(mode: ModeName, tokenizer: Tokenizer) -> int | None:
    """The text token in the first frame of a mode; None: a conversation has none."""
    return {"duplex": None, "asr": tokenizer.bos, "tts": tokenizer.eos}[mode]
