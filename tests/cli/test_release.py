"""The verb ``release`` and the card that it writes."""

import contextlib
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from moshi_zoo.__main__ import main
from moshi_zoo.zoo import folder, licences
from moshi_zoo.zoo.config import read_config
from moshi_zoo.zoo.sampling import Sampling
from tests.cli.conftest import RECIPE

FACTS = {
    "about": "A toy.",
    "limits": "It can do nothing.",
    "data": ["Toys (A. Maker), CC BY-SA 4.0"],
    "commands": ["python -m moshi_zoo fit --config /home/me/secret/toy.yaml --data.source /mnt/disk/toys:0.5"],
    "hardware": "one core",
    "minutes": 1.5,
}
WORDS = ("--licence", "CC-BY-SA-4.0", "--facts", "facts.yaml", "--out", "checkpoints/our-toy")
FIGURE = {"unit": "share", "better": "higher", "num_codebooks": None, "level": None, "low": 0.25, "high": 0.75}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs of the toy stage, the second from the first."""
    home = tmp_path_factory.mktemp("made")
    (home / "toy.yaml").write_text(yaml.safe_dump(RECIPE))
    with contextlib.chdir(home):
        assert main(["fit", "--config", "toy.yaml", "--trainer.max_steps", "2"]) == 0
        more = ["--run_name", "tuned", "--init_from.net", str(home / "runs/toy"), "--trainer.max_steps", "3"]
        assert main(["fit", "--config", "toy.yaml", *more]) == 0
    return home


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """The second one's zoo folder, in a copy of all that is the current folder."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    write_facts()
    return Path("runs/tuned/zoo")


def write_facts(**changes):
    content = {name: value for name, value in {**FACTS, **changes}.items() if value is not None}
    Path("facts.yaml").write_text(yaml.safe_dump(content))


def write_results(sha256):
    figures = [{"name": "right", "title": "answers right", "value": 0.5, "count": 8, **FIGURE}]
    content = {
        "suite": "duplex",
        "model": {"sha256": sha256},
        "data": {},
        "groups": [{"name": "all", "figures": figures}],
    }
    content["run"] = {"command": "python -m moshi_zoo evaluate duplex --model our-toy --data /mnt/disk/held_out"}
    Path("figures").mkdir(exist_ok=True)
    Path("figures/results.json").write_text(json.dumps(content))


def test_the_card_says_how_the_model_was_made_and_names_no_place_on_this_machine(run, moshi_zoo, tmp_path):
    code, out, err = moshi_zoo("release", "tuned", *WORDS, "--precision", "float16")
    assert code == 0, err
    config = read_config(Path("checkpoints/our-toy"))
    assert f"sha256 {config.sha256[:12]}" in out
    write_results(config.sha256)
    write_facts(figures=[{"results": "figures", "measures": ["right"]}])
    assert moshi_zoo("release", "tuned", *WORDS, "--precision", "float16")[0] == 0
    assert read_config(Path("checkpoints/our-toy")) == config, "with figures or without, the model is the same"
    folder.verify(Path("checkpoints/our-toy"))
    card = Path("checkpoints/our-toy/README.md").read_text()
    head = yaml.safe_load(card.split("---\n")[1])
    assert licences.from_card(head["license"]) == "CC-BY-SA-4.0"
    for words in (
        'moshi_zoo.load("our-toy")',
        "A toy.",
        "It can do nothing.",
        "Toys (A. Maker), CC BY-SA 4.0",
        "1.5 minutes on one core.",
        "python -m moshi_zoo fit --config toy.yaml --data.source toys:0.5",
        "python -m moshi_zoo evaluate duplex --model our-toy --data held_out\n",
        "| answers right ↑ | 50.0 % [25.0, 75.0] | 8    |",
        "class_path: tests.toys.LitToy",
    ):
        assert words in card
    assert re.search(r"\| toy +\| LitToy +\|[^|]*\|[^|]*\|\n\| tuned +\| LitToy", card), "the runs, in order"
    for text in (card, Path("checkpoints/our-toy/config.yaml").read_text()):
        assert str(tmp_path) not in text
        assert not re.search(r"(?<![\w.:/~])/\w+/", text)
    assert {path.name for path in Path("checkpoints/our-toy").iterdir()} == {
        "config.yaml",
        "model.safetensors",
        "README.md",
    }


def test_figures_of_the_model_before_it_was_rounded_are_marked(run, moshi_zoo):
    write_results(read_config(run).sha256)
    write_facts(figures=[{"results": "figures", "measures": ["right"]}])
    assert moshi_zoo("release", "tuned", *WORDS, "--precision", "float16")[0] == 0
    assert "held_out  # before rounding" in Path("checkpoints/our-toy/README.md").read_text()


def test_a_release_is_drawn_from_as_the_facts_say_or_as_its_model(run, moshi_zoo):
    released, facts = Path("checkpoints/our-toy"), {"text_temperature": 0.3, "audio_temperature": 0.5}
    assert moshi_zoo("release", "tuned", *WORDS)[0] == 0
    assert read_config(released).sampling is None
    write_facts(sampling=facts)
    assert moshi_zoo("release", "tuned", *WORDS)[0] == 0
    assert read_config(released).sampling == Sampling(0.3, 0.5)
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "sampling": {"text_temperature": 0.1}}))
    for more, expected in ((facts, Sampling(0.3, 0.5)), (None, Sampling(0.1, 0.8))):
        write_facts(sampling=more)
        assert moshi_zoo("release", "tuned", *WORDS)[0] == 0
        assert read_config(released).sampling == expected


def test_a_release_without_its_run_says_what_is_known(run, moshi_zoo):
    shutil.copytree(run, "checkpoints/alone")
    code, _, err = moshi_zoo("release", "alone", *WORDS)
    assert code == 0, err
    card = Path("checkpoints/our-toy/README.md").read_text()
    assert re.search(r"\| alone +\| LitToy +\| \? ", card)
    assert "class_path" not in card


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limits": None}, "facts.yaml does not say: limits"),
        ({"limit": "x"}, "facts.yaml: no entry is called 'limit'; did you mean limits"),
        ({"minutes": "many"}, "facts.yaml: minutes is 'many'; it must be a number"),
        ({"sampling": 0.3}, "facts.yaml: sampling is 0.3; it must be a mapping"),
        (
            {"sampling": {"text": 0.3}},
            "facts.yaml: no entry of sampling is called 'text'",
        ),
        ({"data": "toys"}, "facts.yaml: data is 'toys'; it must be a list"),
        ({"figures": [{"results": "figures"}]}, "an entry of figures is {results: FOLDER, measures: [NAME, ...]}"),
        ({"figures": [{"results": "nowhere", "measures": ["right"]}]}, "nowhere does not exist"),
        ({"figures": [{"results": "figures", "measures": ["wrong"]}]}, "no measure is called 'wrong'"),
        ({"figures": [{"results": "figures", "measures": ["right"]}]}, "measured the weights 000000000000…"),
    ],
)
def test_wrong_facts_are_refused_and_nothing_is_written(run, moshi_zoo, changes, message):
    write_results("0" * 64)
    write_facts(**changes)
    code, _, err = moshi_zoo("release", "tuned", *WORDS)
    assert code == 2
    assert message in err.splitlines()[-1]
    assert not list(Path("checkpoints").glob("*"))
