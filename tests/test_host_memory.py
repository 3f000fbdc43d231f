"""The memory of a process that trains."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moshi_zoo import host_memory

_LARGE = 64 * 2**20
_SHOW = f"""
import os
from moshi_zoo.host_memory import prepare_to_train
prepare_to_train()
import torch
x = torch.ones({_LARGE // 4})
print(os.environ["THP_MEM_ALLOC_ENABLE"], open("/proc/self/smaps_rollup").read())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other ways")
@pytest.mark.parametrize("wish", ["1", "0"])
def test_large_tensors_get_large_pages_unless_the_user_wants_none(wish):
    allowed = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not allowed.is_file() or "[never]" in allowed.read_text():
        pytest.skip("this machine has no large pages")
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    if wish == "0":
        environment["THP_MEM_ALLOC_ENABLE"] = wish
    done = subprocess.run([sys.executable, "-c", _SHOW], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(wish)
    pages = next(line for line in done.stdout.splitlines() if line.startswith("AnonHugePages"))
    if wish == "1":
        assert int(pages.split()[1]) * 2**10 >= _LARGE // 2
    elif "[madvise]" in allowed.read_text():
        assert int(pages.split()[1]) * 2**10 < _LARGE // 2


def test_where_there_is_no_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(host_memory.ctypes, "CDLL", lambda name: pytest.fail("asked for a library"))
    host_memory.give_back_holes()


def test_a_user_who_has_settled_the_heap_keeps_it(monkeypatch):
    called = []
    monkeypatch.setattr(host_memory, "_glibc", lambda *words: called.append(words))
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    host_memory.prepare_to_train()
    assert not called
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
