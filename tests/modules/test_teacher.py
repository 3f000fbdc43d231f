import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.losses.distillation import constant_prediction_cosine
from moshi_zoo.modules.teacher import MFCCTeacher, Teacher

VOWELS = {"a": (750, 1200, 2500), "i": (300, 2300, 3000), "u": (320, 800, 2300)}  # formants in Hz


def _vowel(name, pitch, seconds=0.32):
    """[S] at 24 kHz: harmonics of the pitch under the vowel's formants."""
    t = torch.arange(round(24000 * seconds)) / 24000
    wav = torch.zeros_like(t)
    for harmonic in range(1, int(8000 / pitch)):
        hz = harmonic * pitch
        gain = sum(1 / (1 + ((hz - formant) / 90) ** 2) for formant in VOWELS[name])
        wav += gain / harmonic * torch.sin(2 * torch.pi * hz * t)
    return 0.1 * wav / wav.abs().max()


@pytest.fixture(scope="module")
def teacher():
    return MFCCTeacher()


@pytest.mark.parametrize("seconds", [0.96, 4, 12])
def test_a_frame_of_features_per_codec_frame(teacher, seconds):
    samples = round(24000 * seconds)
    assert teacher(torch.randn(1, 1, samples), 24000).shape == (1, teacher.dim, samples // 1920)


def test_frames_are_means_of_eight_features_centred_on_the_codec_frame():
    class Counting(Teacher):
        def features(self, wav, sample_rate):
            return torch.arange(wav.shape[-1] * 50 // sample_rate, dtype=torch.float32)[None, None]

    pooled = Counting(dim=1)(torch.zeros(1, 1, 4 * 1920), 24000)[0, 0]  # features 0..15
    # Frame 1 holds features 4..7 and sees 2..9; at the ends the outermost feature is repeated.
    assert pooled.tolist() == [
        (0 + 0 + 0 + 1 + 2 + 3 + 4 + 5) / 8,
        5.5,
        9.5,
        (10 + 11 + 12 + 13 + 14 + 15 + 15 + 15) / 8,
    ]


def test_a_lesson_leaves_out_the_frames_of_padding(teacher):
    batch = {"wav": torch.randn(3, 1, 4 * 1920), "num_samples": torch.tensor([4 * 1920, 1921, 0])}
    lesson = teacher.lesson(batch, 24000)
    assert torch.equal(lesson.features, teacher(batch["wav"], 24000))
    assert lesson.mask.tolist() == [[True] * 4, [True, True, False, False], [False] * 4]
    assert not lesson.features.requires_grad


def test_partial_frames_are_refused_with_the_fix(teacher):
    with pytest.raises(ValueError, match=r"2000 samples.*multiple of 1920"):
        teacher(torch.zeros(1, 1, 2000), 24000)


def test_another_sample_rate_is_refused_with_both(teacher):
    with pytest.raises(ValueError, match=r"16000 Hz.*24000 Hz"):
        teacher(torch.zeros(1, 1, 1280), 16000)


def test_a_vowel_is_nearer_to_itself_at_another_pitch_than_to_other_vowels(teacher):
    """Two voices, an octave apart, say a i u a i u: the features name the vowel, not the voice."""
    words = "aiuaiu"
    low, high = (torch.cat([_vowel(v, pitch) for v in words])[None, None] for pitch in (110.0, 220.0))
    a, b = (torch.nn.functional.normalize(teacher(wav, 24000)[0], dim=0) for wav in (low, high))  # [D, T]
    similarity = a.T @ b  # [T, T]
    middle = torch.tensor([4 * i + 1 for i in range(len(words))])  # a frame inside each vowel
    nearest = similarity[middle].argmax(dim=1) // 4
    assert [words[i] for i in nearest.tolist()] == list(words)


def test_the_features_share_no_common_direction(teacher):
    wav = torch.cat([_vowel(v, 120.0) for v in "aiuiau"])[None, None]
    assert constant_prediction_cosine(teacher(wav, 24000)).item() < 0.3


def test_loudness_does_not_change_the_features(teacher):
    wav = torch.cat([_vowel(v, 120.0) for v in "aiu"])[None, None]
    wav = wav + 0.01 * torch.randn(wav.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(teacher(wav, 24000), teacher(4 * wav, 24000), atol=0.02, rtol=0)


def test_a_silent_clip_gives_zeros(teacher):
    assert teacher(torch.zeros(1, 1, 9600), 24000).abs().max().item() < 1e-2


def test_a_teacher_never_trains(teacher):
    assert not list(teacher.parameters())
    assert not torch.nn.Sequential(teacher).train()[0].training
    assert not teacher(torch.randn(1, 1, 9600, requires_grad=True), 24000).requires_grad
    assert not teacher.state_dict()


def test_presets_are_found_by_family():
    assert "mfcc-teacher-nano" in registry.names(Teacher)
    assert registry.build("mfcc-teacher-nano").dim == 39
