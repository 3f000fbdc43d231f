"""What windows bring along beside their sound."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from moshi_zoo.data.manifest import Recording
from moshi_zoo.data.segments import SegmentData
from moshi_zoo.data.splits import Span
from moshi_zoo.data.tracks import SILENCE, UNKNOWN, PhonemeTrack
from moshi_zoo.data.windows import RandomWindows, collate
from tests.data.sounds import noise

RATE = 24_000
A, B = Path("a.wav"), Path("b.wav")
SAID = [["t", 0.10, 0.20], ["'E", 0.20, 0.30], ["n", 0.50, 0.60]]


def test_each_20_ms_has_the_phoneme_of_its_middle_and_silence_lies_between():
    track = PhonemeTrack([Recording(A, phonemes=SAID)])
    assert track.symbols == ["E", "n", "t"]
    assert track.at(A, 0.0, 35).tolist() == [0] * 5 + [3] * 5 + [1] * 5 + [0] * 10 + [2] * 5 + [0] * 5
    assert track.at(A, 0.105, 6).tolist() == [3] * 5 + [1]  # middles at 0.115 ... 0.215
    assert track.at(A, 0.095, 6).tolist() == [3] * 5 + [1]  # 0.105 ... 0.205
    assert track.at(A, 0.085, 6).tolist() == [0, *[3] * 5]  # 0.095 ... 0.195


def test_numbers_are_those_of_all_recordings_together_whatever_their_order_and_stress():
    more = [[",E", 0.0, 0.1], ["a", 0.1, 0.2]]
    one = PhonemeTrack([Recording(A, phonemes=SAID), Recording(B, phonemes=more)])
    other = PhonemeTrack([Recording(B, phonemes=more), Recording(A, phonemes=SAID[::-1])])
    assert one.symbols == other.symbols == ["E", "a", "n", "t"]
    assert torch.equal(one.at(A, 0.0, 30), other.at(A, 0.0, 30))


def test_of_other_recordings_nothing_is_known():
    track = PhonemeTrack([Recording(A, phonemes=SAID), Recording(B)])
    assert track.at(B, 0.0, 3).tolist() == [UNKNOWN] * 3
    assert track.at(B, 0.0, 3).dtype == track.at(A, 0.0, 3).dtype == torch.int64


@pytest.mark.parametrize("phonemes", [[["t", 0.1]], ["t"], [["t", "soon", 0.2]], [3]])
def test_what_is_no_list_of_phonemes_is_named(phonemes):
    with pytest.raises(ValueError, match=r"a\.wav: its phonemes are not \[symbol, start in seconds"):
        PhonemeTrack([Recording(A, phonemes=phonemes)])


def test_a_window_brings_the_part_of_the_track_that_is_its_own(tmp_path):
    """The sound is the phoneme's number, so that both can be compared."""
    bounds = np.linspace(0, 2, 21)
    phonemes = [[chr(97 + i), bounds[i], bounds[i + 1]] for i in range(20)]
    steps = np.repeat(np.arange(1, 21), RATE // 10) / 32
    soundfile.write(tmp_path / "a.wav", steps.astype(np.float32), RATE, subtype="FLOAT")
    track = PhonemeTrack([Recording(tmp_path / "a.wav", phonemes=phonemes)])
    settings = {"gain_db": (0.0, 0.0), "silence_db": -90.0, "seed": 0, "tracks": {"phonemes": track}}
    dataset = RandomWindows(
        [Span(tmp_path / "a.wav", 0.0, 2.0)], num_samples=9600, sample_rate=RATE, num_items=10, **settings
    )
    batch, _ = collate([dataset[0, item] for item in range(10)])
    assert batch["phonemes"].shape == (10, 20)
    middles = batch["wav"][:, 0].unfold(1, 480, 480)[:, :, 240]  # [B, N]
    assert torch.equal(batch["phonemes"], (middles * 32).round().long())


def test_the_data_module_brings_phonemes_where_the_manifest_has_them(tmp_path):
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", noise(2.0, RATE)[0].numpy(), RATE)
    lines = [{"path": "a.wav", "split": "train", "phonemes": SAID}, {"path": "b.wav", "split": "valid"}]
    settings = {"seconds": 0.16, "batch_size": 4, "validation_seconds": 0.5}
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = SegmentData(str(tmp_path), **settings)
    data.setup()
    batches = list(data.train_dataloader())
    assert {tuple(batch["phonemes"].shape) for batch in batches} == {(4, 8)}
    assert {SILENCE, 1, 2, 3} <= set(torch.cat([batch["phonemes"] for batch in batches]).unique().tolist())
    (tmp_path / "manifest.jsonl").write_text("\n".join(json.dumps(line | {"phonemes": None}) for line in lines))
    data = SegmentData(str(tmp_path), **settings)
    data.setup()
    assert "phonemes" not in next(iter(data.train_dataloader()))
