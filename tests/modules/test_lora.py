"""Adapters beside a network: what they compute, what learns, and how they are switched."""

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.models.conversation import GREEDY, Choosers
from moshi_zoo.modules.lora import (
    LoraSize,
    adapter_names,
    adapter_state_dict,
    add_adapter,
    attach_adapter,
    is_adapter_tensor,
    remove_adapters,
    use_adapter,
    weight_in_use,
)
from moshi_zoo.modules.lora_layers import LowRank
from moshi_zoo.training.init_from import load_part
from moshi_zoo.zoo import folder

ALL = LoraSize(temporal=4, depth=3, heads=2)


def plain():
    torch.manual_seed(0)
    return registry.build("moshi-tiny").eval()


def adapted(size=ALL, name="default", net=None):
    """A network with an adapter that has learnt something."""
    net = net or plain()
    add_adapter(net, size, name)
    with torch.no_grad():
        for key, tensor in adapter_state_dict(net, name).items():
            if key.endswith(".up"):
                tensor.normal_(std=0.1)
    return net


def random_codes(length=8, batch_size=2):
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(32, (batch_size, 9, length), generator=generator)
    return codes.masked_fill(torch.rand(codes.shape, generator=generator) < 0.1, -1)


@torch.no_grad()
def outputs(net):
    """All logits of all heads."""
    found = net(random_codes())
    extra = net.extra_heads(net.hidden(random_codes()).text)
    return torch.cat([found.text_logits.flatten(), found.audio_logits.flatten(), extra.flatten()])


def test_a_new_adapter_changes_nothing():
    net = plain()
    before = outputs(net)
    add_adapter(net, ALL)
    assert torch.equal(outputs(net), before)
    downs = [x for name, x in adapter_state_dict(net).items() if name.endswith(".down")]
    assert all(0.5 < x.abs().max() * x.shape[-1] ** 0.5 <= 1 for x in downs)  # Kaiming uniform with a = sqrt 5


def test_only_the_adapter_learns():
    net = adapted()
    net(random_codes()).text_logits.logsumexp(-1).sum().backward()
    net(random_codes()).audio_logits.logsumexp(-1).sum().backward()
    net.extra_heads(net.hidden(random_codes()).text).logsumexp(-1).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.requires_grad == is_adapter_tensor(name)
        assert (parameter.grad is not None and parameter.grad.any().item()) == is_adapter_tensor(name), name


@pytest.mark.parametrize("part", ["temporal", "depth", "heads"])
def test_each_part_has_its_rank(part):
    net = adapted(LoraSize(**{part: 5}))
    names = {name.rpartition(".")[0] for name in adapter_state_dict(net)}
    kinds = {
        "temporal": {"attention.in_proj", "attention.out_proj", "mlp.in_proj", "mlp.out_proj"},
        "depth": {"attention_in", "attention_out", "mlp_in", "mlp_out", "text_up", "up", "in_proj"},
        "heads": {"temporal.output", "depth.output", "extra_heads.linear"},
    }
    for name in names:
        assert any(name.endswith(kind) for kind in kinds[part]), name
        assert part == "heads" or name.startswith(f"{part}.")
    assert {kind for kind in kinds[part] if any(name.endswith(kind) for name in names)} == kinds[part]
    assert all(5 in (x.shape[-2], x.shape[-1]) for x in adapter_state_dict(net).values())


def test_merged_into_the_weights_it_computes_the_same():
    net = adapted()
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    off = outputs(plain())
    beside = outputs(net)
    assert (beside - off).abs().max() > 0.01
    use_adapter(net, "default", merged=True)
    torch.testing.assert_close(outputs(net), beside, atol=1e-5, rtol=1e-5)
    use_adapter(net, None)
    assert torch.equal(outputs(net), off)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in net.state_dict().items())


def test_without_adapters_a_network_is_plain_again():
    merged, dropped = adapted(), adapted()
    beside = outputs(merged)
    use_adapter(merged, "default", merged=True)
    for net, expected in [(merged, beside), (dropped, outputs(plain()))]:
        remove_adapters(net)
        torch.testing.assert_close(outputs(net), expected, atol=1e-5, rtol=1e-5)
        assert net.state_dict().keys() == plain().state_dict().keys()
        assert all(parameter.requires_grad for parameter in net.parameters())
        assert not adapter_names(net)
        assert not any(module.training for module in net.modules())


def test_adapters_are_switched_at_run_time():
    sizes = {"anna": ALL, "ben": LoraSize(depth=6, scaling=-1.0)}
    alone = {name: outputs(adapted(size, name)) for name, size in sizes.items()}
    net = plain()
    for name, size in sizes.items():
        other = adapted(size, name)
        attach_adapter(net, {path: lora_of(other, path, name) for path in paths(other, name)}, name)
    assert adapter_names(net) == ["anna", "ben"]
    assert torch.equal(outputs(net), alone["ben"])  # the last is in use
    for name in ("anna", "ben", "anna"):
        use_adapter(net, name)
        assert torch.equal(outputs(net), alone[name])
        use_adapter(net, name, merged=True)
        torch.testing.assert_close(outputs(net), alone[name], atol=1e-5, rtol=1e-5)
    use_adapter(net, None)
    assert torch.equal(outputs(net), outputs(plain()))


