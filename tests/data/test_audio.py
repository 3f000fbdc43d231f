import pickle
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch

from moshi_zoo.data import audio
from moshi_zoo.data.audio import AudioError
from tests.data.sounds import noise, tone


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg", ".opus"])
@pytest.mark.parametrize("sample_rate", [16000, 24000])
def test_a_window_is_exactly_that_part_of_the_file(tmp_path, suffix, sample_rate):
    path = tmp_path / f"a{suffix}"
    _write(path, noise(3, sample_rate), sample_rate)
    whole, rate = audio.read(path)
    info = audio.probe(path)
    assert (info.sample_rate, info.channels, info.num_samples) == (sample_rate, 1, whole.shape[1])
    assert info.duration == pytest.approx(whole.shape[1] / sample_rate)
    assert rate == sample_rate
    for start in [*range(0, whole.shape[1], 1777), whole.shape[1] - 300, whole.shape[1] - 1]:
        window, _ = audio.read(path, start, 2000)
        torch.testing.assert_close(window, whole[:, start : start + 2000], rtol=0, atol=1e-6)


def _write(path, wav, sample_rate):
    if path.suffix == ".opus":  # which we read but do not write
        soundfile.write(path, wav.T.numpy(), sample_rate, format="OGG", subtype="OPUS")
    else:
        audio.save(path, wav, sample_rate)


def test_seeking_in_mp3_keeps_the_terminal_clean(tmp_path, capfd):
    audio.save(tmp_path / "a.mp3", noise(3, 24000), 24000)
    for start in range(3000, 60000, 3000):
        audio.read(tmp_path / "a.mp3", start, 100)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_lossless_files_keep_16_bits(tmp_path, suffix):
    wav = noise(0.1, 16000, channels=2)
    audio.save(tmp_path / f"a{suffix}", wav, 16000)
    back, _ = audio.read(tmp_path / f"a{suffix}")
    torch.testing.assert_close(back, wav, rtol=0, atol=2**-15)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100, 48000])
def test_a_tone_keeps_frequency_and_level_when_resampled(tmp_path, sample_rate):
    audio.save(tmp_path / "a.wav", tone(3000, 1, sample_rate), sample_rate)
    wav = audio.load(tmp_path / "a.wav", 24000)
    torch.testing.assert_close(wav[:, 2400:-2400], tone(3000, 1, 24000)[:, 2400:-2400], rtol=0, atol=2e-4)


def test_what_is_above_the_new_band_does_not_alias(tmp_path):
    audio.save(tmp_path / "a.wav", tone(13000, 1, 48000), 48000)
    wav = audio.load(tmp_path / "a.wav", 24000)
    assert wav[:, 2400:-2400].square().mean().sqrt() < 1e-4 * 0.5  # -80 dB: the noise of 16 bits


