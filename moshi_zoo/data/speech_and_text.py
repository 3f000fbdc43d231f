"""Coded speech with batches of text between it: what keeps a language model's knowledge in pre-training."""

from collections.abc import Iterator
from typing import Any, Literal

from torch import Tensor

from moshi_zoo.data.dialogue_data import DialogueData
from moshi_zoo.data.monologue_data import MonologueData
from moshi_zoo.data.text_data import TextData
from moshi_zoo.data.text_source import DIALOGUES

Batch = dict[str, Tensor]


class SpeechAndTextData(DialogueData):
    """Batches of :class:`DialogueData`, and in between batches of :class:`TextData` in the same tokens.

    Args:
        source: A store, or several with their shares; as all that is not named here, see :class:`DialogueData`.
        text_source: Text: files, folders, or ``dialogues``; see :class:`TextData`.
        text_kind: What text becomes: ``text``, as Helium reads it, or ``monologue``: conversations as they are in the
            row of text when it has what Moshi hears; see :class:`Monologue`.
        text_share: Share of the batches that are text (Moshi paper 4.4: half in pre-training, a tenth after it).
        text_seq_len: Tokens to predict in a row of text.
        text_batch_size: Rows of a batch of text, per process.

    Raises:
        ValueError: from ``setup`` as both do.
    """

    def __init__(
        self,
        source: str | dict[str, float],
        text_source: str | dict[str, float] = DIALOGUES,
        text_kind: Literal["text", "monologue"] = "text",
        text_share: float = 0.5,
        text_seq_len: int = 256,
        text_batch_size: int = 8,
        **kwargs: Any,
    ):
        super().__init__(source, **kwargs)
        if not 0 < text_share < 1:
            raise ValueError(f"text_share is {text_share}; it must be between 0 and 1. Without text, use DialogueData")
        self.text_source, self.text_kind, self.text_share = text_source, text_kind, text_share
        self.text_seq_len, self.text_batch_size = text_seq_len, text_batch_size
        self.text: TextData | None = None

    def setup(self, stage: str | None = None) -> None:
        """Open the stores, and find the text."""
        super().setup(stage)
        if self.text is None:
            text = (MonologueData if self.text_kind == "monologue" else TextData)(
                self.text_source,
                tokenizer=self.tokenizer_path,
                vocab_size=self.vocab_size,
                seq_len=self.text_seq_len,
                batch_size=self.text_batch_size,
                num_workers=self.num_workers,
                seed=self.seed,
            )
            text.trainer = self.trainer
            text.setup(stage)
            self.text = text

    def train_dataloader(self) -> Any:
        """Both, in a fixed order that can be resumed."""
        speech = super().train_dataloader()
        assert self.text is not None
        return MixedLoader(speech, self.text.train_dataloader(), share=self.text_share)


class MixedLoader:
    """Two loaders in one: as many batches as give one pass through the first.

    Args:
        first: has ``state_dict`` and a length; begins anew when it ends, as the other does.
        second: likewise.
        share: of the batches that are the second's.
    """

    def __init__(self, first: Any, second: Any, *, share: float):
        self.loaders, self.share = (first, second), share
        self.position = 0

    def __len__(self) -> int:
        return round(len(self.loaders[0]) / (1 - self.share))

    def __iter__(self) -> Iterator[Batch]:
        streams = [_endless(loader) for loader in self.loaders]
        for _ in range(len(self)):
            is_second = int((self.position + 1) * self.share) > int(self.position * self.share)
            batch = next(streams[is_second])
            self.position += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The position of both, and which is next."""
        first, second = (loader.state_dict() for loader in self.loaders)
        return {"position": self.position, "first": first, "second": second}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position."""
        self.position = state["position"]
        for loader, name in zip(self.loaders, ("first", "second"), strict=True):
            loader.load_state_dict(state[name])


def _endless(loader: Any) -> Iterator[Batch]:
    while True:
        yield from loader
