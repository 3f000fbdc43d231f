"""Releases: rounded, with parents that others have."""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from moshi_zoo import load, registry
from moshi_zoo.modules.lora import Lora, LoraSize
from moshi_zoo.runtime.pair import find_codec
from moshi_zoo.zoo import adapters, folder
from moshi_zoo.zoo.config import Parent, read_config, write_config
from moshi_zoo.zoo.lineage import trace
from moshi_zoo.zoo.release import known_parents, release, rounded, stand_ins
from moshi_zoo.zoo.sampling import Sampling
from moshi_zoo.zoo.tensor_file import open_tensors
from moshi_zoo.zoo.text_layout import TextLayout
from tests.cli.codecs import tiny_codec

WORDS = {"licence": "CC-BY-SA-4.0", "notes": lambda config: "# Notes"}


def save(place, preset, *parents, stage="LitMoshi", **more):
    spec = registry.to_portable(registry.preset(preset))
    named = [Parent(str(parent), read_config(Path(parent)).sha256) for parent in parents]
    return folder.save(place, spec, registry.build(preset).state_dict(), stage=stage, parents=named, **more)


def released(name, source, *pairs, precision="float16"):
    model = trace(str(source))
    parents = known_parents(model, stand_ins(pairs))
    return release(model.folder, Path("checkpoints") / name, parents=parents, precision=precision, **WORDS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A codec, a text model, a Moshi made from both in two stages, and a voice for it; and releases of them all."""
    home = tmp_path_factory.mktemp("made")
    codec = home / "far/away/codec"
    codec.parent.mkdir(parents=True)
    tiny_codec(codec)
    with contextlib.chdir(home):
        save(Path("runs/text/zoo"), "helium-tiny", stage="LitHelium")
        save(Path("runs/asr/zoo"), "moshi-tiny", "runs/text/zoo", codec)
        layout = TextLayout("moshi_and_heard", {"heard": -0.48})
        learnt = {"text_layout": layout, "sampling": Sampling(0.3, 0.5)}
        save(Path("runs/talk/zoo"), "moshi-tiny", "runs/asr/zoo", codec, **learnt)
        base = read_config(Path("runs/talk/zoo"))
        spec = adapters.adapter_spec(base.spec, LoraSize(temporal=2, depth=2))
        net: Lora = registry.instantiate(registry.from_portable(spec))
        parents = [Parent("runs/talk", base.sha256), Parent(str(codec), read_config(codec).sha256)]
        folder.save(Path("runs/voice/zoo"), spec, net.state_dict(), stage="LitMoshi", parents=parents)
        pair = f"{codec}=checkpoints/my-codec"
        configs = {
            "codec": released("my-codec", codec, precision="same"),
            "text": released("my-text", "runs/text"),
            "talk": released("my-moshi", "runs/talk", pair, "runs/text=checkpoints/my-text"),
            "voice": released("my-voice", "runs/voice", pair, "runs/talk=checkpoints/my-moshi"),
        }
    return home, codec, configs


@pytest.fixture
def family(made, tmp_path, monkeypatch):
    """The configs of the releases, in a copy of all that is the current folder."""
    shutil.copytree(made[0], tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return made[2]


@pytest.fixture
def chain(family, made):
    """The codec, far away."""
    return made[1]


def test_parents_are_the_releases_and_the_steps_between_are_left_out(family):
    codec, text, talk = (
        Parent(f"my-{name}", family[key].sha256)
        for name, key in (("codec", "codec"), ("text", "text"), ("moshi", "talk"))
    )
    assert family["talk"].parents == (text, codec)
    assert family["voice"].parents == (talk, codec)
    assert family["talk"].licence == "CC-BY-SA-4.0"
    assert read_config(Path("checkpoints/my-moshi")).text_layout == TextLayout("moshi_and_heard", {"heard": -0.48})
    assert family["talk"].sampling == Sampling(0.3, 0.5)
    assert family["voice"].sampling is None
    for place in Path("checkpoints").iterdir():
        folder.verify(place)
        assert "away" not in (place / "config.yaml").read_text() + (place / "README.md").read_text()
        assert "# Notes" in (place / "README.md").read_text()


def test_releases_find_each_other_wherever_they_lie(family, tmp_path, monkeypatch):
    assert find_codec("my-moshi") == Path("checkpoints/my-codec")
    assert [parent.standing for parent in trace("my-voice").parents] == ["here", "here"]
    assert type(load("my-moshi", adapter="my-voice")).__name__ == "Moshi"
    Path("checkpoints").rename(tmp_path / "elsewhere")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert find_codec("../elsewhere/my-moshi").resolve() == tmp_path / "elsewhere/my-codec"


def test_codes_of_the_released_codec_are_those_that_the_moshi_was_made_for(family, chain):
    wav = torch.rand(1, 1, 1920 * 4) - 0.5
    with torch.inference_mode():
        assert torch.equal(load(chain).encode(wav), load("my-codec").encode(wav))
    assert family["codec"].sha256 == read_config(chain).sha256, "not rounded: also what is coded already stays valid"
    assert family["codec"].sha256 in {parent.sha256 for parent in family["talk"].parents}


def test_float16_takes_half_the_bytes_and_is_loaded_as_float32(family):
    before, after = Path("runs/talk/zoo"), Path("checkpoints/my-moshi")
    assert {t.dtype for t in open_tensors(after / folder.WEIGHTS).values()} == {torch.float16}
    assert (after / folder.WEIGHTS).stat().st_size < 0.6 * (before / folder.WEIGHTS).stat().st_size
    was, now = folder.read_weights(before), load("my-moshi").state_dict()
    assert {t.dtype for t in now.values()} == {torch.float32}
    for name, tensor in was.items():
        torch.testing.assert_close(now[name], tensor, rtol=2**-11, atol=2**-25)
    codes = torch.randint(32, (1, 9, 12))
    with torch.inference_mode():
        ours, theirs = (load(path)(codes).text_logits for path in (after, before))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.02)
    merged = adapters.merged_weights(after, Path("checkpoints/my-voice"))
    assert {t.dtype for t in merged.values()} == {torch.float32}


def test_releasing_again_gives_the_same_weights(family, chain):
    pairs = f"{chain}=checkpoints/my-codec", "runs/text=checkpoints/my-text"
    assert released("my-moshi", "runs/talk", *pairs) == family["talk"]
    assert released("again", "my-moshi", *pairs, precision="same").sha256 == family["talk"].sha256


def test_an_ancestor_without_a_release_keeps_the_last_part_of_its_name(chain):
    config = released("my-moshi", "runs/talk", "runs/text=runs/text")
    assert [parent.name for parent in config.parents] == ["zoo", "codec"]


def test_whole_numbers_are_not_rounded_and_what_is_too_large_is_refused():
    tensors = {"steps": torch.tensor([70_001]), "x": torch.tensor([1.0, torch.inf])}
    made = {name: folder.computed({name: t})[name] for name, t in rounded(tensors, "float16").items()}
    assert made["steps"].equal(tensors["steps"])
    assert made["x"].equal(torch.tensor([1.0, torch.inf], dtype=torch.float16))
    with pytest.raises(ValueError, match=r"x has a value of 7e\+04, but torch.float16 ends at 6.55e\+04"):
        folder.computed(rounded({"x": torch.tensor([7e4])}, "float16"))
    with pytest.raises(ValueError, match="no precision is called 'float61'; did you mean float16"):
        rounded(tensors, "float61")


def test_what_cannot_be_released_is_refused_and_nothing_is_written(chain):
    def attempt(source, pairs, *, out=Path("checkpoints/x"), **more):
        model = trace(source)
        release(model.folder, out, parents=known_parents(model, stand_ins(pairs)), **{**WORDS, **more})

    def refused(message, source="runs/talk", *pairs, **more):
        before = sorted(Path().rglob("*"))
        with pytest.raises(ValueError, match=message):
            attempt(source, pairs, **more)
        assert sorted(Path().rglob("*")) == before

    refused("runs/voice adapts runs/talk, which is none of the releases", "runs/voice")
    refused("'runs/text' is not MODEL=RELEASE", "runs/talk", "runs/text")
    refused(
        "runs/text is no release of runs/asr: the tensors do not fit runs/asr/zoo", "runs/talk", "runs/asr=runs/text"
    )
    refused("is the model itself", out=Path("runs/talk/zoo"))
    refused("no licence is called 'CC-BY-SA-40'; did you mean CC-BY-SA-4.0", licence="CC-BY-SA-40")
    config = read_config(Path("runs/talk/zoo"))
    write_config(Path("runs/talk/zoo"), replace(config, licence="CC-BY-NC-4.0"))
    refused("may be used under CC-BY-NC-4.0, not under CC-BY-SA-4.0")
    write_config(Path("runs/talk/zoo"), config)
    weights = Path("runs/talk/zoo/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    refused("model.safetensors has sha256")
