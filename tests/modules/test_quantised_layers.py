"""Products with quantised weights."""

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.models.conversation import GREEDY
from moshi_zoo.models.generation import continuations, generate
from moshi_zoo.modules.linear import Linear
from moshi_zoo.modules.lora import LoraSize, add_adapter, use_adapter
from moshi_zoo.modules.quantised_layers import PRECISIONS, QuantisedLinear, quantise
from moshi_zoo.modules.quantised_weight import Float16Weight, Int4Weight, Int8Weight
from moshi_zoo.modules.step_linear import StepLinear

pytestmark = pytest.mark.filterwarnings("error")


def error(y, expected):
    return float((y - expected).norm() / expected.norm())


KINDS = [Float16Weight, Int8Weight, Int4Weight]


@pytest.mark.parametrize(("kind", "most"), [(Float16Weight, 3e-4), (Int8Weight, 0.01), (Int4Weight, 0.11)])
@pytest.mark.parametrize("shape", [(48, 64), (5, 33), (1, 1)])
def test_a_product_is_that_with_the_rounded_weight_and_the_given_activations(kind, most, shape):
    torch.manual_seed(0)
    weight, x = torch.randn(shape), torch.randn(7, shape[1])
    x[:, 0] *= 100  # as single channels of trained models are: they must not cost the others their precision
    quantised = kind(weight)
    assert error(quantised.dense(), weight) < most
    assert error(quantised.times(x), x @ quantised.dense().t()) < (0.01 if kind is Int4Weight else 1e-3)


def test_no_row_of_a_product_depends_on_its_neighbours():
    weight, x = Int8Weight(torch.randn(40, 24)), torch.randn(9, 24) * torch.logspace(-3, 3, 9)[:, None]
    together = weight.times(x)
    assert all(torch.equal(weight.times(row[None])[0], known) for row, known in zip(x, together, strict=True))


def test_rows_of_zeros_stay_zeros():
    assert torch.equal(Int8Weight(torch.zeros(8, 16)).times(torch.ones(2, 16)), torch.zeros(2, 8))
    for kind in KINDS:
        assert torch.equal(kind(torch.randn(8, 16)).times(torch.zeros(2, 16)), torch.zeros(2, 8))


@torch.no_grad()
def test_layers_give_what_they_gave_within_the_rounding_of_the_weights():
    torch.manual_seed(0)
    plain, steps = Linear(24, 40), StepLinear(24, 40, [0, 1, 1, 2])
    x = torch.randn(4, 3, 24)
    expected = plain(x), steps(x), steps(x[1:2], 1), steps.step(x[3], 3), steps.each(x[0])
    quantise(model := torch.nn.ModuleDict({"plain": plain, "steps": steps}), smallest=1)
    plain, steps = model["plain"], model["steps"]
    found = plain(x), steps(x), steps(x[1:2], 1), steps.step(x[3], 3), steps.each(x[0])
    for y, known in zip(found, expected, strict=True):
        assert y.shape == known.shape
        assert error(y, known) < 0.01


@pytest.mark.parametrize(("precision", "most"), [("float16", 0.01), ("int8", 0.05), ("int4", 0.4)])
def test_models_speak_with_quantised_weights(precision, most):
    torch.manual_seed(0)
    moshi = registry.build("moshi-tiny").eval()
    codes = torch.randint(32, (1, moshi.num_rows, 6))
    with torch.no_grad():
        before = moshi(codes)
        quantise(moshi, precision, smallest=1)
        after = moshi(codes)
    assert error(after.text_logits, before.text_logits) < most
    assert error(after.audio_logits, before.audio_logits) < most
    assert not torch.equal(after.text_logits, before.text_logits)
    state = moshi.init_state(2)
    for _ in range(3):
        text, frame = moshi.step(torch.zeros(2, 4, 1, dtype=torch.int64), state, GREEDY)
    assert text.shape == (2,)
    assert frame.shape == (2, 4, 1)


def test_a_text_goes_on_with_quantised_weights():
    torch.manual_seed(0)
    helium = registry.build("helium-tiny").eval()
    quantise(helium, "int4", smallest=1)
    assert isinstance(helium.output, QuantisedLinear)
    assert isinstance(helium.output.quantised, Int8Weight)
    assert isinstance(helium.transformer.layers[0].attention.in_proj.quantised, Int4Weight)
    assert len(continuations(generate(helium, [[1, 5]], max_tokens=4), 1)[0]) == 4


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_compiler_takes_a_product_as_one_operation(precision):
    torch.manual_seed(0)
    layers = torch.nn.ModuleList([Linear(64, 32), StepLinear(64, 32, [0, 1, 1])])
    quantise(layers, precision, smallest=1)

    def products(x):
        return layers[0](x), layers[1](x[None].expand(3, -1, -1)), layers[1].step(x, 2), layers[1].each(x)

    torch._dynamo.reset()
    x = torch.randn(2, 64)
    with torch.inference_mode():
        found = torch.compile(products, fullgraph=True, dynamic=False, backend="aot_eager")(x)
        for one, other in zip(found, products(x), strict=True):
            assert torch.equal(one, other)


def test_large_weights_have_the_precision_that_is_asked_for_and_small_ones_stay_as_they_are():
    layers = [Linear(16, 15), Linear(16, 16), Linear(32, 32), StepLinear(8, 8, [0, 1])]
    quantise(model := torch.nn.ModuleList(layers), smallest=256)
    assert isinstance(model[0], Linear)
    assert isinstance(model[1].quantised, Float16Weight)
    assert isinstance(model[2].quantised, Int8Weight)
    assert isinstance(model[3], StepLinear)


def test_what_cannot_be_quantised_is_refused():
    helium = registry.build("helium-tiny")
    with pytest.raises(ValueError, match="int3"):
        quantise(helium, "int3")
    with torch.device("meta"), pytest.raises(ValueError, match="for CPUs"):
        quantise(registry.build("helium-tiny"), smallest=1)
    add_adapter(helium, LoraSize(temporal=2))
    with pytest.raises(ValueError, match="merge"):
        quantise(helium, smallest=1)
    use_adapter(helium, "default", merged=True)
    quantise(helium, smallest=1)
    assert isinstance(helium.output, QuantisedLinear)
