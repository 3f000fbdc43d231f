import json

import pytest
import torch

from moshi_zoo.__main__ import EXIT_WRONG_USE, main
from moshi_zoo.data import audio
from moshi_zoo.data.espeak import Voice, synthesize
from moshi_zoo.data.manifest import read_manifest

pytest.importorskip("pocketsphinx", reason="needs the align extra")
pytest.importorskip("espeakng_loader", reason="needs the synth extra")


TEXT = "Seven yellow boats"


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "voices"
    folder.mkdir()
    lines = [
        {"path": "a.wav", "text": TEXT, "speaker": "x", "split": "train"},
        {"path": "b.wav", "text": "東京"},
        {"path": "c.wav"},
    ]
    for line in lines:
        spoken = synthesize(TEXT, Voice("en-us", "m3"))
        audio.save(folder / line["path"], torch.nn.functional.pad(spoken.wav, (8000, 4000))[None], spoken.sample_rate)
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def test_a_manifest_with_times_is_written_and_failures_are_reported(corpus, tmp_path, capsys):
    out = tmp_path / "aligned" / "manifest.jsonl"
    assert main(["data", "align", str(corpus), "--out", str(out)]) == 0
    a, b, c = read_manifest(out)
    assert [word for word, _, _ in a.words] == ["seven", "yellow", "boats"]
    assert [sound for sound, _, _ in a.phonemes[:5]] == ["S", "EH", "V", "AH", "N"]
    assert (a.path, a.speaker, a.split) == (corpus / "a.wav", "x", "train")
    assert b.text == "東京"
    assert b.phonemes is None
    assert c.text is None
    assert "1 of 2 texts aligned" in capsys.readouterr().out
    assert "東京" in out.with_name("manifest.jsonl.failed.jsonl").read_text()


def test_a_manifest_beside_its_recordings_can_move_with_them(corpus):
    assert main(["data", "align", str(corpus), "--out", str(corpus / "aligned.jsonl")]) == 0
    assert json.loads((corpus / "aligned.jsonl").read_text().splitlines()[0])["path"] == "a.wav"


def test_recordings_without_texts_are_refused_and_nothing_is_written(corpus, tmp_path, capsys):
    (corpus / "manifest.jsonl").unlink()
    assert main(["data", "align", str(corpus), "--out", str(tmp_path / "out.jsonl")]) == EXIT_WRONG_USE
    assert "no recording has a text" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()
