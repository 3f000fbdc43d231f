"""Phonemes as a teacher: for speech of which it is known exactly what is said when, such as synthetic speech."""

from collections.abc import Mapping

import torch
from torch import Tensor

from moshi_zoo.modules.teacher import Lesson, Teacher, begins_in_speech, pool
from moshi_zoo.registry import register


# ARPAbet has 39, and there is silence
@register("phoneme-teacher", presets={"english": {"num_phonemes": 40}})
class PhonemeTeacher(Teacher):
    """One channel for each phoneme: how much of a frame's 160 ms it fills.

    It does not listen: it reads ``phonemes`` of the batch. Nothing of speaker, pitch or loudness is in them.

    Args:
        num_phonemes: kinds of them, at least as many as the data has.
    """

    def __init__(self, num_phonemes: int) -> None:
        super().__init__(dim=num_phonemes)

    @torch.no_grad()
    def lesson(self, batch: Mapping[str, Tensor], sample_rate: int) -> Lesson:
        """Shares of the phonemes; frames that begin in the padding or are mostly unknown are not learnt.

        Args:
            batch: ``phonemes`` int64 [B, N], the phoneme of each 20 ms or -1 where it is not known, beside ``wav``
                [B, 1, S] and ``num_samples`` [B].
            sample_rate: in Hz.

        Raises:
            ValueError: if the batch has no phonemes, more kinds of them than expected, or no whole frames.
        """
        if "phonemes" not in batch:
            raise ValueError(
                "the phoneme teacher needs to know what is said when, but the data has no phonemes: use synthetic "
                "speech or recordings whose manifest has them, or a teacher that listens, such as mfcc-teacher-nano"
            )
        phonemes = batch["phonemes"]
        mask = begins_in_speech(batch, sample_rate)
        if phonemes.max() >= self.dim:
            raise ValueError(
                f"the data has phoneme {int(phonemes.max())}, but the phoneme teacher's num_phonemes is {self.dim}: "
                "set it to the number of phonemes in the data, or more"
            )
        kinds = torch.arange(self.dim, device=phonemes.device)
        one_hot = phonemes[:, None] == kinds[:, None]  # [B, N] -> [B, P, N]; all zero where unknown
        shares = pool(one_hot.float())  # [B, P, N] -> [B, P, T]
        assert shares.shape[-1] == mask.shape[-1], "phonemes and waveform differ in length"
        return Lesson(shares, mask & (shares.sum(dim=1) >= 0.5))

    def features(self, wav: Tensor, sample_rate: int) -> Tensor:
        """A waveform alone does not tell.

        Raises:
            ValueError: always.
        """
        raise ValueError("the phoneme teacher does not listen: it needs a batch with phonemes")
