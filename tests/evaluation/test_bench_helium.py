"""The language model beside its peer: what is measured, and that it runs."""

import pytest
import torch

from moshi_zoo.evaluation import bench_helium
from moshi_zoo.evaluation.bench import OURS
from moshi_zoo.modules.quantised_layers import PRECISIONS
from moshi_zoo.runtime import compiled


@pytest.fixture
def alone(monkeypatch):
    """No peer, few tokens, and no process that measures memory."""
    monkeypatch.setattr(bench_helium, "is_installed", lambda module: False)
    monkeypatch.setattr(bench_helium, "measured_in_a_process", lambda *what: 1.0)
    monkeypatch.setattr(bench_helium, "NEW", 4)
    monkeypatch.setattr(bench_helium, "LENGTH", 8)


def measured(compile="never"):
    told = []
    report = bench_helium.bench_helium(size="helium-tiny", device="cpu", rounds=1, compile=compile, tell=told.append)
    who = {}
    for row in report.rows:
        assert row.value > 0
        who.setdefault(row.what.partition(",")[0], set()).add(row.who)
    assert report.missing == ["transformers"]
    return who, told


def test_a_report_has_all_rows(alone):
    who, _ = measured()
    assert who["training"] == {OURS}
    assert who["generation"] == {OURS, *(f"{OURS}, {kind}" for kind in PRECISIONS)}
    assert who["peak memory training"] == who["peak memory generation"] == {OURS}


def test_compiled_code_is_measured_if_asked_for(alone, monkeypatch):
    monkeypatch.setattr(compiled, "_BACKEND", "eager")  # the same graphs, without a C++ compiler
    monkeypatch.setattr(compiled, "_missing", lambda: None)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda layer: None)
    torch._dynamo.reset()
    who, told = measured("always")
    assert f"{OURS}, compiled" in who["training"] & who["generation"]
    assert f"{OURS}, float16, compiled" in who["generation"]
    assert "compiling the step of a token ..." in told