@pytest.mark.parametrize("sample_rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_a_resampled_window_is_a_slice_of_the_resampled_file(tmp_path, sample_rate):
    audio.save(tmp_path / "a.wav", noise(2, sample_rate), sample_rate)
    whole = audio.load(tmp_path / "a.wav", 24000)
    assert whole.shape == (1, 48000)
    for start in (0, 1, 12345, 40000):
        window = audio.load(tmp_path / "a.wav", 24000, start_s=start / 24000, seconds=0.3)
        assert window.shape[1] == 7200
        torch.testing.assert_close(window, whole[:, start : start + 7200], rtol=0, atol=1e-5)
    assert audio.load(tmp_path / "a.wav", 24000, start_s=1.9, seconds=5).shape[1] == 2400


@pytest.mark.parametrize("sample_rate", [8000, 24000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".ogg"])
def test_streaming_equals_loading(tmp_path, suffix, sample_rate, channels):
    path = tmp_path / f"a{suffix}"
    audio.save(path, noise(1.337, sample_rate, channels), sample_rate)
    whole = audio.load(path, 24000)
    for seconds in (0.08, 0.5, 3.0):
        blocks = list(audio.stream(path, 24000, block_seconds=seconds))
        assert {block.shape[1] for block in blocks[:-1]} <= {round(seconds * 24000)}
        torch.testing.assert_close(torch.cat(blocks, dim=1), whole, rtol=0, atol=1e-6)


def test_streaming_a_long_file_needs_little_memory(tmp_path):
    with audio.Writer(tmp_path / "long.flac", 8000) as out:
        for second in range(600):
            out.write(noise(1, 8000, seed=second))
    tracemalloc.start()
    total = sum(block.shape[1] for block in audio.stream(tmp_path / "long.flac", 24000, block_seconds=1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 600 * 24000
    assert peak < 2e6  # the file is 58 MB at 24 kHz


def test_channels_are_mixed_down_kept_or_refused(tmp_path):
    wav = torch.stack([torch.full((100,), 0.5), torch.full((100,), -0.25)])
    audio.save(tmp_path / "a.wav", wav, 24000)
    torch.testing.assert_close(audio.load(tmp_path / "a.wav", 24000, channels=1), torch.full((1, 100), 0.125))
    assert audio.load(tmp_path / "a.wav", 24000).shape == (2, 100)
    audio.save(tmp_path / "mono.wav", wav[:1], 24000)
    with pytest.raises(AudioError, match="has 1 channels, 2 are needed"):
        audio.load(tmp_path / "mono.wav", 24000, channels=2)


def _no_file(path):
    pass


def _no_bytes(path):
    path.touch()


def _no_samples(path):
    soundfile.write(path, np.zeros((0, 1)), 24000)


def _text(path):
    path.write_text("this is a letter, not audio " * 50)


def _cut_off(path):
    soundfile.write(path.with_suffix(".flac"), noise(2, 24000).T.numpy(), 24000)
    path.write_bytes(path.with_suffix(".flac").read_bytes()[:20000])


def _not_a_number(path):
    soundfile.write(path, np.full((100, 1), np.nan), 24000, subtype="FLOAT")


def _unknown_length(path):
    soundfile.write(path.with_suffix(".flac"), noise(1, 24000).T.numpy(), 24000)
    header = bytearray(path.with_suffix(".flac").read_bytes())
    header[21] &= 0xF0
    header[22:26] = bytes(4)  # the 36 bits of STREAMINFO that count the samples
    path.write_bytes(header)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (_no_file, "no such file"),
        (_no_bytes, "0 bytes"),
        (_no_samples, "a header without samples"),
        (_text, "is not audio, or is corrupt"),
        (_cut_off, "corrupt"),
        (_not_a_number, "NaN"),
        (_unknown_length, "does not say how long"),
    ],
)
def test_unusable_files_are_named_with_the_problem(tmp_path, make, problem):
    path = tmp_path / "broken.wav"
    make(path)
    for use in (lambda: audio.read(path), lambda: audio.load(path, 16000), lambda: list(audio.stream(path, 16000))):
        with pytest.raises(AudioError, match=problem) as error:
            use()
        assert str(path) in str(error.value)


def test_foreign_formats_come_with_the_command_that_converts_them(tmp_path):
    _text(tmp_path / "talk.m4a")
    with pytest.raises(AudioError, match=r"ffmpeg -i talk.m4a talk.flac"):
        audio.probe(tmp_path / "talk.m4a")


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(AudioError, match="is a folder"):
        audio.probe(tmp_path)


@pytest.mark.parametrize("start_s", [-0.1, 1.0, 50.0])
def test_a_window_outside_of_the_file_is_refused(tmp_path, start_s):
    audio.save(tmp_path / "a.wav", noise(1, 16000), 16000)
    with pytest.raises(AudioError, match=r"is 1\.000 s long"):
        audio.load(tmp_path / "a.wav", 24000, start_s=start_s, seconds=0.1)
    with pytest.raises(AudioError, match=r"is 1\.000 s long"):
        audio.read(tmp_path / "a.wav", round(start_s * 16000), 10)


def test_an_mp3_that_guesses_its_length_is_read_to_its_true_end(tmp_path):
    quiet_first = torch.cat([noise(2, 24000) * 0, noise(3, 24000)], dim=1)  # so that the guess is too long
    audio.save(tmp_path / "a.mp3", quiet_first, 24000)
    frames = (tmp_path / "a.mp3").read_bytes()
    headless = tmp_path / "headless.mp3"
    headless.write_bytes(frames[frames.find(frames[:2], 100) :])  # without the first frame, which holds the length
    promised = audio.probe(headless).num_samples
    wav, _ = audio.read(headless)
    assert wav.shape[1] < promised, "the guess happens to be right: this test shows nothing"
    for sample_rate in (16000, 24000):
        streamed = torch.cat(list(audio.stream(headless, sample_rate, block_seconds=0.5)), dim=1)
        torch.testing.assert_close(streamed, audio.load(headless, sample_rate), rtol=0, atol=1e-6)
    with pytest.raises(AudioError, match="nothing is at"):
        audio.load(headless, 16000, start_s=(wav.shape[1] + 300) / 24000)


def test_writing_block_by_block_equals_writing_at_once(tmp_path):
    wav = noise(1, 24000, channels=2)
    audio.save(tmp_path / "once.wav", wav, 24000)
    with audio.Writer(tmp_path / "blocks.wav", 24000, channels=2) as out:
        for block in wav.split(1920, dim=1):
            out.write(block)
    assert (tmp_path / "once.wav").read_bytes() == (tmp_path / "blocks.wav").read_bytes()


@pytest.mark.parametrize(("suffix", "ripple"), [(".wav", 1e-4), (".ogg", 0.3)])
def test_loud_samples_are_clipped_and_not_wrapped(tmp_path, suffix, ripple):
    audio.save(tmp_path / f"a{suffix}", 6 * tone(500, 0.5, 24000), 24000)  # a peak of 3
    wav, _ = audio.read(tmp_path / f"a{suffix}")
    assert wav[0, 12] == pytest.approx(1.0, abs=ripple)
    assert wav.abs().max() < 1 + ripple


def test_writing_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(AudioError, match=r"cannot write \.m4a; use one of \.wav"):
        audio.save(tmp_path / "a.m4a", noise(0.1, 24000), 24000)
    with pytest.raises(AudioError, match="22051 Hz"):
        audio.save(tmp_path / "a.mp3", noise(0.1, 22051), 22051)
    with pytest.raises(AudioError, match="mkdir"):
        audio.save(tmp_path / "no" / "a.wav", noise(0.1, 24000), 24000)
    with (
        audio.Writer(tmp_path / "a.wav", 24000, channels=2) as out,
        pytest.raises(ValueError, match=r"needs blocks \[2, S\]"),
    ):
        out.write(noise(0.1, 24000))


def test_errors_survive_the_way_out_of_a_worker(tmp_path):
    error = AudioError(tmp_path / "a.wav", "is broken", "mend it")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) == f"{tmp_path / 'a.wav'}: is broken; mend it"
