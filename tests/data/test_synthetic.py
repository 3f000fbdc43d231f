import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from moshi_zoo.data import audio, synthetic
from moshi_zoo.data.manifest import find

pytest.importorskip("espeakng_loader", reason="needs the synth extra")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return synthetic.prepare(1.5, cache=tmp_path_factory.mktemp("cache"))


def test_the_corpus_is_about_as_long_as_asked_with_a_split_for_held_out_speakers(corpus):
    recordings = find(corpus)
    assert sum(recording.duration for recording in recordings) == pytest.approx(90, rel=0.25)
    speakers = {split: {r.speaker for r in recordings if r.split == split} for split in ("train", "valid")}
    assert speakers["train"]
    assert speakers["valid"]
    assert not set(synthetic.TRAIN_SPEAKERS) & set(synthetic.VALID_SPEAKERS)
    variants = [{name.split("+")[1] for name in s} for s in (synthetic.TRAIN_SPEAKERS, synthetic.VALID_SPEAKERS)]
    assert not variants[0] & variants[1], "an accent alone does not make another speaker"


def test_every_speaker_of_the_corpus_exists():
    engine = synthetic.Engine()
    for speaker in synthetic.TRAIN_SPEAKERS + synthetic.VALID_SPEAKERS:
        language, variant = speaker.split("+")
        wav = engine.synthesize("Yes.", synthetic.Voice(language, variant)).wav
        assert wav.abs().max() < 0.99, f"{speaker} clips"


def test_durations_texts_and_word_times_fit_the_audio(corpus):
    for line in corpus.read_text().splitlines():
        entry = json.loads(line)
        wav = audio.load(corpus.parent / entry["path"], 24000)[0]
        assert entry["duration"] == pytest.approx(len(wav) / 24000, abs=1e-3)
        assert " ".join(word for word, _, _ in entry["words"]) == entry["text"]
        in_word = torch.zeros(len(wav), dtype=torch.bool)
        for _, start, end in entry["words"]:
            in_word[round(start * 24000) : round(end * 24000)] = True
        assert wav[in_word].square().sum() > 0.995 * wav.square().sum()
        assert len(entry["phonemes"]) > 2 * len(entry["words"])


def test_silence_is_never_digital_and_nothing_clips(corpus):
    for recording in find(corpus):
        wav = audio.load(recording.path, 24000)
        frames = wav[0].unfold(0, 480, 480)
        assert (frames.abs().amax(dim=1) > 0).all()
        assert frames.square().mean(dim=1).min().sqrt() < 1e-3  # but it is silence
        assert wav.abs().max() < 0.96


def test_the_same_seed_makes_the_same_samples_and_another_one_does_not(corpus, tmp_path):
    again = synthetic.prepare(1.5, cache=tmp_path)
    assert _contents(again.parent) == _contents(corpus.parent)
    other = synthetic.prepare(1.5, seed=1, cache=tmp_path)
    assert other != again
    assert _contents(other.parent) != _contents(again.parent)


def test_a_corpus_is_made_once(corpus, monkeypatch):
    monkeypatch.setattr(synthetic, "_make", lambda *_, **__: pytest.fail("made again"))
    assert synthetic.prepare(1.5, cache=corpus.parent.parent) == corpus


def test_two_that_race_both_end_well_and_leave_one_corpus(tmp_path):
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: synthetic.prepare(0.5, cache=tmp_path), range(2))
    assert first == second
    assert [path.name for path in tmp_path.iterdir()] == [first.parent.name]
    assert all(audio.probe(recording.path).num_samples for recording in find(first))


def test_a_failure_leaves_nothing_half_made(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_in_a_room", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        synthetic.prepare(0.5, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("MOSHI_ZOO_CACHE", str(tmp_path / "mine"))
    monkeypatch.setattr(synthetic, "_make", lambda *_, **__: None)
    assert synthetic.prepare(3).is_relative_to(tmp_path / "mine")


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
