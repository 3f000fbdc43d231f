import math

import pytest
import torch

from moshi_zoo.metrics.codec import SISDR, STOI, CodebookUse, CodecMetrics, MelDistance, STFTDistance


@pytest.fixture(scope="module")
def speech():
    """[2, 1, S]: noise that comes and goes, 1 s at 24 kHz; STOI measures such envelopes."""
    generator = torch.Generator().manual_seed(0)
    t = torch.arange(24000) / 24000
    envelope = 0.05 + torch.stack([torch.sin(2 * torch.pi * f * t).square() for f in (3.0, 4.5)])
    return (0.1 * envelope * torch.randn(2, 24000, generator=generator))[:, None]


def _noise(like, seed=1):
    return 0.1 * torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


def test_perfect_reconstruction_has_perfect_scores(speech):
    metrics = CodecMetrics(24000)
    metrics.update(speech, speech)
    scores = metrics.compute()
    assert scores["si_sdr"] > 80
    assert scores["stoi"].item() == pytest.approx(1, abs=1e-4)
    assert scores["mel"] == 0
    assert scores["stft"] == 0


def test_every_score_worsens_with_noise(speech):
    scores = []
    for level in (0.1, 0.5):
        metrics = CodecMetrics(24000)
        metrics.update(speech + level * _noise(speech), speech)
        scores.append(metrics.compute())
    better, worse = scores
    assert better["si_sdr"] > worse["si_sdr"]
    assert better["stoi"] > worse["stoi"]
    assert better["mel"] < worse["mel"]
    assert better["stft"] < worse["stft"]


def test_equal_first_values_do_not_tie_the_metrics_together(speech):
    metrics = CodecMetrics(24000)
    metrics.update(speech, speech)  # mel and stft are both 0 here
    metrics.update(speech + _noise(speech), speech)
    assert metrics["mel"].compute() != metrics["stft"].compute()


def test_si_sdr_of_a_known_signal():
    t = torch.arange(2400) / 24000
    tone, other = (torch.sin(2 * torch.pi * hz * t)[None, None] for hz in (500, 1000))  # orthogonal, equal energy
    metric = SISDR()
    metric.update(3 * (tone + 0.1 * other), tone)
    assert metric.compute().item() == pytest.approx(20, abs=0.01)


def test_a_silent_reconstruction_scores_worst_not_zero_decibels(speech):
    metric = SISDR()
    metric.update(torch.zeros_like(speech), speech)
    assert metric.compute().item() == SISDR.floor


@pytest.mark.parametrize("metric", [SISDR(), STOI(24000), MelDistance(24000), STFTDistance()])
def test_silent_and_broken_clips_are_skipped_and_counted(metric, speech):
    metric.reset()
    noisy = speech + 0.3 * _noise(speech)
    metric.update(noisy, speech)
    alone = metric.compute()
    metric.reset()
    target = torch.cat([speech, torch.zeros(1, 1, 24000), speech[:1]])
    estimate = torch.cat([noisy, speech[:1], torch.full((1, 1, 24000), float("nan"))])
    metric.update(estimate, target)
    assert metric.compute() == alone
    assert metric.skipped == 2


def test_stoi_skips_clips_too_short_to_judge(speech):
    metric = STOI(24000)
    metric.update(speech[..., :4800], speech[..., :4800])
    metric.update(
        torch.cat([speech[..., :3000], torch.zeros(2, 1, 21000)], dim=-1),
        torch.cat([speech[..., :3000], torch.zeros(2, 1, 21000)], dim=-1),
    )
    assert metric.skipped == 4
    metric.update(speech, speech)
    assert metric.compute().item() == pytest.approx(1, abs=1e-4)


def test_metrics_of_two_processes_merge_into_one(speech):
    noisy = speech + 0.3 * _noise(speech)
    whole, first, second = (MelDistance(24000) for _ in range(3))
    whole.update(noisy, speech)
    first.update(noisy[:1], speech[:1])
    second.update(noisy[1:], speech[1:])
    first.merge_state(second)
    torch.testing.assert_close(first.compute(), whole.compute())


def test_clips_of_different_length_are_refused(speech):
    with pytest.raises(ValueError, match=r"24000.*23000.*cut the decoded clip"):
        SISDR().update(speech, speech[..., :23000])


def test_codebook_use_by_hand():
    use = CodebookUse(num_codebooks=3, codebook_size=4)
    use.update(torch.tensor([[[0, 1, 2, 3], [2, 2, 3, 3], [1, 1, 1, 1]]]))
    scores = use.compute()
    assert scores["used"].tolist() == [1, 0.5, 0.25]
    assert scores["perplexity"].tolist() == pytest.approx([4, 2, 1])
    assert scores["entropy"].tolist() == pytest.approx([2, 1, 0])
    assert scores["bitrate"].item() == pytest.approx(12.5 * 3)


def test_even_use_of_eight_books_of_2048_is_the_nominal_bitrate():
    use = CodebookUse(num_codebooks=8, codebook_size=2048)
    use.update(torch.arange(2048).expand(1, 8, -1))
    assert use.compute()["bitrate"].item() == pytest.approx(1100, rel=1e-5)


def test_codebook_counts_add_up_over_batches_and_processes():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 16, (4, 2, 50), generator=generator)
    whole, first, second = (CodebookUse(2, 16) for _ in range(3))
    whole.update(codes)
    first.update(codes[:1])
    first.update(codes[1:2])
    second.update(codes[2:])
    first.merge_state(second)
    assert torch.equal(first.counts, whole.counts)
    assert whole.counts.sum() == codes.numel()


def test_levels_that_were_not_sent_count_nothing():
    use = CodebookUse(num_codebooks=3, codebook_size=4)
    use.update(torch.tensor([[[0, 1]]]))
    scores = use.compute()
    assert scores["used"].tolist() == [0.5, 0, 0]
    assert not any(math.isnan(x) for value in scores.values() for x in value.flatten().tolist())


def test_codes_that_do_not_fit_are_refused():
    use = CodebookUse(num_codebooks=2, codebook_size=4)
    with pytest.raises(ValueError, match="K <= 2"):
        use.update(torch.zeros(1, 3, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match="from 0 to 4 do not fit 4"):
        use.update(torch.tensor([[[0, 4]]]))
