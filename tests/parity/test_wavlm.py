"""The WavLM teacher against `transformers`: random weights, written by it, read by us."""

import pytest
import torch

from moshi_zoo.modules.wavlm import WavLMTeacher

pytestmark = pytest.mark.parity

SIZE = {"dim": 32, "num_layers": 3, "num_heads": 4, "hidden_dim": 48, "conv_dim": 24}
KINDS = {"first": ("layer", True), "last": ("group", False)}  # norm: feat_extract_norm, do_stable_layer_norm


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    """Hugging Face's model, and the settings of ours."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    extractor_norm, stable = KINDS[request.param]
    config = transformers.WavLMConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        conv_dim=[24] * 7,
        feat_extract_norm=extractor_norm,
        do_stable_layer_norm=stable,
        conv_bias=False,
    )
    torch.manual_seed(0)
    theirs = transformers.WavLMModel(config).eval()
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            if "norm" in name or name.endswith("bias") or "gru_rel_pos_const" in name:
                weight.add_(0.3 * torch.randn_like(weight))  # initial values would hide a swapped tensor
    folder = tmp_path_factory.mktemp("wavlm")
    theirs.save_pretrained(folder)
    return theirs, {"norm": request.param, "weights": str(folder), **SIZE}


def _wav(num_frames=20):
    return 0.3 * torch.randn(2, 1, 1280 * num_frames) + 0.05


@torch.no_grad()
@pytest.mark.parametrize("normalize", [True, False])
def test_hidden_states_equal_theirs(pair, normalize):
    theirs, settings = pair
    wav = _wav()
    heard = wav[:, 0]
    if normalize:
        extractor = pytest.importorskip("transformers").Wav2Vec2FeatureExtractor(do_normalize=True)
        heard = extractor(list(heard.numpy()), sampling_rate=16_000, return_tensors="pt").input_values
    heard = torch.nn.functional.pad(heard, (40, 40))
    output = theirs(heard, output_hidden_states=True)
    expected = [*output.hidden_states[1:-1], output.last_hidden_state]
    for layer in (1, 2, 3):
        ours = WavLMTeacher(normalize=normalize, layer=layer, **settings).features(wav, 16_000)
        torch.testing.assert_close(ours, expected[layer - 1].transpose(1, 2), atol=1e-4, rtol=1e-4)
    mean = WavLMTeacher(normalize=normalize, **settings).features(wav, 16_000)
    torch.testing.assert_close(mean, torch.stack(expected).mean(0).transpose(1, 2), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_files_from_before_torch_2_1_are_read_too(pair, tmp_path):
    theirs, settings = pair
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = {}
    for name, tensor in theirs.state_dict().items():
        for new, before in old.items():
            name = name.replace(new, before)
        tensors[f"wavlm.{name}"] = tensor  # as in a model with a head
    assert "wavlm.encoder.pos_conv_embed.conv.weight_g" in tensors
    tensors["lm_head.weight"] = torch.zeros(5, 32)
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    wav = _wav()
    first = WavLMTeacher(normalize=False, **settings)
    second = WavLMTeacher(normalize=False, **(settings | {"weights": str(tmp_path)}))
    assert torch.equal(first.features(wav, 16_000), second.features(wav, 16_000))
