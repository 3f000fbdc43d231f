import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.parametrize import is_parametrized

from moshi_zoo import registry
from moshi_zoo.losses.adversarial import discriminator_loss, feature_matching_loss, generator_loss
from moshi_zoo.modules.discriminator import Discriminator, MultiScaleSTFTDiscriminator, WeightNormConv2d


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return MultiScaleSTFTDiscriminator(num_filters=2, n_ffts=(256, 128))


def test_each_scale_has_its_own_time_and_frequency_grid(tiny):
    output = tiny(torch.randn(3, 1, 4800))
    for n_fft, logits, maps in zip((256, 128), output.logits, output.maps, strict=True):
        frames, bins = (4800 - n_fft) // (n_fft // 4) + 1, n_fft // 2 + 1
        widths = [bins, (bins + 1) // 2, (bins + 3) // 4, (bins + 7) // 8]
        assert [tuple(m.shape) for m in maps] == [(3, 2, frames, w) for w in (*widths, widths[-1])]
        assert logits.shape == (3, 1, frames, widths[-1])


def test_the_logits_are_no_feature_map(tiny):
    output = tiny(torch.randn(1, 1, 4800))
    assert all(len(maps) == 5 for maps in output.maps)


def test_every_convolution_but_the_first_is_weight_normed(tiny):
    for scale in tiny.scales:
        assert [is_parametrized(conv) for conv in scale.convs] == [False, True, True, True, True]
        assert is_parametrized(scale.to_logits)
        lengths = scale.to_logits.parametrizations.weight.original0
        assert lengths.shape == (1, 1, 1, 1)  # one length per output channel


def test_the_full_preset_has_the_size_of_the_paper():
    with torch.device("meta"):
        full = registry.build("stft-full")
    assert isinstance(full, Discriminator)
    assert sum(p.numel() for p in full.parameters()) == 472_330  # counted in audiocraft's, default configuration
    assert [scale.stft.n_fft for scale in full.scales] == [1024, 2048, 512, 256, 128]
    assert [conv.dilation for conv in full.scales[0].convs] == [(1, 1), (1, 1), (2, 1), (4, 1), (1, 1)]


def test_bins_above_the_limit_do_not_count():
    torch.manual_seed(0)
    limited = MultiScaleSTFTDiscriminator(num_filters=2, n_ffts=(256,), max_hz=4200.0)
    t = torch.arange(4800) / 24000
    hum, hiss = (0.1 * torch.sin(2 * torch.pi * hz * t)[None, None] for hz in (300, 9000))
    torch.testing.assert_close(limited(hum).logits[0], limited(hum + hiss).logits[0], atol=1e-4, rtol=0)
    assert limited(hum).maps[0][0].shape[-1] == 45  # bins of 93.75 Hz: 0 to 4125 Hz


def test_overlap_sets_the_number_of_frames():
    dense, sparse = (MultiScaleSTFTDiscriminator(num_filters=2, n_ffts=(256,), overlap=n) for n in (4, 2))
    wav = torch.randn(1, 1, 4864)
    assert dense(wav).logits[0].shape[2] == 73
    assert sparse(wav).logits[0].shape[2] == 37


def test_a_limit_above_nyquist_is_refused():
    with pytest.raises(ValueError, match=r"9000.*8000"):
        MultiScaleSTFTDiscriminator(16000, max_hz=9000.0)


def test_the_generators_loss_leaves_the_discriminator_alone_and_the_other_way_round(tiny):
    real, fake = torch.randn(2, 1, 4800), torch.randn(2, 1, 4800, requires_grad=True)
    with torch.no_grad():
        real_maps = tiny(real).maps
    judged = tiny(fake)
    loss = generator_loss(judged.logits) + feature_matching_loss(real_maps, judged.maps)
    (gradient,) = torch.autograd.grad(loss, fake)
    assert gradient.abs().sum() > 0
    assert all(p.grad is None for p in tiny.parameters())
    discriminator_loss(tiny(real).logits, tiny(fake.detach()).logits).backward()
    assert fake.grad is None
    assert all(p.grad is not None for p in tiny.parameters())


def test_it_learns_to_tell_noise_from_a_tone(tiny):
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(4800) / 24000).expand(4, 1, -1)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(tiny.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        noise = torch.randn(4, 1, 4800, generator=generator)
        loss = discriminator_loss(tiny(tone).logits, tiny(noise).logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.8
    assert losses[-1] < 1.0


def test_built_on_the_meta_device_it_starts_fresh_when_reset(tiny):
    with torch.device("meta"):
        other = MultiScaleSTFTDiscriminator(num_filters=2, n_ffts=(256, 128))
    other = other.to_empty(device="cpu")
    for parameter in other.parameters():
        parameter.data.fill_(float("nan"))
    for module in other.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    wav = torch.randn(1, 1, 4800)
    a, b = tiny(wav).maps[0][-1], other(wav).maps[0][-1]
    assert 0.2 < (b.std() / a.std()).item() < 5


@pytest.mark.parametrize(("step", "frames"), [(1, 9), (2, 9), (4, 9), (4, 8)])
def test_a_dilated_convolution_frame_by_frame_is_the_plain_one(step, frames):
    conv = WeightNormConv2d(3, 5, (3, 9), stride=(1, 2), dilation=(step, 1), padding=(step, 4))
    x = torch.randn(2, 3, frames, 20, requires_grad=True)
    plain = F.conv2d(x, conv.weight, conv.bias, (1, 2), (step, 4), (step, 1))
    torch.testing.assert_close(conv(x), plain)
    gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (conv(x), plain)]
    torch.testing.assert_close(*gradients)
