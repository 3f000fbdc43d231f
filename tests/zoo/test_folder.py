"""Zoo folders: written, read, and refused."""

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import tests.toys  # noqa: F401 - registers the toy components
from moshi_zoo import registry
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import folder
from moshi_zoo.zoo.config import Parent, read_config
from moshi_zoo.zoo.sampling import Sampling
from moshi_zoo.zoo.text_layout import TextLayout

SPEC = {"component": "toy", "init_args": {"dim": 8, "scale": {"component": "toy-scale", "init_args": {"start": 0.5}}}}


@pytest.fixture
def saved(tmp_path):
    net = registry.build("toy-tiny")
    parents = [Parent("runs/a", "0" * 64)]
    folder.save(tmp_path / "x", SPEC, net.state_dict(), stage="LitToy", parents=parents, licence="CC0-1.0")
    return tmp_path / "x", net


def edit(path, **changes):
    content = yaml.safe_load((path / "config.yaml").read_text())
    (path / "config.yaml").write_text(yaml.safe_dump({**content, **changes}))


def test_a_model_comes_back_as_it_was(saved):
    path, net = saved
    back = folder.load(path)
    x = torch.randn(3, 8)
    assert not back.training
    assert torch.equal(back(x), net(x))
    assert torch.equal(back.table, torch.arange(8.0))  # not in the file: made again
    assert all(p.device.type == "cpu" and p.requires_grad for p in back.parameters())


@pytest.mark.parametrize("name", ["mimi-tiny", "mimi-nano"])
def test_codecs_come_back_as_they_were(tmp_path, name):
    net = registry.build(name).eval()
    folder.save(tmp_path / "x", registry.to_portable(registry.preset(name)), net.state_dict(), stage="test")
    back = folder.load(tmp_path / "x")
    wav = torch.randn(1, 1, 3 * net.frame_size)
    with torch.inference_mode():
        assert torch.equal(back.encode(wav), net.encode(wav))
        assert torch.equal(back(wav).wav, net(wav).wav)


def test_the_config_says_what_the_weights_are(saved):
    path, _ = saved
    config = read_config(path)
    assert (config.stage, config.licence, config.parents) == ("LitToy", "CC0-1.0", (Parent("runs/a", "0" * 64),))
    assert config.init_args["sample_rate"] == 24_000, "defaults are written out: they may change"
    assert "class_path" not in (path / "config.yaml").read_text()
    assert config.sha256 in (path / "README.md").read_text()
    folder.verify(path)


def test_the_dtype_of_the_file_is_kept(tmp_path):
    net = registry.build("toy-tiny").bfloat16()
    folder.save(tmp_path / "x", SPEC, net.state_dict(), stage="test")
    assert folder.load(tmp_path / "x").linear.weight.dtype == torch.bfloat16


def test_saving_again_replaces_the_folder_and_leaves_nothing_else(saved, tmp_path):
    path, net = saved
    (path / "tokenizer.model").write_text("old")
    with torch.no_grad():
        net.linear.weight.zero_()
    folder.save(path, SPEC, net.state_dict(), stage="again")
    assert folder.load(path).linear.weight.eq(0).all()
    assert not (path / "tokenizer.model").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_failed_save_leaves_the_old_folder(saved):
    path, net = saved
    before = (path / "config.yaml").read_text()
    with pytest.raises(ValueError, match=r"linear\.bias is missing"):
        folder.save(path, SPEC, {"linear.weight": net.linear.weight}, stage="again")
    assert (path / "config.yaml").read_text() == before


def test_a_folder_that_is_no_zoo_folder_is_not_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="no zoo folder"):
        folder.save(tmp_path, SPEC, registry.build("toy-tiny").state_dict(), stage="test")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_tokenizer_travels_along(tmp_path):
    tokenizer = Tokenizer.train(["one two three"], vocab_size=280, size="at most")
    tensors = registry.build("toy-tiny").state_dict()
    config = folder.save(tmp_path / "x", SPEC, tensors, stage="test", tokenizer=tokenizer)
    assert config == read_config(tmp_path / "x")
    assert config.tokenizer_sha256 == Tokenizer.load(tmp_path / "x").sha256 == tokenizer.sha256
    folder.verify(tmp_path / "x")
    (tmp_path / "x/tokenizer.model").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"tokenizer\.model has sha256"):
        folder.verify(tmp_path / "x")
    (tmp_path / "x/tokenizer.model").unlink()
    with pytest.raises(ValueError, match=r"tokenizer\.model has sha256 none"):
        folder.verify(tmp_path / "x")


def test_how_words_lie_in_the_text_is_kept_and_where_it_is_not_known_it_is_as_in_the_recipes(tmp_path, saved):
    old, net = saved
    assert "text_layout" not in (old / "config.yaml").read_text()
    assert [read_config(old).text_layout.delay_s(mode) for mode in ("asr", "tts", "heard")] == [-0.64, 0.4, 0.0]
    layout = TextLayout("moshi_and_heard", {"duplex": 0.0, "asr": -2.0, "heard": -0.48})
    folder.save(tmp_path / "y", SPEC, net.state_dict(), stage="test", text_layout=layout)
    found = read_config(tmp_path / "y").text_layout
    assert found == layout
    assert [found.delay_s(mode) for mode in ("asr", "tts", "heard")] == [-2.0, 0.4, -0.48]


