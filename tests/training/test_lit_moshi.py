"""Moshi's training, step by step."""

from functools import partial

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch.nn.functional import cross_entropy
from torch.optim import SGD, AdamW
from torch.utils.data import DataLoader

from moshi_zoo.data.speech_and_text import MixedLoader
from moshi_zoo.losses.multistream import MultistreamLoss
from moshi_zoo.models.conversation import GREEDY
from moshi_zoo.models.replies import replies
from moshi_zoo.registry import build
from moshi_zoo.training.learning_rates import LearningRates, parameter_groups
from moshi_zoo.training.lit_moshi import LitMoshi
from moshi_zoo.training.schedule import WarmupCosine

make_net = partial(build, "moshi-tiny")
R, T = 9, 24
HELD = partial(WarmupCosine, warmup_steps=0, final=1.0)
RATES = LearningRates(temporal=0.1, depth=0.1)


def dialogues(count):
    """Rows of codes; the later ones are ever shorter, and the last has no text."""
    generator = torch.Generator().manual_seed(3)
    rows = torch.randint(32, (count, R, T), generator=generator)
    text = torch.randint(4, 256, (count, T), generator=generator)
    rows[:, 0] = text.where(torch.rand(count, T, generator=generator) < 0.4, 3)
    for i in range(count):
        rows[i, :, T - i :] = -1
    rows[-1, 0] = -1
    return [{"codes": row} for row in rows]


def texts(count):
    tokens = torch.randint(4, 256, (count, T + 1), generator=torch.Generator().manual_seed(5))
    return [{"tokens": row, "loss_mask": torch.arange(T) < T - i} for i, row in enumerate(tokens)]


class Rows(LightningDataModule):
    def __init__(self, count=8, batch_size=8):
        super().__init__()
        self.rows, self.batch_size = dialogues(count), batch_size

    def train_dataloader(self):
        return DataLoader(self.rows, self.batch_size)

    def val_dataloader(self):
        return DataLoader(self.rows[:3], 2)


class RowsAndText(Rows):
    """Every other batch is text."""

    text_share = 0.5

    def train_dataloader(self):
        return MixedLoader(DataLoader(self.rows, 2), DataLoader(texts(8), 2), share=self.text_share)


def fit(folder, data=None, *, steps=3, kind=LitMoshi, **settings):
    torch.manual_seed(0)
    defaults = {"loss": MultistreamLoss(), "rates": RATES, "optimizer": SGD, "schedule": HELD, "clip": None}
    stage = kind(make_net, **{**defaults, "num_samples": 0, **settings})
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    trainer.fit(stage, data or Rows())
    return stage, trainer


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def plain_loss(net, codes):
    """From whole logits: the pooled mean, computed the plain way."""
    out = net(codes)
    text = cross_entropy(out.text_logits.transpose(1, 2), codes[:, 0].clamp(0), reduction="none")
    text_weights = torch.where((codes[:, 0] == 3) | (codes[:, 0] == 0), 0.5, 1.0) * out.text_mask
    audio = cross_entropy(out.audio_logits.permute(0, 3, 1, 2), codes[:, 1:].clamp(0), reduction="none")
    audio_weights = torch.tensor([100.0, 1, 1, 1] * 2)[:, None] * out.audio_mask
    return (text * text_weights).sum() / text_weights.sum() + (audio * audio_weights).sum() / audio_weights.sum()


def test_a_step_is_one_of_the_loss_from_whole_logits(tmp_path):
    stage, trainer = fit(tmp_path, steps=1, weight_decay=0.0, chunk=7, loss=build("multistream-loss-moshi-finetune"))
    torch.manual_seed(0)
    net, codes = make_net(), torch.stack([row["codes"] for row in dialogues(8)])
    loss = plain_loss(net, codes)
    loss.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    torch.testing.assert_close(weights(stage.net), weights(net), atol=2e-6, rtol=1e-5)
    assert trainer.callback_metrics["train/loss"].item() == pytest.approx(loss.item(), rel=1e-5)


