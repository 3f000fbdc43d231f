"""The codec: shapes, streaming, errors."""

import pytest
import torch

from moshi_zoo import registry

FRAME = 1920


def make(name="mimi-tiny", seed=0):
    torch.manual_seed(seed)
    mimi = registry.build(name).eval()
    with torch.no_grad():
        for parameter in mimi.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))  # so that no bias and no scale is at its initial value
        latents = mimi.encode_latent(noise(50)).transpose(1, 2).flatten(0, 1)
        latents = latents.repeat(10, 1)
        mimi.quantizer.initialize(latents + 0.3 * latents.std() * torch.randn_like(latents), seed=0)
    return mimi


@pytest.fixture(scope="module", params=["mimi-tiny", "mimi-nano"])
def mimi(request):
    return make(request.param)


def noise(num_frames, batch_size=1, seed=0):
    return torch.randn(batch_size, 1, num_frames * FRAME, generator=torch.Generator().manual_seed(seed)) * 0.3


def chunks(tensor, size):
    return tensor.split(size, dim=-1)


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [1, 2, 3, 7, 16])
def test_streaming_equals_offline_past_the_window(num_frames):
    mimi = make()
    wav = noise(40)  # 80 steps, the window is 20
    latent, codes = mimi.encode_latent(wav), mimi.encode(wav)
    decoded = mimi.decode(codes)
    state = mimi.init_state(1)
    streamed = [mimi.encode_latent(chunk, state.encoder) for chunk in chunks(wav, num_frames * FRAME)]
    torch.testing.assert_close(torch.cat(streamed, dim=-1), latent, atol=1e-5, rtol=0)
    streamed = [mimi.decode(chunk, state=state.decoder) for chunk in chunks(codes, num_frames)]
    torch.testing.assert_close(torch.cat(streamed, dim=-1), decoded, atol=1e-5, rtol=0)


@torch.no_grad()
def test_streaming_equals_offline_for_the_full_window_and_chunks_longer_than_the_ring(mimi):
    wav = noise(150, batch_size=4)  # 300 steps, the nano's window is 250
    codes = mimi.encode(wav)
    state = mimi.init_state(4)
    streamed = [mimi.encode_latent(chunk, state.encoder) for chunk in chunks(wav, 50 * FRAME)]  # 100 steps, ring for 64
    torch.testing.assert_close(torch.cat(streamed, dim=-1), mimi.encode_latent(wav), atol=1e-5, rtol=0)
    state = mimi.init_state(4)
    streamed = [mimi.encode(chunk, state=state.encoder) for chunk in chunks(wav, 50 * FRAME)]
    assert (torch.cat(streamed, dim=-1) == codes).float().mean() > 0.999  # few latents lie half-way between entries
    streamed = [mimi.decode(chunk, state=state.decoder) for chunk in chunks(codes, 50)]
    torch.testing.assert_close(torch.cat(streamed, dim=-1), mimi.decode(codes), atol=1e-5, rtol=0)


def test_very_long_offline_input_is_processed_in_blocks_with_the_same_result():
    mimi = make()
    wav = noise(60)  # 120 steps, over four windows of 20
    with torch.no_grad():
        in_blocks = mimi.encode_latent(wav)
    with torch.enable_grad():
        at_once = mimi.encode_latent(wav)
    torch.testing.assert_close(in_blocks, at_once.detach(), atol=1e-5, rtol=0)


@torch.no_grad()
def test_rows_of_a_batch_are_reset_and_paused_independently(mimi):
    wav = noise(12, batch_size=2)
    alone = [mimi.decode(mimi.encode(row[None])) for row in wav]
    state = mimi.init_state(2)
    step = lambda frame: mimi.decode(mimi.encode(frame, state=state.encoder), state=state.decoder)  # noqa: E731
    frames = list(chunks(wav, FRAME))
    for frame in frames[:5]:
        step(frame)
    state.reset(torch.tensor([False, True]))
    state.set_active(torch.tensor([True, False]))
    row0 = [step(frame)[0] for frame in frames[5:9]]  # row 1 waits, whatever comes in
    state.set_active(None)
    outputs = [step(torch.stack([a[0], b[1]])) for a, b in zip(frames[9:], frames[:3], strict=True)]
    row0 += [output[0] for output in outputs]
    torch.testing.assert_close(torch.cat(row0, dim=-1), alone[0][0][..., 5 * FRAME :], atol=1e-5, rtol=0)
    row1 = torch.cat([output[1] for output in outputs], dim=-1)
    torch.testing.assert_close(row1, alone[1][0][..., : 3 * FRAME], atol=1e-5, rtol=0)


