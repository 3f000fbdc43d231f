"""Mimi against PyPI `moshi` and `transformers`: random weights, converted, compared."""

import copy

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.zoo import mimi_config, mimi_format
from moshi_zoo.zoo.convert import export_weights, import_weights

pytestmark = pytest.mark.parity

SMALL = {
    "component": "mimi",
    "init_args": {
        "dim": 64,
        "encoder": {"component": "seanet-encoder", "init_args": {"num_filters": 8, "ratios": [8, 6, 5, 4]}},
        "decoder": {"component": "seanet-decoder", "init_args": {"num_filters": 8, "ratios": [8, 6, 5, 4]}},
        "quantizer": {
            "component": "split-rvq",
            "init_args": {"num_codebooks": 6, "codebook_size": 128, "codebook_dim": 32},
        },
        "encoder_transformer": {"num_layers": 2, "num_heads": 4, "hidden_dim": 128, "context": 30, "layer_scale": 0.3},
        "decoder_transformer": {"num_layers": 2, "num_heads": 4, "hidden_dim": 128, "context": 30, "layer_scale": 0.3},
    },
}
SPECS = {"small": SMALL, "full": registry.to_portable(registry.preset("mimi-full"))}


@pytest.fixture(scope="module", params=SPECS)
def mimi(request):
    """A codec with random weights, and codebooks that lie among its latents."""
    torch.manual_seed(0)
    spec = SPECS[request.param]
    model = registry.instantiate(registry.from_portable(spec)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "scale" in name or name.endswith("bias"):
                parameter.copy_(torch.rand_like(parameter) * 0.3)  # initial values would hide a swapped tensor
        latents = model.encode_latent(noise(40))
        for codebook in model.quantizer.codebooks:
            codebook.cluster_usage.uniform_(0.5, 3.0)
            scale = latents.std() * codebook.cluster_usage[:, None]
            codebook.embedding_sum.copy_(torch.randn_like(codebook.embedding_sum) * scale * 0.5)
            codebook.initialized.fill_(1)
    return spec, model


def noise(num_frames, batch_size=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch_size, 1, 1920 * num_frames, generator=generator) * 0.3


def kyutai_model(spec, tensors):
    loaders = pytest.importorskip("moshi.models.loaders", reason="PyPI moshi is not installed")
    complete = registry.to_portable(registry.complete(registry.from_portable(spec)))
    config = mimi_config.kyutai_config(complete)
    model = loaders.get_mimi(None, config, num_codebooks=config["quantizer"]["n_q"])
    model.load_state_dict(mimi_format.to_kyutai(tensors), strict=True)
    return model.eval()


def hf_model(spec, tensors, tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    export_weights(spec, tensors, "hf", tmp_path)
    model, report = transformers.MimiModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    return model.eval()


def share_equal(a, b):
    return (a == b).float().mean().item()


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [1, 2, 10, 140])
def test_latents_codes_and_waveforms_equal_kyutais(mimi, num_frames):
    spec, ours = mimi
    theirs = kyutai_model(spec, ours.state_dict())
    wav = noise(num_frames, batch_size=2 if num_frames < 100 else 1)
    torch.testing.assert_close(ours.encode_latent(wav), theirs.encode_to_latent(wav, quantize=False), atol=1e-4, rtol=0)
    codes = theirs.encode(wav)
    assert share_equal(ours.encode(wav), codes) >= 0.999
    torch.testing.assert_close(ours.decode(codes), theirs.decode(codes), atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [3, 140])
def test_latents_codes_and_waveforms_equal_transformers(mimi, num_frames, tmp_path):
    spec, ours = mimi
    theirs = hf_model(spec, ours.state_dict(), tmp_path)
    wav = noise(num_frames)
    num_codebooks = ours.num_codebooks
    encoded = theirs.encode(wav, num_quantizers=num_codebooks)
    assert share_equal(ours.encode(wav), encoded.audio_codes) >= 0.999
    decoded = theirs.decode(encoded.audio_codes).audio_values
    torch.testing.assert_close(ours.decode(encoded.audio_codes), decoded, atol=1e-4, rtol=0)


@torch.no_grad()
def test_streams_equal_kyutais_within_the_window(mimi):
    spec, ours = mimi
    theirs = kyutai_model(spec, ours.state_dict())
    state = ours.init_state(1)
    with theirs.streaming(1):
        for frame in noise(12).split(1920, dim=-1):
            codes = theirs.encode(frame)
            assert torch.equal(ours.encode(frame, state=state.encoder), codes)
            torch.testing.assert_close(ours.decode(codes, state=state.decoder), theirs.decode(codes), atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", ["kyutai", "hf"])
def test_layouts_round_trip_bit_for_bit(mimi, layout, tmp_path):
    spec, ours = mimi
    before = copy.deepcopy(ours.state_dict())
    written = export_weights(spec, before, layout, tmp_path)
    if layout == "kyutai" and spec == SMALL:
        after = mimi_format.from_kyutai(mimi_format.to_kyutai(before))
    else:
        read_spec, after = import_weights(written[0], layout)
        registry.instantiate(registry.from_portable(read_spec)).load_state_dict(after, strict=True)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_kyutais_older_spellings_are_read(mimi):
    _, ours = mimi
    released = mimi_format.to_kyutai(ours.state_dict())
    older = {
        name.replace("in_proj_weight", "in_projs.0.weight")
        .replace("out_proj.weight", "out_projs.0.weight")
        .replace("_initialized", "inited")
        .replace("cluster_usage", "cluster_size")
        .replace("embedding_sum", "embed_avg"): tensor
        for name, tensor in released.items()
    }
    older["wavlm_proj.weight"] = torch.zeros(1)
    assert mimi_format.from_kyutai(older).keys() == ours.state_dict().keys()


def test_full_size_has_the_released_number_of_tensors_and_parameters():
    with torch.device("meta"):
        model = registry.build("mimi-full")
    assert len(mimi_format.to_kyutai(model.state_dict())) == 318
    assert len(mimi_format.to_hf(model.state_dict(), 8)) == 350
    assert sum(p.numel() for p in model.parameters()) == 79_308_609
    assert sum(b.numel() for b in model.quantizer.buffers()) == 16_842_784
