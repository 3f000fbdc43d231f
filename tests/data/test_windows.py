import numpy as np
import pytest
import soundfile
import torch

from moshi_zoo.data import audio
from moshi_zoo.data.splits import Span
from moshi_zoo.data.windows import FixedWindows, RandomWindows, Recordings, active_share, collate, level_db
from tests.data.sounds import noise, tone

RATE = 24000


def _random(spans, num_items=8, seconds=0.1, **kwargs):
    settings = {"gain_db": (0.0, 0.0), "silence_db": -60.0, "seed": 0, **kwargs}
    return RandomWindows(spans, num_samples=round(seconds * RATE), sample_rate=RATE, num_items=num_items, **settings)


def _fixed(spans, num_items=4, seconds=0.5):
    return FixedWindows(
        spans, num_samples=round(seconds * RATE), sample_rate=RATE, num_items=num_items, silence_db=-60.0
    )


def _ramp(path, seconds):
    """A file in which each sample tells where it is: value = position / 2**20."""
    positions = np.arange(round(seconds * RATE)) / 2**20
    soundfile.write(path, positions.astype(np.float32), RATE, subtype="FLOAT")
    return Span(path, 0.0, seconds)


def _position(wav):
    return round(wav[0, 0].item() * 2**20)


def test_windows_are_parts_of_the_file_in_proportion_to_duration(tmp_path):
    spans = [_ramp(tmp_path / "short.wav", 1.0), _ramp(tmp_path / "long.wav", 9.0)]
    dataset = _random(spans, num_items=100)
    windows = [dataset[epoch, item] for epoch in range(4) for item in range(100)]
    starts = sorted(_position(window.wav) for window in windows)
    assert all(window.num_samples == 2400 for window in windows)
    assert all(torch.equal(w.wav[0] * 2**20, torch.arange(2400.0) + _position(w.wav)) for w in windows)
    in_tail = sum(start > 2 * RATE for start in starts)  # only the long file is that long: 7 of 10 seconds
    assert in_tail == pytest.approx(400 * 0.7, abs=25)


def test_an_epoch_goes_through_all_of_the_audio_and_the_next_one_elsewhere(tmp_path):
    dataset = _random([_ramp(tmp_path / "a.wav", 10.0)], num_items=100)
    starts = np.array([[_position(dataset[epoch, item].wav) for item in range(100)] for epoch in range(2)])
    assert (np.diff(starts[0]) > 0).all()  # one in each hundredth of the file
    assert np.diff(starts[0]).max() < 2 * 0.1 * RATE
    assert (starts[0] != starts[1]).mean() > 0.95


def test_an_item_is_a_function_of_seed_epoch_and_index(tmp_path):
    span = _ramp(tmp_path / "a.wav", 5.0)
    one, other = _random([span], gain_db=(-6.0, 6.0)), _random([span], gain_db=(-6.0, 6.0))
    other[0, 5]
    assert torch.equal(one[2, 3].wav, other[2, 3].wav)
    assert not torch.equal(one[2, 3].wav, one[3, 3].wav)
    assert not torch.equal(one[2, 3].wav, _random([span], seed=1, gain_db=(-6.0, 6.0))[2, 3].wav)


def test_a_window_never_leaves_its_span(tmp_path):
    whole = _ramp(tmp_path / "a.wav", 4.0)
    dataset = _random([Span(whole.path, 1.0, 0.35)], num_items=50, seconds=0.3)
    for item in range(50):
        window = dataset[0, item]
        assert _position(window.wav) >= RATE
        assert _position(window.wav) + window.num_samples <= 1.35 * RATE


def test_short_files_are_padded_and_say_how_long_they_are(tmp_path):
    audio.save(tmp_path / "a.wav", noise(0.05, 8000), 8000)
    window = _random([Span(tmp_path / "a.wav", 0.0, 0.05)])[0, 0]
    assert window.wav.shape == (1, 2400)
    assert window.num_samples == 1200
    assert window.wav[0, :1200].abs().min() >= 0
    assert (window.wav[0, 1200:] == 0).all()
    assert window.wav[0, 1100:1200].abs().max() > 0.01


def test_gain_is_random_and_turned_down_where_it_would_clip(tmp_path):
    audio.save(tmp_path / "a.wav", tone(440, 2, RATE), RATE)
    span = Span(tmp_path / "a.wav", 0.0, 2.0)
    dataset = _random([span], num_items=50, gain_db=(-12.0, 12.0))
    peaks = torch.stack([dataset[0, item].wav.max() for item in range(50)])
    assert peaks.min() < 0.5 * 10 ** (-9 / 20)
    assert (peaks <= 1).all()
    assert 5 < (peaks > 0.999).sum() < 40
    assert {round(_random([span])[0, item].wav.max().item(), 2) for item in range(8)} == {0.5}


def test_other_rates_and_channels_come_out_as_mono_at_the_wanted_rate(tmp_path):
    audio.save(tmp_path / "a.flac", noise(2, 44100, channels=2), 44100)
    whole = audio.load(tmp_path / "a.flac", RATE, channels=1)
    window = _random([Span(tmp_path / "a.flac", 0.0, 2.0)])[0, 4]
    matches = whole.unfold(1, 2400, 1)[0] - window.wav[0]
    assert matches.abs().amax(dim=1).min() < 1e-5


def test_silent_windows_are_drawn_again(tmp_path):
    wav = torch.cat([torch.zeros(1, 4 * RATE), noise(1, RATE)], dim=1)
    audio.save(tmp_path / "a.wav", wav, RATE)
    dataset = _random([Span(tmp_path / "a.wav", 0.0, 5.0)], num_items=20)
    windows = [dataset[0, item] for item in range(20)]
    assert all(level_db(window.wav) > -60 for window in windows)
    assert not any(window.bad for window in windows)