def test_what_is_logged_is_what_the_logits_say(tmp_path):
    stage, trainer = fit(tmp_path, steps=1, rates=LearningRates(0.0, 0.0))
    codes, said = torch.stack([row["codes"] for row in dialogues(8)[:3]]), {}
    for part in codes.split(2):  # as validation goes
        out = stage.net(part)
        rows = [(out.text_logits, part[:, 0], out.text_mask)]
        rows += [(out.audio_logits[:, k], part[:, 1 + k], out.audio_mask[:, k]) for k in range(8)]
        for row, (logits, targets, mask) in enumerate(rows):
            said.setdefault(row, []).append((logits[mask], targets[mask]))
    rows = [tuple(map(torch.cat, zip(*pairs, strict=True))) for pairs in said.values()]
    nats = [cross_entropy(*row).item() for row in rows]
    logged = {name.removeprefix("val/"): value.item() for name, value in trainer.callback_metrics.items()}
    assert logged["text"] == pytest.approx(nats[0], rel=1e-5)
    is_pad = rows[0][1] == 3
    assert logged["pad"] == pytest.approx(cross_entropy(rows[0][0][is_pad], rows[0][1][is_pad]).item(), rel=1e-5)
    assert logged["semantic"] == pytest.approx(nats[1], rel=1e-5)
    acoustic = [torch.cat(parts) for parts in zip(*rows[2:5], strict=True)]
    assert logged["acoustic"] == pytest.approx(cross_entropy(*acoustic).item(), rel=1e-5)
    assert logged["user_semantic"] == pytest.approx(nats[5], rel=1e-5)
    hits = (rows[6][0].argmax(1) == rows[6][1]).float().mean().item()
    assert logged["accuracy/user_1"] == pytest.approx(hits, abs=1e-6)


@pytest.mark.parametrize("mean", ["frames", "pooled", "kinds"])
def test_a_batch_in_parts_steps_like_the_whole_although_their_targets_do_not_count_alike(tmp_path, mean):
    settings = {"weight_decay": 0.0, "loss": MultistreamLoss(mean=mean)}
    whole, whole_trainer = fit(tmp_path, **settings)
    parts, parts_trainer = fit(tmp_path, accumulate=4, **settings)
    assert parts_trainer.global_step == whole_trainer.global_step == 3
    torch.testing.assert_close(weights(parts.net), weights(whole.net), atol=2e-6, rtol=1e-5)
    for name in ("train/loss", "train/word", "train/grad_norm", "train/accuracy/0"):
        torch.testing.assert_close(parts_trainer.callback_metrics[name], whole_trainer.callback_metrics[name])


def test_a_share_of_the_frames_stands_for_all_of_them(tmp_path):
    """The mean over many draws is the loss of all frames."""
    stage, _ = fit(tmp_path, steps=1, rates=LearningRates(0.0, 0.0))
    codes = torch.stack([row["codes"] for row in dialogues(8)])
    with torch.no_grad():
        objective = stage.objective
        targets = objective.targets(codes)
        denominators = objective.denominators([targets])
        drawn = [objective.predict(codes, targets, denominators, depth_fraction=0.25).loss for _ in range(40)]
        exact = objective.predict(codes, targets, denominators).loss
    assert len({round(x.item(), 4) for x in drawn}) > 1
    assert torch.stack(drawn).mean().item() == pytest.approx(exact.item(), rel=0.01)


def test_text_alone_has_moments_of_its_own_and_trains_the_temporal_transformer_only(tmp_path):
    seen = []

    class Watched(LitMoshi):
        def training_step(self, batch, batch_idx):
            before = {name: p.detach().clone() for name, p in self.net.named_parameters()}
            moments = [dict(o.optimizer.state_dict()["state"]) for o in self.optimizers()]
            steps = [max((int(s["step"]) for s in m.values()), default=0) for m in moments]
            super().training_step(batch, batch_idx)
            moved = {name for name, p in self.net.named_parameters() if not torch.equal(p, before[name])}
            seen.append(("tokens" in batch, steps, moved))

    optimizer = partial(AdamW, betas=(0.9, 0.95))
    _, trainer = fit(tmp_path, RowsAndText(), steps=4, kind=Watched, optimizer=optimizer)
    assert trainer.global_step == 4, "a step each, whichever optimizer makes it"
    assert [is_text for is_text, _, _ in seen] == [False, True, False, True]
    assert [steps for _, steps, _ in seen] == [[0, 0], [1, 0], [1, 1], [2, 1]]
    assert all(name.startswith("temporal.") for name in seen[1][2])
    assert any(name.startswith("depth.") for name in seen[2][2])
    assert "train/text_only" in trainer.callback_metrics


