"""Dialogues by number: whose they are, and how often recordings play the user."""

import json
from collections import Counter
from itertools import pairwise
from statistics import median

import pytest

from moshi_zoo.data import audio
from moshi_zoo.data.dialogue_corpus import Corpus, Speaker
from moshi_zoo.data.dialogue_tasks import DIGITS
from tests.data.sounds import noise


@pytest.fixture
def digits(tmp_path):
    """A manifest of one speaker's digits."""
    for i, word in enumerate(DIGITS):
        audio.save(tmp_path / f"{word}.wav", noise(0.3, 8000, seed=i), 8000)
    lines = [{"path": f"{word}.wav", "text": word, "speaker": "anna", "split": "train"} for word in DIGITS]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return str(tmp_path / "manifest.jsonl")


def test_recordings_and_digits_have_their_shares(digits):
    speaker = Speaker(Corpus(user_recordings=f"{digits}:0.5", digit_share=0.5, augmentation="none"))
    kinds = Counter(
        (take.recorded_user, take.written.family == "spoken digits") for take in map(speaker.speak, range(40))
    )
    assert kinds[True, True] == pytest.approx(20, abs=8)
    assert kinds[False, True] == pytest.approx(10, abs=6)
    assert kinds[False, False] == pytest.approx(10, abs=6)
    assert kinds[True, False] == 0


def test_all_users_are_recorded_where_no_share_is_given(digits):
    speaker = Speaker(Corpus(user_recordings=digits))
    takes = [speaker.speak(number) for number in range(3)]
    assert {take.voices["user"] for take in takes} == {"anna"}
    assert takes[1].about == {
        "duration": round(takes[1].spoken.duration, 4),
        "family": "spoken digits",
        "number": 1,
        "voices": {"moshi": "en-us+f2", "user": "anna"},
        "recorded_user": True,
        "turns": takes[1].spoken.turns,
    }


def test_a_new_block_sounds_as_if_nothing_had_been_said_before():
    fresh, used = Speaker(Corpus()), Speaker(Corpus())
    used.speak(5)
    used.begin_block()
    assert (used.speak(0).spoken.wav == fresh.speak(0).spoken.wav).all()


def test_shares_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="more than 1"):
        Corpus(user_recordings="a.jsonl:0.6,b.jsonl:0.6")
    with pytest.raises(ValueError, match=r"digit_share is 1\.5"):
        Corpus(digit_share=1.5)
    for seconds in (0.0, 3.5):
        with pytest.raises(ValueError, match=rf"reply_s is {seconds}; it must be 0\.1 to 3"):
            Corpus(reply_s=seconds)


def test_dialogues_are_about_what_is_asked_for():
    corpus = Corpus(families="opposites, small talk", augmentation="none")
    speaker = Speaker(corpus)
    found = {speaker.speak(number).written.family for number in range(12)}
    assert found == {"opposites", "small talk"}
    assert corpus.settings["families"] == "opposites, small talk"
    with pytest.raises(ValueError, match=r"'oposites'.*opposites"):
        Corpus(families="oposites")


def test_moshi_takes_as_long_to_reply_as_is_asked_for():
    def gaps(reply_s):
        speaker, found = Speaker(Corpus(augmentation="none", reply_s=reply_s)), []
        for take in map(speaker.speak, range(6)):
            for before, after in pairwise(take.spoken.turns):
                asked = (before["speaker"], after["speaker"], after["overlap"]) == ("user", "moshi", "none")
                if asked and before["text"] and after["text"] and not after["pause_s"]:
                    found.append(after["start_s"] - before["end_s"])
        return found

    quick, slow = gaps(0.24), gaps(0.64)
    assert len(quick) == len(slow) > 8
    assert median(slow) - median(quick) == pytest.approx(0.4, abs=0.1)
