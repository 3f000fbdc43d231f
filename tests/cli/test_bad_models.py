"""Models that are damaged, hostile or something else, and every verb that takes them from strangers or hands them on.

Each refuses with exit code 2 and a line that names the file and what is wrong with it, and leaves nothing behind.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from moshi_zoo import registry
from moshi_zoo.zoo import folder
from moshi_zoo.zoo.config import FILE, read_config, write_config
from tests.cli.codecs import tiny_codec
from tests.zoo.fake_hub import TOKEN, Repository

TENSOR = "decoder_transformer.layers.0.mlp.0.weight"
FACTS = {"about": "", "limits": "", "data": [], "commands": [], "hardware": "", "minutes": 0}


@pytest.fixture
def bad(hub, write_catalogue, monkeypatch):
    """A codec in ``bad``, in a folder where verbs can be called, with a hub."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    tiny_codec(Path("bad"))
    Path("facts.yaml").write_text(yaml.safe_dump(FACTS))
    return Path("bad")


def change_weights(model, change):
    tensors = load_file(model / folder.WEIGHTS)
    change(tensors)
    save_file(tensors, model / folder.WEIGHTS)


def change_config(model, **changes):
    content = yaml.safe_load((model / FILE).read_text())
    (model / FILE).write_text(yaml.safe_dump({**content, **changes}))


def signed(model):
    """Make the sums right again: a stranger would."""
    import hashlib
    from dataclasses import replace

    sha256 = hashlib.sha256((model / folder.WEIGHTS).read_bytes()).hexdigest()
    write_config(model, replace(read_config(model), sha256=sha256))


def without_a_tensor(model):
    change_weights(model, lambda tensors: tensors.pop(TENSOR))
    signed(model)


def with_another_shape(model):
    change_weights(model, lambda tensors: tensors.update({TENSOR: torch.zeros(3, 2)}))
    signed(model)


def with_a_tensor_more(model):
    change_weights(model, lambda tensors: tensors.update(extra=torch.zeros(1)))
    signed(model)


def cut_off(model):
    weights = model / folder.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])
    signed(model)


def a_pickle(model):
    torch.save({TENSOR: torch.zeros(1)}, model / folder.WEIGHTS)
    signed(model)


def no_safetensors(model):
    (model / folder.WEIGHTS).write_bytes(b"\xff" * 64)
    signed(model)


def empty(model):
    (model / folder.WEIGHTS).write_bytes(b"")
    signed(model)


def changed_on_its_way(model):
    weights = model / folder.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")


def naming_a_class(model):
    change_config(model, init_args={"encoder": {"class_path": "os.system"}})


def naming_a_path(model):
    change_config(model, init_args={"encoder": "/etc/passwd"})


def of_an_unknown_kind(model):
    change_config(model, component="mimmi")


def with_an_unknown_argument(model):
    change_config(model, init_args={**read_config(model).init_args, "dimm": 3})


def with_a_huge_number(model):
    change_config(model, init_args={**read_config(model).init_args, "dim": 10**15})


def without_a_config(model):
    (model / FILE).write_text("- 1\n")


