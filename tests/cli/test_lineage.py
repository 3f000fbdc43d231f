"""The verb ``lineage``, and what Weights & Biases is told of it."""

import json
from pathlib import Path

from moshi_zoo.zoo.config import read_config

WANDB = Path(__file__).parents[2] / "recipes/with/wandb.yaml"


def test_lineage_shows_the_tree_and_w_and_b_hears_of_it(recipe, moshi_zoo, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("COLUMNS", "200")
    short = ("--trainer.max_steps", 1)
    assert moshi_zoo("fit", "--config", recipe, *short)[0] == 0
    first = read_config(Path("runs/toy/zoo")).sha256
    words = ("--config", WANDB, "--run_name", "tuned", "--init_from.net", "toy")
    code, _, err = moshi_zoo("fit", "--config", recipe, *words, *short)
    assert code == 0, err
    import wandb

    wandb.finish()
    wandb.teardown()
    (log,) = Path("runs/tuned/wandb").glob("offline-run-*/run-*.wandb")
    content = log.read_bytes()
    assert b"lineage" in content
    assert first.encode() in content
    assert read_config(Path("runs/tuned/zoo")).sha256.encode() in content, "the artifact"

    code, out, _ = moshi_zoo("lineage", "runs/tuned")
    child, parent = out.splitlines()
    assert code == 0
    assert child.split()[0] == "runs/tuned"
    assert parent.split()[1:] == ["toy", "toy", "by", "LitToy", first[:12]]
    tree = json.loads(moshi_zoo("lineage", "tuned", "--json")[1])
    assert tree["stage"] == "LitToy"
    assert [(p["sha256"], p["standing"]) for p in tree["parents"]] == [(first, "here")]

    Path("runs/toy").rename("runs/old")
    assert "now in runs/old/zoo" in moshi_zoo("lineage", "tuned")[1]
    Path("runs/old").rename("elsewhere")
    assert "not here" in moshi_zoo("lineage", "tuned")[1]


def test_lineage_of_an_unknown_model_is_one_line(moshi_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = moshi_zoo("lineage", "tuend")
    assert code == 2
    assert err.startswith("moshi_zoo lineage: no model is called 'tuend'")
