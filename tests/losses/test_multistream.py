"""What targets count, beside computations of each paper's formula as it stands, element by element."""

import pytest
import torch
import torch.nn.functional as F

from moshi_zoo.losses.multistream import MultistreamLoss, Targets
from moshi_zoo.registry import build

PAD, EPAD, OWN = 3, 0, 3
B, T, K, V = 3, 20, 6, 11


@pytest.fixture
def case():
    """Logits and targets of a text row, three rows of Moshi and three of the user, with holes."""
    text = torch.randint(5, V, (B, T))
    text[torch.rand(B, T) < 0.6] = PAD
    text[torch.rand(B, T) < 0.15] = EPAD
    audio_mask = torch.rand(K, B, T) < 0.9
    audio_mask[:, :, -2:] = False
    targets = Targets(text, torch.rand(B, T) < 0.9, audio_mask)
    return targets, torch.randn(B, T, V), torch.randint(V, (K, B, T)), torch.randn(K, B, T, V)


def nats(logits, targets):
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none").view_as(targets)


def ours(loss, case, parts=1):
    targets, text_logits, codes, audio_logits = case
    names = {"pad": PAD, "epad": EPAD, "num_own": OWN}
    pieces = [
        Targets(t, m, a)
        for t, m, a in zip(
            targets.text.chunk(parts),
            targets.text_mask.chunk(parts),
            targets.audio_mask.chunk(parts, 1),
            strict=True,
        )
    ]
    denominators = sum(loss.denominators(piece, **names) for piece in pieces)
    weights = [loss.weights(piece, denominators, **names) for piece in pieces]
    text = torch.cat([w.text for w in weights])
    audio = torch.cat([w.audio for w in weights], dim=1)
    return (text * nats(text_logits, targets.text)).sum() + (audio * nats(audio_logits, codes)).sum()


def paper(targets, text_nats, audio_nats):
    """1/S of the sum over all frames of text + sum of alpha CE / sum of alpha; PAD at a half."""
    text = [0.5 * n if t == PAD else n for t, n, m in flat(targets.text, text_nats, targets.text_mask) if m]
    frames = []
    for b in range(B):
        for t in range(T):
            there = [k for k in range(K) if targets.audio_mask[k, b, t]]
            alpha = {k: 100.0 if k in (0, OWN) else 1.0 for k in there}
            if there:
                frames.append(sum(alpha[k] * audio_nats[k, b, t] for k in there) / sum(alpha.values()))
    return sum(text) / len(text) + sum(frames) / len(frames)


def moshi_finetune(targets, text_nats, audio_nats):
    """Weighted sum over sum of weights, for all tokens and for all codes; PAD and EPAD at a half."""
    text = [(0.5 if t in (PAD, EPAD) else 1.0, n) for t, n, m in flat(targets.text, text_nats, targets.text_mask) if m]
    return mean(text) + mean(codes(targets, audio_nats))


def jmoshi(targets, text_nats, audio_nats):
    """The mean of all but PAD, and half the mean of PAD; codes as in moshi-finetune."""
    rest = [n for t, n, m in flat(targets.text, text_nats, targets.text_mask) if m and t != PAD]
    pad = [n for t, n, m in flat(targets.text, text_nats, targets.text_mask) if m and t == PAD]
    return sum(rest) / len(rest) + 0.5 * sum(pad) / len(pad) + mean(codes(targets, audio_nats))


def codes(targets, audio_nats):
    return [
        (100.0 if k in (0, OWN) else 1.0, n)
        for k in range(K)
        for n, m in flat(audio_nats[k], targets.audio_mask[k])
        if m
    ]


def flat(*tensors):
    return zip(*(tensor.flatten().tolist() for tensor in tensors), strict=True)


def mean(weighted):
    return sum(w * n for w, n in weighted) / sum(w for w, _ in weighted)


@pytest.mark.parametrize(
    ("preset", "formula"), [("paper", paper), ("moshi-finetune", moshi_finetune), ("jmoshi", jmoshi)]
)
@pytest.mark.parametrize("parts", [1, 3])
def test_a_preset_is_its_papers_formula_also_in_parts(case, preset, formula, parts):
    targets, text_logits, audio, audio_logits = case
    expected = formula(targets, nats(text_logits, targets.text), nats(audio_logits, audio))
    assert ours(build(f"multistream-loss-{preset}"), case, parts).item() == pytest.approx(float(expected), rel=1e-5)


def test_nothing_to_learn_is_a_loss_of_zero(case):
    targets, *rest = case
    empty = Targets(targets.text, torch.zeros_like(targets.text_mask), torch.zeros_like(targets.audio_mask))
    for mean_of in ("frames", "pooled", "kinds"):
        assert ours(MultistreamLoss(mean=mean_of), (empty, *rest)) == 0


def test_the_user_may_count_for_nothing(case):
    targets, text_logits, audio, audio_logits = case
    alone = Targets(targets.text, targets.text_mask, targets.audio_mask[:OWN])
    for mean_of in ("frames", "pooled"):
        without = ours(MultistreamLoss(mean=mean_of), (alone, text_logits, audio[:OWN], audio_logits[:OWN]))
        muted = Targets(targets.text, targets.text_mask, targets.audio_mask.clone())
        muted.audio_mask[OWN:] &= targets.audio_mask[:OWN].any(0)  # a frame without Moshi's codes would still count
        silent = ours(MultistreamLoss(mean=mean_of, user_weight=0), (muted, text_logits, audio, audio_logits))
        torch.testing.assert_close(silent, without)


def test_all_codes_together_may_count_less_than_the_text(case):
    targets, text_logits, codes, audio_logits = case
    text, audio = nats(text_logits, targets.text), nats(audio_logits, codes)
    whole, text_alone = paper(targets, text, audio), paper(targets, text, 0 * audio)
    quiet = ours(build("multistream-loss-paper", audio_weight=0.1), case)
    assert float(quiet) == pytest.approx(float(text_alone + 0.1 * (whole - text_alone)), rel=1e-5)


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match=r"pad_weight is -1; it must be 0 or more"):
        MultistreamLoss(pad_weight=-1)
