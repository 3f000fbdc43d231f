"""What Moshi answers to a few users, always the same ones, so that progress can be heard, read and seen.

What it writes down of the user, if it learns to, is shown beside it and does not count as said.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from moshi_zoo.metrics.heard_tokens import HeardTokens
from moshi_zoo.metrics.streams_picture import Caption, streams_picture
from moshi_zoo.models.conversation import Choosers
from moshi_zoo.models.mimi import Mimi
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.models.replies import Replies, replies
from moshi_zoo.models.sampling import Sampler
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.training.samples import log_audio, log_picture, log_texts
from moshi_zoo.zoo import folder, uri
from moshi_zoo.zoo.config import Parent, read_config
from moshi_zoo.zoo.sampling import Sampling

# Not the likeliest text: in no single frame is it likelier to begin a word than to wait, so Moshi would wait for ever.
_CHOOSERS = Choosers(text=Sampler(temperature=0.7, top_k=25), codes=Sampler(temperature=0.6, top_k=50))
_FRAME_RATE = 12.5  # of all Mimis
_GRAM = 4  # tokens


class MoshiSamples:
    """Answers the users of the first validation dialogues, and keeps the result among the samples of the run.

    Args:
        codec: name or folder of the codec that made the codes; None: nothing is heard.
        count: how many conversations; 0: none.
        num_frames: their length.
    """

    def __init__(self, codec: str | None, *, count: int, num_frames: int):
        self.codec_name, self.count, self.num_frames = codec, count, num_frames
        self._codec: Mimi | None = None
        self._codes: Tensor | None = None

    def check(self, made_by: Parent) -> None:
        """See that the codec is that of the codes.

        Args:
            made_by: the codec of the data.

        Raises:
            ValueError: if it is not: all would be noise.
        """
        if self.codec_name is None or not self.count:
            return
        mine = read_config(_folder(self.codec_name)).sha256
        if mine != made_by.sha256:
            raise ValueError(
                f"codec: {self.codec_name} ({mine[:12]}) did not make the codes of the data; "
                f"{made_by.name} ({made_by.sha256[:12]}) did"
            )

    def see(self, codes: Tensor) -> None:
        """Look at the first batch [B, R, T] of a validation."""
        self._codes = codes[: self.count, :, : self.num_frames]

    def show(
        self, stage: LightningModule, net: Moshi, tokenizer: Tokenizer | None, sampling: Sampling | None = None
    ) -> dict[str, float]:
        """Talk to them. Every process calls this: it may hold a share of the weights.

        Args:
            stage: to log to.
            net: the model.
            tokenizer: of its text; None: nothing is said.
            sampling: how to draw from it; None: somewhat more carefully than who talks with it later.

        Returns:
            ``talk/tokens``: of text a minute; ``talk/repeated``: share of short sequences of them that were there
            before; ``talk/stuck``: share of frames of Moshi's voice that are the frame before again. Those of what
            was expected begin with ``talk/expected_``. Of text, only Moshi's own words.
        """
        if self._codes is None or not len(self._codes) or stage.trainer.sanity_checking or tokenizer is None:
            return {}
        own = 1 + net.num_own_codebooks
        with torch.compiler.set_stance("force_eager"):
            said = replies(net, self._codes[:, own:], choosers=_choosers(sampling), seeds=list(range(len(self._codes))))
        expected = Replies(self._codes[:, 0], self._codes[:, 1:own])
        words = _Words(net, tokenizer)
        self._log(stage, net, words, said, expected)
        values = {f"talk/{name}": value for name, value in _measured(words, said).items()}
        return values | {f"talk/expected_{name}": value for name, value in _measured(words, expected).items()}

    def _log(self, stage: LightningModule, net: Moshi, words: "_Words", said: Replies, expected: Replies) -> None:
        assert self._codes is not None
        columns = {"expected": words.own(expected), "said": words.own(said)}
        if any(map(len, words.heard(expected))):
            columns |= {"the user": words.heard(expected), "heard": words.heard(said)}
        texts = [[words.spelled(tokens) for tokens in of_all] for of_all in columns.values()]
        log_texts(stage, "val/talk", list(columns), [list(row) for row in zip(*texts, strict=True)])
        if not stage.trainer.is_global_zero:
            return
        users = self._codes[:, 1 + net.num_own_codebooks :]
        for i, user in enumerate(users):
            rows = torch.cat([said.text[i, None], said.codes[i], user])  # [R, T]
            if len(user) == net.num_own_codebooks:
                picture = streams_picture(
                    rows,
                    frame_rate=_FRAME_RATE,
                    codebook_size=net.codebook_size,
                    pad=net.pad_token,
                    epad=net.epad_token,
                    words=words.captions(said.text[i]),
                    heard=words.are_heard(said.text[i]),
                )
                log_picture(stage, f"val/talk-{i}", picture)
            if self.codec_name is not None:
                wavs = [self._sound(codes) for codes in (said.codes[i], user) if len(codes)]
                log_audio(stage, f"val/talk-{i}", torch.cat(wavs), self._loaded.sample_rate)

    def _sound(self, codes: Tensor) -> Tensor:
        """Codes [K, T] -> sound [1, S]: frames in which nobody is recorded are cut off the end."""
        there = (codes >= 0).all(0)
        length = int(there.nonzero()[-1]) + 1 if there.any() else 0
        wav = torch.zeros(1, round(codes.shape[1] * self._loaded.sample_rate / self._loaded.frame_rate))
        if length:
            heard = self._loaded.decode(codes[None, :, :length].clamp(min=0).cpu())[0]
            wav[:, : heard.shape[1]] = heard
        return wav

    @property
    def _loaded(self) -> Mimi:
        if self._codec is None:
            assert self.codec_name is not None
            self._codec = cast("Mimi", folder.load(_folder(self.codec_name)))
        return self._codec


def _choosers(sampling: Sampling | None) -> Choosers:
    if sampling is None:
        return _CHOOSERS
    text, codes = Sampler(sampling.text_temperature, top_k=25), Sampler(sampling.audio_temperature, top_k=250)
    return Choosers(text, codes)


def _folder(codec: str) -> Path:
    path = uri.resolve(codec)
    if read_config(path).component != "mimi":
        raise ValueError(f"codec: {codec} is a {read_config(path).component}, which is no codec")
    return path


class _Words:
    """What the rows of text of conversations say: Moshi's own words, and the user's that it writes down."""

    def __init__(self, net: Moshi, tokenizer: Tokenizer):
        self._tokenizer, self.are_heard = tokenizer, HeardTokens(tokenizer, net.initial_text.device)
        self._silent = {net.pad_token, net.epad_token, net.nothing, tokenizer.heard}

    def own(self, said: Replies) -> list[list[int]]:
        """Tokens of each conversation that are no padding, and Moshi's."""
        return self._tokens(said, ~self.are_heard(said.text))

    def heard(self, said: Replies) -> list[list[int]]:
        """Those that are the user's."""
        return self._tokens(said, self.are_heard(said.text))

    def spelled(self, tokens: Sequence[int]) -> str:
        """The net may know more tokens than there are pieces, and say them as long as it knows little."""
        return self._tokenizer.decode([token for token in tokens if token < self._tokenizer.vocab_size])

    def captions(self, text: Tensor) -> dict[str, list[Caption]]:
        """Words of one row [T] for a picture."""
        row = text.tolist()
        sides = {"Moshi says": self._tokenizer.words(row), "Moshi hears": self._tokenizer.words_heard(row)}
        return {
            side: [(frame / _FRAME_RATE, word) for frame, word in words]
            for side, words in sides.items()
            if words or side == "Moshi says"
        }

    def _tokens(self, said: Replies, which: Tensor) -> list[list[int]]:
        pairs = zip(said.text.tolist(), which.tolist(), strict=True)
        return [
            [token for token, is_one in zip(row, mask, strict=True) if is_one and token not in self._silent]
            for row, mask in pairs
        ]


def _measured(words: _Words, said: Replies) -> dict[str, float]:
    texts = words.own(said)
    grams = [[tuple(text[i : i + _GRAM]) for i in range(len(text) - _GRAM + 1)] for text in texts]
    repeated = sum(len(of_one) - len(set(of_one)) for of_one in grams)
    moves = (said.codes[..., 1:] != said.codes[..., :-1]).any(1)  # [B, T - 1]
    return {
        "tokens": sum(map(len, texts)) / (said.text.numel() / _FRAME_RATE / 60),
        "repeated": repeated / max(sum(map(len, grams)), 1),
        "stuck": 1 - float(moves.float().mean()),
    }
