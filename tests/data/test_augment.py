"""The user's channel as a microphone hears it."""

import random

import numpy as np
import pytest

from moshi_zoo.data import audio
from moshi_zoo.data.augment import PAPER, Noises, UserAugmentation, augmented_user, room_tone
from tests.data.sounds import noise

RATE = 8000
NEVER = UserAugmentation(gain_share=0.0, noise_share=0.0, room_share=0.0)


def level_db(wav):
    return 10 * np.log10(np.mean(np.square(wav)))


def speech(seconds=2.0, seed=0, level=0.1):
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32) * level


def augmented(user, moshi=None, seed=0, noises=None, **settings):
    changed = UserAugmentation(**{**vars(NEVER), **settings})
    moshi = np.zeros_like(user) if moshi is None else moshi
    rng = random.Random(seed)
    return augmented_user(user, moshi, RATE, settings=changed, noises=noises or Noises([], RATE), rng=rng)


def test_the_paper_s_numbers():
    assert (PAPER.gain_share, PAPER.gain_db) == (0.5, (-24, 15))
    assert (PAPER.noise_share, PAPER.noise_db, PAPER.quiet_share, PAPER.quiet_s) == (0.3, (-30, 6), 0.5, (0, 30))
    assert (PAPER.room_share, PAPER.echo_scale, PAPER.echo_delay_s) == (0.3, (0, 0.2), (0.1, 0.5))


def test_without_augmentation_nothing_changes():
    assert np.array_equal(augmented(speech()), speech())


def test_gain_is_in_decibels():
    louder = augmented(speech(), gain_share=1.0, gain_db=(6.0, 6.0))
    assert level_db(louder) - level_db(speech()) == pytest.approx(6)


def test_noise_is_as_loud_as_asked_beside_the_speech_not_beside_its_pauses():
    user = np.concatenate([speech(0.5), np.zeros(RATE * 4, np.float32)])
    heard = augmented(user, noise_share=1.0, noise_db=(-10.0, -10.0), quiet_share=0.0)
    assert level_db(heard[RATE:]) == pytest.approx(level_db(speech(0.5)) - 10, abs=1.5)


def test_noise_may_be_silence_for_a_while():
    heard = augmented(speech(), noise_share=1.0, quiet_share=1.0, quiet_s=(0.5, 0.5))
    assert np.array_equal(heard, speech())


def test_a_silent_user_has_noise_too():
    heard = augmented(np.zeros(RATE, np.float32), noise_share=1.0, noise_db=(0.0, 0.0), quiet_share=0.0)
    assert -30 < level_db(heard) < -20


def test_echo_is_moshi_s_voice_later_and_quieter():
    moshi = np.zeros(RATE, np.float32)
    moshi[1000] = 1.0
    heard = augmented(np.zeros(RATE, np.float32), moshi, room_share=1.0, echo_scale=(0.2, 0.2), echo_delay_s=(0.1, 0.1))
    assert np.argmax(heard) == 1000 + round(0.1 * RATE)
    assert heard.max() == pytest.approx(0.2)


def test_reverberation_comes_behind_the_direct_sound_and_dies_away():
    click = np.zeros(RATE, np.float32)
    click[100] = 1.0
    heard = augmented(click, room_share=1.0, echo_scale=(0.0, 0.0), reverberation_s=(0.4, 0.4))
    assert np.abs(heard[:100]).max() < 1e-6
    assert heard[100] == pytest.approx(1, abs=1e-4)
    assert level_db(heard[101:500]) - level_db(heard[101 + 1600 : 500 + 1600]) == pytest.approx(30, abs=3)  # 0.2 s


def test_a_microphone_ends_where_it_ends_and_colours_what_is_below():
    heard = augmented(speech(8.0), microphone_share=1.0, microphone_hz=(2000.0, 2000.0), microphone_db=6.0)
    response = np.abs(np.fft.rfft(heard)) / np.abs(np.fft.rfft(speech(8.0)))
    octaves = [20 * np.log10(np.median(response[int(8 * hz * 0.95) : int(8 * hz * 1.05)])) for hz in (128, 512, 1024)]
    assert all(-6.1 < octave < 6.1 for octave in octaves)
    assert max(octaves) - min(octaves) > 0.5
    assert np.median(response[8 * 2900 :]) < 10 ** (-35 / 20)


def test_the_paper_has_no_microphones_of_its_own():
    assert PAPER.microphone_share == 0


def test_it_depends_on_the_draw_alone():
    everything = {"gain_share": 1.0, "noise_share": 1.0, "room_share": 1.0}
    assert np.array_equal(augmented(speech(), seed=1, **everything), augmented(speech(), seed=1, **everything))
    assert not np.array_equal(augmented(speech(), seed=1, **everything), augmented(speech(), seed=2, **everything))


def test_noise_comes_from_files_at_the_right_rate(tmp_path):
    audio.save(tmp_path / "a.wav", noise(0.5, 16_000), 16_000)
    drawn = Noises([tmp_path / "a.wav"], RATE).draw(random.Random(0))
    assert len(drawn) == RATE // 2
    assert level_db(drawn) == pytest.approx(0, abs=1e-3)
    audio.save(tmp_path / "b.wav", noise(0.5, 16_000) * 0, 16_000)
    with pytest.raises(ValueError, match=r"b\.wav.*silent"):
        Noises([tmp_path / "b.wav"], RATE).draw(random.Random(0))


def test_room_tone_has_its_level():
    assert level_db(room_tone(RATE, -50.0, random.Random(0))) == pytest.approx(-50, abs=0.3)
