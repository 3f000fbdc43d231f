"""Codes of what was decoded."""

import pytest
import torch

from moshi_zoo.evaluation.idempotence import Idempotence
from moshi_zoo.evaluation.measurement import Clip, CodedClip
from tests.evaluation.steps import RATE, StepCodec, speech


def measure(codec, wav):
    codes = codec.encode(wav[None, None])
    coded = CodedClip(Clip("a", wav), wav, codes[0], {2: codec.decode(codes)[0, 0]})
    return {measure.key: value for measure, value in Idempotence(codec)(coded).items()}


def test_a_codec_that_loses_nothing_more_gives_the_same_codes():
    shares = measure(StepCodec(), speech())
    assert shares["idempotence/0"].value == shares["idempotence/1"].value == 1
    assert shares["idempotence/0"].weight == 0.6 * RATE / 8


def test_half_a_frame_later_changing_sound_has_other_codes_and_constant_sound_the_same():
    shares = measure(StepCodec(), speech() + torch.linspace(-0.5, 0.5, round(0.6 * RATE)))
    assert 0 < shares["idempotence_half_frame/1"].value < 0.5
    assert shares["idempotence_half_frame/0"].weight == 0.6 * RATE / 8 - 1  # the last half frame is none
    assert measure(StepCodec(), torch.full((800,), 0.3))["idempotence_half_frame/1"].value == 1


def test_the_share_is_that_of_equal_codes_level_by_level():
    class Drifting(StepCodec):
        """The second codebook's codes of every other frame are one higher in later passes."""

        passes = 0

        def encode(self, wav):
            codes = super().encode(wav)
            codes[:, 1, ::2] = (codes[:, 1, ::2] + self.passes) % 32
            self.passes += 1
            return codes

    shares = measure(Drifting(), torch.full((800,), 0.3))
    assert (shares["idempotence/0"].value, shares["idempotence/1"].value) == (1, 0.5)


def test_a_clip_of_one_frame_has_no_value_half_a_frame_later():
    share = measure(StepCodec(), torch.full((8,), 0.3))["idempotence_half_frame/0"]
    assert share.value != share.value
    assert share.weight == 0


@pytest.mark.parametrize("num_samples", [801, 807])
def test_a_last_frame_filled_with_zeros_is_compared_too(num_samples):
    assert measure(StepCodec(), speech(0.2)[:num_samples])["idempotence/0"].weight == 101