@torch.no_grad()
def test_pausing_past_the_window_keeps_the_paused_row():
    mimi = make()
    wav = noise(40, batch_size=2)
    alone = mimi.encode_latent(wav[1:])
    state = mimi.init_state(2).encoder
    frames = list(chunks(wav, FRAME))
    streamed = []
    for i, frame in enumerate(frames):
        state.set_active(torch.tensor([True, False]))
        mimi.encode_latent(noise(3, batch_size=2, seed=i), state)  # row 0 runs far ahead; row 1 must not notice
        state.set_active(None)
        streamed.append(mimi.encode_latent(frame, state)[1:])
    torch.testing.assert_close(torch.cat(streamed, dim=-1), alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_copied_state_is_an_independent_stream(mimi):
    state = mimi.init_state(1).encoder
    mimi.encode(noise(4), state=state)
    fork = state.copy()
    expected = mimi.encode_latent(noise(2, seed=1), state)
    mimi.encode_latent(noise(5, seed=2), state)
    assert torch.equal(mimi.encode_latent(noise(2, seed=1), fork), expected)


@torch.no_grad()
@pytest.mark.parametrize(("num_samples", "num_frames"), [(1, 1), (1919, 1), (1920, 1), (1921, 2)])
def test_a_partial_frame_is_padded(mimi, num_samples, num_frames):
    wav = noise(2)[..., :num_samples]
    codes = mimi.encode(wav)
    assert codes.shape == (1, mimi.num_codebooks, num_frames)
    assert torch.equal(codes, mimi.encode(torch.nn.functional.pad(wav, (0, num_frames * FRAME - num_samples))))
    assert mimi.decode(codes).shape == (1, 1, num_frames * FRAME)


@torch.no_grad()
def test_fewer_codebooks_are_a_prefix_of_more(mimi):
    wav = noise(5)
    codes = mimi.encode(wav)
    for k in range(1, mimi.num_codebooks + 1):
        assert torch.equal(mimi.encode(wav, k), codes[:, :k])
        assert mimi.decode(codes[:, :k]).shape == wav.shape


@torch.no_grad()
def test_the_codec_is_causal(mimi):
    wav = noise(10)
    changed = wav.clone()
    changed[..., 6 * FRAME :] += 1
    codes, other = mimi.encode(wav), mimi.encode(changed)
    assert torch.equal(codes[..., :6], other[..., :6])
    assert not torch.equal(codes[..., 6:], other[..., 6:])
    mixed = torch.cat([codes[..., :6], other[..., 6:]], dim=-1)
    torch.testing.assert_close(mimi.decode(mixed)[..., : 6 * FRAME], mimi.decode(codes)[..., : 6 * FRAME])


def test_bypassed_items_skip_the_quantizer_and_the_others_do_not(mimi):
    wav = noise(4, batch_size=2)
    output = mimi(wav, bypass=torch.tensor([True, False]))
    unquantized = mimi.decode_latent(mimi.quantizer.unquantized(output.latent))
    torch.testing.assert_close(output.wav[0], unquantized[0])
    torch.testing.assert_close(output.wav[1:], mimi.decode(mimi.encode(wav[1:])), atol=1e-5, rtol=0)


def test_the_gradient_passes_straight_through_the_quantizer(mimi):
    latent = torch.randn(1, mimi.downsample.out_channels, 6, requires_grad=True)
    output, _ = mimi.quantizer(latent)
    weights = torch.randn_like(output.quantized)
    (through,) = torch.autograd.grad((output.quantized * weights).sum(), latent, retain_graph=True)
    (around,) = torch.autograd.grad((mimi.quantizer.unquantized(latent) * weights).sum(), latent)
    torch.testing.assert_close(through, around)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.encode(torch.zeros(1, 2, FRAME)), "mono"),
        (lambda m: m.encode(torch.zeros(1, 1, 0)), "not empty"),
        (lambda m: m.encode(torch.zeros(1, 1, 100), state=m.init_state(1).encoder), "100 came"),
        (lambda m: m.encode(torch.zeros(1, 1, FRAME), 99), "num_codebooks is 99"),
        (lambda m: m.decode(torch.zeros(1, 99, 1, dtype=torch.int64)), "99"),
        (lambda m: m.decode(torch.zeros(8, 1, dtype=torch.int64)), r"\[B, K, T\]"),
    ],
)
def test_wrong_input_is_refused_with_the_reason(mimi, call, words):
    with pytest.raises(ValueError, match=words):
        call(mimi)


def test_unequal_hops_are_refused():
    with pytest.raises(ValueError, match="960 samples, the decoder of 480"):
        registry.build(
            "mimi-tiny",
            decoder={"class_path": "SEANetDecoder", "init_args": {"num_filters": 4, "ratios": [8, 6, 5, 2]}},
        )


@pytest.mark.parametrize("name", ["mimi-tiny", "mimi-nano", "mimi-base", "mimi-full"])
def test_every_preset_has_the_released_frame_rate(name):
    with torch.device("meta"):
        mimi = registry.build(name)
    assert (mimi.sample_rate, mimi.frame_size, mimi.frame_rate) == (24_000, 1920, 12.5)


def test_sizes_of_the_presets():
    def millions(name):
        with torch.device("meta"):
            return sum(p.numel() for p in registry.build(name).parameters()) / 1e6

    assert millions("mimi-tiny") < 0.2
    assert 1 < millions("mimi-nano") < 3
    assert 15 < millions("mimi-base") < 25
    assert millions("mimi-full") == pytest.approx(79.308609)
