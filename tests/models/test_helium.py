"""The text language model: shapes, streaming, sizes, how it starts."""

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.modules.columns import store_by_columns
from moshi_zoo.modules.gating import gated_width


@pytest.fixture
def helium():
    model = registry.build("helium-tiny").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return model


def tokens(batch_size, length, seed=0):
    return torch.randint(256, (batch_size, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 2, 5, 16, 40])
@pytest.mark.parametrize("max_positions", [None, 100])
def test_streaming_equals_offline_past_the_window(helium, chunk, max_positions):
    x = tokens(2, 100)  # three windows of 32
    state = helium.init_state(2, max_positions=max_positions)
    streamed = [helium(piece, state) for piece in x.split(chunk, dim=1)]
    torch.testing.assert_close(torch.cat(streamed, dim=1), helium(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_stream_longer_than_announced_sees_as_far_back_as_announced():
    long = registry.build("helium-tiny").eval()
    short = registry.build("helium-tiny", **{"transformer": {**vars(long.transformer.size), "context": 12}}).eval()
    short.load_state_dict(long.state_dict())
    x = tokens(1, 40)
    state = long.init_state(1, max_positions=12)
    assert state.layers[0].keys.shape[2] < 32
    streamed = torch.cat([long(piece, state) for piece in x.split(7, dim=1)], dim=1)
    torch.testing.assert_close(streamed, short(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_long_rings_are_read_as_far_as_they_are_filled():
    size = vars(registry.build("helium-tiny").transformer.size)
    model = registry.build("helium-tiny", transformer={**size, "context": 700}).eval()
    x = tokens(2, 60)
    state = model.init_state(2, max_chunk=30)
    streamed = torch.cat([model(piece, state) for piece in x.split([30, 20, 1, 9], dim=1)], dim=1)
    torch.testing.assert_close(streamed, model(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_rows_of_a_batch_have_positions_of_their_own(helium):
    x = tokens(2, 60)
    state = helium.init_state(2)
    helium(x[:, :10], state)
    state.reset(torch.tensor([False, True]))
    row0 = helium(x[:1])[:, 10:]
    both = [helium(torch.stack([x[0, 10 + t], x[1, t]])[:, None], state) for t in range(50)]
    both = torch.cat(both, dim=1)
    torch.testing.assert_close(both[:1], row0, atol=1e-5, rtol=0)
    torch.testing.assert_close(both[1:], helium(x[1:, :50]), atol=1e-5, rtol=0)


@torch.no_grad()
def test_grouped_heads_equal_as_many_copied_ones(helium):
    size = {**vars(helium.transformer.size), "num_kv_heads": None}
    plain = registry.build("helium-tiny", transformer=size).eval()
    weights = helium.state_dict()
    for name in [n for n in weights if n.endswith("attention.in_proj.weight")]:
        queries, keys, values = weights[name].split([64, 32, 32])
        copied = [part.unflatten(0, (2, 16)).repeat_interleave(2, dim=0).flatten(0, 1) for part in (keys, values)]
        weights[name] = torch.cat([queries, *copied])
    plain.load_state_dict(weights)
    for length in (20, 60):  # within the window and past it
        x = tokens(2, length)
        torch.testing.assert_close(helium(x), plain(x), atol=1e-5, rtol=0)


def test_the_model_is_causal_and_forgets_what_left_all_windows(helium):
    x = tokens(1, 90)
    changed = x.clone()
    changed[0, 20] += 1
    changed %= 256
    with torch.no_grad():
        a, b = helium(x), helium(changed)
    different = (a - b).abs().amax(-1)[0] > 1e-6
    reach = 2 * (helium.context - 1)  # two layers
    assert not different[:20].any()
    assert different[20]
    assert not different[20 + reach + 1 :].any()


def test_recomputed_activations_give_the_same_gradients(helium):
    x = tokens(2, 20)
    gradients = []
    for helium.transformer.checkpointing in (False, True):
        helium.zero_grad()
        helium(x).logsumexp(-1).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in helium.named_parameters()})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_recomputing_keeps_less(helium):
    def kept_bytes():
        sizes = {}

        def pack(tensor):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            helium.transform(torch.randn(2, 30, 64)).sum()
        return sum(sizes.values())

    helium.transformer.checkpointing = False
    whole = kept_bytes()
    helium.transformer.checkpointing = True
    assert kept_bytes() < whole / 3


def test_half_precision_norms_are_computed_in_float32(helium):
    x = (torch.randn(4, 64) * 1e-3).bfloat16()
    exact = helium.norm(x.float())
    found = helium.norm(x)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16())


@torch.no_grad()
def test_weights_stored_by_columns_are_the_same_weights(helium):
    x = tokens(1, 5)
    before = {name: tensor.clone() for name, tensor in helium.state_dict().items()}
    state, other = helium.init_state(1), helium.init_state(1)
    expected = [helium(token, state) for token in x.split(1, dim=1)]
    store_by_columns(helium)
    found = [helium(token, other) for token in x.split(1, dim=1)]
    torch.testing.assert_close(torch.cat(found), torch.cat(expected), atol=1e-5, rtol=0)
    assert helium.output.weight.stride(0) == 1
    assert all(torch.equal(before[name], tensor) for name, tensor in helium.state_dict().items())


def test_weights_start_truncated_normal():
    model = registry.build("helium-nano")
    for name, fan_in in [("output", 128), ("embedding", 128), ("transformer.layers.0.mlp.out_proj", 352)]:
        weight, deviation = model.get_submodule(name).weight, fan_in**-0.5
        assert weight.abs().max() <= 3 * deviation
        assert weight.std().item() == pytest.approx(deviation, rel=0.03)
        assert (weight.abs() > 2 * deviation).float().mean() == pytest.approx(0.0429, abs=0.005)


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [
        ("helium-nano", 1_066_112),
        ("helium-base", 105_385_536),
        ("helium-1-preview-2b", 2_172_643_840),
        ("helium-1-2b", 2_023_868_416),
        ("helium-7b", 6_839_078_912),  # of which 6 576 930 816 in layers: those of Moshi's temporal transformer
    ],
)
def test_presets_have_their_number_of_parameters(name, num_parameters):
    with torch.device("meta"):
        model = registry.build(name)
    assert sum(p.numel() for p in model.parameters()) == num_parameters
    if name == "helium-7b":
        assert sum(p.numel() for p in model.transformer.parameters()) == 6_576_930_816


@pytest.mark.parametrize(("dim", "scale", "width"), [(4096, 4.125, 11264), (2560, 4.125, 7040), (1024, 4.125, 2816)])
def test_gated_layers_have_the_references_width(dim, scale, width):
    assert gated_width(dim, scale) == width
    assert gated_width(2048, 4) == 5376  # 21 * 2048 / 8, not 2 * 8192 / 3


def test_impossible_heads_are_refused():
    size = vars(registry.build("helium-tiny").transformer.size)
    with pytest.raises(ValueError, match=r"num_heads \(4\) must be divisible by num_kv_heads \(3\)"):
        registry.build("helium-tiny", transformer={**size, "num_kv_heads": 3})
    with pytest.raises(ValueError, match=r"dim \(66\) must be divisible"):
        registry.build("helium-tiny", dim=66)


def test_a_stream_goes_on_under_autocast(helium):
    tokens = torch.randint(0, helium.vocab_size, (2, 6))
    state = helium.init_state(2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        streamed = torch.cat([helium(token, state) for token in tokens.split(1, dim=1)], dim=1)
        whole = helium(tokens)
    torch.testing.assert_close(streamed, whole, atol=0.1, rtol=0.1)
