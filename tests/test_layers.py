"""Who may import whom."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "moshi_zoo"
LEAVES = {"registry", "tokenizer", "word_tokens", "spectrogram", "gradient_sum", "host_memory"}
BELOW_ZOO = LEAVES | {"modules", "models"}
MAY_IMPORT = {
    "registry": set(),
    "tokenizer": set(),
    "word_tokens": {"tokenizer"},
    "spectrogram": set(),
    "gradient_sum": set(),
    "host_memory": set(),
    "modules": LEAVES,
    "models": LEAVES | {"modules"},
    "losses": LEAVES,
    "data": LEAVES,
    "metrics": LEAVES | {"losses"},
    "zoo": BELOW_ZOO,
    "training": BELOW_ZOO | {"zoo", "losses", "metrics"},
    "runtime": BELOW_ZOO | {"zoo"},
    "evaluation": BELOW_ZOO | {"zoo", "runtime", "losses", "data", "metrics"},
    "cli": BELOW_ZOO | {"zoo", "losses", "data", "metrics", "training", "runtime", "evaluation"},
    "__main__": {"registry", "cli"},
    "__init__": {"zoo"},
}
FOREIGN_TO_NETWORKS = {"lightning", "wandb", "omegaconf"}


def imported(code: str) -> set[str]:
    """Dotted names of all modules that a file imports, at the top or later."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide who imports whom"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def violations(layer: str, code: str) -> list[str]:
    names = imported(code)
    ours = {parts[1] for parts in (name.split(".") for name in names) if parts[0] == "moshi_zoo" and len(parts) > 1}
    bad = sorted(ours - MAY_IMPORT[layer] - {layer, "__version__"})
    if layer in ("modules", "models"):
        bad += sorted({name.split(".")[0] for name in names} & FOREIGN_TO_NETWORKS)
    return bad


def layer_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_layers_below(path):
    assert layer_of(path) in MAY_IMPORT, f"{path}: say in this test whom the new package may import"
    assert not violations(layer_of(path), path.read_text())


@pytest.mark.parametrize(
    ("layer", "code"),
    [
        ("models", "import lightning.pytorch as pl"),
        ("modules", "def f():\n    from moshi_zoo.models.mimi import Mimi"),
        ("data", "from moshi_zoo.training import stage"),
        ("training", "from moshi_zoo import data"),
        ("runtime", "import moshi_zoo.training.stage"),
        ("zoo", "from moshi_zoo.cli.trainer import run"),
        ("registry", "from moshi_zoo.modules import conv"),
    ],
)
def test_a_planted_violation_is_found(layer, code):
    assert violations(layer, code)