def test_bad_files_are_replaced_and_named_once(tmp_path):
    audio.save(tmp_path / "good.wav", noise(1, RATE), RATE)
    audio.save(tmp_path / "silent.wav", torch.zeros(1, RATE), RATE)
    audio.save(tmp_path / "broken.flac", noise(1, RATE), RATE)
    (tmp_path / "broken.flac").write_bytes((tmp_path / "broken.flac").read_bytes()[:9000])
    spans = [Span(tmp_path / name, 0.0, 1.0) for name in ("good.wav", "silent.wav", "broken.flac", "gone.wav")]
    dataset = _random(spans, num_items=24)
    windows = [dataset[0, item] for item in range(24)]
    reasons = {bad.path.name: bad.reason for window in windows for bad in window.bad}
    assert reasons.keys() == {"silent.wav", "broken.flac", "gone.wav"}
    assert "is silent (below -60.0 dB)" in reasons["silent.wav"]
    assert "corrupt" in reasons["broken.flac"]
    assert "no such file" in reasons["gone.wav"]
    assert sum(len(window.bad) for window in windows) == 3
    assert all(level_db(window.wav) > -60 for window in windows)
    fresh = _random(spans, num_items=24)  # knows of no bad files yet, as a new worker
    assert all(torch.equal(fresh[0, item].wav, windows[item].wav) for item in reversed(range(24)))


def test_nothing_but_silence_is_an_error(tmp_path):
    audio.save(tmp_path / "a.wav", torch.zeros(1, RATE), RATE)
    with pytest.raises(ValueError, match=r"silence_db.*a\.wav: is silent"):
        _random([Span(tmp_path / "a.wav", 0.0, 1.0)])[0, 0]


def test_fixed_windows_are_whole_from_the_middle_and_spread(tmp_path):
    spans = [_ramp(tmp_path / "a.wav", 2.2), _ramp(tmp_path / "b.wav", 4.2), Span(tmp_path / "unused.wav", 0.0, 0.3)]
    dataset = _fixed(spans, num_items=3)
    windows = [dataset[i] for i in range(3)]
    assert [window.num_samples for window in windows] == [12000] * 3
    starts = [_position(window.wav) / RATE for window in windows]
    assert starts == pytest.approx([0.6, 0.6, 2.6], abs=0.51)
    assert all(torch.equal(dataset[i].wav, windows[i].wav) for i in range(3))


def test_fixed_windows_prefer_speech_to_pauses(tmp_path):
    pause, speech = noise(2, RATE) * 1e-3, noise(1, RATE)
    audio.save(tmp_path / "a.wav", torch.cat([pause, speech, pause], dim=1), RATE)
    (window,) = list(map(_fixed([Span(tmp_path / "a.wav", 0.0, 5.0)], num_items=1).__getitem__, [0]))
    assert active_share(window.wav, RATE) > 0.9
    assert level_db(window.wav) > -20


def test_short_files_serve_where_long_ones_are_not_enough(tmp_path):
    spans = []
    for i in range(3):
        audio.save(tmp_path / f"{i}.wav", noise(0.2, RATE, seed=i), RATE)
        spans.append(Span(tmp_path / f"{i}.wav", 0.0, 0.2))
    dataset = _fixed(spans, num_items=8)
    assert [dataset[i].num_samples for i in range(len(dataset))] == [4800] * 3
    assert dataset[0].wav.shape == (1, 12000)


def test_fixed_windows_report_bad_files_and_refuse_silence(tmp_path):
    audio.save(tmp_path / "good.wav", noise(1, RATE), RATE)
    audio.save(tmp_path / "silent.wav", torch.zeros(1, RATE), RATE)
    good, silent, gone = (Span(tmp_path / f"{name}.wav", 0.0, 1.0) for name in ("good", "silent", "gone"))
    dataset = _fixed([gone, good], num_items=4)
    assert {bad.path.name for bad in dataset.bad} == {"gone.wav"}
    assert len(dataset) == 2
    with pytest.raises(ValueError, match="none of the 1 validation recordings has sound"):
        _fixed([silent])


def test_collating_makes_a_batch_and_keeps_the_bad_files(tmp_path):
    dataset = _random([_ramp(tmp_path / "a.wav", 1.0), Span(tmp_path / "gone.wav", 0.0, 1.0)])
    batch, bad = collate([dataset[0, item] for item in range(8)])
    assert batch["wav"].shape == (8, 1, 2400)
    assert batch["wav"].dtype == torch.float32
    assert batch["num_samples"].tolist() == [2400] * 8
    assert batch["index"].tolist() == list(range(8))
    assert batch["index"].dtype == batch["num_samples"].dtype == torch.int64
    assert [file.path.name for file in bad] == ["gone.wav"]


def test_a_window_says_where_it_comes_from(tmp_path):
    spans = [_ramp(tmp_path / "a.wav", 1.0), _ramp(tmp_path / "b.wav", 2.0)]
    spans.insert(1, Span(spans[0].path, 0.0, 0.5))
    recordings = Recordings(spans, RATE)
    assert recordings.names == [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    batch, _ = collate([_random(spans)[0, item] for item in range(8)])
    for wav, recording, start in zip(batch["wav"], batch["recording"], batch["start"], strict=True):
        assert torch.equal(recordings.load(recording)[:, start : start + 2400], wav)
    assert set(batch["recording"].tolist()) == {0, 1}
