"""Dialogues as they sound: voices, times, channels."""

import random
from itertools import pairwise

import numpy as np
import pytest

from moshi_zoo.data import audio
from moshi_zoo.data.alignments import MAIN, OTHER
from moshi_zoo.data.augment import MILD, Noises
from moshi_zoo.data.dialogue import Dialogue, Turn
from moshi_zoo.data.dialogue_audio import SAMPLE_RATE, speak
from moshi_zoo.data.dialogue_audio_digits import digit_dialogue
from moshi_zoo.data.dialogue_audio_timing import schedule
from moshi_zoo.data.dialogue_audio_voices import (
    MOSHI,
    USERS,
    Mannered,
    RecordedWords,
    SyntheticTalker,
    synthetic_user,
)
from moshi_zoo.data.dialogue_tasks import DIGITS
from moshi_zoo.data.espeak import Engine
from moshi_zoo.data.manner import Manner
from tests.data.sounds import tone

TALK = (
    Turn("user", "count to three."),
    Turn("moshi", "one two"),
    Turn("user", "stop.", "interrupts"),
    Turn("moshi", "okay."),
)


def starts_of(turns, durations, draws=200):
    return [schedule(turns, durations, random.Random(seed)) for seed in range(draws)]


class TestTiming:
    def test_moshi_answers_after_a_quarter_of_a_second_and_never_before_the_end(self):
        gaps = [s[1] - s[0] - 1.0 for s, _ in starts_of(TALK[:2], [1.0, 1.0])]
        assert min(gaps) >= 0.08
        assert max(gaps) <= 0.6
        assert np.mean(gaps) == pytest.approx(0.24, abs=0.03)

    def test_moshi_takes_more_time_if_it_is_to(self):
        schedules = [schedule(TALK[:2], [1.0, 1.0], random.Random(seed), reply_s=0.64) for seed in range(200)]
        gaps = [starts[1] - starts[0] - 1.0 for starts, _ in schedules]
        assert np.median(gaps) == pytest.approx(0.64, abs=0.03)
        assert min(gaps) >= 0.08
        assert max(gaps) <= 0.64 + 0.36

    def test_users_sometimes_begin_early_but_leave_moshi_most_of_its_turn(self):
        turns = (Turn("moshi", "it is four."), Turn("user", "thank you."))
        gaps = [s[1] - s[0] - 0.5 for s, _ in starts_of(turns, [0.5, 1.0])]
        assert 0.25 < np.mean(np.array(gaps) < 0) < 0.55
        assert min(gaps) >= -0.2 - 1e-9  # 40 % of half a second

    def test_an_interruption_begins_while_moshi_speaks(self):
        for s, _ in starts_of(TALK, [1.0, 2.0, 0.5, 0.5], 50):
            assert 0.16 <= s[1] + 2.0 - s[2] <= 0.32
            assert s[3] > s[2] + 0.5

    def test_a_backchannel_leaves_the_floor_where_it_is(self):
        turns = (Turn("user", "on monday"), Turn("moshi", "mhm", "backchannel"), Turn("user", "i went home."))
        for s, _ in starts_of(turns, [1.0, 0.3, 1.0], 50):
            assert -0.3 <= s[1] - (s[0] + 1.0) <= 0.1
            assert 0.15 <= s[2] - (s[0] + 1.0) <= 0.45

    def test_silence_lasts_as_long_as_the_script_says(self):
        turns = (Turn("user", "hmm."), Turn("moshi", ""), Turn("user", "what is one?", pause_s=3.0))
        for s, _ in starts_of(turns, [0.5, 0.0, 1.0], 50):
            assert s[2] - s[0] - 0.5 >= 3.0
        alone = (Turn("user", "", pause_s=4.0), Turn("moshi", ""))
        assert all(length > 4 for _, length in starts_of(alone, [0.0, 0.0], 20))

    def test_nobody_speaks_twice_at_once(self):
        turns = (Turn("user", "a"), Turn("moshi", "mhm", "backchannel"), Turn("user", "b"), Turn("moshi", "c"))
        durations = [0.2, 1.5, 0.2, 0.5]
        for s, length in starts_of(turns, durations, 50):
            ends = [start + duration for start, duration in zip(s, durations, strict=True)]
            assert s[3] > ends[1]
            assert length > max(ends)


