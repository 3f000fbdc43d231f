"""Cross-entropy without logits: the numbers of the plain one, in less memory."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from moshi_zoo.losses.cross_entropy import chunked_cross_entropy

N, D, V = 37, 8, 50


@pytest.fixture
def inputs():
    hidden = torch.randn(N, D, requires_grad=True)
    weight = torch.randn(V, D, requires_grad=True)
    return hidden, weight, torch.randint(V, (N,)), torch.rand(N) < 0.6


def gradients(loss, *inputs):
    return torch.autograd.grad(loss, inputs)


class LargestTensor(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = [x for x in (out if isinstance(out, list | tuple) else [out]) if isinstance(x, torch.Tensor)]
        self.numel = max([self.numel, *(x.numel() for x in made)])
        return out


@pytest.mark.parametrize("chunk", [1, 8, N, 100])
def test_loss_and_gradients_are_those_of_the_plain_one(inputs, chunk):
    hidden, weight, targets, mask = inputs
    loss = chunked_cross_entropy(hidden, weight, targets, mask, chunk=chunk)
    plain = F.cross_entropy(hidden @ weight.t(), targets.where(mask, -100), reduction="sum")
    torch.testing.assert_close(loss.total, plain)
    assert loss.count == mask.sum()
    torch.testing.assert_close(loss.mean, plain / mask.sum())
    found = gradients(3 * loss.mean, hidden, weight)
    torch.testing.assert_close(found, gradients(3 * plain / mask.sum(), hidden, weight))
    assert found[0][~mask].abs().sum() == 0


def test_what_does_not_count_may_be_no_target_at_all(inputs):
    hidden, weight, targets, mask = inputs
    loss = chunked_cross_entropy(hidden, weight, targets, mask)
    other = chunked_cross_entropy(hidden, weight, targets.where(mask, -100), mask)
    assert loss.total == other.total


def test_rows_of_a_batch_and_parts_of_it_add_up(inputs):
    hidden, weight, targets, _ = inputs
    rows = chunked_cross_entropy(hidden[:36].view(4, 9, D), weight, targets[:36].view(4, 9))
    parts = [chunked_cross_entropy(hidden[i : i + 9], weight, targets[i : i + 9]) for i in range(0, 36, 9)]
    torch.testing.assert_close(sum(part.total for part in parts), rows.total)
    assert sum(part.count for part in parts) == rows.count == 36


def test_nothing_counted_is_no_loss_and_no_gradient(inputs):
    hidden, weight, targets, mask = inputs
    loss = chunked_cross_entropy(hidden, weight, targets, torch.zeros_like(mask)).mean
    assert loss == 0
    assert all(grad.abs().sum() == 0 for grad in gradients(loss, hidden, weight))


def test_bfloat16_sums_in_float32(inputs):
    hidden, weight, targets, mask = inputs
    with torch.autocast("cpu", torch.bfloat16):
        loss = chunked_cross_entropy(hidden, weight, targets, mask, chunk=8)
    plain = F.cross_entropy(hidden @ weight.t(), targets.where(mask, -100), reduction="sum")
    assert loss.total.dtype == torch.float32
    torch.testing.assert_close(loss.total, plain, rtol=0.02, atol=0)
    found = gradients(loss.total, hidden, weight)
    assert [grad.dtype for grad in found] == [torch.float32] * 2
    for grad, exact in zip(found, gradients(plain, hidden, weight), strict=True):
        assert F.cosine_similarity(grad.flatten(), exact.flatten(), dim=0) > 0.999


@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_what_is_frozen_gets_no_gradient(inputs, frozen):
    hidden, weight, targets, _ = inputs
    (hidden if frozen == "hidden" else weight).requires_grad_(False)
    chunked_cross_entropy(hidden, weight, targets).total.backward()
    assert (hidden.grad is None) == (frozen == "hidden")
    assert (weight.grad is None) == (frozen == "weight")


def test_memory_is_flat_in_the_vocabulary_and_nothing_of_it_is_kept_for_later():
    tokens, width, vocabulary, chunk = 256, 4, 1000, 16
    hidden, weight = torch.randn(tokens, width, requires_grad=True), torch.randn(vocabulary, width, requires_grad=True)
    targets, kept = torch.randint(vocabulary, (tokens,)), []
    with (
        LargestTensor() as largest,
        torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x),
    ):
        chunked_cross_entropy(hidden, weight, targets, chunk=chunk).mean.backward()
    assert largest.numel == chunk * vocabulary
    assert max((x.numel() for x in kept), default=0) <= 1


def test_no_gradients_are_made_where_none_are_wanted():
    hidden, weight = torch.randn(64, 4, requires_grad=True), torch.randn(90, 4, requires_grad=True)
    with LargestTensor() as largest, torch.no_grad():
        chunked_cross_entropy(hidden, weight, torch.randint(90, (64,)), chunk=2)
    assert largest.numel == weight.numel()


def test_shapes_that_do_not_belong_together_are_refused(inputs):
    hidden, weight, targets, _ = inputs
    with pytest.raises(ValueError, match="do not belong together"):
        chunked_cross_entropy(hidden, weight, targets[1:])
    with pytest.raises(ValueError, match="do not belong together"):
        chunked_cross_entropy(hidden[:, 1:], weight, targets)
