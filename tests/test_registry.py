"""Names of components and presets."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

import tests.toys  # noqa: F401 - registers the toy components
from moshi_zoo import registry


def test_a_name_taken_by_another_class_is_refused():
    with pytest.raises(ValueError, match=r"'mimi' is taken by moshi_zoo\.models\.mimi\.Mimi"):

        @registry.register("mimi")
        class Other(nn.Module):
            pass


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(ValueError, match="no component is called 'mimmi'; did you mean mimi"):
        registry.component("mimmi")
    with pytest.raises(ValueError, match="no preset is called 'mimi-nanno'; did you mean mimi-nano"):
        registry.preset("mimi-nanno")
    with pytest.raises(ValueError, match="dimm"):
        registry.build("toy-tiny", dimm=3)


def test_a_preset_gives_class_paths_all_the_way_down():
    spec = registry.preset("toy-tiny")
    assert spec["class_path"] == "tests.toys.Toy"
    assert spec["init_args"]["scale"]["class_path"] == "tests.toys.ToyScale"
    assert registry.from_portable(registry.to_portable(spec)) == spec


def test_a_preset_can_be_changed():
    assert registry.build("toy-tiny", dim=4).linear.weight.shape == (4, 4)
    assert registry.build("toy-tiny").scale.start == 0.5


@pytest.mark.parametrize("name", registry.names(nn.Module))
def test_every_preset_is_laid_out_without_memory_and_then_filled(name):
    with torch.device("meta"):
        module = registry.build(name)
    assert all(t.is_meta for t in [*module.parameters(), *module.buffers()])
    for part in module.modules():
        if isinstance(part, ParametrizationList):  # weight norm of discriminators, which only training makes
            continue
        own = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
        assert not own or hasattr(part, "reset_parameters"), f"{type(part).__name__} cannot fill its tensors"


@pytest.mark.parametrize("name", registry.names(nn.Module))
def test_every_preset_can_be_saved_and_made_again(name):
    portable = registry.to_portable(registry.complete(registry.preset(name)))
    assert "class_path" not in str(portable)
    with torch.device("meta"):
        again = registry.instantiate(registry.from_portable(portable)).state_dict()
        first = registry.build(name).state_dict()
    assert {k: v.shape for k, v in again.items()} == {k: v.shape for k, v in first.items()}


@pytest.mark.parametrize("name", [n for n in registry.names() if n.endswith("-tiny")])
def test_tiny_presets_are_tiny(name):
    assert sum(p.numel() for p in registry.build(name).parameters()) < 200_000


@pytest.mark.parametrize(
    "spec",
    [
        {"class_path": "os.system", "init_args": {}},
        {"component": "toy", "init_args": {"dim": 8, "scale": {"class_path": "os.system"}}},
        {"component": "toy", "init_args": {"dim": 8, "scale": "os.system"}},
        {"component": "toy", "init_args": {"dim": 8, "scale": "../../evil"}},
        {"component": "toy", "init_args": {"dim": [8, {"class_path": "os.system"}]}},
        {"component": "toy", "init_args": {"dim": b"8"}},
        {"component": "os.system", "init_args": {}},
    ],
)
def test_a_hostile_spec_is_refused(spec):
    with pytest.raises(ValueError, match=r"class_path|may name code|plain values|no component"):
        registry.from_portable(spec)


def test_a_class_that_nobody_registered_cannot_be_saved():
    with pytest.raises(ValueError, match=r"torch\.nn\.Linear is not registered"):
        registry.to_portable({"class_path": "torch.nn.Linear", "init_args": {}})
