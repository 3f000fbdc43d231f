"""The verb ``download``, against a hub on this machine."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import moshi_zoo as package
from moshi_zoo import registry
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import folder, lineage, uri
from moshi_zoo.zoo.config import read_config
from moshi_zoo.zoo.convert import export_weights
from tests.zoo.fake_hub import COMMIT, TOKEN, Repository

CODEC = {
    "component": "mimi",
    "preset": "mimi-tiny",
    "licence": "CC-BY-4.0",
    "format": "hf",
    "repository": "lab/codec",
    "files": [{"name": "config.json"}, {"name": "model.safetensors"}],
}
MOSHI = {
    "component": "moshi",
    "preset": "moshi-tiny",
    "licence": "CC-BY-NC-4.0",
    "format": "kyutai",
    "repository": "lab/talker",
    "codec": "codec",
    "files": [{"name": "model.safetensors"}, {"name": "tokenizer_spm.model"}],
}


def exported(preset, layout, where):
    """The files of a random model in another project's layout, and its weights."""
    spec = registry.to_portable(registry.complete(registry.preset(preset)))
    tensors = registry.build(preset).state_dict()
    export_weights(spec, tensors, layout, where)
    return {path.name: path.read_bytes() for path in where.iterdir()}, tensors


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    codec, codec_tensors = exported("mimi-tiny", "hf", tmp_path_factory.mktemp("codec"))
    moshi, moshi_tensors = exported("moshi-tiny", "kyutai", tmp_path_factory.mktemp("moshi"))
    tokenizer = Tokenizer.train(["one two three"], vocab_size=280, size="at most")
    return SimpleNamespace(**locals())


@pytest.fixture
def shop(hub, write_catalogue, models):
    """A hub with a codec and a Moshi, both in the catalogue."""
    write_catalogue(codec=CODEC, talker=MOSHI)
    hub.repositories["lab/codec"] = Repository(dict(models.codec))
    weights = models.moshi["model.safetensors"]
    files = {"model.safetensors": weights, "tokenizer_spm.model": models.tokenizer.model_bytes}
    hub.repositories["lab/talker"] = Repository(files)
    return hub


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)


def nothing_is_there():
    return not Path("checkpoints").exists() or not any(Path("checkpoints").rglob("*.*"))


def last_line(err):
    return err.splitlines()[-1]


def test_a_model_comes_as_a_zoo_folder(shop, models, moshi_zoo):
    code, out, err = moshi_zoo("download", "codec")
    assert code == 0, err
    assert "licence CC-BY-4.0" in out
    assert "checkpoints/codec: mimi" in out
    config = read_config(Path("checkpoints/codec"))
    assert (config.licence, config.stage) == ("CC-BY-4.0", f"download lab/codec@{COMMIT}")
    found = package.load("codec").state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in models.codec_tensors.items())
    assert [path.name for path in Path("checkpoints").iterdir()] == ["codec"]


def test_what_is_here_is_not_fetched_again(shop, moshi_zoo):
    moshi_zoo("download", "codec")
    shop.requests.clear()
    code, out, _ = moshi_zoo("download", "codec")
    assert code == 0
    assert "is here already" in out
    assert not [request for request in shop.requests if "resolve" in request]


def test_a_moshi_brings_its_codec_and_its_tokenizer(shop, models, moshi_zoo):
    code, out, err = moshi_zoo("download", "talker")
    assert code == 0, err
    assert "speaks the codes of codec, which comes along" in out
    (parent,) = lineage.trace("talker").parents
    assert (parent.name, parent.standing, parent.config.component) == ("codec", "here", "mimi")
    assert Tokenizer.load("checkpoints/talker").sha256 == models.tokenizer.sha256
    found = package.load("talker").state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in models.moshi_tensors.items())


def test_another_folder_and_another_revision_can_be_asked_for(shop, moshi_zoo):
    assert moshi_zoo("download", "codec", "--to", "models/mine", "--revision", COMMIT)[0] == 0
    assert folder.is_zoo_folder(Path("models/mine"))
    code, _, err = moshi_zoo("download", "codec", "--to", "other", "--revision", "v9")
    assert code == 2
    assert "lab/codec has no revision 'v9'" in last_line(err)
    assert not Path("other").exists()


def test_a_download_that_is_cut_off_goes_on_where_it_stopped(shop, moshi_zoo, impatient):
    shop.cut["model.safetensors"], shop.times = 10_000, 2
    code, _, err = moshi_zoo("download", "codec")
    assert code == 0, err
    resumed = [int(request.split()[1]) for request in shop.requests if request.startswith("range")]
    assert len(resumed) == 2
    assert 0 < resumed[0] < resumed[1], "not from the start"
    folder.verify(Path("checkpoints/codec"))


