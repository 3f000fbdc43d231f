"""Users who read aloud: phrases between pauses, and answers with the last word."""

import json
import random

import pytest

from moshi_zoo.data import audio
from moshi_zoo.data.dialogue_audio_reading import FAMILY, RecordedReadings
from tests.data.sounds import noise

WORDS = [["There's", 0.1, 0.3], ["iron,", 0.3, 0.5], ["they", 0.7, 0.8], ["say", 0.8, 1.0], ["in", 1.2, 1.4]]


@pytest.fixture
def readings(tmp_path):
    audio.save(tmp_path / "a.wav", noise(1.5, 8000), 8000)
    lines = [
        {"path": "a.wav", "speaker": "anna", "split": "train", "words": WORDS},
        {"path": "a.wav", "speaker": "ben", "split": "train", "text": "whose words have no times"},
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return RecordedReadings(tmp_path / "manifest.jsonl")


def test_phrases_lie_between_pauses_and_are_answered_with_their_last_word(readings):
    answers = {}
    for seed in range(60):
        dialogue, talker = readings.dialogue("train", random.Random(seed))
        assert (dialogue.family, talker.name) == (FAMILY, "anna")
        for asked, answer in zip(dialogue.turns[::2], dialogue.turns[1::2], strict=True):
            answers[asked.text] = answer.expected
            assert answer.expected in answer.text
    assert answers == {
        "There's iron,": "iron",
        "they say": "say",
        "There's iron, they say": "say",
        "they say in": "in",
        "There's iron, they say in": "in",
    }


def test_what_is_read_is_the_recording_from_the_first_word_to_the_last(readings):
    dialogue, talker = readings.dialogue("train", random.Random(0))
    for turn in dialogue.turns[::2]:
        said = talker.say(turn.text)
        assert " ".join(word.text for word in said.words) == turn.text
        assert said.words[0].start_s == 0
        assert len(said.wav) / said.sample_rate == pytest.approx(said.words[-1].end_s, abs=1e-3)


def test_what_recordings_lack_is_said(readings, tmp_path):
    with pytest.raises(ValueError, match="no reader for the split 'valid'"):
        readings.dialogue("valid", random.Random(0))
    (tmp_path / "manifest.jsonl").write_text('{"path": "a.wav", "text": "no times"}')
    with pytest.raises(ValueError, match="data align"):
        RecordedReadings(tmp_path / "manifest.jsonl")
