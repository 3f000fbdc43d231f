"""What can be set of one conversation, and where others may have a say in it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from moshi_zoo.models.sampling import Sampler
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo.sampling import Sampling

Mode = Literal["duplex", "asr", "tts"]
"""What Moshi's rows are for: a conversation; to write down what the user says; to read aloud (Moshi paper 5.7)."""


@dataclass(frozen=True)
class TalkSettings:
    """Settings of one conversation.

    Args:
        text_temperature: of the draw of text tokens; 0 takes the likeliest; None: as its zoo folder says of the model.
        text_top_k: draw among so many likeliest; 0: among all.
        audio_temperature: of the draw of codes, likewise.
        audio_top_k: likewise.
        padding_bonus: added to PAD's logit: above 0, Moshi says less.
        seed: of its chance. The same seed and the same user give the same conversation.
        mode: ``asr``: Moshi has no voice, its text is what the user says. ``tts``: nobody is heard.

    Raises:
        ValueError: if a value is out of range.
    """

    text_temperature: float | None = None
    text_top_k: int = 25
    audio_temperature: float | None = None
    audio_top_k: int = 250
    padding_bonus: float = 0.0
    seed: int = 0
    mode: Mode = "duplex"

    def __post_init__(self) -> None:
        _ = self.text, self.audio  # these check their values
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed ({self.seed}) must be 0 or more, and below 2**63")

    def of(self, sampling: Sampling) -> "TalkSettings":
        """These, with the temperatures of a model where they name none."""
        return replace(
            self,
            text_temperature=_or_else(self.text_temperature, sampling.text_temperature),
            audio_temperature=_or_else(self.audio_temperature, sampling.audio_temperature),
        )

    @property
    def text(self) -> Sampler:
        """How text tokens are drawn."""
        return Sampler(_or_else(self.text_temperature, Sampling.text_temperature), self.text_top_k)

    @property
    def audio(self) -> Sampler:
        """How codes are drawn."""
        return Sampler(_or_else(self.audio_temperature, Sampling.audio_temperature), self.audio_top_k)


@dataclass(frozen=True)
class Hooks:
    """Functions that are called in each step of a conversation. Nothing of them reaches other conversations.

    Args:
        on_text_logits: gets the text's logits [V] and returns those to draw from.
        on_text: gets the token that was drawn and returns the one that is said.
        on_codes: gets the codes that were drawn, int64 [own codebooks], and returns those that are said. Rows with a
            delay hold the code of an earlier frame.
    """

    on_text_logits: Callable[[Tensor], Tensor] | None = None
    on_text: Callable[[int], int] | None = None
    on_codes: Callable[[Tensor], Tensor] | None = None


def _or_else(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def opening_token(mode: Mode, tokenizer: Tokenizer, *, pad: int) -> int:
    """The text token of a conversation's first frame: the mark of its mode, as in training; PAD where there is none."""
    return {"duplex": pad, "asr": tokenizer.bos, "tts": tokenizer.eos}[mode]
