"""The verbs ``encode`` and ``decode``, with a codec of random weights."""

import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from moshi_zoo import load, registry
from moshi_zoo.cli import codec as verbs
from moshi_zoo.data import audio
from moshi_zoo.models.mimi import Mimi
from moshi_zoo.zoo import folder


@pytest.fixture
def codec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = registry.build("mimi-tiny")
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(tmp_path / "checkpoints/tiny", spec, net.state_dict(), stage="test")
    return load("tiny")


def sound(path, *, seconds=1.3, rate=24_000, channels=1):
    samples = torch.rand(round(seconds * rate), channels) * 0.5 - 0.25
    soundfile.write(path, samples.numpy(), rate)
    return path


def read_codes(path):
    with safe_open(path, framework="pt") as file:
        return file.get_tensor("codes"), file.metadata()


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_there_and_back_keeps_length_and_channels(codec, moshi_zoo, tmp_path, name):
    sound(tmp_path / name, rate=44_100, channels=2)
    assert moshi_zoo("encode", name, "--model", "tiny", "--out", "new/a.safetensors")[0] == 0
    codes, metadata = read_codes("new/a.safetensors")
    assert codes.dtype == torch.int16
    assert codes.shape == (2, codec.num_codebooks, 17)
    assert metadata["model"] == "tiny"
    assert (metadata["sample_rate"], metadata["frame_rate"]) == ("24000", "12.5")
    num_samples = audio.load(tmp_path / name, 24_000).shape[-1]
    assert int(metadata["num_samples"]) == num_samples
    assert moshi_zoo("decode", "new/a.safetensors", "--model", "tiny", "--out", "out/b.wav")[0] == 0
    assert audio.load("out/b.wav", 24_000).shape == (2, num_samples)


def test_blocks_give_what_one_pass_gives(codec, moshi_zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(verbs, "_BLOCK_FRAMES", 3)
    sound("a.wav")
    moshi_zoo("encode", "a.wav", "--model", "tiny", "--out", "a.safetensors", "--num-codebooks", 2)
    moshi_zoo("decode", "a.safetensors", "--model", "tiny", "--out", "b.wav")
    wav = audio.load("a.wav", 24_000)
    with torch.inference_mode():
        codes = codec.encode(wav[None], 2)
        decoded = codec.decode(codes)[0, :, : wav.shape[-1]].clamp(-1, 1)
    assert torch.equal(read_codes("a.safetensors")[0], codes.to(torch.int16))
    torch.testing.assert_close(audio.load("b.wav", 24_000), decoded, atol=2e-4, rtol=0)


def test_a_long_file_goes_through_the_codec_in_short_blocks(codec, moshi_zoo, tmp_path, monkeypatch):
    encoded, decoded = [], []
    encode, decode = Mimi.encode, Mimi.decode
    monkeypatch.setattr(
        Mimi, "encode", lambda self, x, *a, **k: encoded.append(x.shape[-1]) or encode(self, x, *a, **k)
    )
    monkeypatch.setattr(
        Mimi, "decode", lambda self, x, *a, **k: decoded.append(x.shape[-1]) or decode(self, x, *a, **k)
    )
    sound("long.wav", seconds=9.1, rate=8_000)
    moshi_zoo("encode", "long.wav", "--model", "tiny", "--out", "a.safetensors")
    moshi_zoo("decode", "a.safetensors", "--model", "tiny", "--out", "b.wav")
    assert encoded == [50 * 1920, 50 * 1920, 14 * 1920]
    assert decoded == [50, 50, 14]


def wrong(name, tensors, metadata=None):
    save_file(tensors, name, metadata)
    return name


def test_wrong_input_is_refused_with_the_reason(codec, moshi_zoo, tmp_path):
    sound("a.wav", seconds=0.2)
    (tmp_path / "text.safetensors").write_text("this is not it")
    codes = torch.zeros(1, 2, 3, dtype=torch.int16)
    cases = [
        (["encode", "a.wav", "--model", "tinny"], "no model is called 'tinny'; did you mean tiny"),
        (["encode", "b.wav", "--model", "tiny"], "b.wav"),
        (["encode", "text.safetensors", "--model", "tiny"], "text.safetensors"),
        (["encode", "a.wav", "--model", "tiny", "--num_codebooks", "9"], "4"),
        (["encode", "a.wav", "--model", "tiny", "--num_codebooks", "0"], "0"),
        (["encode", "a.wav", "--model", "tiny", "--device", "warp"], "the device 'warp'"),
        (["encode", "a.wav", "--model", "mimi-base"], "is a preset"),
        (["encode", "a.wav"], "model, out not given"),
        (["decode", "text.safetensors", "--model", "tiny"], "no safetensors file"),
        (["decode", "none.safetensors", "--model", "tiny"], "no such file"),
        (["decode", wrong("a1", {"x": codes}), "--model", "tiny"], "no tensor called 'codes'"),
        (["decode", wrong("a2", {"codes": codes.float()}), "--model", "tiny"], "not integers"),
        (["decode", wrong("a3", {"codes": codes.repeat(1, 3, 1)}), "--model", "tiny"], "6 codebooks"),
        (["decode", wrong("a4", {"codes": codes + 32}), "--model", "tiny"], "from 0 to 31"),
        (["decode", wrong("a5", {"codes": codes}, {"sample_rate": "16000"}), "--model", "tiny"], "16000"),
        (["decode", wrong("a6", {"codes": codes}, {"num_samples": "99999"}), "--model", "tiny"], "99999"),
        (["decode", wrong("a7", {"codes": codes}, {"num_samples": "many"}), "--model", "tiny"], "many"),
    ]
    for words, message in cases:
        out = [] if "not given" in message else ["--out", "out.wav" if words[0] == "decode" else "out.safetensors"]
        code, _, err = moshi_zoo(*words, *out)
        assert code == 2, (words, err)
        assert message in err.splitlines()[-1], words
        assert "Traceback" not in err


def test_codes_of_another_model_are_noted(codec, moshi_zoo, tmp_path):
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(tmp_path / "checkpoints/other", spec, registry.build("mimi-tiny").state_dict(), stage="test")
    sound("a.wav", seconds=0.2)
    moshi_zoo("encode", "a.wav", "--model", "tiny", "--out", "a.safetensors")
    code, _, err = moshi_zoo("decode", "a.safetensors", "--model", "other", "--out", "b.wav")
    assert code == 0
    assert "made by another model, tiny" in err