def test_text_alone_is_learnt_as_helium_learns_it(tmp_path):
    stage, _ = fit(tmp_path, steps=1, rates=LearningRates(0.0, 0.0))
    batch = {name: torch.stack([row[name] for row in texts(4)]) for name in ("tokens", "loss_mask")}
    loss = stage.objective.text_alone(batch["tokens"], batch["loss_mask"]).mean
    logits = stage.net.temporal(batch["tokens"][:, :-1])
    expected = cross_entropy(logits[batch["loss_mask"]], batch["tokens"][:, 1:][batch["loss_mask"]])
    torch.testing.assert_close(loss, expected)


def test_parts_have_rates_of_their_own_and_only_matrices_decay():
    net = make_net()
    groups = parameter_groups(net, LearningRates(1.0, 2.0, text_scale=0.75), weight_decay=0.1)
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))
    assert {group["name"]: group["lr"] for group in groups} == {"temporal": 1.0, "text": 0.75, "depth": 2.0}
    for group in groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    text = {id(p) for group in groups if group["name"] == "text" for p in group["params"]}
    assert text == {id(p) for p in (net.initial_text, net.temporal.embedding.weight, net.temporal.output.weight)}


def test_what_is_frozen_stays(tmp_path):
    torch.manual_seed(0)
    before = make_net()
    stage, _ = fit(tmp_path, freeze=["temporal", "depth.embedding"])
    for (name, now), then in zip(stage.net.named_parameters(), before.parameters(), strict=True):
        is_frozen = name.startswith(("temporal.", "depth.embedding."))
        if is_frozen or "extra_heads" not in name:
            assert torch.equal(now, then) == is_frozen, name
    with pytest.raises(ValueError, match=r"freeze: the net has no part 'tempral'; it has audio_embedding, "):
        fit(tmp_path, freeze=["tempral"])


def test_half_precision_is_refused(tmp_path):
    stage = LitMoshi(make_net, loss=MultistreamLoss(), rates=RATES)
    stage.trainer = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    stage.trainer.strategy.precision_plugin.precision = "16-mixed"
    with pytest.raises(ValueError, match="bf16-mixed"):
        stage.configure_optimizers()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"accumulate": 0}, r"accumulate \(0\)"), ({"depth_fraction": 0.0}, r"depth_fraction \(0.0\)")],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LitMoshi(make_net, loss=MultistreamLoss(), rates=RATES, **settings)


def test_a_few_dialogues_are_learnt_by_heart_and_said_again(tmp_path):
    """Told only what the users say, the model says all else, word for word and code for code."""
    rates, optimizer = LearningRates(1e-2, 1e-2), partial(AdamW, betas=(0.9, 0.95))
    schedule = partial(WarmupCosine, warmup_steps=20)
    data = Rows(count=3, batch_size=3)
    data.rows = data.rows[:2]  # those with text
    loss = MultistreamLoss(semantic_weight=1.0)
    stage, trainer = fit(tmp_path, data, steps=110, rates=rates, optimizer=optimizer, schedule=schedule, loss=loss)
    logged = trainer.callback_metrics
    assert logged["train/accuracy/word"] > 0.99
    assert min(logged[f"train/accuracy/{k}"] for k in range(4)) > 0.97, "nobody can know which dialogue begins"
    codes = torch.stack([row["codes"] for row in data.rows])
    said = replies(stage.net.eval(), codes[:, 5:], choosers=GREEDY)
    known = slice(6, T - 2)  # the user has to say a little first, and the last frames have no target
    assert (said.text == codes[:, 0])[:, known].float().mean() > 0.99
    assert (said.codes == codes[:, 1:5])[..., known].float().mean() > 0.99
