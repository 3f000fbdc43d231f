"""Results as files."""

import json

import pytest
import torch

from moshi_zoo.evaluation.codec_suite import Settings, evaluate_codec
from moshi_zoo.evaluation.measurement import Clip
from moshi_zoo.evaluation.report import as_json, as_markdown, write_pictures
from tests.evaluation.steps import OpenStepCodec, speech, word

CONTEXT = {"model": {"name": "steps", "sha256": None}, "data": {"source": "here", "split": "test"}}


@pytest.fixture(scope="module")
def report():
    clips = [word(w, "s", speech(0.5, seed=i), name=f"{w}{i}") for i, w in enumerate("aabb")]
    return evaluate_codec(OpenStepCodec(), [*clips, Clip("silence", torch.zeros(4000))], Settings(resamples=20))


def test_json_holds_everything_with_its_interval_and_null_for_what_is_undefined(report):
    content = json.loads(as_json(report, CONTEXT), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["suite"] == "codec"
    assert content["model"] == {"name": "steps", "sha256": None}
    assert content["codec"] == {"sample_rate": 8000, "frame_rate": 1000, "num_codebooks": 2, "codebook_size": 32}
    assert content["settings"]["num_codebooks"] == [1, 2]
    assert content["settings"]["resamples"] == 20
    assert content["seconds_of_sound"] == 2.5
    for figure in content["figures"]:
        keys = {"name", "title", "unit", "better", "num_codebooks", "level", "value", "count"}
        assert figure.keys() in (keys, keys | {"low", "high"})
        assert figure["better"] in ("higher", "lower", "neither")
    stoi = [f for f in content["figures"] if f["name"] == "stoi"]
    assert [(f["num_codebooks"], f["count"]) for f in stoi] == [(1, 4), (2, 4)]
    assert stoi[0]["low"] <= stoi[0]["value"] <= stoi[0]["high"]
    assert [clip["name"] for clip in content["clips"]] == ["a0", "a1", "b2", "b3", "silence"]
    assert content["clips"][0]["values"]["stoi@2"] > 0.5
    assert content["clips"][4]["values"]["stoi@2"] is None
    assert content["clips"][4]["values"]["idempotence/1"] == 1
    assert "abx_across" in content["skipped"]


def test_markdown_has_a_column_for_each_number_of_codebooks_and_a_row_for_each_level(report):
    text = as_markdown(report, CONTEXT)
    assert "- model: name steps\n" in text  # without what is not known
    assert "5 clips, 0.0 minutes" in text
    tables = [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        for block in text.split("\n\n")
        if block.startswith("|")
    ]
    quality, codebooks, once = tables
    assert quality[0] == ["", "1 codebook", "2 codebooks"]
    assert [row[0] for row in quality[2:4]] == ["SI-SDR, dB ↑", "STOI ↑"]
    assert [row[0] for row in codebooks[2:]] == ["level 0", "level 1"]
    assert codebooks[2][1] == "100.0 % [100.0, 100.0]"
    assert "## Codebooks, over 2500 frames" in text
    assert any(row[0] == "ABX error within speakers, level ↓" for row in once)
    assert "- abx_across: no two speakers say the same word" in text


def test_pictures_are_drawn(report, tmp_path):
    write_pictures(report, tmp_path)
    names = {"codebooks.png", "over_codebooks.png", *(f"{i}_spectrogram.png" for i in range(3))}
    assert {path.name for path in tmp_path.iterdir()} == names
