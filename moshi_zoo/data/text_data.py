"""Text for a language model: the data module that turns files, or the embedded dialogues, into rows of tokens."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from moshi_zoo.data.loader import EvaluationLoader, Process, TrainLoader
from moshi_zoo.data.text_documents import DocumentKind, Encoded, PlainText
from moshi_zoo.data.text_mixture import Mixture, SomeRows
from moshi_zoo.data.text_rows import EndlessRows, InOrderRows, Row, Rows, StreamRows, collate
from moshi_zoo.data.text_source import (
    DialogueWriter,
    encoded_dialogues,
    families_of,
    files_of,
    trained_tokenizer,
    weighted,
)
from moshi_zoo.data.text_splits import hold_out
from moshi_zoo.data.text_store import Documents, tokenized
from moshi_zoo.tokenizer import Tokenizer

Batch = dict[str, Tensor]

_LEAST_BATCHES = 8  # an epoch of a very small corpus goes over it several times
_DIALOGUE_EPOCH = 1 << 20  # tokens of dialogues that are called an epoch
_HELD_OUT_SEED = 0  # the dialogues to validate on are the same for all runs


class TextData(LightningDataModule):
    """Packed text: ``{tokens [B, T+1] int64, loss_mask [B, T] bool, document [B, T+1] int64}``.

    Documents are ``bos``, text, ``eos``, one after the other without padding, in a new order each epoch; ``document``
    numbers those of a row. ``loss_mask`` says which of ``tokens[:, 1:]`` are to be predicted: all but the first token
    of a document, which follows another document. Every token is predicted once an epoch. Files are tokenised once
    and kept in ``$MOSHI_ZOO_CACHE`` (``~/.cache/moshi_zoo``); the embedded dialogues are new ones every epoch.

    Args:
        source: A file (.txt: one document; .jsonl: its field ``text``; also .gz and .zst), a folder of them, a pattern
            such as ``'corpus/**/*.jsonl.zst'``, or ``dialogues``, the embedded ones; ``dialogues:echo,sums``: those
            about these. Several, each with its share of the training tokens: ``{books: 1, dialogues: 0.5}``.
        tokenizer: A SentencePiece file, or a zoo folder. None: trained on the sources at first use, and kept.
        vocab_size: Ids that the net knows; the tokenizer has at most so many.
        seq_len: T: tokens to predict in a row.
        batch_size: Rows of a batch, per process.
        valid_source: What to validate on. None: documents of each source are held out, by a hash of their text.
        validation_share: Share of the tokens to hold out then.
        validation_rows: Number of rows to validate on.
        num_workers: Processes that read ahead; 0 reads in the training process. Batches do not depend on it.
        max_bad_share: Share of bad lines that stops the run.
        seed: Of the order, and of the dialogues.

    Attributes:
        tokenizer: That of the text, once the data are set up.

    Raises:
        ValueError: from ``setup`` if there is no text, too much of it is bad, or the tokenizer does not fit.
    """

    kind: ClassVar[DocumentKind] = PlainText()

    def __init__(
        self,
        source: str | dict[str, float] = "dialogues",
        tokenizer: str | None = None,
        vocab_size: int = 1024,
        seq_len: int = 256,
        batch_size: int = 16,
        valid_source: str | dict[str, float] | None = None,
        validation_share: float = 0.05,
        validation_rows: int = 128,
        num_workers: int = 0,
        max_bad_share: float = 0.1,
        seed: int = 0,
    ):
        super().__init__()
        _require(vocab_size >= 1, "vocab_size", vocab_size, "1 or more")
        _require(seq_len >= 1, "seq_len", seq_len, "1 or more")
        _require(batch_size >= 1, "batch_size", batch_size, "1 or more")
        _require(0 < validation_share <= 0.5, "validation_share", validation_share, "above 0 and up to 0.5")
        _require(validation_rows >= 1, "validation_rows", validation_rows, "1 or more")
        _require(0 <= max_bad_share <= 1, "max_bad_share", max_bad_share, "between 0 and 1")
        _require(seed >= 0, "seed", seed, "0 or more")
        self.sources = weighted(source)
        self.valid_sources = weighted(valid_source, "valid_source") if valid_source is not None else None
        self.tokenizer_path, self.vocab_size = tokenizer, vocab_size
        self.seq_len, self.batch_size, self.num_workers, self.seed = seq_len, batch_size, num_workers, seed
        self.validation_share, self.validation_rows = validation_share, validation_rows
        self.max_bad_share = max_bad_share
        self.tokenizer: Tokenizer | None = None
        self._training: list[Rows] = []
        self._held_out: list[Rows] = []

    def prepare_data(self) -> None:
        """Train the tokenizer and tokenise the files, if that is still to be done; once a machine."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Find tokenizer and documents; hold some of them out."""
        if self._training:
            return
        files, valid_files = files_of(self.sources), files_of(self.valid_sources or ())
        held_out = {path for paths in valid_files.values() for path in paths}
        files = {source: [path for path in paths if path not in held_out] for source, paths in files.items()}
        self.tokenizer = tokenizer = self._find_tokenizer(files)
        divided = [self._divided(source, paths, tokenizer) for source, paths in files.items()]
        valid = [documents for _, documents in divided if documents is not None]
        valid += [self._documents(source, paths, tokenizer) for source, paths in valid_files.items()]
        self._training = [rows for rows, _ in divided]
        self._held_out = [self._fixed_rows(documents, tokenizer) for documents in valid]
        epoch = sum(rows.num_rows for rows in self._training) * self.seq_len
        held_out_tokens = sum(documents.num_tokens for documents in valid)
        rank_zero_info(
            f"{', '.join(files)}: {_rounded(epoch)} tokens an epoch, {_rounded(held_out_tokens)} held out, "
            f"{tokenizer.vocab_size} pieces"
        )

    def train_dataloader(self) -> TrainLoader[Row, Batch]:
        """Rows in another order each epoch, resumable."""
        self.setup()
        at_least = _LEAST_BATCHES * self.batch_size * self._process.world_size
        dataset = Mixture(self._training, list(self.sources.values()), at_least=at_least)
        return TrainLoader(
            dataset,
            num_items=len(dataset),
            batch_size=self.batch_size,
            collate=collate,
            finish=_as_it_is,
            seed=self.seed,
            process=self._process,
            num_workers=self.num_workers,
        )

    def val_dataloader(self) -> EvaluationLoader[Row, Batch]:
        """The same rows of what is held out, every time; the last row of a source is padded."""
        self.setup()
        dataset = SomeRows(self._held_out, self.validation_rows)
        return EvaluationLoader(
            dataset,
            num_items=len(dataset),
            batch_size=self.batch_size,
            collate=collate,
            finish=_as_it_is,
            process=self._process,
            num_workers=self.num_workers,
        )

    def test_dataloader(self) -> EvaluationLoader[Row, Batch]:
        """The validation rows."""
        return self.val_dataloader()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must find unchanged."""
        return {"tokenizer": self.tokenizer.sha256 if self.tokenizer else None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare.

        Raises:
            ValueError: if the run began with another tokenizer: to the net, the text would be gibberish.
        """
        if self.tokenizer and state_dict["tokenizer"] not in (None, self.tokenizer.sha256):
            raise ValueError(
                "the run began with another tokenizer than this one (has the text changed since?): "
                "give it the one in the run's folder, --data.tokenizer runs/NAME/zoo"
            )

    def _rows(self, documents: Documents, tokenizer: Tokenizer) -> Rows:
        return StreamRows(documents, seq_len=self.seq_len, seed=self.seed)

    def _fixed_rows(self, documents: Documents, tokenizer: Tokenizer) -> Rows:
        return InOrderRows(documents, seq_len=self.seq_len, pad=tokenizer.pad)

    def _dialogue_rows(self, tokenizer: Tokenizer, families: Sequence[str], *, pad: int | None = None) -> Rows:
        write = DialogueWriter(self.kind, tokenizer, self.seed, families)
        num_rows = max(_DIALOGUE_EPOCH // self.seq_len, 1)
        return EndlessRows(write, seq_len=self.seq_len, num_rows=num_rows, pad=pad)

    def _divided(self, source: str, files: list[Path], tokenizer: Tokenizer) -> tuple[Rows, Documents | None]:
        """Rows to train on, and what is held out of this source."""
        if families := families_of(source):
            held = None if self.valid_sources else self._documents(source, files, tokenizer)
            return self._dialogue_rows(tokenizer, families), held
        documents, held = self._documents(source, files, tokenizer), None
        if self.valid_sources is None:
            documents, held = hold_out(documents, self.validation_share)
        return self._rows(documents, tokenizer), held

    def _documents(self, source: str, files: list[Path], tokenizer: Tokenizer) -> Documents:
        """All that files hold; of the dialogues, as many as there are validation rows, none of them in training."""
        if families := families_of(source):
            encoded = encoded_dialogues(self.kind, tokenizer, "valid", seed=_HELD_OUT_SEED, families=families)
            return Documents.from_encoded(_until(encoded, self.validation_rows * self.seq_len + 1))
        if not files:
            raise ValueError(f"{source} has nothing to train on: all its files are in valid_source")
        return tokenized(files, self.kind, tokenizer, max_bad_share=self.max_bad_share, quiet=self._process.rank > 0)

    def _find_tokenizer(self, files: dict[str, list[Path]]) -> Tokenizer:
        if self.tokenizer_path is None:
            return trained_tokenizer(files, self.kind, vocab_size=self.vocab_size)
        tokenizer = Tokenizer.load(self.tokenizer_path)
        if tokenizer.vocab_size > self.vocab_size:
            raise ValueError(
                f"the tokenizer {self.tokenizer_path} has {tokenizer.vocab_size} pieces, but the net knows only "
                f"{self.vocab_size}: set --model.net.vocab_size {tokenizer.vocab_size}"
            )
        return tokenizer

    @property
    def _process(self) -> Process:
        return Process(self.trainer.global_rank, self.trainer.world_size) if self.trainer else Process()


def _until(documents: Iterable[Encoded], num_tokens: int) -> Iterator[Encoded]:
    """So many documents that they have so many tokens."""
    for document in documents:
        yield document
        num_tokens -= len(document.tokens)
        if num_tokens <= 0:
            return


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value!r}; it must be {rule}")


def _rounded(count: int) -> str:
    return f"{count / 1e6:.3g} M" if count >= 1e6 else f"{count / 1e3:.3g} k" if count >= 1e3 else str(count)
