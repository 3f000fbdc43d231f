import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from moshi_zoo.data.espeak import ENGLISH, Engine, Voice, synthesize

pytest.importorskip("espeakng_loader", reason="needs the synth extra")

TEXT = "Hello there, nineteen big dogs! I'm at the gate of 42 café gardens. Please stop."


def say(text, voice=None):
    """With a new engine, so that it sounds the same whatever other tests have said before."""
    return Engine().synthesize(text, voice or Voice())


@pytest.mark.parametrize("voice", [Voice("en-us", "m3"), Voice("en", "f2", rate=140), Voice("en-gb-scotland", "adam")])
def test_words_hold_the_energy_and_pauses_do_not(voice):
    spoken = say(TEXT, voice)
    power = spoken.wav.square()
    in_word = torch.zeros(len(power), dtype=torch.bool)
    for word in spoken.words:
        span = slice(round(word.start_s * spoken.sample_rate), round(word.end_s * spoken.sample_rate))
        in_word[span] = True
        assert power[span].mean() > 0.02 * power.mean(), word
    assert power[in_word].sum() > 0.999 * power.sum()
    assert power[~in_word].mean() < 1e-3 * power[in_word].mean()


def test_words_are_the_words_of_the_text_in_order():
    spoken = say(TEXT, Voice())
    assert " ".join(word.text for word in spoken.words) == TEXT
    assert len(spoken.words) >= len(TEXT.split()) - 2  # espeak joins "at the" and the like
    ends = [0.0] + [word.end_s for word in spoken.words]
    for word, previous_end in zip(spoken.words, ends, strict=False):
        assert previous_end <= word.start_s < word.end_s <= len(spoken.wav) / spoken.sample_rate


def test_phonemes_lie_within_words_and_name_the_sounds():
    spoken = say("shop", Voice())
    assert [phoneme.text for phoneme in spoken.phonemes] == ["S", "'0", "p"]
    assert spoken.phonemes[0].start_s == spoken.words[0].start_s
    assert spoken.phonemes[-1].end_s == spoken.words[0].end_s


@pytest.mark.parametrize("text", ["", "...", "\n"])
def test_nothing_to_say_is_no_words(text):
    assert synthesize(text).words == []


def test_rate_pitch_variant_and_accent_change_the_speech():
    usual = say(TEXT, Voice())
    assert len(say(TEXT, Voice(rate=120)).wav) > 1.3 * len(usual.wav)
    sounds = {language: [p.text for p in say(TEXT, Voice(language)).phonemes] for language in ENGLISH}
    assert sounds["en-us"] != sounds["en"] != sounds["en-gb-scotland"]
    high, low = (_pitch(say("oh", Voice(pitch=pitch)).wav) for pitch in (90, 10))
    assert high > 1.3 * low
    assert _pitch(say("oh", Voice(variant="f2")).wav) > 1.4 * _pitch(say("oh", Voice(variant="m1")).wav)


def test_a_new_engine_says_the_same_whatever_was_said_before():
    first = Engine().synthesize(TEXT, Voice()).wav
    used = Engine()
    used.synthesize("something else", Voice(variant="f1"))
    assert torch.equal(Engine().synthesize(TEXT, Voice()).wav, first)
    with ThreadPoolExecutor(2) as threads:
        for wav in threads.map(lambda _: Engine().synthesize(TEXT, Voice()).wav, range(4)):
            assert torch.equal(wav, first)


def test_unknown_voices_are_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"did you mean .*Annie"):
        synthesize("hi", Voice(variant="Anny"))
    with pytest.raises(ValueError, match="en-gb-scotland"):
        synthesize("hi", Voice(language="xx"))


def test_without_the_wheel_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ValueError, match=r"--extra synth.*--data\.source"):
        Engine()


def _pitch(wav: torch.Tensor, sample_rate: int = 22050) -> float:
    spectrum = torch.fft.rfft(wav, 2 * len(wav))
    correlation = torch.fft.irfft(spectrum.abs().square())
    lags = slice(sample_rate // 400, sample_rate // 60)
    return sample_rate / (correlation[lags].argmax().item() + lags.start)
