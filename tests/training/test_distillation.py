"""The codec's semantic codebook and its teacher."""

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.modules.phonemes import PhonemeTeacher
from moshi_zoo.training.distillation import Distillation

RATE, FRAME = 24_000, 1920
T = 5
TEACHERS = ["mfcc-teacher-nano", "phoneme-teacher-english", "wavlm-teacher-tiny"]


def alone(x):
    return x


def batch(num_samples=(T * FRAME, 2 * FRAME)):
    wav = 0.1 * torch.randn(2, 1, T * FRAME)
    return {"wav": wav, "num_samples": torch.tensor(num_samples), "phonemes": torch.randint(0, 9, (2, 4 * T))}


@pytest.mark.parametrize("name", TEACHERS)
def test_every_teacher_teaches_the_codec_and_the_projection_and_stays_as_it_is(name):
    distillation = Distillation(registry.build(name), 16, sample_rate=RATE)
    semantic = torch.randn(2, 16, T, requires_grad=True)
    losses = distillation(semantic, batch(), alone)
    assert losses.keys() == {"distillation", "constant_cosine"}
    losses["distillation"].backward()
    assert [parameter for parameter, _ in distillation.named_parameters()] == ["projection.weight"]
    assert distillation.projection.weight.grad.abs().sum() > 0
    taught = semantic.grad.abs().sum(dim=1) > 0  # [B, T]
    assert taught.tolist() == [[True] * T, [True] * 2 + [False] * 3]  # the rest is padding


def test_a_cached_teacher_sees_the_recordings_first(tmp_path):
    given = batch() | {"recording": torch.tensor([1, 0]), "start": torch.tensor([0, 0])}

    class Clips:
        names = ("a", "b")

        def load(self, index):
            return given["wav"][1 - index]

    mfcc = registry.preset("mfcc-teacher-nano")
    cached = Distillation(registry.build("cached-teacher", teacher=mfcc, folder=str(tmp_path)), 16, sample_rate=RATE)
    cached.prepare(Clips(), torch.device("cpu"))
    direct = Distillation(registry.build("mfcc-teacher-nano"), 16, sample_rate=RATE)
    direct.load_state_dict(cached.state_dict())
    semantic = torch.randn(2, 16, T)
    losses = [each(semantic, given, alone)["distillation"].item() for each in (cached, direct)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_a_student_that_knows_the_phonemes_has_no_loss_left():
    teacher, given = PhonemeTeacher(9), batch()
    distillation = Distillation(teacher, 9, sample_rate=RATE)
    torch.nn.init.eye_(distillation.projection.weight)
    knows = teacher.lesson(given, RATE).features
    assert distillation(knows, given, alone)["distillation"].item() == pytest.approx(0, abs=1e-5)
    assert distillation(knows.flip(-1), given, alone)["distillation"].item() > 0.1
