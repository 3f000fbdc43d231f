"""Warnings about a codec's training."""

import re
import warnings
from types import SimpleNamespace

import pytest

from moshi_zoo.training.codec_alarms import CodecAlarms

STAGE = SimpleNamespace(net=SimpleNamespace(codebook_size=100))


def train(alarms, steps, **losses):
    """Warnings in so many steps with these losses."""
    trainer = SimpleNamespace(callback_metrics={f"train/{name}": value for name, value in losses.items()})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(steps):
            alarms.on_train_batch_end(trainer, STAGE)
    return [str(warning.message) for warning in caught]


def validate(alarms, used, *, frames=1000, sanity_checking=False):
    metrics = {f"val/used_{level}": share for level, share in enumerate(used)} | {"val/frames": frames}
    trainer = SimpleNamespace(callback_metrics=metrics, sanity_checking=sanity_checking)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        alarms.on_validation_end(trainer, STAGE)
    return [str(warning.message) for warning in caught]


def test_a_discriminator_that_has_won_is_told_of_once():
    alarms = CodecAlarms()
    assert not train(alarms, 499, discriminator=0.1)
    assert not train(alarms, 1, discriminator=1.0)
    assert not train(alarms, 499, discriminator=0.1)
    (message,) = train(alarms, 1, discriminator=0.1)
    assert "discriminator_probability" in message
    assert not train(alarms, 1, discriminator=1.0) + train(alarms, 600, discriminator=0.1)


def test_a_commitment_that_explodes_is_told_of():
    alarms = CodecAlarms()
    assert not train(alarms, 200, commitment=0.0)  # as many entries as latents: k-means is exact
    assert not train(alarms, 400, commitment=0.5)
    assert not train(alarms, 1, commitment=49.0)
    (message,) = train(alarms, 5, commitment=51.0)
    assert re.search(r"commitment loss \(51\).*lower the generator's learning rate", message)


def test_codebooks_that_are_hardly_used_are_told_of_by_number():
    assert not validate(CodecAlarms(), [0.5, 0.11, 1.0])
    (message,) = validate(CodecAlarms(), [0.5, 0.09, 0.01])
    assert message.startswith("codebook 1, 2 (of 0 to 2) uses under 10% of its entries: start the codebooks later")
    assert not validate(CodecAlarms(), [0.01], sanity_checking=True)


def test_few_frames_are_not_asked_for_many_entries():
    assert not validate(CodecAlarms(), [0.05], frames=10)
    assert validate(CodecAlarms(), [0.005], frames=10)


def test_a_resumed_run_goes_on_counting_and_does_not_repeat_itself():
    first, second = CodecAlarms(), CodecAlarms()
    assert not train(first, 400, discriminator=0.1, commitment=1.0)
    assert validate(first, [0.01])
    second.load_state_dict(first.state_dict())
    assert not validate(second, [0.01])
    messages = train(second, 100, discriminator=0.1, commitment=1000.0)
    assert sorted(m.split()[1] for m in messages) == ["commitment", "discriminator's"]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_does_not_spoil_the_median(loss):
    alarms = CodecAlarms()
    train(alarms, 150, commitment=1.0)
    train(alarms, 100, commitment=loss)
    assert alarms.state_dict()["commitments"] == [1.0] * 150
