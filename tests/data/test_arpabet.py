import random

import pytest

from moshi_zoo.data.arpabet import PHONEMES, from_espeak
from moshi_zoo.data.espeak import ENGLISH, Engine, Voice
from moshi_zoo.data.sentences import sentence


@pytest.mark.parametrize(
    ("symbol", "sounds"),
    [("'E", ("EH",)), ("D", ("DH",)), ("d", ("D",)), ("o@", ("AO", "R")), (",aI@", ("AY", "ER")), (";", ())],
)
def test_symbols_become_sounds(symbol, sounds):
    assert from_espeak(symbol) == sounds


def test_another_language_is_refused():
    with pytest.raises(ValueError, match="'y:' is no sound of English"):
        from_espeak("y:")


def test_all_of_english_is_covered_in_all_accents():
    pytest.importorskip("espeakng_loader", reason="needs the synth extra")
    engine, rng = Engine(), random.Random(3)
    heard = {
        sound
        for language in ENGLISH
        for _ in range(20)
        for phoneme in engine.synthesize(sentence(rng), Voice(language)).phonemes
        for sound in from_espeak(phoneme.text)
    }
    assert heard <= set(PHONEMES)
    assert len(heard) >= 36
