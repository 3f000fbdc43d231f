"""Training parts of a codec that has been trained before."""

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch.optim import AdamW

from moshi_zoo import registry
from moshi_zoo.modules.conv import folded_state_dict
from moshi_zoo.training.codec_objective import CodecLossWeights
from moshi_zoo.training.init_from import InitFrom
from moshi_zoo.training.lit_mimi import LitMimi
from moshi_zoo.training.weight_ema import WeightEMA
from moshi_zoo.zoo import folder
from tests.training.tones import Tones, clips

WEIGHTS = CodecLossWeights(adversarial=0, feature=0, spectral=1, waveform=0, commitment=0.25, distillation=1)
WAV = torch.stack([item["wav"] for item in clips(4)])
ENCODER = ("encoder.", "encoder_transformer.", "downsample.")


@pytest.fixture
def codec(tmp_path, monkeypatch):
    """A codec with codebooks, which lies in checkpoints/codec."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    codec = registry.build("mimi-tiny").eval()
    with torch.no_grad():
        latents = codec.encode_latent(WAV).transpose(1, 2).flatten(0, 1)
    codec.quantizer.initialize(latents, seed=0)
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(Path("checkpoints/codec"), spec, codec.state_dict(), stage="a")
    return codec


def finetune(train, *callbacks, steps=3, **settings):
    made = LitMimi(
        partial(registry.build, "mimi-tiny"),
        train=train,
        loss_weights=WEIGHTS,
        generator_optimizer=partial(AdamW, lr=1e-2),
        warmup_steps=0,
        **settings,
    )
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        limit_val_batches=0,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(made, Tones(clips(4), 2))
    return made.eval()


def changed(before, after):
    """The parts with a weight or codebook that moved."""
    new = folded_state_dict(after)
    moved = [name for name, tensor in before.state_dict().items() if not torch.equal(tensor, new[name])]
    return {name.partition(".")[0] for name in moved}


def test_a_decoder_is_tuned_and_the_codes_stay_the_same_to_the_bit(codec):
    made = finetune("decoder", InitFrom({"net": "codec"}), WeightEMA(0.5))
    assert changed(codec, made.net) == {"upsample", "decoder_transformer", "decoder"}
    codes = codec.encode(WAV)
    assert torch.equal(made.net.encode(WAV), codes)
    with torch.no_grad():
        assert not torch.allclose(made.net.decode(codes), codec.decode(codes))


def test_an_encoder_is_kept_while_quantizer_and_decoder_learn(codec):
    teacher = partial(registry.build, "mfcc-teacher-nano")
    made = finetune("decoder_and_quantizer", InitFrom({"net": "codec"}), teacher=teacher)
    assert changed(codec, made.net) == {"quantizer", "upsample", "decoder_transformer", "decoder"}
    trained = {id(weight) for group in made.trainer.optimizers[0].param_groups for weight in group["params"]}
    kept = {name for name, weight in made.net.named_parameters() if id(weight) not in trained}
    assert kept == {name for name, _ in made.net.named_parameters() if name.startswith(ENCODER)}


def test_a_whole_codec_is_tuned(codec):
    made = finetune("all", InitFrom({"net": "codec"}))
    assert changed(codec, made.net) == {name.partition(".")[0] for name in codec.state_dict()}


def test_a_decoder_cannot_be_tuned_to_codes_that_nobody_knows():
    with pytest.raises(
        ValueError, match=r"train is decoder, but 0 of the codec's 4 codebooks have been trained.*--init_from.net"
    ):
        finetune("decoder")


def test_a_frozen_quantizer_cannot_be_taught(codec):
    with pytest.raises(ValueError, match=r"leave the teacher out"):
        finetune("decoder", teacher=partial(registry.build, "mfcc-teacher-nano"))
