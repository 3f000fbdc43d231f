"""The shared transformer: which kernels and how much memory its attention asks for."""

import pytest
import torch
import torch.nn.functional as F

from moshi_zoo.modules.transformer import Transformer, TransformerSize

SIZE = {"num_layers": 1, "num_heads": 4, "num_kv_heads": 2, "hidden_dim": 32, "context": 8, "norm": "rms"}


@pytest.fixture
def calls(monkeypatch):
    """What attention was asked for: (keys, has a mask, is causal)."""
    seen, real = [], F.scaled_dot_product_attention

    def record(queries, keys, values, mask=None, *, is_causal=False, **options):
        seen.append((keys.shape[2], mask is not None, is_causal))
        return real(queries, keys, values, mask, is_causal=is_causal, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", record)
    return seen


@torch.no_grad()
def test_no_mask_is_made_within_the_window(calls):
    Transformer(16, TransformerSize(**SIZE))(torch.randn(2, 8, 16))
    assert calls == [(8, False, True)]


@torch.no_grad()
def test_a_step_sees_the_filled_part_of_the_ring_without_a_mask(calls):
    transformer = Transformer(16, TransformerSize(**SIZE))
    state = transformer.init_state(1, max_chunk=4)
    for _ in range(14):
        transformer(torch.randn(1, 1, 16), state)
    assert calls[:8] == [(n, False, False) for n in range(1, 9)]
    assert calls[8:] == [(9, True, False), (10, True, False)] + 4 * [(11, True, False)]


@torch.no_grad()
def test_a_full_ring_of_just_the_window_is_seen_without_a_mask(calls):
    transformer = Transformer(16, TransformerSize(**SIZE))
    state, x = transformer.init_state(1, max_chunk=1), torch.randn(1, 20, 16)
    streamed = torch.cat([transformer(step, state) for step in x.split(1, dim=1)], dim=1)
    assert calls == [(min(n, 8), False, False) for n in range(1, 21)]
    torch.testing.assert_close(streamed, transformer(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_several_streams_see_the_whole_of_a_short_ring_through_a_mask_wherever_the_others_are(calls):
    transformer = Transformer(16, TransformerSize(**SIZE))
    state, x = transformer.init_state(2, max_chunk=1), torch.randn(2, 20, 16)
    transformer(x[:, :3], state)
    state.reset(torch.tensor([False, True]))
    calls.clear()
    streamed = torch.cat([transformer(torch.stack([x[0, 3 + t], x[1, t]])[:, None], state) for t in range(10)], dim=1)
    assert calls == 10 * [(8, True, False)]
    torch.testing.assert_close(streamed[0], transformer(x[:1])[0, 3:13], atol=1e-5, rtol=0)
    torch.testing.assert_close(streamed[1], transformer(x[1:])[0, :10], atol=1e-5, rtol=0)


def test_rings_are_no_longer_than_the_stream():
    transformer = Transformer(16, TransformerSize(**{**SIZE, "context": 4096}))
    assert transformer.init_state(1).layers[0].keys.shape == (1, 2, 4096 - 1 + 16, 4)
    assert transformer.init_state(1, 5, max_positions=20).layers[0].keys.shape == (1, 2, 24, 4)


def test_defaults_are_mimis():
    names = Transformer(16, TransformerSize(num_layers=1, num_heads=2, hidden_dim=32)).state_dict().keys()
    assert {name.removeprefix("layers.0.") for name in names} == {
        "attention_norm.weight",
        "attention_norm.bias",
        "attention.in_proj.weight",
        "attention.out_proj.weight",
        "attention_scale.scale",
        "mlp_norm.weight",
        "mlp_norm.bias",
        "mlp.0.weight",
        "mlp.2.weight",
        "mlp_scale.scale",
    }


def test_a_step_is_traced_as_one_graph():
    transformer = Transformer(16, TransformerSize(**{**SIZE, "layer_scale": None, "mlp": "swiglu"}))
    x = torch.randn(2, 3, 16)
    compiled = torch.compile(transformer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), transformer(x))
    states = [transformer.init_state(2) for _ in range(2)]
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(compiled(x, states[0]), transformer(x, states[1]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@torch.no_grad()
def test_streams_of_other_precision_see_what_is_to_be_seen(dtype):
    """Past the ring's wrap, where masks are needed."""
    size = TransformerSize(num_layers=2, num_heads=4, num_kv_heads=2, hidden_dim=32, context=6, layer_scale=None)
    transformer = Transformer(16, size).to(dtype)
    x = torch.randn(2, 40, 16, dtype=dtype)
    state = transformer.init_state(2, max_chunk=4)
    streamed = torch.cat([transformer(piece, state) for piece in x.split(3, dim=1)], dim=1)
    tolerance = 1e-5 if dtype == torch.float64 else 0.1
    torch.testing.assert_close(streamed, transformer(x), atol=tolerance, rtol=tolerance)
