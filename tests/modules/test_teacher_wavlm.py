"""WavLM as a teacher: what it hears, which layers it shows, where its weights come from."""

import os

import pytest
import torch
from safetensors.torch import save_file

from moshi_zoo import registry
from moshi_zoo.modules.wavlm import WavLMTeacher

RATE = 24_000
FRAME = 1920


def tiny(**settings):
    return WavLMTeacher(**(registry.preset("wavlm-teacher-tiny")["init_args"] | settings))


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return tiny()


def _noise(num_frames, seed=0):
    return 0.1 * torch.randn(1, 1, num_frames * FRAME, generator=torch.Generator().manual_seed(seed))


def _tone(hz, num_frames):
    return _faded(hz, RATE, num_frames * FRAME)[None, None]


def _faded(hz, rate, num_samples):
    phase = 2 * torch.pi * hz / rate * torch.arange(num_samples, dtype=torch.float64)
    return (0.1 * torch.hann_window(num_samples, dtype=torch.float64) * phase.sin()).float()


@pytest.mark.parametrize("num_frames", [1, 2, 7, 25])
def test_a_frame_of_features_per_codec_frame(teacher, num_frames):
    assert teacher(_noise(num_frames), RATE).shape == (1, 32, num_frames)
    assert teacher(_noise(num_frames)[..., : num_frames * 1280], 16_000).shape == (1, 32, num_frames)


def _heard(teacher, wav):
    """What reaches the network's convolutions, and what they make of it."""
    calls = []
    handle = teacher.network.feature_extractor.register_forward_hook(
        lambda _, inputs, output: calls.append((inputs[0], output[0]))
    )
    teacher(wav, RATE)
    handle.remove()
    return calls[0]


def test_features_are_centred_in_the_20_ms_they_stand_for(teacher):
    wav = _noise(3)
    clicked = wav.clone()
    clicked[..., 480 * 5 + 240] += 0.02  # the middle of feature 5
    change = (_heard(teacher, clicked)[1] - _heard(teacher, wav)[1]).abs().amax(dim=(0, 2))
    assert change.argmax() == 5
    assert change[5] > 50 * change[[i for i in range(12) if i != 5]].max()


def test_the_network_hears_all_that_16_khz_can_hold_and_nothing_else():
    teacher = tiny(normalize=False)
    inside, outside = (_heard(teacher, _tone(hz, 6))[0][0, 40:-40] for hz in (7000, 9500))
    torch.testing.assert_close(inside, _faded(7000, 16_000, 6 * 1280), atol=1e-4, rtol=0)
    assert outside.abs().max() < 1e-6


def test_loudness_is_taken_away_only_where_the_training_did(teacher):
    quiet, loud = (_heard(teacher, gain * _noise(4))[0][0, 40:-40] for gain in (1.0, 3.0))
    torch.testing.assert_close(quiet, loud, atol=1e-3, rtol=0)
    assert loud.mean().item() == pytest.approx(0, abs=1e-5)
    assert loud.var().item() == pytest.approx(1, abs=1e-3)
    plain = tiny(normalize=False)
    quiet, loud = (_heard(plain, gain * _noise(4))[0] for gain in (1.0, 3.0))
    torch.testing.assert_close(3 * quiet, loud)


def test_the_mean_is_that_of_all_layers(teacher):
    wav = _noise(3)
    each = []
    for layer in (1, 2):
        teacher.layer = layer
        each.append(teacher.features(wav, RATE))
    teacher.layer = "mean"
    torch.testing.assert_close(teacher.features(wav, RATE), (each[0] + each[1]) / 2)
    assert (each[0] - each[1]).abs().max() > 0.1


def test_standardized_features_share_no_common_direction():
    torch.manual_seed(0)
    wav = torch.cat([_noise(8) * 0.1, _tone(300, 8), _noise(8, seed=1)], dim=-1)
    plain = tiny()
    standard = tiny(standardize="clip")
    standard.network = plain.network
    a, b = plain.features(wav, RATE), standard.features(wav, RATE)
    torch.testing.assert_close(b.mean(dim=-1), torch.zeros(1, 32), atol=1e-4, rtol=0)
    scale = (a - a.mean(-1, keepdim=True)) / b
    torch.testing.assert_close(scale, scale[..., :1].expand_as(scale), atol=1e-2, rtol=0.1)


def test_the_network_may_run_in_half_precision_and_the_rest_does_not(teacher):
    wav = _noise(5)
    exact = teacher(wav, RATE)
    with torch.autocast("cpu", torch.bfloat16):
        rough = teacher(wav, RATE)
    assert rough.dtype == torch.float32
    assert 1e-6 < (rough - exact).abs().max() < 0.1


def test_it_never_trains(teacher):
    assert not any(weight.requires_grad for weight in teacher.parameters())
    assert not any(part.training for part in torch.nn.Sequential(teacher).train()[0].modules())
    assert not teacher(_noise(2).requires_grad_(), RATE).requires_grad


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"layer is 3, but this WavLM has 1 to 2"):
        tiny(layer=3)


def test_without_weights_the_error_says_where_to_get_them_and_what_to_take_instead():
    with pytest.raises(ValueError, match=r"hf download microsoft/wavlm-large .*mfcc-teacher-nano.*phoneme-teacher"):
        registry.build("wavlm-teacher-large")


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_wrong_path_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=rf"{name} (does not exist|has neither model.safetensors).*hf download"):
        tiny(weights=str(tmp_path / name))


@pytest.mark.parametrize("name", ["wavlm.safetensors", "wavlm.pth", "folder/model.safetensors"])
def test_weights_in_torchaudios_names_are_read(tmp_path, teacher, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    tensors = {k: v.contiguous() for k, v in teacher.network.state_dict().items()}
    (torch.save if path.suffix == ".pth" else save_file)(tensors, path)
    read = tiny(weights=str(path.parent if "/" in name else path))
    assert torch.equal(read(_noise(3), RATE), teacher(_noise(3), RATE))
    assert not any(tensor.is_meta for tensor in read.network.state_dict().values())


def test_half_precision_files_become_float32(tmp_path, teacher):
    save_file({k: v.half().contiguous() for k, v in teacher.network.state_dict().items()}, tmp_path / "w.safetensors")
    read = tiny(weights=str(tmp_path / "w.safetensors"))
    torch.testing.assert_close(read(_noise(3), RATE), teacher(_noise(3), RATE), atol=1e-2, rtol=0)
    assert {weight.dtype for weight in read.parameters()} == {torch.float32}


def test_weights_of_another_network_are_refused_with_what_is_wrong(tmp_path, teacher):
    tensors = {k: v.contiguous() for k, v in teacher.network.state_dict().items()}
    lost = min(tensors)
    tensors["encoder.more"] = tensors.pop(lost)
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=rf"1 missing \({lost}, .*1 unknown \(encoder.more.*preset the right one"):
        tiny(weights=str(tmp_path / "w.safetensors"))
    with pytest.raises(ValueError, match=r"of another shape \(encoder"):
        tiny(hidden_dim=32, weights=str(tmp_path / "w.safetensors"))
    save_file({"some.other.network": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=rf"{len(tensors)} missing"):
        tiny(weights=str(tmp_path / "w.safetensors"))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_a_file_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Evil()}, "wavlm.pth")
    with pytest.raises(ValueError, match="cannot be read as a file of tensors, and nothing else is"):
        tiny(weights="wavlm.pth")
    assert not (tmp_path / "evil").exists()
