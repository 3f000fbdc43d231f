"""Moshi, the speech language model that listens while it speaks (Moshi paper 3.4).

Every 80 ms it reads a frame of all rows: its own last text token and codes, and the user's codes. Their embeddings are
added up; the temporal transformer, a :class:`Helium`, brings in the past and says the next text token; the depth
transformer says the codes of that frame, one after the other.

Rows: 0 the text (inner monologue), then Moshi's codes, then the user's. The first of a speaker is semantic; the others,
acoustic ones, are delayed, see :class:`Delays`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from moshi_zoo.models.chance import uniform_at
from moshi_zoo.models.conversation import SAMPLED, Choosers, MoshiState
from moshi_zoo.models.delays import Delays
from moshi_zoo.models.depth import DepthSize, DepthTransformer
from moshi_zoo.models.helium import Helium
from moshi_zoo.models.moshi_output import MoshiHidden, MoshiOutput
from moshi_zoo.models.moshi_presets import PRESETS
from moshi_zoo.modules.code_embedding import NOTHING, CodeEmbedding
from moshi_zoo.modules.extra_heads import ExtraHeads
from moshi_zoo.modules.initial import truncated_normal_
from moshi_zoo.modules.transformer import TransformerSize
from moshi_zoo.registry import register


@register("moshi", presets=PRESETS)
class Moshi(nn.Module):
    """The speech language model.

    Args:
        vocab_size: text tokens V.
        dim: width D of the temporal transformer.
        transformer: its sizes.
        num_own_codebooks: codes of a frame of Moshi's voice.
        num_user_codebooks: codes of a frame of the user's; 0: Moshi hears nobody.
        codebook_size: codes of each codebook V.
        delays: of each row, the text first, in frames.
        depth: sizes of the depth transformer.
        user_heads: whether it says the user's codes too. In a conversation they are given, so that this part does no
            work; without a user, the model then plays both.
        num_extra_heads: further classifiers of each frame, such as whether the user has finished.
        extra_head_dim: classes of each.

    Raises:
        ValueError: if there is not one delay for each row.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        dim: int,
        transformer: TransformerSize,
        num_own_codebooks: int,
        num_user_codebooks: int,
        codebook_size: int,
        delays: list[int],
        depth: DepthSize,
        user_heads: bool = False,
        num_extra_heads: int = 0,
        extra_head_dim: int = 6,
    ):
        super().__init__()
        num_rows = 1 + num_own_codebooks + num_user_codebooks
        if len(delays) != num_rows:
            raise ValueError(
                f"{len(delays)} delays for {num_rows} rows (the text's, {num_own_codebooks} of Moshi, "
                f"{num_user_codebooks} of the user): give one each"
            )
        if num_own_codebooks < 2:
            raise ValueError(
                f"num_own_codebooks ({num_own_codebooks}) must be 2 or more: a semantic and acoustic codes"
            )
        self.num_own_codebooks, self.num_user_codebooks = num_own_codebooks, num_user_codebooks
        self.num_generated = num_own_codebooks + (num_user_codebooks if user_heads else 0)
        self.codebook_size = codebook_size
        self.temporal = Helium(vocab_size=vocab_size, dim=dim, transformer=transformer)
        self.initial_text = nn.Parameter(torch.empty(dim))
        self.audio_embedding = CodeEmbedding(num_rows - 1, codebook_size + 1, dim)  # the last: the initial token
        self.depth = DepthTransformer(
            depth,
            num_steps=self.num_generated,
            codebook_size=codebook_size,
            vocab_size=vocab_size,
            context_dim=dim,
        )
        self.extra_heads = ExtraHeads(dim, num_extra_heads, extra_head_dim) if num_extra_heads else None
        self.delays = Delays(delays, [self.initial_text_token, *[self.initial_code] * (num_rows - 1)])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the embedding of the initial text token anew; the parts have their own."""
        truncated_normal_(self.initial_text, len(self.initial_text))

    @property
    def num_rows(self) -> int:
        """Rows: the text, Moshi's codes, the user's."""
        return len(self.delays.rows)

    @property
    def initial_text_token(self) -> int:
        """What the text row begins with; never said."""
        return self.temporal.vocab_size

    @property
    def initial_code(self) -> int:
        """What rows of codes begin with; never said."""
        return self.codebook_size

    @property
    def pad_token(self) -> int:
        """Text of frames in which no word begins or goes on."""
        return 3

    @property
    def epad_token(self) -> int:
        """Text of the frame before a word begins."""
        return 0

    @property
    def nothing(self) -> int:
        """What stands in the place of tokens and codes that are not there."""
        return NOTHING

    @property
    def context(self) -> int:
        """Frames that the model sees, the present one included."""
        return self.temporal.context

    def forward(self, codes: Tensor) -> MoshiOutput:
        """Whole conversations, known beforehand.

        Args:
            codes: int64 [B, rows, T]; :attr:`nothing` where a row has none: no input, nothing learnt.

        Raises:
            ValueError: if the shape is another, or a code is none.
        """
        hidden = self.hidden(codes)
        B, T = hidden.text_targets.shape
        text_logits = self.temporal.output(hidden.text)
        audio = self.depth(hidden.context, hidden.tokens[:-1])  # [K, B T, d]
        audio_logits = self.depth.output(audio).unflatten(1, (B, T)).transpose(0, 1)  # [B, K, T, V]
        audio_mask = hidden.audio_mask.unflatten(1, (B, T)).transpose(0, 1)
        return MoshiOutput(
            text_logits=self.delays.undelay(text_logits[:, None])[:, 0],
            audio_logits=self.delays.undelay(audio_logits, 1),
            text_mask=self.delays.undelay(hidden.text_mask[:, None])[:, 0],
            audio_mask=self.delays.undelay(audio_mask, 1),
        )

    def hidden(self, codes: Tensor, *, depth_fraction: float = 1.0) -> MoshiHidden:
        """Whole conversations, up to the text's output product and the depth transformer: what a loss takes.

        Args:
            codes: as of :meth:`forward`.
            depth_fraction: of the positions, the share that the depth transformer learns from, drawn anew each time
                among those that have something to learn. It does much of the work, and a frame resembles the next.

        Raises:
            ValueError: as :meth:`forward`.
        """
        self._check(codes)
        tokens = self.delays.delay(codes)  # [B, rows, T + 1]
        text = self.temporal.transform(self.embed(tokens[..., :-1]))  # [B, T, D]
        targets, mask = self._targets(tokens)
        positions = self._positions(mask[:, 1:].any(1).flatten(), depth_fraction)
        return MoshiHidden(
            text=text,
            text_targets=targets[:, 0],
            text_mask=mask[:, 0],
            context=text.flatten(0, 1)[positions],
            tokens=targets.transpose(0, 1).flatten(1)[:, positions],
            audio_mask=mask[:, 1:].transpose(0, 1).flatten(1)[:, positions],
            positions=positions,
        )

    def read(self, tokens: Tensor) -> Tensor:
        """Text alone, int64 [B, T] -> what ``temporal.output`` sees, [B, T, D]: Helium's, whose trunk this is."""
        return self.temporal.hidden(tokens)

    def targets(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """What is to be said at each position, int64 [B, 1 + K, T], and where there is something, bool of that shape.

        Args:
            codes: as of :meth:`forward`.
        """
        return self._targets(self.delays.delay(codes))

    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens of all rows int64 [B, rows, T] -> the temporal transformer's input [B, T, D].

        Where there is only text, that is Helium's.
        """
        text = tokens[:, 0, :, None]  # [B, T, 1]
        embedded = self.temporal.embedding(text[..., 0].clamp(0, self.temporal.vocab_size - 1))
        embedded = torch.where(text == self.initial_text_token, self.initial_text, embedded)
        return self.audio_embedding.total(tokens[:, 1:]) + embedded.masked_fill(text == NOTHING, 0)

    def init_state(self, batch_size: int, *, seeds: Sequence[int] | int = 0) -> MoshiState:
        """The start of ``batch_size`` conversations.

        Args:
            batch_size: conversations B.
            seeds: of their chance; one number: all have the same.
        """
        seeds = [seeds] * batch_size if isinstance(seeds, int) else list(seeds)
        if len(seeds) != batch_size:
            raise ValueError(f"{len(seeds)} seeds for {batch_size} conversations: give one each, or one for all")
        weight = self.initial_text
        return MoshiState(
            temporal=self.temporal.init_state(batch_size, max_chunk=1),
            rows=self.delays.init_state(batch_size),
            seed=torch.tensor(seeds, dtype=torch.int64, device=weight.device),
            hidden=torch.zeros(batch_size, 1, self.temporal.dim, dtype=weight.dtype, device=weight.device),
        )

    @torch.no_grad()
    def step(
        self, user_codes: Tensor | None, state: MoshiState, choosers: Choosers = SAMPLED
    ) -> tuple[Tensor, Tensor | None]:
        """One frame (80 ms) of conversations.

        As in Kyutai's server, codes are taken as those of the frame before: what a conversation is given in its very
        first step is not heard.

        Args:
            user_codes: that were heard, int64 [B, user codebooks, 1]; None: the model plays the user too.
            state: of the conversations.
            choosers: take tokens by their logits.

        Returns:
            The text token of this step, int64 [B]; and the newest frame of Moshi's voice that is complete, int64
            [B, own codebooks, 1]: that of as many steps ago as the longest of its delays. None until the first is;
            conversations that began later have :attr:`nothing` in their place until then.

        Raises:
            ValueError: if there is no user and no head for his codes, or the shape is another.
        """
        text, codes = self.advance(user_codes, state, choosers)
        state.num_steps += 1
        delay = max(self.delays.rows[1 : 1 + self.num_own_codebooks])
        return text, codes if state.num_steps > delay else None

    @torch.no_grad()
    def advance(
        self, user_codes: Tensor | None, state: MoshiState, choosers: Choosers = SAMPLED
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`step`, in tensors alone, so that it can be recorded or compiled.

        No step is counted: there always is a frame, with :attr:`nothing` where none is complete yet.
        """
        first_user = 1 + self.num_own_codebooks
        if user_codes is not None:
            self._check_user(user_codes, state)
            self.delays.hear(user_codes[..., 0], state.rows, first_user)
        elif self.num_generated + 1 < self.num_rows:
            raise ValueError(
                f"this model does not play the user: give user_codes [B, {self.num_user_codebooks}, 1], or use a model "
                "with user_heads"
            )
        hidden = self.temporal.transform(self.embed(self.delays.inputs(state.rows)[..., None]), state.temporal)
        state.write(state.hidden, hidden)
        num_codes = self.num_generated if user_codes is None else self.num_own_codebooks
        chance = uniform_at(state.seed, state.rows.position, 1 + num_codes)
        text = choosers.text(self.temporal.output(hidden)[:, 0], chance[:, 0])
        if choosers.codes is None:
            codes = torch.full_like(chance[:, 1:], NOTHING, dtype=torch.int64)
        else:
            codes = self.depth.generate(hidden[:, 0], text, choosers.codes, chance[:, 1:])
        if choosers.revise is not None:
            codes = choosers.revise(codes)
        self.delays.say(torch.cat([text[:, None], codes], dim=1), state.rows)
        return text, self.delays.frame(state.rows, 1, first_user)[..., None]

    def _targets(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        targets = tokens[:, : 1 + self.num_generated, 1:]
        return targets, (targets != NOTHING) & (targets != self.delays.initial_tokens[: 1 + self.num_generated, None])

    def _positions(self, useful: Tensor, fraction: float) -> Tensor:
        """All positions, or a share of them, drawn among the useful ones, bool [B T], while there are any."""
        if not 0 < fraction <= 1:
            raise ValueError(f"depth_fraction ({fraction}) must be above 0 and at most 1")
        if fraction == 1:
            return torch.arange(len(useful), device=useful.device)
        order = torch.rand(len(useful), device=useful.device) + useful
        return order.topk(math.ceil(fraction * len(useful))).indices.sort().values

    def _check(self, codes: Tensor) -> None:
        if codes.dim() != 3 or codes.shape[1] != self.num_rows:
            raise ValueError(f"codes {tuple(codes.shape)} must be [B, {self.num_rows}, T]: text, Moshi, user")
        if codes.device.type != "cpu" or torch.compiler.is_compiling():  # a GPU would have to be waited for
            return
        for name, rows, initial in [
            ("text", slice(1), self.initial_text_token),
            ("audio", slice(1, None), self.initial_code),
        ]:
            least, most = (int(x) for x in codes[:, rows].aminmax())
            if least < NOTHING or most > initial:
                raise ValueError(
                    f"{name} rows hold tokens from {least} to {most}; this model knows -1 (nothing) to {initial}"
                )

    def _check_user(self, codes: Tensor, state: MoshiState) -> None:
        expected = len(state.seed), self.num_user_codebooks, 1
        if codes.shape != expected:
            raise ValueError(f"user_codes {tuple(codes.shape)} must be {expected}: conversations, codebooks, one frame")
