import pytest
import torch

from moshi_zoo.data import audio
from moshi_zoo.data.align import Aligner, aligned, spoken_form
from moshi_zoo.data.espeak import Voice, synthesize
from moshi_zoo.data.manifest import Recording

pytest.importorskip("pocketsphinx", reason="needs the align extra")
pytest.importorskip("espeakng_loader", reason="needs the synth extra")

TEXT = "Seven yellow boats were waiting at the harbour."


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    path = tmp_path_factory.mktemp("align") / "boats.wav"
    utterance = synthesize(TEXT, Voice("en-us", "m3"))
    wav = torch.cat([torch.zeros(8000), utterance.wav, torch.zeros(4000)])
    audio.save(path, wav[None], utterance.sample_rate)
    return path, utterance, 8000 / utterance.sample_rate


def test_words_are_found_where_they_are_said(spoken):
    path, utterance, shift = spoken
    words = Aligner().align(path, TEXT).words
    assert [word for word, _, _ in words] == [spoken_form(word) for word in TEXT.split()]
    said = {spoken_form(word.text): word for word in utterance.words}
    for word, start, end in words:
        if word in said:  # espeak joins "at the"
            assert start == pytest.approx(said[word].start_s + shift, abs=0.12), word
            assert end == pytest.approx(said[word].end_s + shift, abs=0.12), word


def test_phonemes_fill_their_words_in_order(spoken):
    alignment = Aligner().align(spoken[0], TEXT)
    assert [sound for sound, _, _ in alignment.phonemes[:5]] == ["S", "EH", "V", "AH", "N"]
    for (_, _, end), (_, start, _) in zip(alignment.phonemes, alignment.phonemes[1:], strict=False):
        assert start >= end - 1e-9
    assert alignment.phonemes[0][1] == alignment.words[0][1]
    assert alignment.phonemes[-1][2] == alignment.words[-1][2]


def test_what_cannot_be_aligned_is_said_and_the_others_go_on(spoken):
    path = spoken[0]
    texts = ["Seven 東京 boats", None, "?!", TEXT]
    results = list(aligned(Recording(path, text=text) for text in texts))
    for result, message in zip(results, ["dictionary: 東京", "text is not known", "no words"], strict=False):
        assert isinstance(result, ValueError)
        assert message in str(result)
        assert str(path) in str(result)
    assert isinstance(results[-1], Recording)
    assert results[-1].phonemes


def test_noise_is_not_speech(tmp_path):
    path = tmp_path / "short.wav"
    audio.save(path, 0.1 * torch.randn(1, 800), 16000)
    with pytest.raises(ValueError, match="does not sound like"):
        Aligner().align(path, TEXT)


def test_words_that_no_dictionary_has_are_said_as_they_are_spelled(tmp_path):
    text = "Seven blorgish sailing-boats were waiting."
    utterance = synthesize(text, Voice("en-us", "m3"))
    audio.save(tmp_path / "a.wav", utterance.wav[None], utterance.sample_rate)
    words = [word for word, _, _ in Aligner().align(tmp_path / "a.wav", text).words]
    assert words == ["seven", "blorgish", "sailing", "boats", "were", "waiting"]


def test_an_odd_voice_is_aligned_word_by_word(tmp_path):
    text = "We hid the machine under Rome, but it was too wise."
    utterance = synthesize(text, Voice("en-us", "david", rate=150))
    audio.save(tmp_path / "a.wav", utterance.wav[None], utterance.sample_rate)
    found = Aligner().align(tmp_path / "a.wav", text)
    assert [word for word, _, _ in found.words] == [spoken_form(word) for word in text.split()]
    assert found.words[1][1] == pytest.approx(utterance.words[1].start_s, abs=0.12)
    assert found.phonemes is None