class TestVoices:
    def test_users_of_a_split_are_heard_in_no_other_and_none_is_moshi(self):
        everyone = [voice for voices in USERS.values() for voice in voices]
        assert len(everyone) == len(set(everyone)) == 29
        assert MOSHI.name not in everyone

    @pytest.fixture
    def recorded(self, tmp_path):
        lines = []
        for i, word in enumerate(("one", "two")):
            audio.save(tmp_path / f"{word}.wav", tone(200 + 100 * i, 0.3, 8000), 8000)
            lines.append(f'{{"path": "{word}.wav", "text": "{word}", "speaker": "anna", "split": "train"}}')
        (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
        return tmp_path / "manifest.jsonl"

    def test_recorded_words_are_put_together_with_their_times(self, recorded):
        talker = RecordedWords(recorded, ["one", "two"]).talker("train", random.Random(0), 16_000).talker
        said = talker.say("two one, two")
        assert [word.text for word in said.words] == ["two", "one,", "two"]
        assert [word.end_s - word.start_s for word in said.words] == pytest.approx([0.3] * 3, abs=1e-3)
        assert all(0.06 <= b.start_s - a.end_s <= 0.2 for a, b in pairwise(said.words))
        assert len(said.wav) == pytest.approx(said.words[-1].end_s * 16_000, abs=1)
        assert talker.name == "anna"

    def test_recorded_voices_are_many_in_training_and_as_they_are_elsewhere(self, tmp_path):
        lines = []
        for split in ("train", "valid"):
            audio.save(tmp_path / f"{split}.wav", tone(200, 0.3, 8000), 8000)
            lines.append(f'{{"path": "{split}.wav", "text": "one", "speaker": "{split}", "split": "{split}"}}')
        (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
        words = RecordedWords(tmp_path / "manifest.jsonl", ["one"])
        lengths = {
            split: [len(words.talker(split, random.Random(seed), 16_000).say("one").wav) for seed in range(20)]
            for split in ("train", "valid")
        }
        assert set(lengths["valid"]) == {4800}
        assert len(set(lengths["train"])) > 10
        assert min(lengths["train"]) < 4200
        assert max(lengths["train"]) > 5400

    def test_words_stay_where_they_are_said_in_another_manner(self, recorded):
        anna = RecordedWords(recorded, ["one", "two"]).talker("train", random.Random(0), 16_000).talker
        talker = Mannered(anna, Manner(tempo=1.25))
        said = talker.say("two one")
        assert talker.name == "anna"
        assert [word.end_s - word.start_s for word in said.words] == pytest.approx([0.24] * 2, abs=1e-3)
        gap = said.wav[round((said.words[0].end_s + 0.02) * 16_000) : round((said.words[1].start_s - 0.02) * 16_000)]
        assert gap.abs().max() < 0.1 * said.wav.abs().max()

    def test_synthetic_users_have_manners_of_their_own_in_training_alone(self):
        engine = Engine()
        kinds = {split: {type(synthetic_user(engine, split, random.Random(i))) for i in range(20)} for split in USERS}
        assert kinds == {"train": {SyntheticTalker, Mannered}, "valid": {SyntheticTalker}, "test": {SyntheticTalker}}

    def test_what_recordings_lack_is_said(self, recorded):
        words = RecordedWords(recorded, ["one", "two"])
        with pytest.raises(ValueError, match="'valid', only for train"):
            words.talker("valid", random.Random(0), 16_000)
        with pytest.raises(ValueError, match="'three', only one, two"):
            words.talker("train", random.Random(0), 16_000).say("three")
        with pytest.raises(ValueError, match="no speaker has recorded all of one, three"):
            RecordedWords(recorded, ["one", "three"])


class TestDigits:
    def test_one_digit_is_counted_on_and_more_are_repeated(self):
        for number in range(200):
            turns = digit_dialogue(0, "train", number).turns
            for asked, answer in zip(turns[::2], turns[1::2], strict=True):
                said = asked.text.split()
                if answer.expected is None:
                    continue  # interrupted
                following = [DIGITS[(DIGITS.index(said[0]) + i) % 10] for i in (1, 2)] if len(said) == 1 else said
                assert answer.expected == " ".join(following)
                assert answer.text == answer.expected

    def test_an_interrupted_answer_is_a_beginning_and_the_next_request_interrupts(self):
        found = 0
        for number in range(300):
            for broken, request in pairwise(digit_dialogue(0, "train", number).turns):
                if request.overlap == "interrupts":
                    found += 1
                    assert broken.speaker == "moshi"
                    assert broken.text
                    assert broken.expected is None
        assert found > 10

    def test_rows_of_digits_are_of_one_split(self):
        def rows(split):
            turns = [turn for number in range(300) for turn in digit_dialogue(0, split, number).turns]
            return {turn.text for turn in turns if turn.speaker == "user" and " " in turn.text}

        assert rows("train").isdisjoint(rows("valid") | rows("test"))
        assert rows("valid").isdisjoint(rows("test"))

    def test_users_of_all_splits_say_one_digit_as_often(self):
        for split in ("train", "valid", "test"):
            turns = [turn for number in range(200) for turn in digit_dialogue(0, split, number).turns]
            said = [len(turn.text.split()) for turn in turns if turn.speaker == "user" and turn.text]
            assert said.count(1) / len(said) == pytest.approx(2 / 7, abs=0.08)
            assert set(said) == {1, 2, 3, 4}

    def test_some_users_are_silent(self):
        dialogues = [digit_dialogue(0, "train", number) for number in range(200)]
        silent = [d for d in dialogues if not any(turn.text for turn in d.turns)]
        assert 5 < len(silent) < 40
        assert all(d.turns[1] == Turn("moshi", "", expected="") for d in silent)


class TestSound:
    @staticmethod
    def spoken(turns, augmentation=None, seed=0):
        engine, rng = Engine(), random.Random(seed)
        talkers = {"moshi": SyntheticTalker(engine, MOSHI), "user": synthetic_user(engine, "train", rng)}
        noises = Noises([], SAMPLE_RATE)
        return speak(Dialogue("test", turns), **talkers, augmentation=augmentation, noises=noises, rng=rng)

    def test_each_speaks_in_a_channel_of_their_own_at_the_times_of_the_words(self):
        said = self.spoken(TALK)
        assert [word.text for word in said.words if word.speaker == MAIN] == ["one", "two", "okay."]
        assert [word.text for word in said.words if word.speaker == OTHER] == ["count", "to", "three.", "stop."]
        for channel, speaker in enumerate((MAIN, OTHER)):
            speech = np.zeros(said.wav.shape[1], bool)
            for word in said.words:
                if word.speaker == speaker:
                    speech[round(word.start_s * SAMPLE_RATE) : round(word.end_s * SAMPLE_RATE)] = True
            wav = said.wav[channel].numpy()
            assert np.abs(wav[speech]).mean() > 20 * np.abs(wav[~speech]).mean()

    def test_silence_has_room_tone(self):
        wav = self.spoken(TALK).wav
        lead = wav[:, : round(0.25 * SAMPLE_RATE)]  # nobody has begun
        levels = 20 * lead.square().mean(1).sqrt().log10()
        assert ((levels > -74) & (levels < -50)).all()

    def test_turns_come_back_with_their_times(self):
        said = self.spoken(TALK)
        assert [turn["text"] for turn in said.turns] == [turn.text for turn in TALK]
        first = said.turns[0]
        assert first["start_s"] == pytest.approx(said.words[0].start_s, abs=1e-3)
        assert said.turns[2]["overlap"] == "interrupts"
        assert said.turns[2]["start_s"] < said.turns[1]["end_s"]

    def test_augmentation_changes_the_user_s_channel_alone_and_no_times(self):
        plain = self.spoken(TALK, seed=5)
        loud = self.spoken(TALK, seed=5, augmentation=MILD)
        assert plain.words == loud.words
        assert loud.wav.abs().max() <= 0.97 + 1e-6
        assert plain.wav.shape == loud.wav.shape

    def test_a_dialogue_may_be_silent(self):
        said = self.spoken((Turn("user", "", pause_s=1.0), Turn("moshi", "", expected="")))
        assert said.words == []
        assert said.duration > 1
