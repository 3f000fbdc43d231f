"""How the codec's losses are added."""

import pytest
import torch

from moshi_zoo.training.codec_objective import CodecLossWeights, CodecObjective

WEIGHTS = CodecLossWeights(adversarial=0, feature=1, spectral=3, waveform=0, commitment=0.5, distillation=0)


def losses(wav, weight, *, scale=1.0):
    return {
        "spectral": scale * (wav - 1).square().mean(),
        "feature": (wav + 2).abs().mean(),
        "waveform": (wav - 100).square().mean(),
        "commitment": weight.square().sum(),
        "distillation": (weight - 9).square().sum(),
    }


def gradients(kind, weights=WEIGHTS, *, fade=None, step=0, **settings):
    """At the waveform of a network whose output is its weight, and at a weight beside it."""
    torch.manual_seed(0)
    wav, beside = torch.randn(4, 1, 50, requires_grad=True), torch.ones(3, requires_grad=True)
    output = wav * 1
    made = CodecObjective(weights, kind, fade_reconstruction=fade)
    objective = made(losses(output, beside, **settings), output, step=step)
    objective.loss.backward()
    return wav.grad, beside.grad, objective.shares


def test_summed_is_the_weighted_sum_without_the_losses_of_weight_0():
    torch.manual_seed(0)
    wav, beside = torch.randn(4, 1, 50, requires_grad=True), torch.ones(3, requires_grad=True)
    terms = losses(wav, beside)
    (3 * terms["spectral"] + terms["feature"] + 0.5 * terms["commitment"]).backward()
    of_wav, of_beside, shares = gradients("summed")
    torch.testing.assert_close((of_wav, of_beside), (wav.grad, beside.grad))
    assert not shares


def test_balanced_does_not_care_for_the_size_of_a_loss_but_for_its_weight():
    of_wav, of_beside, shares = gradients("balanced")
    louder, _, louder_shares = gradients("balanced", scale=1000.0)
    torch.testing.assert_close(louder, of_wav)
    torch.testing.assert_close(of_beside, torch.ones(3))  # commitment: 0.5 * 2 * weight, not balanced
    assert shares.keys() == {"spectral", "feature"}
    assert louder_shares["spectral"] > shares["spectral"]
    other = CodecLossWeights(adversarial=0, feature=3, spectral=1, waveform=0, commitment=0.5, distillation=0)
    assert not torch.allclose(gradients("balanced", other)[0], of_wav)


@pytest.mark.parametrize("kind", ["balanced", "summed"])
def test_a_step_without_some_of_the_losses_can_be_differentiated(kind):
    wav = torch.randn(2, 1, 20, requires_grad=True)
    objective = CodecObjective(WEIGHTS, kind)({"spectral": wav.square().mean()}, wav, step=0)
    objective.loss.backward()
    assert wav.grad.abs().sum() > 0


def test_reconstruction_fades_linearly_and_the_other_weights_stay():
    weights = CodecLossWeights(adversarial=0, feature=1, spectral=3, waveform=0.5, commitment=2, distillation=0)
    made = CodecObjective(weights, "summed", fade_reconstruction=(10, 20))
    rest = {"feature": 1, "commitment": 2}
    assert made.weights_at(0) == made.weights_at(10) == rest | {"spectral": 3, "waveform": 0.5}
    assert made.weights_at(15) == rest | {"spectral": 1.5, "waveform": 0.25}
    assert made.weights_at(20) == made.weights_at(99) == rest


@pytest.mark.parametrize("kind", ["balanced", "summed"])
def test_a_faded_loss_is_as_if_it_were_not_there(kind):
    alone = CodecLossWeights(adversarial=0, feature=1, spectral=0, waveform=0, commitment=0.5, distillation=0)
    faded = gradients(kind, fade=(0, 5), step=5)
    torch.testing.assert_close(faded, gradients(kind, alone))
    assert not torch.allclose(faded[0], gradients(kind, fade=(0, 5), step=4)[0])


@pytest.mark.parametrize("fade", [(5, 5), (7, 3), (-1, 3)])
def test_a_fade_that_ends_before_it_starts_is_refused(fade):
    with pytest.raises(ValueError, match=r"fade_reconstruction is .* the second after the first"):
        CodecObjective(WEIGHTS, "summed", fade_reconstruction=fade)