@pytest.mark.parametrize(
    ("layout", "problem"),
    [
        ("moshi", "text_layout must be a mapping"),
        ({"from": "x"}, "no entry of text_layout is called 'from'"),
        ({"of": "everybody"}, r"text_layout\.of is 'everybody'"),
        ({"of": ["moshi"]}, r"text_layout\.of is \['moshi'\]"),
        ({"delays_s": {"nap": 1.0}}, "no mode of text_layout is called 'nap'"),
        ({"delays_s": {"asr": "1"}}, r"delays_s\.asr is '1'"),
        ({"delays_s": {"asr": True}}, r"delays_s\.asr is True"),
        ({"delays_s": {"tts": float("nan")}}, r"delays_s\.tts is nan"),
        ({"delays_s": {"tts": 1e9}}, r"delays_s\.tts is 1000000000"),
    ],
)
def test_a_layout_of_the_text_that_makes_no_sense_is_refused(saved, layout, problem):
    path, _ = saved
    edit(path, text_layout=layout)
    with pytest.raises(ValueError, match=problem):
        read_config(path)


def test_how_to_draw_from_a_model_is_kept_and_where_nothing_is_said_of_it_nothing_is_written(tmp_path, saved):
    old, net = saved
    assert "sampling" not in (old / "config.yaml").read_text()
    assert read_config(old).sampling is None
    folder.save(tmp_path / "y", SPEC, net.state_dict(), stage="test", sampling=Sampling(0.3, 0.5))
    assert "sampling:\n  text_temperature: 0.3\n  audio_temperature: 0.5\n" in (tmp_path / "y/config.yaml").read_text()
    assert read_config(tmp_path / "y").sampling == Sampling(0.3, 0.5)
    edit(old, sampling={"text_temperature": 0})
    assert read_config(old).sampling == Sampling(0, 0.8)


@pytest.mark.parametrize(
    ("sampling", "problem"),
    [
        (0.3, "sampling must be a mapping with text_temperature and audio_temperature, not 0.3"),
        ({"temperature": 0.3}, "no entry of sampling is called 'temperature'"),
        ({"text_temperature": "hot"}, r"sampling\.text_temperature is 'hot'"),
        ({"text_temperature": -0.1}, r"text_temperature is -0\.1; it must be a number from 0 to 10"),
        ({"audio_temperature": True}, r"audio_temperature is True"),
        ({"audio_temperature": float("nan")}, r"audio_temperature is nan"),
        ({"audio_temperature": None}, r"audio_temperature is None"),
    ],
)
def test_temperatures_that_make_no_sense_are_refused(saved, sampling, problem):
    path, _ = saved
    edit(path, sampling=sampling)
    with pytest.raises(ValueError, match=problem):
        read_config(path)


def test_weights_that_do_not_fit_are_listed(saved):
    path, _ = saved
    tensors = load_file(path / "model.safetensors")
    tensors["linear.weight"] = tensors["linear.weight"][:4].clone()
    tensors["extra"] = torch.zeros(1)
    del tensors["seen"]
    save_file(tensors, path / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"extra is unknown.*linear.weight has shape \[4, 8\], its config says \[8, 8\].*seen is"
    ):
        folder.load(path)


def test_damaged_weights_are_noticed(saved):
    path, _ = saved
    content = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(content[:-4] + b"\x01" * 4)
    with pytest.raises(ValueError, match="sha256"):
        folder.verify(path)
    (path / "model.safetensors").write_bytes(content[:-4])
    with pytest.raises(ValueError, match="cut off in"):
        folder.load(path)
    (path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"no model\.safetensors"):
        folder.load(path)


HOSTILE = {
    "class path": {"init_args": {"dim": 8, "scale": {"class_path": "os.system"}}},
    "import path for a callable": {"init_args": {"dim": 8, "scale": "os.system"}},
    "path": {"init_args": {"dim": 8, "scale": "/etc/passwd"}},
    "unregistered component": {"component": "os.system"},
    "component of another kind": {"init_args": {"dim": 8, "scale": {"component": "toy", "init_args": {}}}},
    "component that is a list": {"component": ["toy"]},
    "arguments that are a list": {"init_args": ["dim", 8]},
    "sha256 that is a number": {"sha256": 3},
    "parents that are a text": {"parents": "me"},
    "parent without a name": {"parents": [{"sha256": "0"}]},
    "unknown entry": {"run_at_load": "yes"},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_config_is_refused(saved, changes):
    path, _ = saved
    edit(path, **changes)
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else; what counts is that nothing is made
        folder.load(path)


HOSTILE_TEXT = {
    "tag": "component: !!python/object/apply:os.system ['true']\n",
    "alias bomb": "a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "deep nesting": "[" * 20_000,
    "not text": "\x00\x01",
    "a list": "- 1\n",
    "large": "# " + "x" * 300_000,
}


@pytest.mark.parametrize("text", HOSTILE_TEXT.values(), ids=HOSTILE_TEXT.keys())
def test_a_hostile_yaml_is_refused(saved, text):
    path, _ = saved
    (path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml"):
        folder.load(path)


def test_loading_never_unpickles(saved, monkeypatch):
    import pickle

    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "Unpickler", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    folder.load(saved[0])
