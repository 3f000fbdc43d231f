"""Helium against `transformers`: random weights, converted, compared, generated from and trained."""

import copy
import json

import pytest
import torch
import torch.nn.functional as F

from moshi_zoo import registry
from moshi_zoo.models.generation import continuations, generate
from moshi_zoo.zoo import helium_format
from moshi_zoo.zoo.convert import export_weights, import_weights

pytestmark = pytest.mark.parity

FAMILIES = {"helium": "hf", "llama": "hf-llama"}
SPEC = {
    "component": "helium",
    "init_args": {
        "vocab_size": 300,
        "dim": 96,
        "transformer": {
            "num_layers": 3,
            "num_heads": 6,
            "num_kv_heads": 2,
            "hidden_dim": 264,
            "context": 64,
            "max_period": 20_000.0,
            "layer_scale": None,
            "norm": "rms",
            "mlp": "swiglu",
            "initial": "normal",
        },
    },
}


@pytest.fixture
def helium():
    model = registry.instantiate(registry.from_portable(SPEC)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)  # ones would hide a swapped tensor
    return model


@pytest.fixture(params=FAMILIES)
def theirs(request, helium, tmp_path):
    """The same model in transformers, by way of the files that we write."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    export_weights(SPEC, helium.state_dict(), FAMILIES[request.param], tmp_path)
    model, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(model).__name__.lower().startswith(request.param)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    return model.eval()


def tokens(batch_size, length):
    return torch.randint(4, 300, (batch_size, length), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_logits_equal(helium, theirs):
    x = tokens(2, 60)
    torch.testing.assert_close(helium(x), theirs(x).logits, atol=1e-4, rtol=0)


def test_greedy_texts_equal(helium, theirs):
    prompt = tokens(1, 9)
    expected = theirs.generate(prompt, max_new_tokens=40, do_sample=False, eos_token_id=None, pad_token_id=3)
    found = continuations(generate(helium, prompt.tolist(), max_tokens=40), 1)
    assert found == expected[:, 9:].tolist()


def test_training_gives_the_same_losses(helium, theirs):
    losses = {"ours": [], "theirs": []}
    for name, model in (("ours", helium), ("theirs", theirs)):
        optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
        generator = torch.Generator().manual_seed(3)
        for _ in range(20):
            batch = torch.randint(4, 300, (4, 33), generator=generator)  # theirs does not train the vector of PAD (3)
            output = model(batch[:, :-1])
            logits = output if name == "ours" else output.logits
            loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[name].append(loss.item())
    assert losses["ours"] == pytest.approx(losses["theirs"], abs=1e-4)
    assert losses["ours"][-1] != pytest.approx(losses["ours"][0], abs=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_their_weights_are_read(family, tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config, model = {
        "helium": (transformers.HeliumConfig, transformers.HeliumForCausalLM),
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    }[family]
    sizes = {"vocab_size": 200, "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128}
    torch.manual_seed(0)
    theirs = model(config(**sizes, rms_norm_eps=1e-5)).eval()
    theirs.save_pretrained(tmp_path, max_shard_size="100KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()  # several files
    spec, tensors = import_weights(tmp_path, "hf")
    ours = registry.instantiate(registry.from_portable(spec)).eval()
    ours.load_state_dict(tensors, strict=True)
    with torch.no_grad():
        x = tokens(1, 50).clamp(max=199)
        torch.testing.assert_close(ours(x), theirs(x).logits, atol=1e-4, rtol=0)
    theirs_again = helium_format.to_hf(tensors, spec, family)
    assert all(torch.equal(theirs_again[name], t) for name, t in theirs.state_dict().items())


@pytest.mark.parametrize("layout", FAMILIES.values())
def test_layouts_round_trip_bit_for_bit(helium, layout, tmp_path):
    before = copy.deepcopy(helium.bfloat16().state_dict())
    export_weights(SPEC, before, layout, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    spec, after = import_weights(tmp_path, "hf")
    complete = registry.to_portable(registry.complete(registry.from_portable(SPEC)))
    assert registry.to_portable(registry.complete(registry.from_portable(spec))) == complete
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
