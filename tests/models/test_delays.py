"""Delays of rows: laid out for training, and kept in a ring for streaming."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moshi_zoo.models.delays import Delays
from moshi_zoo.modules.code_embedding import NOTHING

rows = st.lists(st.integers(0, 5), min_size=1, max_size=6)


def delays_of(rows):
    return Delays(rows, [100 + row for row in range(len(rows))])


def random_codes(delays, length, batch_size=2):
    return torch.randint(50, (batch_size, len(delays.rows), length), generator=torch.Generator().manual_seed(1))


def test_a_code_stands_behind_its_delay_and_the_initial_token_before_it():
    delays = Delays([0, 2], [7, 9])
    tokens = delays.delay(torch.tensor([[[1, 2, 3, 4], [11, 12, 13, 14]]]))
    assert tokens.tolist() == [[[7, 1, 2, 3, 4], [9, 9, 9, 11, 12]]]


def test_what_is_said_of_a_frame_is_brought_together():
    delays = Delays([0, 2], [7, 9])
    said = torch.tensor([[[1, 2, 3, 4], [9, 9, 11, 12]]])
    assert delays.undelay(said).tolist() == [[[1, 2, 3, 4], [11, 12, 0, 0]]]
    assert delays.undelay(said[:, 1:], first=1).tolist() == [[[11, 12, 0, 0]]]


@settings(max_examples=30)
@given(rows, st.integers(1, 9))
def test_undelaying_undoes_delaying(rows, length):
    delays = delays_of(rows)
    codes = random_codes(delays, length)
    back = delays.undelay(delays.delay(codes)[:, :, 1:])
    for row, delay in enumerate(rows):
        known = max(length - delay, 0)
        assert torch.equal(back[:, row, :known], codes[:, row, :known])
        assert not back[:, row, known:].any()


def stream(delays, codes, num_own, state):
    """Steps through codes; gives the inputs and the frames of each step."""
    tokens = delays.delay(codes)  # [B, K, T + 1]
    for step in range(codes.shape[2]):
        heard = codes[:, num_own:, max(step - 1, 0)]  # nobody hears the first
        delays.hear(heard, state, num_own)
        inputs = delays.inputs(state)
        said = tokens[:, :num_own, step + 1].where(tokens[:, :num_own, step + 1] < 100, 33)  # anything before the first
        delays.say(said, state)
        yield inputs, delays.frame(state, 0, num_own)


@settings(max_examples=30)
@given(rows, st.integers(1, 6))
def test_streaming_gives_the_inputs_of_training(rows, num_own):
    delays, num_own = delays_of(rows), min(num_own, len(rows))
    codes = random_codes(delays, 16)
    expected, late = delays.delay(codes), max(rows[:num_own])
    for step, (inputs, frame) in enumerate(stream(delays, codes, num_own, delays.init_state(2))):
        assert torch.equal(inputs, expected[..., step])
        if step < late:
            assert (frame == NOTHING).all()
        else:
            assert torch.equal(frame, codes[:, :num_own, step - late])


def test_streams_start_again_and_pause_by_themselves():
    delays = Delays([0, 0, 2, 1], [100, 101, 102, 103])
    state, length = delays.init_state(3), 14
    codes = random_codes(delays, length, batch_size=3)
    expected, tokens = delays.delay(codes), delays.delay(codes)
    clock = [0, 0, 0]
    for step in range(length):
        if step == 5:
            state.reset(torch.tensor([True, False, False]))
            clock[0] = 0
        active = torch.tensor([True, True, step % 2 == 0])
        state.set_active(active)
        now = [min(time, length - 1) for time in clock]
        delays.hear(torch.stack([codes[row, 3:, max(time - 1, 0)] for row, time in enumerate(now)]), state, 3)
        inputs = delays.inputs(state)
        delays.say(torch.stack([tokens[row, :3, time + 1] for row, time in enumerate(now)]), state)
        for row in active.nonzero()[:, 0].tolist():
            assert torch.equal(inputs[row], expected[row, :, clock[row]])
            clock[row] += 1
    assert state.position.tolist() == clock == [9, 14, 7]


def test_delays_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"\[0, -1\] must not be negative"):
        Delays([0, -1], [1, 1])
    with pytest.raises(ValueError, match="2 delays for 3 rows"):
        Delays([0, 1], [1, 1, 1])
