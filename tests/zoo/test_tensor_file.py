"""Safetensors files, one tensor at a time."""

import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from moshi_zoo.zoo.deferred import computed, defer
from moshi_zoo.zoo.tensor_file import open_tensors, write_tensors

TENSORS = {
    "half": torch.randn(4, 6).bfloat16(),
    "single": torch.randn(3),
    "scalar": torch.tensor(2.0),
    "small": torch.arange(3, dtype=torch.int8),
    "none": torch.zeros(0, 3),
    "flag": torch.tensor([True, False]),
}


@pytest.fixture
def file(tmp_path):
    write_tensors(TENSORS, tmp_path / "x.safetensors", {"format": "pt"})
    return tmp_path / "x.safetensors"


def test_the_library_reads_what_is_written(file):
    found = load_file(file)
    assert found.keys() == TENSORS.keys()
    assert all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in TENSORS.items()
    )


def test_what_the_library_writes_is_read(tmp_path, file):
    save_file(TENSORS, tmp_path / "y.safetensors", {"format": "pt"})
    assert (tmp_path / "y.safetensors").stat().st_size == file.stat().st_size
    found = open_tensors(tmp_path / "y.safetensors")
    assert [(t.shape, t.dtype) for t in found.values()] == [(TENSORS[n].shape, TENSORS[n].dtype) for n in found]
    assert all(torch.equal(tensor, TENSORS[name]) for name, tensor in computed(found).items())


def test_transposed_and_deferred_tensors_are_written_as_they_look(tmp_path):
    wide = torch.randn(3, 5)
    write_tensors({"t": wide.t(), "d": defer(wide.to("meta"), lambda: wide)}, tmp_path / "x.safetensors")
    found = load_file(tmp_path / "x.safetensors")
    assert torch.equal(found["t"], wide.t())
    assert torch.equal(found["d"], wide)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(file):
    before = file.read_bytes()

    def fail():
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_tensors({"a": torch.ones(3), "b": defer(torch.ones(3, device="meta"), fail)}, file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["x.safetensors"]


def test_a_file_that_is_cut_off_is_named_with_the_tensor_and_both_sizes(file):
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    with pytest.raises(
        ValueError,
        match=rf"x\.safetensors .*cut off in .*: it has {len(content) - 20} bytes and promises {len(content)}",
    ):
        open_tensors(file)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\xff" * 100, b"\x10" + b"\x00" * 7 + b"[1, 2, 3]       "])
def test_what_is_no_safetensors_file_is_refused(file, content):
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.safetensors is no readable safetensors file"):
        open_tensors(file)


@pytest.mark.parametrize("name", ["model.bin", "model.ckpt", "model.safetensors"])
def test_a_pickle_is_refused_by_its_name_and_by_its_content(tmp_path, name):
    torch.save({"a": torch.ones(1)}, tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} is a pickle"):
        open_tensors(tmp_path / name)
    (tmp_path / name).write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=f"{name} is a pickle"):
        open_tensors(tmp_path / name)


def test_a_header_whose_length_begins_like_a_pickle_is_none(tmp_path):
    file = tmp_path / "x.safetensors"
    for length in range(200, 1200, 8):
        write_tensors({"a": torch.ones(1)}, file, {"filler": "x" * length})
        if file.read_bytes().startswith(b"\x80\x02"):  # 640 bytes
            break
    assert file.read_bytes().startswith(b"\x80\x02")
    assert computed(open_tensors(file))["a"] == 1
