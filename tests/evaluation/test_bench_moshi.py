"""Moshi beside PyPI moshi: both sides do the same work."""

import os

os.environ.setdefault("NO_TORCH_COMPILE", "1")  # read when moshi is imported; a compiler would take half a minute

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.evaluation import bench_moshi
from moshi_zoo.evaluation.bench import OURS


def test_our_steps_run_and_the_loss_has_gradients():
    model = registry.build("moshi-tiny")
    loss = bench_moshi.our_training(model, bench_moshi._codes("moshi-tiny", 1.0))()
    assert loss.isfinite()
    assert all(p.grad is not None for name, p in model.named_parameters() if "extra_heads" not in name)
    bench_moshi._step(OURS, "step", "moshi-tiny", "cpu", 1.0)()


def test_tokens_are_those_that_are_learnt():
    # two clips of 12 frames, a text token and the codes of both speakers
    assert bench_moshi._tokens("moshi-tiny", 1.0) == 2 * 12 * 9
    assert bench_moshi._codes("moshi-tiny", 1.0).shape == (2, 9, 12)


@pytest.mark.parity
def test_both_sides_have_the_same_loss_and_gradients():
    pytest.importorskip("moshi.models.loaders", reason="PyPI moshi is not installed")
    # not tiny: moshi-finetune knows no heads for the user
    model, codes = registry.build("moshi-nano"), bench_moshi._codes("moshi-nano", 2.0)
    theirs = bench_moshi.their_model("moshi-nano", "cpu", training=True, like=model)
    torch.testing.assert_close(bench_moshi.our_training(model, codes)(), bench_moshi.their_training(theirs, codes)())
    grads = dict(theirs.named_parameters())
    torch.testing.assert_close(model.temporal.output.weight.grad, grads["text_linear.weight"].grad)
    torch.testing.assert_close(model.depth.output.weight.grad[3], grads["linears.3.weight"].grad)


@pytest.mark.parity
def test_a_peer_talks():
    pytest.importorskip("moshi.models.loaders", reason="PyPI moshi is not installed")
    bench_moshi._step("moshi", "step", "moshi-tiny", "cpu", 1.0)()
