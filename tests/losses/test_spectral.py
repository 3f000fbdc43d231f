import pytest
import torch

from moshi_zoo.losses.spectral import LogMelLoss, MultiResolutionSTFTLoss, MultiScaleMelLoss
from moshi_zoo.spectrogram import mel_filterbank

LOSSES = [
    MultiScaleMelLoss(24000, n_ffts=(64, 256)),
    LogMelLoss(24000, n_ffts=(512, 128), num_mels=(20, 10)),
    MultiResolutionSTFTLoss(n_ffts=(256,), hops=(50,), window_lengths=(240,)),
]


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    target = 0.1 * torch.randn(3, 1, 2400, generator=generator)
    return target + 0.05 * torch.randn(3, 1, 2400, generator=generator), target


@pytest.mark.parametrize("loss", LOSSES)
def test_the_distance_is_zero_at_equality_and_grows_with_the_error(loss, clips):
    estimate, target = clips
    near = target + 0.2 * (estimate - target)
    assert loss(target, target).item() == 0
    assert 0 < loss(near, target).item() < loss(estimate, target).item()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_scalar_is_the_mean_of_the_distances_of_the_clips(loss, clips):
    per_clip = loss(*clips, reduction="none")
    alone = torch.stack([loss(a[None], b[None]) for a, b in zip(*clips, strict=True)])
    torch.testing.assert_close(per_clip, alone)
    torch.testing.assert_close(loss(*clips), per_clip.mean())


@pytest.mark.parametrize("loss", LOSSES)
def test_silence_on_either_side_gives_finite_values_and_gradients(loss, clips):
    silence = torch.zeros(3, 1, 2400)
    for estimate, target in [(silence, clips[1]), (clips[0], silence), (silence, silence)]:
        estimate = estimate.clone().requires_grad_()
        value = loss(estimate, target)
        value.backward()
        assert value.isfinite()
        assert estimate.grad is not None
        assert estimate.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_distance_is_float32_whatever_the_precision_around_it(loss, clips):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(*clips)
    assert torch.equal(inside, loss(*clips))


@pytest.mark.parametrize("loss", LOSSES)
def test_clips_of_different_length_are_refused(loss):
    with pytest.raises(ValueError, match=r"2400.*2399.*one length"):
        loss(torch.zeros(1, 1, 2400), torch.zeros(1, 1, 2399))


def test_multi_scale_mel_is_encodecs_formula(clips):
    """Against a discrete Fourier transform written out, with two sizes."""
    expected = 0.0
    for n_fft in (64, 128):
        a, b = (_mel_power(wav[:, 0].double(), n_fft) for wav in clips)
        log_a, log_b = ((1e-5 + x).log10() for x in (a, b))
        expected += ((a - b).abs().mean() + (log_a - log_b).square().mean()).item() / 4
    loss = MultiScaleMelLoss(24000, n_ffts=(64, 128), num_mels=16, min_hz=64.0)
    assert loss(*clips).item() == pytest.approx(expected, rel=1e-5)


def test_log_mel_is_its_formula(clips):
    a, b = (_mel_magnitude(wav[:, 0].double(), 128) for wav in clips)
    log = ((a + 1e-4).log10() - (b + 1e-4).log10()).abs().mean()
    linear = ((a - b).abs().mean(dim=(1, 2)) / (b.mean(dim=(1, 2)) + 1e-4)).mean()
    loss = LogMelLoss(24000, n_ffts=(128,), num_mels=(16,), linear_weight=0.3, max_hz=8000.0)
    assert loss(*clips).item() == pytest.approx((log + 0.3 * linear).item(), rel=1e-5)


def test_log_mel_does_not_hear_above_its_limit():
    loss = LogMelLoss(24000, n_ffts=(512,), num_mels=(20,), max_hz=4000.0)
    t = torch.arange(4800) / 24000
    low, high = (0.1 * torch.sin(2 * torch.pi * hz * t)[None, None] for hz in (1000, 9000))
    assert loss(low + high, low).item() < 0.01 * loss(low + high, high).item()


def test_multi_resolution_stft_is_convergence_plus_log_magnitude(clips):
    window = torch.hann_window(240)
    a, b = (torch.stft(wav[:, 0], 256, 50, 240, window, return_complex=True).abs().clamp(min=1e-4) for wav in clips)
    convergence = ((a - b).square().sum((1, 2)).sqrt() / b.square().sum((1, 2)).sqrt()).mean()
    log = (a.log() - b.log()).abs().mean()
    loss = MultiResolutionSTFTLoss(n_ffts=(256,), hops=(50,), window_lengths=(240,))
    assert loss(*clips).item() == pytest.approx((convergence + log).item(), rel=1e-4)


def test_sizes_and_band_counts_must_pair_up():
    with pytest.raises(ValueError, match="n_ffts has 3 sizes but num_mels 2"):
        LogMelLoss(24000, n_ffts=(512, 256, 128), num_mels=(40, 20))


def _mel_power(wav, n_fft):
    """[B, S] -> [B, T, M]: power mel with unit-energy windows, 64 Hz to Nyquist."""
    window = torch.hann_window(n_fft, dtype=torch.float64)
    power = _dft(wav, window / window.square().sum().sqrt()).abs().square()
    return power.mT @ mel_filterbank(n_fft // 2 + 1, 16, 24000, 64.0, 12000.0).double()


def _mel_magnitude(wav, n_fft):
    """[B, S] -> [B, T, M]: magnitude mel with unit-sum windows, 0 to 8 kHz."""
    window = torch.hann_window(n_fft, dtype=torch.float64)
    return _dft(wav, window / window.sum()).abs().mT @ mel_filterbank(n_fft // 2 + 1, 16, 24000, 0.0, 8000.0).double()


def _dft(wav, window):
    """[B, S] -> [B, F, T] by the definition of the transform; edges reflected, hop a quarter."""
    n_fft, hop = len(window), len(window) // 4
    pad = (n_fft - hop) // 2
    padded = torch.cat([wav[:, 1 : pad + 1].flip(1), wav, wav[:, -pad - 1 : -1].flip(1)], dim=1)
    padded = torch.nn.functional.pad(padded, (0, -wav.shape[1] % hop))
    frames = padded.unfold(1, n_fft, hop) * window  # [B, T, n]
    bins, n = torch.arange(n_fft // 2 + 1, dtype=torch.float64), torch.arange(n_fft, dtype=torch.float64)
    angle = -2 * torch.pi / n_fft * n[:, None] * bins
    return torch.polar(torch.ones_like(angle), angle).mT @ frames.mT.to(torch.complex128)