DAMAGES = {
    without_a_tensor: rf"bad\S*: .*{TENSOR} is missing",
    with_another_shape: rf"bad\S*: .*{TENSOR} has shape \[3, 2\], its config says \[\d+, \d+\]",
    with_a_tensor_more: r"bad\S*: .*extra is unknown",
    cut_off: r"bad/model\.safetensors .*it has \d+ bytes and promises \d+",
    a_pickle: r"bad/model\.safetensors is a pickle",
    no_safetensors: r"bad/model\.safetensors is no readable safetensors file",
    empty: r"bad/model\.safetensors is no readable safetensors file",
    naming_a_class: r"bad/config\.yaml: class_path 'os\.system'",
    naming_a_path: r"bad/config\.yaml: the text '/etc/passwd'",
    of_an_unknown_kind: r"bad/config\.yaml: no component is called 'mimmi'; did you mean mimi",
    with_an_unknown_argument: r"bad/config\.yaml: no argument of mimi is called 'dimm'; did you mean dim\?",
    with_a_huge_number: r"bad\S*: cannot build Mimi: Storage size calculation overflowed .*10+",
    without_a_config: r"bad/config\.yaml: the config must be a mapping, not \[1\]",
}
VERBS = {
    "export": ("export", "bad", "--format", "kyutai", "--out", "out.safetensors"),
    "export hf": ("export", "bad", "--format", "hf", "--out", "out"),
    "release": ("release", "bad", "--licence", "MIT", "--facts", "facts.yaml", "--out", "out"),
    "publish": ("publish", "bad", "--licence", "MIT", "--to", "me/codec"),
    "encode": ("encode", "sound.wav", "--model", "bad", "--out", "out.safetensors"),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_zoo_folder_is_refused_by_every_verb(bad, hub, moshi_zoo, damage):
    damage(bad)
    before = sorted(Path().rglob("*"))
    for words in VERBS.values():
        code, out, err = moshi_zoo(*words)
        assert code == 2, (words, out, err)
        assert re.search(DAMAGES[damage], err), (words, err)
        assert "Traceback" not in err
        assert sorted(Path().rglob("*")) == before, words
    assert not hub.repositories


@pytest.mark.parametrize("damage", [*DAMAGES, changed_on_its_way], ids=lambda damage: damage.__name__)
def test_a_damaged_zoo_folder_is_not_downloaded(bad, hub, moshi_zoo, damage):
    damage(bad)
    hub.repositories["you/bad"] = Repository({file.name: file.read_bytes() for file in bad.iterdir()})
    code, _, err = moshi_zoo("download", "hf://you/bad")
    assert code == 2, err
    assert "Traceback" not in err
    assert not list(Path("checkpoints").glob("**/*.safetensors"))


def test_list_and_info_say_what_is_wrong_and_go_on(bad, moshi_zoo):
    Path("checkpoints").mkdir()
    for damage in (naming_a_class, of_an_unknown_kind, without_a_config):
        shutil.copytree(bad, Path("checkpoints") / damage.__name__)
        damage(Path("checkpoints") / damage.__name__)
        code, _, err = moshi_zoo("info", damage.__name__)
        assert code == 2
        assert f"checkpoints/{damage.__name__}/config.yaml: " in err
    shutil.copytree(bad, "checkpoints/changed")
    changed_on_its_way(Path("checkpoints/changed"))
    shutil.copytree(bad, "checkpoints/whole")
    code, _, err = moshi_zoo("info", "changed", "--verify")
    assert code == 2
    assert "changed: model.safetensors has sha256" in err
    code, out, _ = moshi_zoo("list", "--json", "--verify")
    assert code == 0
    rows = {Path(row["name"]).name: (row["here"], bool(row["problem"])) for row in json.loads(out)}
    assert rows.pop("whole") == ("verified", False)
    assert rows == dict.fromkeys(rows, ("unusable", True))
    assert len(rows) == 4


def test_files_outside_the_folder_are_not_read(bad, hub, moshi_zoo):
    Path("secret.safetensors").write_bytes((bad / folder.WEIGHTS).read_bytes())
    assert moshi_zoo("export", bad, "--format", "hf", "--out", "theirs")[0] == 0
    (Path("theirs") / "model.safetensors").unlink()
    for name in ("../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", ""):
        index = {"weight_map": {"encoder.layers.0.conv.weight": name}}
        (Path("theirs") / "model.safetensors.index.json").write_text(json.dumps(index))
        code, _, err = moshi_zoo("import", "theirs", "--format", "hf", "--out", "out")
        assert code == 2
        assert f"model.safetensors.index.json names the file {name!r}: only safetensors files beside the index" in err
        assert not Path("out").exists()
    (bad / folder.WEIGHTS).unlink()
    (bad / folder.WEIGHTS).symlink_to(Path("secret.safetensors").resolve())
    code, _, err = moshi_zoo("publish", bad, "--licence", "MIT", "--to", "me/codec")
    assert code == 2
    assert "outside the folder" in err
    assert not hub.repositories


def test_out_must_not_be_somebody_elses_folder(bad, moshi_zoo):
    Path("notes").mkdir()
    Path("notes/mine.txt").write_text("mine")
    Path("file").write_text("mine")
    assert moshi_zoo("export", bad, "--format", "kyutai", "--out", "there.safetensors")[0] == 0
    kyutai = ("import", "there.safetensors", "--format", "kyutai", "--preset", "mimi-tiny")
    released = ("release", bad, "--licence", "MIT", "--facts", "facts.yaml")
    for words in (kyutai, released):
        for out in ("notes", "file"):
            code, _, err = moshi_zoo(*words, "--out", out)
            assert code == 2, words
            assert f"{out} exists and is no zoo folder" in err
    assert Path("notes/mine.txt").read_text() == Path("file").read_text() == "mine"
    assert [path.name for path in Path("notes").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("licence", ["", "free", "MIT OR", "CC-BY-40", "LicenseRef-", "LicenseRef-my own"])
def test_a_wrong_licence_is_refused_before_anything_is_done(bad, hub, moshi_zoo, licence):
    before = sorted(Path().rglob("*"))
    for words in (
        ("import", "bad", "--format", "hf", "--out", "out"),
        ("publish", "bad", "--to", "me/codec"),
        ("release", "bad", "--facts", "facts.yaml", "--out", "out"),
    ):
        code, _, err = moshi_zoo(*words, f"--licence={licence}")
        assert code == 2, words
        assert f"no licence is called {licence!r}" in err
    assert sorted(Path().rglob("*")) == before
    assert not hub.repositories


def test_a_preset_without_weights_is_no_model(bad, moshi_zoo):
    for words in VERBS.values():
        code, _, err = moshi_zoo(*("mimi-full" if word == "bad" else word for word in words))
        assert code == 2
        assert "'mimi-full' is a preset: sizes without weights" in err
    assert "mimi-full" in registry.names()
