"""Starting a stage with the weights of earlier ones."""

from pathlib import Path

import pytest
import torch
from torch import nn

import tests.toys  # noqa: F401 - registers the toy components
from moshi_zoo import registry
from moshi_zoo.losses.multistream import MultistreamLoss
from moshi_zoo.modules.conv import add_weight_norm, folded_state_dict
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.training.init_from import check_tokenizer, load_part, report
from moshi_zoo.training.learning_rates import LearningRates
from moshi_zoo.training.lit_moshi import LitMoshi
from moshi_zoo.zoo import folder


@pytest.fixture(autouse=True)
def source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = registry.build("toy-tiny")
    folder.save(
        Path("checkpoints/source"), registry.to_portable(registry.preset("toy-tiny")), net.state_dict(), stage="a"
    )
    return net


def test_the_whole_net_is_loaded_in_place(source):
    net = registry.build("toy-tiny")
    weight = net.linear.weight
    loaded = load_part(net, "net", "source")
    assert net.linear.weight is weight
    assert torch.equal(weight, source.linear.weight)
    assert (loaded.num_tensors, loaded.num_parameters) == (4, 8 * 8 + 8 + 8 + 1)


def test_a_part_is_loaded_and_the_rest_is_called_new(source):
    net = nn.ModuleDict({"inner": registry.build("toy-tiny"), "head": nn.Linear(8, 2)})
    head = net["head"].weight.clone()
    table = report(net, [load_part(net, "inner", "source")])
    assert torch.equal(net["inner"].linear.weight, source.linear.weight)
    assert torch.equal(net["head"].weight, head)
    assert [line.split() for line in table.splitlines()[1:]] == [
        ["inner", "<-", "source", "4", "tensors", "81", "numbers"],
        ["new", "2", "tensors", "18", "numbers"],
    ]


def test_weight_norm_takes_plain_weights():
    codec = registry.build("mimi-tiny")
    spec = registry.to_portable(registry.preset("mimi-tiny"))
    folder.save(Path("checkpoints/codec"), spec, codec.state_dict(), stage="a")
    net = registry.build("mimi-tiny")
    add_weight_norm(net)
    load_part(net, "net", "codec")
    for key, tensor in folded_state_dict(net).items():
        torch.testing.assert_close(tensor, codec.state_dict()[key])


@pytest.mark.parametrize(
    ("part", "uri", "message"),
    [
        ("linaer", "source", "no part of the net is called 'linaer'; did you mean linear?"),
        ("net", "sauce", "no model is called 'sauce'; did you mean source"),
    ],
)
def test_what_does_not_fit_is_an_error(part, uri, message):
    with pytest.raises(ValueError, match=message):
        load_part(registry.build("toy-tiny"), part, uri)


def test_a_model_that_is_no_such_part_and_has_none_is_an_error():
    net = nn.ModuleDict({"head": nn.Linear(8, 2)})
    with pytest.raises(ValueError, match=r"source does not fit head.*missing.*unexpected"):
        load_part(net, "head", "source")


def test_another_size_is_an_error():
    with pytest.raises(ValueError, match=r"linear\.weight: \[8, 8\] given, \[4, 4\] needed"):
        load_part(registry.build("toy-tiny", dim=4), "net", "source")


def test_weights_that_are_not_those_of_the_config_are_an_error():
    path = Path("checkpoints/source/model.safetensors")
    path.write_bytes(path.read_bytes()[:-4] + b"\x01" * 4)
    with pytest.raises(ValueError, match="sha256"):
        load_part(registry.build("toy-tiny"), "net", "source")


def test_data_in_other_pieces_than_the_models_are_refused():
    one, other = (Tokenizer.train([text] * 20, vocab_size=300, size="at most") for text in ("red boats sail", "I sing"))
    spec = registry.to_portable(registry.preset("toy-tiny"))
    folder.save(Path("checkpoints/speaks"), spec, registry.build("toy-tiny").state_dict(), stage="a", tokenizer=one)
    check_tokenizer("speaks", one)
    check_tokenizer("speaks", None)
    check_tokenizer("source", other)  # a codec speaks no text
    with pytest.raises(ValueError, match=rf"{one.sha256[:8]}.*{other.sha256[:8]}.*--data\.tokenizer .*speaks"):
        check_tokenizer("speaks", other)


def moshi(**changes):
    """A net, and the folder of another one that says Moshi's codes only."""
    args = registry.preset("moshi-tiny")["init_args"] | {"num_extra_heads": 0}
    args["depth"] = args["depth"] | {"schedule": None}
    nets = [registry.instantiate(spec) for spec in (_spec(args, user_heads=False), _spec(args, **changes))]
    spec = registry.to_portable(_spec(args, user_heads=False))
    folder.save(Path("checkpoints/moshi"), spec, nets[0].state_dict(), stage="a")
    return nets


def _spec(args, **changes):
    return {**registry.preset("moshi-tiny"), "init_args": {**args, **changes}}


def test_a_part_may_come_from_a_whole_model_that_has_it():
    source, net = moshi(user_heads=False)
    temporal = net.temporal.output.weight.clone()
    load_part(net, "depth", "moshi")
    assert torch.equal(net.depth.output.weight, source.depth.output.weight)
    assert torch.equal(net.temporal.output.weight, temporal)


def test_heads_for_the_user_start_as_copies_of_moshis_own_and_say_what_they_say():
    source, net = moshi(user_heads=True)
    stage = LitMoshi(lambda: net, loss=MultistreamLoss(), rates=LearningRates())
    stage.configure_model()
    load_part(net, "net", "moshi", adapted=stage.adapted)
    K, N = 4, 3
    context, codes = torch.randn(N, 64), torch.randint(32, (2 * K, N))
    both, own = net.depth.eval()(context, codes), source.depth.eval()(context, codes[:K])
    torch.testing.assert_close(both[:K], own)
    # a user's step has Moshi's weights; it looks back on more
    assert torch.equal(net.depth.output.weight[K:], source.depth.output.weight)
    tables = net.depth.embedding.weight.unflatten(0, (2 * K - 1, -1))
    own_tables = source.depth.embedding.weight.unflatten(0, (K - 1, -1))
    assert torch.equal(tables, torch.cat([own_tables, own_tables[-1:], own_tables]))
