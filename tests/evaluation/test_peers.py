"""Mimi of other packages in our suite."""

import pytest
import torch

from moshi_zoo.evaluation.codec_suite import Settings, evaluate_codec
from moshi_zoo.evaluation.peers import MoshiMimi, TransformersMimi
from tests.evaluation.steps import word

pytestmark = pytest.mark.parity


def transformers_mimi():
    from transformers import MimiConfig, MimiModel

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    quantizer = {"codebook_size": 16, "codebook_dim": 8, "vector_quantization_hidden_dimension": 8}
    config = MimiConfig(
        num_filters=4, upsample_groups=32, intermediate_size=32, num_quantizers=4, head_dim=16, **sizes, **quantizer
    )
    return TransformersMimi(MimiModel(config).eval())


def moshi_mimi():
    loaders = pytest.importorskip("moshi.models.loaders", reason="PyPI moshi is not installed")
    return MoshiMimi(loaders.get_mimi(None, device="cpu", num_codebooks=4))


@pytest.mark.parametrize("make", [transformers_mimi, moshi_mimi])
def test_a_peer_with_random_weights_goes_through_the_suite(make):
    codec = make()
    clips = [word("noise", "s", 0.1 * torch.randn(12_000), name=str(i)) for i in range(2)]
    report = evaluate_codec(codec, clips, Settings((1, 4), resamples=10))
    names = {figure.measure.key for figure in report.figures}
    assert {"si_sdr@1", "si_sdr@4", "mel@4", "idempotence/3", "perplexity/0", "bitrate", "encode_rtf"} <= names
    assert report.codec == {
        "sample_rate": 24_000,
        "frame_rate": 12.5,
        "num_codebooks": 4,
        "codebook_size": codec.codebook_size,
    }
    assert "abx" in report.skipped
