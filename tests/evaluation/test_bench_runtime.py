"""Steps in real time: what is measured, and that it runs."""

import copy

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.evaluation import bench_moshi, bench_runtime
from moshi_zoo.evaluation.bench import OURS, rows
from moshi_zoo.modules.quantised_layers import PRECISIONS, quantise
from moshi_zoo.runtime import compiled
from moshi_zoo.runtime.conversations import Conversations


def test_a_report_has_all_rows(monkeypatch):
    monkeypatch.setattr(bench_runtime, "is_installed", lambda module: False)
    for module in (bench_runtime, bench_moshi):
        monkeypatch.setattr(module, "FRAMES", 2)
    told = []
    report = bench_runtime.bench_runtime(size="moshi-nano", device="cpu", rounds=1, sessions=[1, 2], tell=told.append)
    values = {(row.what, row.who): row.value for row in report.rows}
    assert all(value >= 0 for value in values.values())
    assert {who for what, who in values if what.startswith("step, ms")} == {OURS, *bench_runtime._QUANTISED}
    assert ("whole frame, 2 conversations, ms", OURS) in values
    assert ("whole frame with the codec, 99 %, ms", OURS) in values
    assert report.missing == ["moshi"]
    assert any("mimi-nano" in line for line in told)


def test_compiled_steps_are_measured_if_asked_for(monkeypatch):
    monkeypatch.setattr(bench_runtime, "is_installed", lambda module: False)
    for module in (bench_runtime, bench_moshi):
        monkeypatch.setattr(module, "FRAMES", 2)
    monkeypatch.setattr(compiled, "_missing", lambda: None)
    told = []

    def not_compiled(*args, compiling=None, **more):
        told.append(compiling)
        return Conversations(*args, **more)

    monkeypatch.setattr(bench_runtime, "Conversations", not_compiled)
    sizes = {"size": "moshi-nano", "device": "cpu", "rounds": 1, "sessions": [1]}
    report = bench_runtime.bench_runtime(**sizes, compile="always", tell=print)
    assert sum(tell is print for tell in told) == 5
    steps = {row.who for row in report.rows if row.what.startswith("step, ms")}
    assert steps >= {f"{OURS}, compiled", *(f"{name}, compiled" for name in bench_runtime._QUANTISED)}
    assert f"{OURS}, compiled" in {row.who for row in report.rows if row.what == "whole frame with the codec, ms"}


def test_the_error_of_the_logits_grows_as_the_bits_go():
    torch.manual_seed(0)
    model = registry.build("moshi-tiny").eval()
    codes = torch.randint(model.codebook_size, (1, model.num_rows, 8))
    errors = [bench_runtime.logit_errors(model, model, codes)]
    for precision in PRECISIONS:
        quantise(other := copy.deepcopy(model), precision, smallest=1)
        errors.append(bench_runtime.logit_errors(model, other, codes))
    assert errors[0] == {"text": 0.0, "codes": 0.0}
    for kind in ("text", "codes"):
        assert [error[kind] for error in errors] == sorted(error[kind] for error in errors)


def test_all_rows_of_ours_are_set_against_the_peer():
    found = rows("ms", {OURS: 2.0, f"{OURS}, int8": 1.0, "moshi": 4.0}, best=min)
    assert [row.ratio for row in found] == [0.5, 0.25, None]


@pytest.mark.parametrize(("moshi", "codec"), [("moshi-nano", "mimi-nano"), ("moshi-7b", "mimi-full")])
def test_a_size_has_the_codec_of_its_codes(moshi, codec):
    assert bench_runtime.codec_of(moshi) == codec
