"""What is wrong with recordings."""

import json

import numpy as np
import pytest
import torch

from moshi_zoo.data import audio
from moshi_zoo.data.manifest import Recording
from moshi_zoo.data.scan import ADVICE, Problem, looks_like_conversations, scan, transcript
from moshi_zoo.data.scan_sound import listen

RATE = 24_000
TEXT = "many words are said in these four seconds"


def speech(spans, seconds=4.0, *, noise_db=-65.0, seed=0, rate=RATE):
    """Noise as loud as speech in some stretches, and quiet noise all over: float32 [S]."""
    rng = np.random.default_rng(seed)
    wav = rng.standard_normal(round(seconds * rate)) * 10 ** (noise_db / 20)
    for start, end in spans:
        part = slice(round(start * rate), round(end * rate))
        wav[part] += 0.08 * rng.standard_normal(len(wav[part]))
    return torch.from_numpy(wav.astype(np.float32))


CLEAN = [(0.3, 1.7), (2.2, 3.7)]


def found(tmp_path, wav, *, conversations=False, text=TEXT, rate=RATE):
    """The problems of one recording."""
    audio.save(tmp_path / "a.wav", wav[None] if wav.dim() == 1 else wav, rate)
    (item,) = scan([Recording(tmp_path / "a.wav", text=text)], conversations=conversations)
    return item


def test_a_clean_recording_has_no_problems(tmp_path):
    item = found(tmp_path, speech(CLEAN))
    assert item.usable
    assert item.problems == {}
    assert item.speech_s == pytest.approx(2.9, abs=0.1)
    assert item.recording.duration == 4.0
    voice = item.sound.channels[0]
    assert voice.noise_db == pytest.approx(-65, abs=1)
    assert voice.snr_db == pytest.approx(43, abs=2)


@pytest.mark.parametrize(
    ("wav", "problem", "usable"),
    [
        ((12 * speech(CLEAN)).clamp(-0.9, 0.9), "clipped", True),
        (speech(CLEAN, noise_db=-32.0), "noisy", True),
        (speech(CLEAN, noise_db=-90) / 40, "too quiet", True),
        (speech([(0.1, 0.7)], 0.8), "too short", False),
        (speech([], 3.0), "no speech", False),
        (speech([(0.3, 1.5)], 9.0), "mostly silence", True),
        (speech([(0.5, 62.0)], 65.0), "too long", True),
    ],
)
def test_what_is_wrong_is_found_and_nothing_else(tmp_path, wav, problem, usable):
    seconds = len(wav) / RATE
    text = "x" * round(12 * (seconds - 3 if problem == "too long" else 2))
    item = found(tmp_path, wav, text=text)
    assert problem in item.problems
    assert set(item.problems) <= {problem, "transcript does not fit"}
    assert item.usable is usable
    assert ADVICE[problem]


def test_what_was_a_telephone_call_is_told_by_its_band(tmp_path):
    wav = torch.from_numpy(np.repeat(speech(CLEAN, rate=8000).numpy(), 3))
    spectrum = torch.fft.rfft(wav)
    spectrum[len(spectrum) // 3 :] = 0
    assert set(found(tmp_path, torch.fft.irfft(spectrum)).problems) == {"band-limited"}


def test_a_file_that_is_no_audio_and_one_that_is_there_twice_are_unusable(tmp_path):
    audio.save(tmp_path / "a.wav", speech(CLEAN)[None], RATE)
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    (tmp_path / "c.wav").write_bytes(b"RIFF")
    recordings = [Recording(tmp_path / f"{name}.wav", text=TEXT) for name in "abc"]
    first, second, third = scan(recordings, conversations=False)
    assert first.usable
    assert second.problems == {"duplicate": "of a.wav"}
    assert set(third.problems) == {"unreadable"}
    assert not second.usable
    assert not third.usable


def test_channels_of_a_conversation_are_looked_at(tmp_path):
    one, other = speech([(0.2, 1.5)]), speech([(2.0, 3.8)], seed=1)
    clean = found(tmp_path, torch.stack([one, other]), conversations=True)
    assert not clean.problems
    assert looks_like_conversations([clean.sound])
    for stereo, problem in [
        (torch.stack([one, one]), "one channel"),
        (torch.stack([one, other + 0.3 * one.roll(200)]), "crosstalk"),
    ]:
        item = found(tmp_path, stereo, conversations=True)
        assert set(item.problems) == {problem}
    assert "one channel" in found(tmp_path, one, conversations=True).problems


def test_the_main_speaker_in_the_wrong_channel_is_found_by_the_words(tmp_path):
    one, other = speech([(0.2, 1.5)]), speech([(2.0, 3.8)], seed=1)
    words = {"alignments": [["hello", [0.3, 0.8], "SPEAKER_MAIN"], ["you", [2.1, 2.6], "SPEAKER_USER"]]}
    (tmp_path / "a.json").write_text(json.dumps(words))
    assert not found(tmp_path, torch.stack([one, other]), conversations=True).problems
    swapped = found(tmp_path, torch.stack([other, one]), conversations=True)
    assert set(swapped.problems) == {"swapped channels"}
    assert not swapped.usable


@pytest.mark.parametrize(
    ("beside", "problem"),
    [
        ({}, "no transcript"),
        ({"a.txt": b"\xff\xfe\xff"}, "bad transcript"),
        ({"a.txt": b"  \n"}, "bad transcript"),
        ({"a.json": b"{"}, "bad transcript"),
        ({"a.txt": b"no"}, "transcript does not fit"),
        ({"a.txt": TEXT.encode()}, None),
    ],
)
def test_transcripts_lie_beside_recordings(tmp_path, beside, problem):
    for name, content in beside.items():
        (tmp_path / name).write_bytes(content)
    item = found(tmp_path, speech(CLEAN), text=None)
    assert set(item.problems) == ({problem} if problem else set())
    assert item.usable is (problem != "bad transcript")


def test_a_text_may_come_from_timed_words(tmp_path):
    words = {"alignments": [["hello", [0.3, 0.8], "SPEAKER_MAIN"], ["you", [2.1, 2.6], "SPEAKER_USER"]]}
    (tmp_path / "a.json").write_text(json.dumps(words))
    text, timed = transcript(Recording(tmp_path / "a.wav"))
    assert text == "hello"
    assert len(timed) == 2


def test_every_problem_has_advice():
    assert set(ADVICE) == set(Problem.__args__)


def test_clipping_is_counted_where_it_is(tmp_path):
    wav = speech(CLEAN)
    audio.save(tmp_path / "a.wav", torch.stack([wav, (12 * wav).clamp(-0.9, 0.9)]), RATE)
    first, second = listen(tmp_path / "a.wav").channels
    assert first.clipped == 0
    assert second.clipped > 0.02
