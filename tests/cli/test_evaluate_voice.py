"""``evaluate voice``, with a Moshi, an adapter and a codec of random weights, and people made of noise."""

import json
from pathlib import Path

import pytest
import torch

from moshi_zoo.data import audio
from moshi_zoo.evaluation.codec import ZooCodec
from moshi_zoo.evaluation.voiceprint import SAMPLE_RATE
from moshi_zoo.modules.lora import LoraSize, adapter_state_dict, add_adapter
from moshi_zoo.zoo import adapters, folder
from moshi_zoo.zoo.config import Parent, read_config
from tests.cli import conversational
from tests.evaluation.voices import speak


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The model `base`, its adapter `voice`, dialogues, recordings of her and of others; the current folder."""
    monkeypatch.chdir(tmp_path)
    conversational.store(Path("talk"), Path("checkpoints/codec"))
    conversational.tiny_moshi(Path("checkpoints/base"), Path("checkpoints/codec"))
    config, size = read_config(Path("checkpoints/base")), LoraSize(depth=2)
    net = folder.load(Path("checkpoints/base"))
    add_adapter(net, size)
    with torch.no_grad():
        for tensor in adapter_state_dict(net).values():
            tensor.normal_(std=0.5)
    spec = adapters.adapter_spec({"component": config.component, "init_args": config.init_args}, size)
    parents = [Parent("base", config.sha256)]
    folder.save(Path("checkpoints/voice"), spec, adapter_state_dict(net), stage="test", parents=parents)
    lines = []
    for who, takes in [(70, 3), *((who, 1) for who in range(12))]:
        for take in range(takes):
            path = Path(f"speech/{who}-{take}.wav")
            path.parent.mkdir(exist_ok=True)
            audio.save(path, speak(who, take, 4.5)[None], SAMPLE_RATE)
            lines.append(
                {"path": path.name, "speaker": str(who), "split": "train" if (who, take) == (70, 0) else "test"}
            )
    Path("speech/others.jsonl").write_text("\n".join(map(json.dumps, lines)))
    Path("her").mkdir()
    for take in range(3):
        Path(f"her/{take}.wav").symlink_to(Path(f"speech/70-{take}.wav").absolute())
    her = [{"path": f"{i}.wav", "speaker": "70", "split": "train" if i == 0 else "valid"} for i in range(3)]
    Path("her/manifest.jsonl").write_text("\n".join(map(json.dumps, her)))
    return tmp_path


WORDS = ("--model", "base", "--adapter", "voice", "--data", "talk", "--others", "speech/others.jsonl")


def sound(self, codes):
    """A codec of random weights says nothing that could be a voice; this one depends on the codes at least."""
    return speak(100 + int(codes.sum()) % 9, 0, codes.shape[-1] * 1920 / SAMPLE_RATE)[None, None]


def test_replies_are_compared_before_and_after(home, moshi_zoo, monkeypatch):
    monkeypatch.setattr(ZooCodec, "decode", sound)
    code, out, err = moshi_zoo("evaluate", "voice", *WORDS, "--target", "her/manifest.jsonl")
    assert code == 0, err
    found = json.loads(Path("runs/evaluations/voice/voice/results.json").read_text())
    names = {"target", "target through the codec", "other speakers", "before", "after"}
    assert set(found["similarity"]) == names
    assert found["data"]["recordings"] == 2, "what the adapter has learnt from is left out"
    assert set(found["answers_right"]) == {"before", "after"}
    assert found["answers"] == 4
    assert "| of the way to the codec's ceiling" in out
    assert (home / "runs/evaluations/voice/voice/after.wav").stat().st_size > 1000
    assert "learnt from 10 speakers" in out  # of 12; she is among the others' recordings, and left out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "her/0.wav"), "has 1 recordings that are not marked as train"),
        (("--target", "her/manifest.jsonl", "--adapter", "base"), "is no adapter"),
        (("--target", "her/manifest.jsonl", "--adapter", "nobody"), "nobody"),
    ],
)
def test_wrong_use_is_said(home, moshi_zoo, words, message):
    code, _, err = moshi_zoo("evaluate", "voice", *WORDS, *words)
    assert code == 2
    assert message in err
