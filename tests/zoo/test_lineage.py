"""Where a model comes from."""

from pathlib import Path

import pytest
import torch

import tests.toys  # noqa: F401 - registers the toy components
from moshi_zoo import registry
from moshi_zoo.zoo import folder
from moshi_zoo.zoo.config import Parent, read_config
from moshi_zoo.zoo.lineage import trace


def save(path, *parents):
    """A new model at ``path``, made from others."""
    net = registry.build("toy-tiny")
    torch.nn.init.normal_(net.linear.weight)
    config = folder.save(
        Path(path),
        registry.to_portable(registry.preset("toy-tiny")),
        net.state_dict(),
        stage="LitToy",
        parents=[Parent(str(name), read_config(Path(name, "zoo")).sha256) for name in parents],
    )
    return config.sha256


@pytest.fixture
def family(tmp_path, monkeypatch):
    """grandparent <- parent <- child -> other."""
    monkeypatch.chdir(tmp_path)
    save("runs/grandparent/zoo")
    save("runs/parent/zoo", "runs/grandparent")
    save("runs/other/zoo")
    return save("runs/child/zoo", "runs/parent", "runs/other")


def standings(model):
    return {model.name: model.standing} | {name: s for parent in model.parents for name, s in standings(parent).items()}


def test_parents_are_followed_to_the_end(family):
    child = trace("child")
    assert (child.sha256, child.standing, child.folder) == (family, "here", Path("runs/child/zoo"))
    assert [p.name for p in child.parents] == ["runs/parent", "runs/other"]
    assert [p.name for p in child.parents[0].parents] == ["runs/grandparent"]
    assert set(standings(child).values()) == {"here"}


def test_a_parent_that_was_moved_is_found_by_its_weights(family):
    Path("runs/parent").rename("runs/parent.1")
    parent = trace("child").parents[0]
    assert (parent.name, parent.standing, parent.folder) == ("runs/parent", "moved", Path("runs/parent.1/zoo"))
    assert parent.parents[0].standing == "here"


def test_a_parent_that_was_trained_anew_is_told_from_the_one_that_was_used(family):
    save("runs/parent/zoo")
    assert trace("child").parents[0].standing == "changed"
    Path("runs/parent").rename("runs/new")
    assert trace("child").parents[0].standing == "missing"


def test_a_folder_that_claims_to_be_its_own_ancestor_ends(family):
    path = Path("runs/parent/zoo/config.yaml")
    text = path.read_text().replace(read_config(Path("runs/grandparent/zoo")).sha256, family)
    path.write_text(text.replace("name: runs/grandparent", "name: runs/child"))
    assert trace("child").parents[0].parents == ()


def test_an_unknown_model_is_refused(family):
    with pytest.raises(ValueError, match="did you mean"):
        trace("chld")
