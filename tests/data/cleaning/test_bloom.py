import pytest

from moshi_zoo.data.cleaning.bloom import BloomFilter, fnv1a_64

KNOWN = {b"": 0xCBF29CE484222325, b"a": 0xAF63DC4C8601EC8C, b"foobar": 0x85944171F73967E8}  # Noll's test vectors


@pytest.mark.parametrize("times", [1, 20], ids=["one by one", "together"])
def test_hashes_are_fnv_1a(times):
    assert fnv1a_64(list(KNOWN) * times) == list(KNOWN.values()) * times


def test_hashes_do_not_depend_on_their_company():
    items = [f"line {i} {'x' * (i % 37)}".encode() for i in range(200)]
    assert fnv1a_64(items) == [value for item in items for value in fnv1a_64([item])]


def test_nothing_is_forgotten_and_the_false_positives_are_as_expected():
    memory = BloomFilter.sized_for(5000, false_positives=0.02)
    old, new = (fnv1a_64([f"{kind} {i}".encode() for i in range(5000)]) for kind in ("old", "new"))
    for value in old:
        memory.add(value)
    assert memory.false_positives == pytest.approx(0.02, rel=0.15)
    full = [memory.add(value) for value in old]
    assert all(full)
    expected, wrong = memory.false_positives, 0
    for value in new[:500]:  # few, for each makes the filter fuller
        wrong += memory.add(value)
    assert 0.3 * expected < wrong / 500 < 2.5 * expected


def test_the_filter_is_as_large_as_theory_says():
    memory = BloomFilter.sized_for(1_000_000, false_positives=0.01)
    assert memory.num_bits == pytest.approx(9.585e6, rel=1e-3)
    assert memory.num_hashes == 7


def test_senseless_sizes_are_refused():
    with pytest.raises(ValueError, match="8 and 1"):
        BloomFilter(4, 1)
    with pytest.raises(ValueError, match="false positives"):
        BloomFilter.sized_for(10, false_positives=1.5)