def paths(net, name):
    return {key.rpartition(".")[0] for key in adapter_state_dict(net, name)}


def lora_of(net, path, name):
    return net.get_submodule(f"{path}.lora_{name}")


@torch.no_grad()
def test_conversations_give_the_logits_of_training():
    net, codes = adapted(), random_codes(40)  # the window has 32
    hidden = net.hidden(codes)
    tokens = net.delays.delay(codes)[..., 1:]
    told = [tokens[:, 0].unbind(-1), tokens[:, 1:5].permute(2, 1, 0).flatten(0, 1)]
    logits = [[], []]

    def teller(row):
        source = iter(told[row])
        return lambda scores, chance: (logits[row].append(scores), next(source))[1]

    state, choosers = net.init_state(2), Choosers(teller(0), teller(1))
    for step in range(40):
        net.step(codes[:, 5:, max(step - 1, 0), None], state, choosers)
    torch.testing.assert_close(torch.stack(logits[0], 1), net.temporal.output(hidden.text), atol=5e-5, rtol=0)
    streamed = torch.stack(logits[1]).unflatten(0, (40, 4)).permute(1, 2, 0, 3)
    expected = net.depth.output(net.depth(hidden.context, hidden.tokens[:-1])).unflatten(1, (2, 40))[
        :4
    ]  # of Moshi's own rows
    torch.testing.assert_close(streamed, expected, atol=5e-5, rtol=0)


@pytest.mark.parametrize("base", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [True, False])
def test_adapters_learn_in_full_precision_beside_any_weights(base, autocast):
    net = adapted(net=plain().to(base))
    assert all(x.dtype == torch.float32 for x in adapter_state_dict(net).values())
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = net(random_codes()).audio_logits.float().logsumexp(-1).sum()
        state = net.init_state(1)
        for _ in range(3):
            net.step(random_codes(1, 1)[:, 5:].clamp(min=0), state, GREEDY)
    loss.backward()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    assert gradients
    assert all(grad.dtype == torch.float32 and grad.isfinite().all() for grad in gradients)


@torch.no_grad()
def test_losses_find_the_weight_in_use():
    net = adapted()
    x = torch.randn(3, 64)
    torch.testing.assert_close(x @ weight_in_use(net.temporal.output).t(), net.temporal.output(x))
    steps = torch.randn(8, 3, 16)
    torch.testing.assert_close(steps @ weight_in_use(net.depth.output).mT, net.depth.output(steps))
    use_adapter(net, None)
    assert weight_in_use(net.temporal.output) is net.temporal.output.weight
    assert weight_in_use(plain().depth.output).shape == net.depth.output.weight.shape


def test_a_network_with_a_new_adapter_starts_from_a_model_without(tmp_path):
    base = plain()
    spec = registry.to_portable(registry.preset("moshi-tiny"))
    folder.save(tmp_path / "base", spec, base.state_dict(), stage="test")
    torch.manual_seed(1)
    net = registry.build("moshi-tiny").eval()
    add_adapter(net, ALL)
    loaded = load_part(net, "net", str(tmp_path / "base"), may_start_new=is_adapter_tensor)
    assert torch.equal(outputs(net), outputs(base))
    assert loaded.num_tensors == len(base.state_dict())
    assert len(loaded.missing) == len(adapter_state_dict(net))
    with pytest.raises(ValueError, match="lora_default"):
        load_part(net, "net", str(tmp_path / "base"))


def test_what_does_not_fit_is_refused():
    net = adapted(name="anna")
    with pytest.raises(ValueError, match="the rank of depth is -1"):
        LoraSize(depth=-1)
    with pytest.raises(ValueError, match="adapts no layer of a Moshi"):
        add_adapter(net, LoraSize(), "new")
    with pytest.raises(ValueError, match="has an adapter called 'anna' already"):
        add_adapter(net, ALL, "anna")
    with pytest.raises(ValueError, match=r"cannot be called 'a\.b'"):
        add_adapter(net, ALL, "a.b")
    with pytest.raises(ValueError, match="no adapter of this network is called 'ana'; did you mean anna"):
        use_adapter(net, "ana")
    with pytest.raises(ValueError, match="known: none"):
        adapter_state_dict(plain())
    with pytest.raises(ValueError, match=r"no layer is called 'depth\.otput'; did you mean depth\.output"):
        attach_adapter(net, {"depth.otput": LowRank((2, 3), 1, 1.0)}, "ben")
    with pytest.raises(ValueError, match=r"temporal.output is for a weight \[2, 3\], but the network's is \[256, 64\]"):
        attach_adapter(net, {"temporal.output": LowRank((2, 3), 1, 1.0)}, "ben")
    assert adapter_names(net) == ["anna"]
