"""Vectors for rows of codes."""

import torch

from moshi_zoo.gradient_sum import adding_up
from moshi_zoo.modules.code_embedding import NOTHING, CodeEmbedding


def test_each_row_has_its_table_and_nothing_is_zero():
    embedding = CodeEmbedding(3, 7, 4)
    tables = embedding.weight.view(3, 7, 4)
    codes = torch.tensor([[0, 6], [NOTHING, 2], [5, NOTHING]])  # [R, B]
    vectors = embedding(codes)
    assert torch.equal(vectors[0], tables[0, [0, 6]])
    assert torch.equal(vectors[1, 1], tables[1, 2])
    assert not vectors[1, 0].any()
    assert torch.equal(embedding(codes[2:], first=2), vectors[2:])
    assert all(torch.equal(embedding.one(codes[row], row), vectors[row]) for row in range(3))


def test_the_sum_of_rows_is_the_sum_of_their_vectors():
    embedding = CodeEmbedding(3, 7, 4)
    codes = torch.randint(-1, 7, (2, 3, 5))  # [B, R, T]
    expected = sum(embedding(codes[:, row].flatten()[None], first=row)[0] for row in range(3)).view(2, 5, 4)
    torch.testing.assert_close(embedding.total(codes), expected)
    gradients = []
    for total in (embedding.total(codes), expected):
        (gradient,) = torch.autograd.grad(total.square().sum(), embedding.weight, retain_graph=True)
        gradients.append(gradient)
    torch.testing.assert_close(*gradients)


def test_gradients_of_pieces_are_added_where_they_lie():
    table, codes = CodeEmbedding(3, 7, 5), torch.randint(-1, 7, (3, 40))
    expected = torch.autograd.grad(table(codes).square().sum(), table.weight)[0]
    with adding_up([table.weight]) as (gradient_sum,):
        for piece in codes.split(16, dim=1):
            found = torch.autograd.grad(table(piece).square().sum(), table.weight, allow_unused=True)[0]
            assert found is None
    torch.testing.assert_close(gradient_sum.value, expected)
