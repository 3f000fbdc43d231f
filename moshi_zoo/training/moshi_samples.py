"""What Moshi answers to a few users, always the same ones, so that progress can be heard, read and seen."""

from pathlib import Path
from typing import cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from moshi_zoo.metrics.streams_picture import streams_picture
from moshi_zoo.models.conversation import Choosers
from moshi_zoo.models.mimi import Mimi
from moshi_zoo.models.moshi import Moshi
from moshi_zoo.models.replies import Replies, replies
from moshi_zoo.models.sampling import Sampler
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.training.samples import log_audio, log_picture, log_texts
from moshi_zoo.zoo import folder, uri
from moshi_zoo.zoo.config import Parent, read_config

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

    def show(self, stage: LightningModule, net: Moshi, tokenizer: Tokenizer | None) -> dict[str, float]:
        """Talk to them. Every process calls this: it may hold a share of the weights.

        Returns:
            ``talk/tokens``: of text a minute; ``talk/repeated``: share of short sequences of them that were there
            before; ``talk/stuck``: share of frames of Moshi's voice that are the frame before again. Those of what
            was expected begin with ``talk/expected_``.
        """
        if self._codes is None or not len(self._codes) or stage.trainer.sanity_checking or tokenizer is None:
            return {}
        own = 1 + net.num_own_codebooks
        with torch.compiler.set_stance("force_eager"):
            said = replies(net, self._codes[:, own:], choosers=_CHOOSERS, seeds=list(range(len(self._codes))))
        expected = Replies(self._codes[:, 0], self._codes[:, 1:own])
        self._log(stage, net, tokenizer, said, expected)
        values = {f"talk/{name}": value for name, value in _measured(net, said).items()}
        return values | {f"talk/expected_{name}": value for name, value in _measured(net, expected).items()}

    def _log(self, stage: LightningModule, net: Moshi, tokenizer: Tokenizer, said: Replies, expected: Replies) -> None:
        assert self._codes is not None
        pieces = tokenizer.vocab_size  # the net may know more, and say them as long as it knows little
        spoken = [[[t for t in tokens if t < pieces] for tokens in _spoken(net, x)] for x in (expected, said)]
        texts = [[tokenizer.decode(tokens) for tokens in of_all] for of_all in spoken]
        log_texts(stage, "val/talk", ["expected", "said"], [list(row) for row in zip(*texts, strict=True)])
        if not stage.trainer.is_global_zero:
            return
        users = self._codes[:, 1 + net.num_own_codebooks :]
        for i, user in enumerate(users):
            rows = torch.cat([said.text[i, None], said.codes[i], user])  # [R, T]
            words = [(frame / _FRAME_RATE, word) for frame, word in tokenizer.words(said.text[i].tolist())]
            if len(user) == net.num_own_codebooks:
                picture = streams_picture(
                    rows,
                    frame_rate=_FRAME_RATE,
                    codebook_size=net.codebook_size,
                    pad=net.pad_token,
                    epad=net.epad_token,
                    words={"Moshi says": words},
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


def _folder(codec: str) -> Path:
    path = uri.resolve(codec)
    if read_config(path).component != "mimi":
        raise ValueError(f"codec: {codec} is a {read_config(path).component}, which is no codec")
    return path


def _spoken(net: Moshi, said: Replies) -> list[list[int]]:
    """The tokens of each conversation that are no padding."""
    padding = (net.pad_token, net.epad_token, net.nothing)
    return [[token for token in row if token not in padding] for row in said.text.tolist()]


def _measured(net: Moshi, said: Replies) -> dict[str, float]:
    texts = _spoken(net, said)
    grams = [[tuple(text[i : i + _GRAM]) for i in range(len(text) - _GRAM + 1)] for text in texts]
    repeated = sum(len(of_one) - len(set(of_one)) for of_one in grams)
    moves = (said.codes[..., 1:] != said.codes[..., :-1]).any(1)  # [B, T - 1]
    return {
        "tokens": sum(map(len, texts)) / (said.text.numel() / _FRAME_RATE / 60),
        "repeated": repeated / max(sum(map(len, grams)), 1),
        "stuck": 1 - float(moves.float().mean()),
    }
