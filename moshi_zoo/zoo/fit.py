"""Whether tensors from elsewhere are those that a configuration promises."""

from collections.abc import Mapping

from torch import Tensor

_NUM_SHOWN = 5


def check_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, promise: str = "config.json") -> None:
    """Compare names and shapes.

    Args:
        tensors: that were found.
        expected: what they should be like; may be on the meta device.
        promise: who says so.

    Raises:
        ValueError: naming the tensors that are missing, unknown, of another shape, or of another kind of number.
    """
    problems = [f"{name} is missing" for name in expected.keys() - tensors.keys()]
    problems += [f"{name} is unknown" for name in tensors.keys() - expected.keys()]
    for name in expected.keys() & tensors.keys():
        found, needed = tensors[name], expected[name]
        if found.shape != needed.shape:
            problems.append(f"{name} has shape {list(found.shape)}, {promise} says {list(needed.shape)}")
        elif found.is_floating_point() != needed.is_floating_point():
            problems.append(f"{name} is {found.dtype}, {promise} says {needed.dtype}: a quantized file cannot be read")
    if problems:
        more = f"; and {len(problems) - _NUM_SHOWN} more" if len(problems) > _NUM_SHOWN else ""
        raise ValueError(f"the tensors do not fit {promise}: {'; '.join(sorted(problems)[:_NUM_SHOWN])}{more}")
