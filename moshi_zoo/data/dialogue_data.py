"""Dialogues for Moshi: the data module that turns stores of codes into batches of 17 rows."""

from typing import Any, Literal

from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from moshi_zoo.data.alignments import mixture
from moshi_zoo.data.code_store import CodecIdentity, CodeStore
from moshi_zoo.data.dialogue_masks import Masks
from moshi_zoo.data.dialogue_modes import Mode
from moshi_zoo.data.dialogue_splits import divide
from moshi_zoo.data.dialogue_windows import (
    DialogueWindow,
    FixedDialogueWindows,
    Place,
    RandomDialogueWindows,
    Rows,
    TextOf,
    collate,
)
from moshi_zoo.data.loader import EvaluationLoader, Process, TrainLoader
from moshi_zoo.data.text_row import Crowded, TextRowBuilder
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.word_tokens import WordTokens

Batch = dict[str, Tensor]

_LEAST_BATCHES = 8  # an epoch of a very small store goes over it several times


class DialogueData(LightningDataModule):
    """Windows of dialogues: ``{codes [B, R, T] int64, index [B] int64, text_delay_s [B] float32}``.

    Row 0 is Moshi's text, then come the rows of Moshi's codes and those of the user's, 17 in all; -1 where there is
    nothing: behind the end of a dialogue, in the text of one whose words are not known, for the user in recordings with
    one channel. Rows are not delayed: that is the model's. Training windows lie anywhere in dialogues that are longer
    than a window; validation windows are their beginnings. Words become text anew in each epoch.

    Args:
        source: A store made by `data encode` or `data synth`. Several with their shares of the training windows:
            ``{calls: 0.7, synthetic: 0.3}``, or ``calls:0.7,synthetic:0.3``.
        tokenizer: A SentencePiece file, or a zoo folder: that of the net's Helium. None: that of the model which the
            run starts from (``init_from``).
        vocab_size: Text tokens that the net knows.
        num_own_codebooks: Codebooks of Moshi's voice that the net knows; stores may have more.
        num_user_codebooks: Codebooks of the user's; 0: the user is left out.
        codebook_size: Codes of each that the net knows.
        num_frames: T.
        batch_size: Windows of a batch, per process.
        valid_source: A store to validate on. None: the dialogues that the stores mark as ``valid``; where there are
            none, some are held out, by a hash of their path.
        validation_share: Share of the dialogues to hold out then.
        validation_items: The most dialogues to validate on.
        text_delay_s: How much earlier than the speech the text is: a range, drawn from for each window. The paper's
            pre-training takes [-0.6, 0.6]; speech recognition something below 0, text-to-speech above.
        text_of: Whose words become text. ``moshi_and_heard``: Moshi's, and between them what it hears the user say,
            ``heard_delay_s`` after it is said. None: as the model which the run starts from (``init_from: {net: …}``)
            has learnt it, with its ``heard_delay_s``; without one, ``moshi``.
        modes: Ways of using the rows that are trained side by side, by their weights: conversation (``duplex``),
            recognition (``asr``) and reading aloud (``tts``), each with its ``text_delay_s``; the first validates.
            None: conversation alone, with the delay above.
        from_start: Share of the training windows that begin with their dialogue, as every conversation does.
        user_dropout: Share of the user's codes that are taken away in training, so that the model listens better.
        text_mask: Share of the text tokens that are taken away in training (Moshi paper 4.4: 0.3 in pre-training).
        heard_delay_s: Batches get ``heard`` int64 [B, T] too: the user's words as a row of text, so much later than
            they are said, and -1 where they are not known. None: they do not. 0.4 to 0.6 is about a word's length.
        room_tone: Conversations that end within a window go on in silence: what follows the last word, repeated.
            Otherwise nothing is there, nothing is learnt, and Moshi talks on when a user has nothing more to say.
        crowded: What becomes of words that come too fast for their tokens.
        word_boundary: What is between words: a ``space``, or ``none`` in languages that write without.
        num_workers: Processes that read ahead; 0 reads in the training process. Batches do not depend on it.
        seed: Of all draws.

    Attributes:
        tokenizer: Of the text, once the data are set up.
        codec: That made the codes.

    Raises:
        ValueError: from ``setup`` if there are no dialogues, or stores, tokenizer and net do not go together.
    """

    def __init__(
        self,
        source: str | dict[str, float],
        tokenizer: str | None = None,
        vocab_size: int = 1024,
        num_own_codebooks: int = 8,
        num_user_codebooks: int = 8,
        codebook_size: int = 2048,
        num_frames: int = 250,
        batch_size: int = 8,
        valid_source: str | None = None,
        validation_share: float = 0.05,
        validation_items: int = 32,
        text_delay_s: tuple[float, float] = (0.0, 0.0),
        text_of: TextOf | None = None,
        modes: list[Mode] | None = None,
        from_start: float = 0.0,
        user_dropout: float = 0.0,
        text_mask: float = 0.0,
        heard_delay_s: float | None = None,
        room_tone: bool = False,
        crowded: Crowded = "shift",
        word_boundary: Literal["space", "none"] = "space",
        num_workers: int = 0,
        seed: int = 0,
    ):
        super().__init__()
        _require(num_own_codebooks >= 1, "num_own_codebooks", num_own_codebooks, "1 or more")
        _require(num_user_codebooks >= 0, "num_user_codebooks", num_user_codebooks, "0 or more")
        _require(num_frames >= 1, "num_frames", num_frames, "1 or more")
        _require(batch_size >= 1, "batch_size", batch_size, "1 or more")
        _require(0 < validation_share <= 0.5, "validation_share", validation_share, "above 0 and up to 0.5")
        _require(validation_items >= 1, "validation_items", validation_items, "1 or more")
        _require(0 <= from_start <= 1, "from_start", from_start, "0 to 1")
        _require(modes != [], "modes", modes, "at least one, such as [{name: duplex}]")
        if modes and tuple(text_delay_s) != (0.0, 0.0):
            raise ValueError(f"text_delay_s is {text_delay_s!r}, but each of the modes says its own: leave it out")
        if modes and num_user_codebooks == 0 and any(mode.name == "asr" for mode in modes):
            raise ValueError("the mode asr hears the user, but num_user_codebooks is 0")
        _require(seed >= 0, "seed", seed, "0 or more")
        self.sources, self.valid_source = mixture(source), valid_source
        self.tokenizer_path, self.vocab_size = tokenizer, vocab_size
        self.num_own_codebooks, self.num_user_codebooks = num_own_codebooks, num_user_codebooks
        self.codebook_size, self.num_frames, self.batch_size = codebook_size, num_frames, batch_size
        self.validation_share, self.validation_items = validation_share, validation_items
        self.modes = modes or [Mode("duplex", 1.0, (text_delay_s[0], text_delay_s[1]))]
        self.from_start, self.masks = from_start, Masks(text_mask, user_dropout)
        _require(heard_delay_s is None or heard_delay_s >= 0, "heard_delay_s", heard_delay_s, "0 or more, or null")
        self.heard_delay_s = heard_delay_s
        self.text_of: TextOf = text_of or "moshi"
        self.room_tone = room_tone
        self.crowded: Crowded = crowded
        self.word_boundary: Literal["space", "none"] = word_boundary
        self.num_workers, self.seed = num_workers, seed
        self.tokenizer: Tokenizer | None = None
        self.codec: CodecIdentity | None = None
        self._rows: Rows | None = None
        self._training: list[list[Place]] = []
        self._valid: list[Place] = []
        self._test: list[Place] = []

    @property
    def text_layout(self) -> dict[str, Any]:
        """Whose words are text, and how much earlier than the speech, in seconds: for the zoo folder of the model."""
        delays = {mode.name: sum(mode.text_delay_s) / 2 for mode in self.modes}
        if self.text_of == "moshi_and_heard" and self.heard_delay_s is not None:
            delays |= {"heard": -self.heard_delay_s}
        return {"of": self.text_of, "delays_s": delays}

    def setup(self, stage: str | None = None) -> None:
        """Open the stores; hold some dialogues out."""
        if self._rows is not None:
            return
        stores = {source: CodeStore(source) for source in self.sources}
        every = {**stores, **({self.valid_source: CodeStore(self.valid_source)} if self.valid_source else {})}
        self.codec = codec = _the_codec(every)
        wanted = max(self.num_own_codebooks, self.num_user_codebooks)
        if wanted > codec.num_codebooks or codec.codebook_size > self.codebook_size:
            raise ValueError(
                f"the net has {wanted} codebooks of {self.codebook_size} for a speaker, {next(iter(every))} has "
                f"{codec.num_codebooks} of {codec.codebook_size}: encode with another codec, or take another net"
            )
        if self.tokenizer_path is None:
            raise ValueError(
                "tokenizer is not given, and the run starts from no model that has one: set data.tokenizer to the "
                "folder of the Helium that the net's text is in"
            )
        self.tokenizer = tokenizer = Tokenizer.load(self.tokenizer_path)
        if tokenizer.vocab_size > self.vocab_size:
            raise ValueError(
                f"the tokenizer {self.tokenizer_path} has {tokenizer.vocab_size} pieces, but the net knows only "
                f"{self.vocab_size}: take the tokenizer of the net's Helium"
            )
        splits = divide(
            stores,
            valid_store=every[self.valid_source] if self.valid_source else None,
            validation_share=self.validation_share,
        )
        self._training, self._valid, self._test = splits.train, splits.valid, splits.test
        builder = TextRowBuilder(
            frame_rate=codec.frame_rate, pad=tokenizer.pad, epad=tokenizer.epad, crowded=self.crowded
        )
        tokens = WordTokens(tokenizer, boundary=self.word_boundary)
        self._rows = Rows(
            builder,
            tokens,
            num_own_codebooks=self.num_own_codebooks,
            num_user_codebooks=self.num_user_codebooks,
            text_of=self.text_of,
            heard_delay_s=self.heard_delay_s,
            room_tone=self.room_tone,
        )
        frames = sum(place.num_frames for places in self._training for place in places)
        rank_zero_info(
            f"{', '.join(self.sources)}: {sum(map(len, self._training))} dialogues "
            f"({frames / codec.frame_rate / 60:.1f} min) to train, "
            f"{len(self._valid)} to validate, codes of {codec.name}"
        )

    def train_dataloader(self) -> TrainLoader[DialogueWindow, Batch]:
        """Random windows, resumable."""
        rows = self._ready()
        for source, places in zip(self.sources, self._training, strict=True):
            _require(len(places) > 0, "source", source, "a store with dialogues to train on: all are valid or test")
        lengths = [max(place.num_frames, self.num_frames) for places in self._training for place in places]
        least = _LEAST_BATCHES * self.batch_size * self._process.world_size
        num_items = max(round(sum(lengths) / self.num_frames), least)
        dataset = RandomDialogueWindows(
            self._training,
            weights=list(self.sources.values()) if len(self.sources) > 1 else None,
            rows=rows,
            num_frames=self.num_frames,
            num_items=num_items,
            modes=self.modes,
            masks=self.masks,
            from_start=self.from_start,
            seed=self.seed,
        )
        return TrainLoader(
            dataset,
            num_items=num_items,
            batch_size=self.batch_size,
            collate=collate,
            finish=_as_it_is,
            seed=self.seed,
            process=self._process,
            num_workers=self.num_workers,
        )

    def val_dataloader(self) -> EvaluationLoader[DialogueWindow, Batch]:
        """The beginnings of the validation dialogues."""
        self._ready()
        return self._evaluation_loader(self._valid)

    def test_dataloader(self) -> EvaluationLoader[DialogueWindow, Batch]:
        """The beginnings of the test dialogues, or of the validation dialogues if none are marked."""
        self._ready()
        return self._evaluation_loader(self._test or self._valid)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must find unchanged."""
        return {
            "tokenizer": self.tokenizer.sha256 if self.tokenizer else None,
            "codec": self.codec.sha256 if self.codec else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare.

        Raises:
            ValueError: if the run began with another tokenizer or codec: the net would not know what tokens mean.
        """
        for name, now in self.state_dict().items():
            before = state_dict.get(name)
            if before and now and before != now:
                raise ValueError(f"the run began with another {name} ({before[:12]}, now {now[:12]}): begin a new run")

    def _evaluation_loader(self, places: list[Place]) -> EvaluationLoader[DialogueWindow, Batch]:
        dataset = FixedDialogueWindows(
            places,
            rows=self._ready(),
            num_frames=self.num_frames,
            num_items=self.validation_items,
            mode=self.modes[0],
        )
        return EvaluationLoader(
            dataset,
            num_items=len(dataset),
            batch_size=self.batch_size,
            collate=collate,
            finish=_as_it_is,
            process=self._process,
            num_workers=self.num_workers,
        )

    @property
    def _process(self) -> Process:
        return Process(self.trainer.global_rank, self.trainer.world_size) if self.trainer else Process()

    def _ready(self) -> Rows:
        self.setup()
        assert self._rows is not None
        return self._rows


def _the_codec(stores: dict[str, CodeStore]) -> CodecIdentity:
    (first, store), *others = stores.items()
    for name, other in others:
        if other.codec.sha256 != store.codec.sha256:
            raise ValueError(
                f"{first} holds codes of {store.codec.name}, {name} of another codec, {other.codec.name}: "
                "encode both with the same"
            )
    return min((store.codec for store in stores.values()), key=lambda codec: codec.num_codebooks)


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value!r}; it must be {rule}")
