"""Phonemes as a teacher."""

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.data.arpabet import PHONEMES
from moshi_zoo.losses.distillation import constant_prediction_cosine
from moshi_zoo.modules.phonemes import PhonemeTeacher

RATE, FRAME = 24_000, 1920


def _batch(rows):
    phonemes = torch.tensor(rows)
    wav = torch.zeros(len(rows), 1, phonemes.shape[1] // 4 * FRAME)
    return {"wav": wav, "num_samples": torch.full((len(rows),), wav.shape[-1]), "phonemes": phonemes}


def test_features_are_the_shares_of_the_phonemes_around_a_frame():
    lesson = PhonemeTeacher(5).lesson(_batch([[0] * 4 + [3] * 4 + [1] * 2 + [2] * 2]), RATE)
    assert lesson.features.shape == (1, 5, 3)
    assert lesson.features[0].T.tolist() == [
        [6 / 8, 0, 0, 2 / 8, 0],  # four and the two before them, which repeat the first; two of the next frame
        [2 / 8, 2 / 8, 0, 4 / 8, 0],
        [0, 2 / 8, 4 / 8, 2 / 8, 0],
    ]
    assert lesson.mask.all()


def test_frames_that_are_mostly_unknown_are_not_learnt():
    lesson = PhonemeTeacher(5).lesson(_batch([[1] * 8 + [-1] * 8, [-1] * 16, [-1] * 5 + [2] * 11]), RATE)
    assert lesson.mask.tolist() == [[True, True, False, False], [False] * 4, [False, True, True, True]]
    assert lesson.features[1].abs().sum() == 0


def test_frames_of_padding_are_not_learnt():
    batch = _batch([[1] * 16]) | {"num_samples": torch.tensor([FRAME + 1])}
    assert PhonemeTeacher(5).lesson(batch, RATE).mask.tolist() == [[True, True, False, False]]


def test_it_works_at_any_sample_rate():
    batch = _batch([[1] * 8]) | {"wav": torch.zeros(1, 1, 2 * 640)}
    assert PhonemeTeacher(3).lesson(batch, 8000).features.shape == (1, 3, 2)


def test_speech_has_no_common_direction():
    speech = torch.randint(0, 40, (4, 25)).repeat_interleave(4, dim=1)
    assert constant_prediction_cosine(PhonemeTeacher(64).lesson(_batch(speech.tolist()), RATE).features) < 0.4


def test_data_without_phonemes_is_refused_with_another_teacher():
    batch = _batch([[1] * 8])
    del batch["phonemes"]
    with pytest.raises(ValueError, match=r"no phonemes.*mfcc-teacher-nano"):
        PhonemeTeacher(3).lesson(batch, RATE)


def test_more_phonemes_than_expected_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match="phoneme 3, but the phoneme teacher's num_phonemes is 3"):
        PhonemeTeacher(3).lesson(_batch([[3] * 8]), RATE)


def test_partial_frames_are_refused():
    batch = _batch([[1] * 8]) | {"wav": torch.zeros(1, 1, 2000)}
    with pytest.raises(ValueError, match="multiple of 1920"):
        PhonemeTeacher(3).lesson(batch, RATE)


def test_it_does_not_listen():
    with pytest.raises(ValueError, match="does not listen"):
        PhonemeTeacher(3)(torch.zeros(1, 1, FRAME), RATE)


def test_the_preset_holds_the_phonemes_of_english_and_silence():
    assert registry.build("phoneme-teacher-english").dim == len(PHONEMES) + 1