def test_a_line_that_stays_dead_leaves_nothing_half_installed(shop, moshi_zoo, impatient):
    shop.cut["model.safetensors"], shop.times = 0, 99
    code, _, err = moshi_zoo("download", "codec")
    assert code == 2, err
    assert len(last_line(err)) < 600
    assert nothing_is_there()
    shop.times = 0
    shop.requests.clear()
    assert moshi_zoo("download", "codec")[0] == 0
    assert not [r for r in shop.requests if r.startswith("GET") and "config.json" in r], (
        "whole files are not fetched again"
    )


@pytest.mark.parametrize(("name", "kind"), [("model.safetensors", "sha256"), ("config.json", "git sha1")])
def test_wrong_bytes_are_noticed_and_deleted(shop, moshi_zoo, name, kind):
    shop.wrong.add(name)
    code, _, err = moshi_zoo("download", "codec")
    assert code == 2
    assert f"lab/codec: {name} has {kind}" in last_line(err)
    assert "instead of" in last_line(err)
    assert nothing_is_there()
    shop.wrong.clear()
    assert moshi_zoo("download", "codec")[0] == 0, "the damaged file is out of the way"


def test_another_file_than_the_catalogued_one_is_not_even_fetched(shop, write_catalogue, moshi_zoo):
    files = [{"name": "config.json"}, {"name": "model.safetensors", "sha256": "a" * 64}]
    write_catalogue(codec={**CODEC, "files": files})
    code, _, err = moshi_zoo("download", "codec")
    assert code == 2
    assert "the catalogue says " + "a" * 64 in last_line(err)
    assert not [r for r in shop.requests if r.startswith("GET") and "model.safetensors" in r]
    assert nothing_is_there()


def test_what_the_hub_refuses_is_said_in_one_line(shop, moshi_zoo, monkeypatch):
    shop.repositories["lab/codec"].gated = True
    code, _, err = moshi_zoo("download", "codec")
    assert code == 2
    assert "lab/codec is gated: accept its terms on http" in last_line(err)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert moshi_zoo("download", "codec")[0] == 0
    shutil.rmtree("checkpoints")
    for change, message in [
        (lambda: shop.repositories["lab/codec"].files.pop("model.safetensors"), "has no file model.safetensors"),
        (lambda: shop.repositories.pop("lab/codec"), "lab/codec does not exist, or is private"),
        (lambda: setattr(shop, "status", 418), "the hub answered 418 for lab/codec"),
        (lambda: setattr(shop, "status", 403), "the hub answered 403 for lab/codec"),
    ]:
        change()
        code, _, err = moshi_zoo("download", "codec")
        assert code == 2, err
        assert message in last_line(err)
    assert nothing_is_there()


def test_without_a_network_the_message_says_what_can_be_done(shop, moshi_zoo, monkeypatch, unused_port):
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{unused_port}")
    code, _, err = moshi_zoo("download", "codec")
    assert code == 2
    assert f"(http://127.0.0.1:{unused_port}) cannot be reached" in last_line(err)
    assert "Offline you can use what is here" in last_line(err)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, _, err = moshi_zoo("download", "codec")
    assert code == 2
    assert "lab/codec is not in the cache, and HF_HUB_OFFLINE is set. Offline you can" in last_line(err)


def test_what_is_in_the_cache_needs_no_network(shop, moshi_zoo, monkeypatch):
    moshi_zoo("download", "codec", "--to", "first")
    shop.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, _, err = moshi_zoo("download", "codec")
    assert code == 0, err
    assert not shop.requests
    assert read_config(Path("checkpoints/codec")).sha256 == read_config(Path("first")).sha256


def test_a_slow_hub_is_waited_for(shop, moshi_zoo):
    shop.slow = 0.3
    assert moshi_zoo("download", "codec")[0] == 0


