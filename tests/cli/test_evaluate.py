"""The verb ``evaluate``, with a codec of random weights and words that are tones."""

import json
import math
from pathlib import Path

import pytest
import soundfile
import torch

from moshi_zoo import registry
from moshi_zoo.cli import evaluation_data
from moshi_zoo.data.manifest import Recording
from moshi_zoo.zoo import folder

RATE = 16_000
PITCH = {"low": 300, "high": 1200}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder to run in, with the codec ``tiny`` and recordings of two speakers who say two words."""
    monkeypatch.chdir(tmp_path)
    net = registry.build("mimi-tiny")
    for codebook in net.quantizer.codebooks:
        codebook.embedding_sum.normal_()
        codebook.initialized.fill_(1)
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(tmp_path / "checkpoints/tiny", spec, net.state_dict(), stage="test")
    lines = [
        say(word, speaker, f"{split}-{speaker}-{word}-{take}", split)
        for split, takes in (("train", 4), ("test", 2))
        for speaker in ("anna", "ben")
        for word in PITCH
        for take in range(takes)
    ]
    write("words/manifest.jsonl", lines)
    return tmp_path


def say(word, speaker, name, split):
    """A tone after a little silence, and its line in the manifest."""
    length = 0.4 + 0.05 * torch.rand(()).item()
    time = torch.arange(round(length * RATE)) / RATE
    sound = 0.5 * torch.sin(2 * math.pi * PITCH[word] * (1.1 if speaker == "anna" else 0.9) * time)
    path = Path(f"words/{name}.wav")
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, torch.cat([0.01 * torch.randn(1600), sound]).numpy(), RATE)
    words = [[word.title() + ".", 0.1, 0.1 + length]]
    return {"path": f"{name}.wav", "split": split, "speaker": speaker, "text": word, "words": words}


def write(path, lines):
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_codec_is_measured_from_end_to_end(home, moshi_zoo):
    words = ["evaluate", "codec", "--model", "tiny", "--data", "words", "--recogniser-data", "words/manifest.jsonl"]
    code, out, err = moshi_zoo(*words)
    assert code == 0, err
    folder = home / "runs/evaluations/tiny/codec"
    assert out.startswith((folder / "report.md").read_text())
    assert out.splitlines()[-1] == "written to runs/evaluations/tiny/codec"
    results = json.loads((folder / "results.json").read_text())
    assert results["model"]["name"] == "tiny"
    assert len(results["model"]["sha256"]) == 64
    assert results["data"] == {
        "source": "words",
        "split": "test",
        "clips": 8,
        "bad": 0,
        "recogniser": "words/manifest.jsonl",
    }
    assert results["run"]["command"].split()[3:] == [*words[:2], *words[2:]]
    assert results["versions"].keys() >= {"moshi_zoo", "python", "torch"}
    assert results["settings"]["num_codebooks"] == [1, 2, 4]
    assert results["settings"]["max_hz"] == RATE / 2
    figures = {(f["name"], f["num_codebooks"], f["level"]): f for f in results["figures"]}
    assert figures["recognised", None, None]["value"] >= 0.75, "it has heard 32 tones"
    assert figures["recognised", 4, None]["count"] == 8
    assert {("stoi", 4, None), ("si_sdr", 1, None), ("idempotence_half_frame", None, 3)} <= figures.keys()
    assert {f"abx_{mode}_{x}" for mode in ("within", "across") for x in ("semantic", "latent")} <= {
        n for n, _, _ in figures
    }
    assert ("stream_frame", None, None) in figures
    assert Path(results["clips"][0]["name"]).name == "test-anna-high-0.wav"
    sounds = {f"{i}_{what}.wav" for i in range(3) for what in ("original", *(f"0{k}_codebooks" for k in (1, 2, 4)))}
    assert {path.name for path in folder.glob("*.wav")} == sounds
    assert len(list(folder.glob("*.png"))) == 5
    assert soundfile.info(folder / "0_01_codebooks.wav").duration == pytest.approx(results["clips"][0]["seconds"])


def test_recordings_without_words_or_speakers_are_measured_as_far_as_possible(home, moshi_zoo):
    (home / "plain").mkdir()
    soundfile.write("plain/a.wav", torch.randn(RATE).numpy() * 0.1, RATE)
    code, out, _ = moshi_zoo(
        "evaluate", "codec", "--model", "tiny", "--data", "plain/a.wav", "--out", "here", "--num-codebooks", "2"
    )
    assert code == 0
    assert "- abx_within: no segment has a label and a known speaker" in out
    assert {path.name for path in Path("here").glob("*.wav")} == {
        "0_original.wav",
        "0_02_codebooks.wav",
        "0_04_codebooks.wav",
    }
    assert json.loads(Path("here/results.json").read_text())["data"]["split"] == "all"


def test_a_bad_file_is_left_out_and_listed(home, moshi_zoo):
    (home / "words/broken.wav").write_bytes(b"RIFF and then nothing")
    code, out, _ = moshi_zoo(
        "evaluate", "codec", "--model", "tiny", "--data", "words", "--split", "all", "--num-codebooks", "1"
    )
    assert code == 0
    assert "clips 24, bad 1" in out
    (line,) = Path("runs/evaluations/tiny/codec/bad_files.jsonl").read_text().splitlines()
    assert "broken.wav" in line


def test_wrong_use_is_refused_with_the_reason_and_leaves_nothing(home, moshi_zoo):
    write("talk.jsonl", [{"path": "words/test-anna-low-0.wav", "text": "not a single word", "split": "train"}])
    write("torn.jsonl", [{"path": "words/test-anna-low-0.wav", "speaker": "anna", "words": [["low", "soon"]]}])
    cases = [
        (["--model", "tinny"], "no model is called 'tinny'; did you mean tiny"),
        (["--data", "none"], "none does not exist"),
        (["--data", "talk.jsonl", "--split", "test"], "marks no recording as test, only as train"),
        (["--data", "torn.jsonl"], "['low', 'soon'] in its words is not [label, start in seconds, end in seconds]"),
        (["--num-codebooks", "1,9"], "num_codebooks is 1, 9, but this codec has 1 to 4"),
        (["--num-codebooks", "few"], "give numbers with commas between them"),
        (["--recogniser-data", "talk.jsonl"], "no recording whose `text` is a single word"),
        (["--device", "warp"], "the device 'warp' cannot be used"),
        (["--max-items", "0"], "max_items is 0"),
        (["--max-seconds", "0"], "must be positive"),
        (["--split", "tests"], "split"),
    ]
    for words, message in cases:
        given = ["--model", "tiny", "--data", "words", *words]
        code, _, err = moshi_zoo("evaluate", "codec", *given)
        assert code == 2, (words, err)
        assert message in err.splitlines()[-1], words
        assert "Traceback" not in err
    assert not Path("runs").exists()
    assert moshi_zoo("evaluate", "codecs", "--model", "tiny", "--data", "words")[0] == 2


def test_the_draw_of_recordings_is_seeded_and_keeps_their_order(home):
    def names(seed):
        return [r.path.name for r in evaluation_data.choose("words", "test", max_items=3, seed=seed).recordings]

    assert names(0) == sorted(names(0)) == names(0)
    assert len({tuple(names(seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize(
    ("marked", "asked", "taken"),
    [
        ("test valid", "test", "test"),
        ("valid train", "test", "valid"),
        ("test train", "valid", "test"),
        ("", "test", "all"),
        ("train", "all", "all"),
    ],
)
def test_test_and_valid_stand_in_for_each_other(home, marked, asked, taken):
    splits = marked.split() or [None]
    write("some.jsonl", [{"path": "words/test-anna-low-0.wav", **({"split": s} if s else {})} for s in splits])
    assert evaluation_data.choose("some.jsonl", asked, max_items=None, seed=0).split == taken


def test_labels_are_compared_without_case_punctuation_and_stress():
    words = [
        ["“Don't!”", 0.1, 0.2],
        ["--", 0.2, 0.3],
        ["two", 0.3, 0.3],
        ["three", 0.4, 0.5, "carl"],
        ["four", 0.5, 0.6, 1],
    ]
    recording = Recording(Path("a.wav"), words=words)
    segments = list(evaluation_data._segments(recording, "words"))
    assert [s.label for s in segments] == ["don't", "three", "four"]
    assert [s.speaker for s in segments] == [None, "carl", None]
