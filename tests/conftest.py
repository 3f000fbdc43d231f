"""Fixtures for all tests."""

import os
import socket
import sys

# One thread each: the tensors are tiny, and threads that wait for a busy core make tests several times slower. Set
# before torch is imported, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")  # before the first test that logs: wandb asks once a process

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("shared machine", deadline=None)  # time says nothing there
hypothesis.settings.load_profile("shared machine")


def pytest_collection_modifyitems(items):
    """Files whose tests start two processes come first: they take minutes, and the last file keeps one worker alone."""
    long = {item.path for item in items if item.get_closest_marker("distributed")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True)
def _seeded():
    """The same random numbers in every test, whatever runs before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_run_is_left_open():
    """A test that logs to W&B leaves no run that the next one would go on with."""
    yield
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()
        wandb.teardown()


@pytest.fixture
def unused_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