def test_a_full_disk_is_noticed_before_the_download(shop, moshi_zoo, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    code, _, err = moshi_zoo("download", "codec")
    assert code == 2
    assert "codec needs 0.0 GB" in last_line(err)
    assert "has 0.0 GB free" in last_line(err)
    assert not [request for request in shop.requests if "resolve" in request]


def test_another_model_in_its_place_is_left_alone(shop, moshi_zoo):
    moshi_zoo("download", "codec", "--to", "checkpoints/talker")
    before = Path("checkpoints/talker/config.yaml").read_text()
    code, _, err = moshi_zoo("download", "talker")
    assert code == 2
    assert f"checkpoints/talker is another model (made by: download lab/codec@{COMMIT})" in last_line(err)
    assert Path("checkpoints/talker/config.yaml").read_text() == before
    Path("notes").mkdir()
    Path("notes/mine.txt").write_text("mine")
    code, _, err = moshi_zoo("download", "codec", "--to", "notes")
    assert code == 2
    assert "notes exists and is no zoo folder" in last_line(err)


def test_damage_of_what_is_here_is_noticed(shop, moshi_zoo):
    moshi_zoo("download", "codec")
    weights = Path("checkpoints/codec/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    code, _, err = moshi_zoo("download", "codec")
    assert code == 2
    assert "checkpoints/codec: model.safetensors has sha256" in last_line(err)


def test_files_that_are_another_model_are_refused_with_tensor_and_both_values(shop, write_catalogue, models, moshi_zoo):
    write_catalogue(
        codec={**CODEC, "format": "kyutai", "preset": "mimi-full", "files": [{"name": "model.safetensors"}]}
    )
    code, _, err = moshi_zoo("download", "codec")
    assert code == 2
    assert "model.safetensors: the tensors do not fit mimi-full" in last_line(err)
    content = models.moshi["model.safetensors"]
    shop.repositories["lab/talker"].files["model.safetensors"] = content[:-100]
    code, _, err = moshi_zoo("download", "talker")
    assert code == 2
    assert nothing_is_there()


def test_a_cut_off_file_on_the_hub_is_refused(shop, moshi_zoo):
    content = shop.repositories["lab/codec"].files["model.safetensors"]
    shop.repositories["lab/codec"].files["model.safetensors"] = content[:-100]
    code, _, err = moshi_zoo("download", "codec")
    assert code == 2
    assert f"has {len(content) - 100} bytes and promises {len(content)}" in last_line(err)
    assert nothing_is_there()


def test_any_repository_is_loaded_by_its_address(hub, write_catalogue, models, tmp_path):
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(tmp_path / "own", spec, models.codec_tensors, stage="LitMimi", licence="CC0-1.0")
    own = {path.name: path.read_bytes() for path in (tmp_path / "own").iterdir()}
    hub.repositories |= {
        "me/zoo": Repository({**own, "notes.txt": b"mine"}),
        "me/hf": Repository(dict(models.codec), licence="mit"),
        "me/kyutai": Repository({**models.moshi, "tokenizer-abc.safetensors": b"", "x.bin": b""}),
    }
    assert uri.resolve("hf://me/zoo") == Path("checkpoints/me/zoo")
    assert sorted(path.name for path in Path("checkpoints/me/zoo").iterdir()) == sorted(own)
    assert read_config(Path("checkpoints/me/zoo")).stage == "LitMimi", "as its maker wrote it"
    found = package.load("hf://me/hf").state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in models.codec_tensors.items())
    assert read_config(Path("checkpoints/me/hf")).licence == "MIT"
    assert type(package.load("hf://me/kyutai")).__name__ == "Moshi"
    hub.requests.clear()
    package.load("hf://me/zoo")
    assert not hub.requests, "what is here needs no hub"


def test_a_catalogued_repository_is_known_by_its_address_too(shop, moshi_zoo):
    assert moshi_zoo("download", "hf://lab/codec")[0] == 0
    assert uri.resolve("hf://lab/codec") == uri.resolve("codec") == Path("checkpoints/codec")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://me/pickles", r"me/pickles has no safetensors file \(its files: pytorch_model.bin\)"),
        ("hf://me/many", "me/many has several weights"),
        ("hf://me/damaged", "model.safetensors has sha256"),
        ("hf://me/hostile", "only registered components are loaded"),
        ("hf://me/nothing", "does not exist"),
        ("hf://me", "is no repository on the hub"),
        ("hf://me/../you", "is no repository on the hub"),
        ("s3://me/model", "s3:// is no place for models"),
    ],
)
def test_addresses_without_a_model_are_refused(hub, write_catalogue, models, tmp_path, address, message):
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(tmp_path / "own", spec, models.codec_tensors, stage="LitMimi")
    own = {path.name: path.read_bytes() for path in (tmp_path / "own").iterdir()}
    hostile = own["config.yaml"].replace(b"component: seanet-encoder", b"class_path: os.system")
    hub.repositories |= {
        "me/pickles": Repository({"pytorch_model.bin": b"\x80"}),
        "me/many": Repository({"a.safetensors": b"", "b.safetensors": b""}),
        "me/damaged": Repository({**own, "model.safetensors": own["model.safetensors"][:-1] + b"\x7f"}),
        "me/hostile": Repository({**own, "config.yaml": hostile}),
    }
    with pytest.raises(ValueError, match=message):
        uri.resolve(address)
    assert nothing_is_there()


def test_unknown_names_are_refused_with_the_nearest(shop, moshi_zoo):
    code, _, err = moshi_zoo("download", "codex")
    assert code == 2
    assert "did you mean codec" in last_line(err)
    code, _, err = moshi_zoo("generate", "--model", "talker", "--prompt", "x")
    assert code == 2
    assert "talker is not here yet: `python -m moshi_zoo download talker`" in last_line(err)
