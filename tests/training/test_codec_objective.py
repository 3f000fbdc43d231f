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


def gradients(kind, weights=WEIGHTS, **settings):
    """At the waveform of a network whose output is its weight, and at a weight beside it."""
    torch.manual_seed(0)
    wav, beside = torch.randn(4, 1, 50, requires_grad=True), torch.ones(3, requires_grad=True)
    output = wav * 1
    objective = CodecObjective(weights, kind)(losses(output, beside, **settings), output)
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
    objective = CodecObjective(WEIGHTS, kind)({"spectral": wav.square().mean()}, wav)
    objective.loss.backward()
    assert wav.grad.abs().sum() > 0
