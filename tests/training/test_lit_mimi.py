"""Steps of the codec's training."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.optim import SGD, AdamW

import moshi_zoo
from moshi_zoo import registry
from moshi_zoo.modules.conv import folded_state_dict
from moshi_zoo.modules.teacher import Teacher
from moshi_zoo.training.accumulation import Place
from moshi_zoo.training.codec_objective import CodecLossWeights
from moshi_zoo.training.lit_mimi import LitMimi
from moshi_zoo.zoo import folder
from tests.training.tones import FRAME, Tones, clips

ADAM = partial(AdamW, lr=3e-3, betas=(0.8, 0.99))
FROZEN = partial(SGD, lr=0.0)
ALONE = Place(0, 1)
PLAIN = CodecLossWeights(adversarial=0, feature=0, spectral=1, waveform=0, commitment=0.25, distillation=0)
ADVERSARIAL = CodecLossWeights(adversarial=1, feature=2, spectral=1, waveform=0.1, commitment=0.25, distillation=0)


def stage(**settings):
    torch.manual_seed(0)
    defaults = {"generator_optimizer": ADAM, "warmup_steps": 2, "loss_weights": PLAIN, "num_samples": 1}
    made = LitMimi(partial(registry.build, "mimi-tiny"), **(defaults | settings))
    made.configure_model()
    return made


def adversarial_stage(**settings):
    judge = partial(registry.build, "stft-tiny")
    return stage(**({"discriminator": judge, "loss_weights": ADVERSARIAL, "discriminator_optimizer": ADAM} | settings))


class Watch(Callback):
    """Keeps metrics, codebooks and counted optimizer steps of every batch."""

    def __init__(self):
        self.rows, self.codebooks, self.steps = [], [], []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.rows.append({k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("train/")})
        books = pl_module.net.quantizer.codebooks
        self.codebooks.append(torch.stack([book.embedding_sum for book in books]).clone())
        self.steps.append([config.scheduler.last_epoch for config in trainer.lr_scheduler_configs])


def fit(made, steps, *, count=8, batch_size=2, items=None, **settings):
    watch = Watch()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    limits = {"max_steps": steps, "limit_val_batches": 0}
    trainer = Trainer(accelerator="cpu", callbacks=[watch], **(quiet | limits | settings))
    trainer.fit(made, Tones(items or clips(count), batch_size))
    return watch


def weights(module):
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def assert_moved(before, after):
    still = [name for name in before if torch.equal(before[name], after[name])]
    assert not [name for name in still if not name.endswith("bias")]  # hinge terms may cancel there


def test_the_discriminator_does_not_move_the_codec_other_than_through_its_losses():
    plain, judged = stage(), adversarial_stage(loss_weights=PLAIN)
    judge = weights(judged.discriminator)
    fit(plain, 3)
    fit(judged, 3)
    assert_equal(weights(plain.net), weights(judged.net))
    assert_moved(judge, weights(judged.discriminator))


@pytest.mark.parametrize("gradients", ["balanced", "summed"])
def test_the_codecs_losses_do_not_move_the_discriminator(gradients):
    made = [
        adversarial_stage(generator_optimizer=FROZEN, loss_weights=w, gradients=gradients, quantizer_dropout=False)
        for w in (PLAIN, ADVERSARIAL)
    ]
    codec = weights(made[0].net)
    for each in made:
        fit(each, 3)
    assert_equal(weights(made[0].discriminator), weights(made[1].discriminator))
    assert_equal(weights(made[1].net), codec)


@pytest.mark.parametrize("gradients", ["balanced", "summed"])
def test_reconstruction_improves(gradients):
    rows = fit(adversarial_stage(gradients=gradients, quantize_from=8, discriminator_from=25), 30).rows
    assert rows[-1]["train/spectral"] < 0.7 * rows[0]["train/spectral"]
    assert all(torch.isfinite(torch.tensor(list(row.values()))).all() for row in rows)
    assert {"train/adversarial", "train/feature", "train/discriminator", "train/lr"} <= rows[-1].keys()
    assert ("train/share_feature" in rows[-1]) == (gradients == "balanced")


def test_codebooks_start_where_they_shall_and_then_move():
    made = stage(quantize_from=3, codebook_pool=8)
    watch = fit(made, 6)
    assert ["train/commitment" in row for row in watch.rows] == [False] * 3 + [True] * 3
    moved = [not torch.equal(a, b) for a, b in zip(watch.codebooks, watch.codebooks[1:], strict=False)]
    assert moved == [False, True, True, True, True]
    assert made.net.quantizer.is_initialized


def test_the_discriminator_comes_in_late_and_with_a_schedule_of_its_own(recwarn):
    made = adversarial_stage(discriminator_from=2, final_lr=0.5, warmup_steps=0)
    watch = fit(made, 6)
    assert ["train/adversarial" in row for row in watch.rows] == [False] * 2 + [True] * 4
    assert watch.steps == [[1, 0], [2, 0], [3, 1], [4, 2], [5, 3], [6, 4]]
    rates = [config.scheduler.get_last_lr()[0] for config in made.trainer.lr_scheduler_configs]
    assert rates == pytest.approx([1.5e-3, 1.5e-3])
    assert not [w for w in recwarn if "lr_scheduler" in str(w.message)]


def test_the_discriminator_learns_in_a_share_of_the_steps_drawn_from_seed_and_step():
    made = adversarial_stage(discriminator_probability=2 / 3, seed=5)
    learns = [made.draws.discriminator_learns(step) for step in range(300)]
    assert sum(learns) == pytest.approx(200, abs=30)
    other = adversarial_stage(discriminator_probability=2 / 3, seed=6)
    assert learns != [other.draws.discriminator_learns(step) for step in range(300)]
    steps = [after for _, after in fit(made, 6).steps]
    assert steps == [sum(learns[: step + 1]) for step in range(6)]
    assert 0 < steps[-1] < 6


def test_after_the_fade_the_discriminator_alone_teaches():
    made = adversarial_stage(discriminator_from=1, fade_reconstruction=(1, 3))
    rows = fit(made, 4, log_every_n_steps=1).rows
    assert "train/spectral" in rows[-1], "it is still measured"
    assert made.objective.weights_at(3).keys() == {"adversarial", "feature", "commitment"}
    assert all(torch.isfinite(weight).all() for weight in made.net.parameters())


def test_a_step_is_a_batch_with_two_optimizers():
    made = adversarial_stage()
    assert len(fit(made, 5).rows) == 5
    assert made.global_step == 5


def draws(*, num_clips=4, place=ALONE, steps=600, **settings):
    """Numbers of codebooks and bypassed clips that the codec is asked for."""
    made = stage(**settings)
    fit(made, 0)
    made.net.forward = lambda wav, count, bypass: (count, bypass)
    asked = [made._forward(torch.zeros(num_clips, 1, FRAME), step, place) for step in range(steps)]
    return [count for count, _ in asked], torch.stack([bypass for _, bypass in asked])


def test_draws_are_those_of_seed_and_step():
    counts, bypassed = draws(seed=3)
    again, other = draws(seed=3), draws(seed=4)
    assert counts == again[0] != other[0]
    assert torch.equal(bypassed, again[1])
    assert not torch.equal(bypassed, other[1])
    assert [counts.count(n) for n in (2, 3, 4)] == pytest.approx([200] * 3, rel=0.25)
    assert bypassed.float().mean(0).tolist() == pytest.approx([0.5] * 4, abs=0.1)


def test_accumulated_batches_share_out_the_draws_of_one_large_batch():
    whole = draws(num_clips=4)
    parts = [draws(num_clips=2, place=Place(index, 2), accumulate=2) for index in range(2)]
    assert all(counts == whole[0] for counts, _ in parts)
    assert torch.equal(torch.cat([bypassed for _, bypassed in parts], dim=1), whole[1])


def test_nothing_is_drawn_that_is_off():
    counts, bypassed = draws(bypass_rate=0.0, quantizer_dropout=False, steps=9)
    assert counts == [None] * 9
    assert not bypassed.any()


def test_accumulated_batches_equal_one_large_batch():
    same = {"generator_optimizer": partial(SGD, lr=0.1), "quantizer_dropout": False, "gradients": "summed"}
    items = [item | {"num_samples": torch.tensor(4 * FRAME)} for item in clips(12)]
    whole, parts = stage(**same), stage(**same, accumulate=2)
    fit(whole, 4, items=items, batch_size=4)
    rows = fit(parts, 4, items=items, batch_size=2).rows
    assert len(rows) == 8
    for name, tensor in folded_state_dict(whole.net).items():
        torch.testing.assert_close(folded_state_dict(parts.net)[name], tensor, atol=1e-5, rtol=1e-4)


def test_the_last_step_of_an_epoch_takes_the_batches_that_are_left():
    made = stage(accumulate=3, generator_optimizer=partial(SGD, lr=0.1))
    watch = fit(made, -1, items=clips(8), batch_size=2, max_epochs=2)
    assert watch.steps == [[0], [0], [1], [2], [2], [2], [3], [4]]
    assert made.global_step == 4
    schedule = made.trainer.lr_scheduler_configs[0].scheduler
    assert schedule.get_last_lr()[0] == pytest.approx(0.1 * made.final_lr)


def test_a_step_of_fewer_batches_is_their_mean():
    short, whole = (stage(accumulate=n, generator_optimizer=partial(SGD, lr=0.1)) for n in (3, 1))
    for made in (short, whole):
        fit(made, -1, items=clips(2), max_epochs=1)
    assert_equal(weights(short.net), weights(whole.net))


def test_only_the_transformers_matrices_decay():
    made = adversarial_stage(transformer_decay=0.3)
    fit(made, 1)
    names = {id(weight): name for name, weight in made.named_parameters()}
    groups = [group for optimizer in made.trainer.optimizers for group in optimizer.param_groups]
    decay = {names[id(weight)]: group["weight_decay"] for group in groups for weight in group["params"]}
    assert decay.keys() == dict(made.named_parameters()).keys()
    decayed = {name for name in decay if decay[name] == 0.3}
    assert decayed == {n for n, w in made.named_parameters() if "_transformer." in n and w.dim() > 1}
    assert len(decayed) == 2 * 2 * 4
    assert {decay[name] for name in decay.keys() - decayed} == {0.0}


def test_a_broken_clip_costs_one_step_and_leaves_the_codebooks_alone():
    items = clips(8)
    items[4]["wav"][0, 100] = float("nan")
    made = adversarial_stage(quantize_from=1)
    watch = fit(made, 5, items=items)  # the third of six batches
    assert len(watch.rows) == 6
    assert torch.equal(watch.codebooks[1], watch.codebooks[2])
    tensors = {**made.state_dict(), **weights(made)}
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_a_run_that_has_broken_down_stops_and_says_so():
    items = clips(8)
    for item in items:
        item["wav"][:] = float("nan")
    with pytest.raises(ValueError, match="not finite 20 times in a row"):
        fit(stage(), 30, items=items)


class Listener(Teacher):
    """A teacher with something that could be trained."""

    def __init__(self):
        super().__init__(dim=6)
        self.listen = torch.nn.Conv1d(1, 6, 480, stride=480)

    def features(self, wav, sample_rate):
        return self.listen(wav)


TAUGHT = CodecLossWeights(adversarial=0, feature=0, spectral=1, waveform=0, commitment=0.25, distillation=3)


def test_the_teacher_is_neither_trained_nor_saved():
    made = stage(teacher=Listener, loss_weights=TAUGHT)
    (teacher,) = made.distillation._teacher
    before = weights(teacher)
    fit(made, 3)
    assert_equal(weights(teacher), before)
    assert not teacher.training
    assert [name for name in made.state_dict() if "distillation" in name] == ["distillation.projection.weight"]
    trained = {id(w) for optimizer in made.trainer.optimizers for g in optimizer.param_groups for w in g["params"]}
    assert not trained & {id(weight) for weight in teacher.parameters()}
    assert id(made.distillation.projection.weight) in trained


def test_distillation_brings_the_semantic_codebook_nearer_to_the_teacher():
    made = stage(teacher=partial(registry.build, "mfcc-teacher-nano"), loss_weights=TAUGHT, gradients="summed")
    rows = fit(made, 25, batch_size=4).rows
    assert rows[-1]["train/distillation"] < 0.8 * rows[1]["train/distillation"]
    assert 0 <= rows[-1]["train/constant_cosine"] <= 1
    batch = next(iter(Tones(clips(4), 4).train_dataloader()))
    made.zero_grad()
    made.losses(made.net(batch["wav"]), batch)["distillation"].backward()
    assert all(weight.grad.abs().sum() > 0 for weight in made.net.encoder.parameters())
    assert all(weight.grad is None for weight in made.net.decoder.parameters())


def test_the_teacher_teaches_before_the_codebooks_start():
    made = stage(teacher=partial(registry.build, "mfcc-teacher-nano"), loss_weights=TAUGHT, quantize_from=100)
    untaught = made.distillation.projection.weight.clone()
    rows = fit(made, 3).rows
    assert all("train/distillation" in row and "train/commitment" not in row for row in rows)
    assert not torch.equal(made.distillation.projection.weight, untaught)


def test_published_weights_are_plain_and_sound_the_same(tmp_path):
    made = stage(quantize_from=1)
    fit(made, 2)
    assert any("parametrizations" in name for name in made.net.state_dict())
    folder.save(
        tmp_path / "zoo", registry.to_portable(registry.preset("mimi-tiny")), made.zoo_weights(), stage="LitMimi"
    )
    codec = moshi_zoo.load(tmp_path / "zoo")
    assert not any("parametrizations" in name for name in codec.state_dict())
    wav = clips(2)[1]["wav"][None]
    codes = codec.encode(wav)
    with torch.no_grad():
        made.eval()
        assert torch.equal(made.net.encode(wav), codes)
        torch.testing.assert_close(codec.decode(codes), made.net.decode(codes))


def test_validation_measures_and_shows_with_and_without_codebooks(tmp_path):
    for name, quantize_from in {"without": 9, "with": 1}.items():
        made = stage(quantize_from=quantize_from)
        fit(
            made, 2, limit_val_batches=1, val_check_interval=2, num_sanity_val_steps=1, default_root_dir=tmp_path / name
        )
        measured = {k for k in made.trainer.callback_metrics if k.startswith("val/")}
        assert {"val/mel", "val/stft", "val/si_sdr", "val/stoi"} <= measured
        assert ("val/perplexity_3" in measured) == (name == "with")
        shown = {p.stem for p in (tmp_path / name / "samples/step-000002").iterdir()}
        assert shown - {"val-codebooks"} == {"val-0_original", "val-0_decoded", "val-0_spectrogram"}
        assert ("val-codebooks" in shown) == (name == "with")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate": 0}, "accumulate is 0; it must be 1 or more"),
        ({"discriminator_probability": 0.0}, "discriminator_probability is 0.0; it must be above 0"),
        ({"fade_reconstruction": (1, 3)}, r"after fade_reconstruction \[1, 3\] nothing teaches"),
        ({"loss_weights": CodecLossWeights(spectral=0, waveform=0)}, "nothing teaches the codec's output"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        stage(**settings)


def test_segments_of_broken_frames_are_refused_with_the_length_that_fits():
    items = [item | {"wav": item["wav"][:, : 3 * FRAME + 100]} for item in clips(4)]
    with pytest.raises(ValueError, match=r"no whole frames of 1920: set data.seconds to 0.24 instead of 0.244167"):
        fit(stage(), 1, items=items)


def test_half_precision_is_refused():
    made = stage()
    made._trainer = type("T", (), {"precision": "16-mixed"})()
    with pytest.raises(ValueError, match="use bf16-mixed"):
        made.configure_optimizers()
