"""The training verbs, on a toy stage."""

import csv
from pathlib import Path

import pytest
import torch
import yaml

import moshi_zoo as package


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def test_fit_leaves_a_run_folder_with_everything(recipe, moshi_zoo):
    code, out, _ = moshi_zoo("fit", "--config", recipe)
    assert code == 0
    assert "runs/toy/zoo" in out
    found = {str(p.relative_to("runs/toy")) for p in Path("runs/toy").rglob("*") if p.is_file()}
    zoo = {"zoo/config.yaml", "zoo/model.safetensors", "zoo/README.md"}
    checkpoints = {"checkpoints/last.ckpt", "checkpoints/best.ckpt"}
    assert found == zoo | checkpoints | {"config.yaml", "metrics.csv", "curves.png"}
    assert {"step", "train/loss", "val/loss"} <= rows("runs/toy/metrics.csv")[0].keys()


def test_a_step_is_a_batch_with_two_optimizers(recipe, moshi_zoo):
    moshi_zoo("fit", "--config", recipe)
    steps = [int(row["step"]) for row in rows("runs/toy/metrics.csv") if row["train/loss"]]
    assert steps == list(range(8))


def test_the_zoo_folder_is_the_trained_network(recipe, moshi_zoo):
    moshi_zoo("fit", "--config", recipe)
    best = torch.load("runs/toy/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    net = package.load("toy")
    assert not net.training
    assert torch.equal(net.linear.weight, best["net.linear.weight"])
    assert net.scale.start == 0.5


def test_the_saved_recipe_has_no_macros_and_repeats_the_run(recipe, moshi_zoo):
    moshi_zoo("fit", "--config", recipe, "--model.net.scale.start", "0.25")
    text = Path("runs/toy/config.yaml").read_text()
    assert "preset" not in text
    assert yaml.safe_load(text)["model"]["init_args"]["net"]["init_args"]["scale"]["init_args"]["start"] == 0.25
    assert moshi_zoo("fit", "--config", "runs/toy/config.yaml", "--run_name", "again")[0] == 0
    assert rows("runs/again/metrics.csv") == rows("runs/toy/metrics.csv")


def test_an_earlier_run_is_moved_aside_not_lost(recipe, moshi_zoo):
    moshi_zoo("fit", "--config", recipe)
    before = Path("runs/toy/metrics.csv").read_text()
    _, out, _ = moshi_zoo("fit", "--config", recipe, "--seed_everything", 3)
    assert "runs/toy.1" in out
    assert Path("runs/toy.1/metrics.csv").read_text() == before
    assert Path("runs/toy/metrics.csv").read_text() != before


def test_last_continues_the_run_in_its_folder(recipe, moshi_zoo):
    moshi_zoo("fit", "--config", recipe)
    assert moshi_zoo("fit", "--config", recipe, "--ckpt_path", "last", "--trainer.max_steps", 12)[0] == 0
    steps = [int(row["step"]) for row in rows("runs/toy/metrics.csv") if row["train/loss"]]
    assert steps == list(range(12))
    assert not Path("runs/toy.1").exists()


def test_a_resumed_run_takes_the_hyper_parameters_that_were_typed(recipe, moshi_zoo):
    moshi_zoo("fit", "--config", recipe)
    last = "runs/toy/checkpoints/last.ckpt"
    moshi_zoo("fit", "--config", recipe, "--ckpt_path", last, "--trainer.max_steps", 9, "--model.interrupt_at", 1000)
    assert yaml.safe_load(Path("runs/toy/config.yaml").read_text())["model"]["init_args"]["interrupt_at"] == 1000


def test_last_without_a_checkpoint_says_so(recipe, moshi_zoo):
    code, _, err = moshi_zoo("fit", "--config", recipe, "--ckpt_path", "last")
    assert code == 2
    assert "runs/toy/checkpoints/last.ckpt" in err


def test_ctrl_c_saves_the_latest_state_and_exits_130(recipe, moshi_zoo):
    assert moshi_zoo("fit", "--config", recipe, "--model.interrupt_at", 5)[0] == 130
    checkpoint = torch.load("runs/toy/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 5


def test_a_bug_keeps_its_traceback_and_the_last_good_checkpoint(recipe, moshi_zoo):
    words = ("fit", "--config", recipe, "--trainer.val_check_interval", 4, "--model.fail_at", 6)
    code, _, err = moshi_zoo(*words)
    assert code == 1
    assert "RuntimeError: a bug" in err
    assert torch.load("runs/toy/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4


def test_one_validation_batch_means_one(recipe, moshi_zoo):
    moshi_zoo("fit", "--config", recipe, "--trainer.limit_val_batches", 1)
    assert {row["val/batches"] for row in rows("runs/toy/metrics.csv") if row["val/batches"]} == {"1.0"}


def test_a_validation_interval_in_batches_may_be_longer_than_an_epoch(recipe, moshi_zoo):
    words = ("--trainer.val_check_interval", 10, "--trainer.max_steps", 22)
    assert moshi_zoo("fit", "--config", recipe, *words)[0] == 0
    assert [row["step"] for row in rows("runs/toy/metrics.csv") if row["val/loss"]] == ["9", "19"]


def test_fast_dev_run_leaves_nothing(recipe, moshi_zoo):
    assert moshi_zoo("fit", "--config", recipe, "--trainer.fast_dev_run", "true")[0] == 0
    assert not Path("runs/toy").exists()


def test_later_files_and_flags_win(recipe, moshi_zoo, tmp_path):
    (tmp_path / "over.yaml").write_text("trainer: {max_steps: 3}\nmodel: {init_args: {net: {init_args: {dim: 8}}}}\n")
    moshi_zoo("fit", "--config", recipe, "--config", "over.yaml", "--run-name", "other")
    assert rows("runs/other/metrics.csv")[-1]["step"] == "2"


def test_the_data_follow_the_sample_rate_of_the_net(recipe):
    from moshi_zoo.cli import trainer

    made = trainer.run(["--config", str(recipe), "--model.net.sample_rate", "16000"])
    assert made.datamodule.sample_rate == 16_000


def test_validate_measures_the_best_checkpoint(recipe, moshi_zoo):
    moshi_zoo("fit", "--config", recipe)
    before = Path("runs/toy/config.yaml").read_text()
    assert moshi_zoo("validate", "--config", recipe, "--ckpt_path", "best")[0] == 0
    trained = [float(row["val/loss"]) for row in rows("runs/toy/metrics.csv") if row["val/loss"]]
    assert float(rows("runs/toy/validate.csv")[0]["val/loss"]) == pytest.approx(min(trained))
    assert Path("runs/toy/config.yaml").read_text() == before


def test_init_from_starts_with_the_weights_of_a_run_and_notes_the_parent(recipe, moshi_zoo):
    moshi_zoo("fit", "--config", recipe)
    source = package.load("toy")
    words = ("--run_name", "child", "--init_from.net", "runs/toy", "--model.optimizer.lr", 0)
    assert moshi_zoo("fit", "--config", recipe, *words)[0] == 0
    child = package.load("child")
    assert torch.equal(child.linear.weight, source.linear.weight)
    parents = yaml.safe_load(Path("runs/child/zoo/config.yaml").read_text())["parents"]
    parent = yaml.safe_load(Path("runs/toy/zoo/config.yaml").read_text())
    assert parents == [{"name": "runs/toy", "sha256": parent["sha256"]}]
    moshi_zoo("fit", "--config", recipe, *words, "--ckpt_path", "last", "--trainer.max_steps", 9)
    assert yaml.safe_load(Path("runs/child/zoo/config.yaml").read_text())["parents"] == parents


WRONG = {
    "no recipe": ([], "recipes/nano/mimi.yaml"),
    "unknown recipe": (["--config", "toi.yaml"], "no recipe is called 'toi.yaml'"),
    "unknown flag": (["--config", "toy.yaml", "--run_nam", "x"], "did you mean --run_name"),
    "unknown trainer flag": (["--config", "toy.yaml", "--trainer.max_stepz", "3"], "did you mean --trainer.max_steps"),
    "unknown stage option": (["--config", "toy.yaml", "--model.optimizr", "x"], "did you mean optimizer?"),
    "unknown net option": (["--config", "toy.yaml", "--model.net.dimm", "3"], "model.net: no option of Toy is called"),
    "unknown data option": (["--config", "toy.yaml", "--data.batch", "3"], "did you mean batch_size?"),
    "wrong type": (["--config", "toy.yaml", "--model.net.dim", "a"], "model.net.dim: 'a' is not int"),
    "unknown class": (["--config", "toy.yaml", "--data", "ToyDatta"], "ToyData"),
    "unknown accelerator": (["--config", "toy.yaml", "--trainer.accelerator", "gup"], "gup"),
    "unknown source": (["--config", "toy.yaml", "--init_from.net", "nope"], "no model is called 'nope'"),
    "name out of runs": (["--config", "toy.yaml", "--run_name", "../x"], "inside runs/"),
    "broken yaml": (["--config", "broken.yaml"], "broken.yaml is no YAML"),
    "unknown preset": (["--config", "preset.yaml"], "did you mean toy-tiny"),
    "wrong family": (["--config", "family.yaml"], "model.net: ToyScale is no Toy"),
}


@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_use_is_one_line_and_exit_code_2(recipe, moshi_zoo, words, message):
    Path("broken.yaml").write_text("model:\n  a: 1\n b: 2\n")
    Path("preset.yaml").write_text(recipe.read_text().replace("toy-tiny", "toy-tini"))
    Path("family.yaml").write_text(recipe.read_text().replace("preset:toy-tiny", "component:toy-scale"))
    code, _, err = moshi_zoo("fit", *words)
    last = err.strip().splitlines()[-1]
    assert code == 2, err
    assert message in last
    assert "Traceback" not in err
    assert not Path("runs").exists()


def test_options_may_be_written_with_dashes(recipe, moshi_zoo):
    assert moshi_zoo("fit", "--config", recipe, "--run-name", "dashed", "--trainer.max-steps=2")[0] == 0
    assert Path("runs/dashed/zoo").is_dir()


def test_w_and_b_offline_gets_the_recipe_and_metrics_csv_stays(recipe, moshi_zoo, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    overlay = Path(__file__).parents[2] / "recipes/with/wandb.yaml"
    assert moshi_zoo("fit", "--config", recipe, "--config", overlay)[0] == 0
    assert rows("runs/toy/metrics.csv")
    import wandb

    wandb.finish()
    wandb.teardown()
    (log,) = Path("runs/toy/wandb").glob("offline-run-*/run-*.wandb")
    content = log.read_bytes()
    assert b"tests.toys.ToyScale" in content
    assert b"train/loss" in content
    assert not Path("wandb").exists()
