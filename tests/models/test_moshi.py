"""The speech language model: training and conversations by the same rules."""

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.models.conversation import GREEDY, SAMPLED, Choosers
from moshi_zoo.training.init_from import load_part
from moshi_zoo.zoo import folder


def build(**changes):
    model = registry.build("moshi-tiny", **changes).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return model


@pytest.fixture
def moshi():
    return build()


def random_codes(batch_size, length, *, holes=0.1):
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(32, (batch_size, 9, length), generator=generator)
    codes[:, 0] = torch.randint(256, (batch_size, length), generator=generator)
    return codes.masked_fill(torch.rand(codes.shape, generator=generator) < holes, -1)


class Told:
    """Chooses what it is told, and remembers the logits."""

    def __init__(self, tokens):
        self.tokens, self.logits = iter(tokens), []

    def __call__(self, logits, chance):
        self.logits.append(logits)
        return next(self.tokens)


@torch.no_grad()
@pytest.mark.parametrize("delays", [None, [3, 0, 1, 2, 1, 0, 0, 0, 0]])
def test_stepping_gives_the_logits_of_training_past_the_window(delays):
    moshi = build(**({"delays": delays} if delays else {}))
    codes = random_codes(2, 45)  # the window has 32
    hidden = moshi.hidden(codes)
    text_logits = moshi.temporal.output(hidden.text)
    audio_logits = moshi.depth.output(moshi.depth(hidden.context, hidden.tokens[:-1])).unflatten(1, (2, 45))[
        :4
    ]  # of Moshi's own rows
    tokens = moshi.delays.delay(codes)[..., 1:]
    choosers = Choosers(Told(tokens[:, 0].unbind(-1)), Told(tokens[:, 1:5].permute(2, 1, 0).flatten(0, 1)))
    state = moshi.init_state(2)
    for step in range(45):
        text, own = moshi.step(codes[:, 5:, max(step - 1, 0), None], state, choosers)
        assert torch.equal(text, tokens[:, 0, step])
        late = max(moshi.delays.rows[1:5])
        if step < late:
            assert own is None
        else:
            assert torch.equal(own[..., 0], codes[:, 1:5, step - late])
    torch.testing.assert_close(torch.stack(choosers.text.logits, 1), text_logits, atol=5e-5, rtol=0)
    streamed = torch.stack(choosers.codes.logits).unflatten(0, (45, 4)).permute(1, 2, 0, 3)
    torch.testing.assert_close(streamed, audio_logits, atol=5e-5, rtol=0)


def conversation(moshi, user, state, choosers=SAMPLED):
    """Text tokens [B, T], and codes [B, K, T] from the first frame that is complete."""
    steps = [moshi.step(frame, state, choosers) for frame in user.split(1, dim=-1)]
    texts, codes = zip(*steps, strict=True)
    return torch.stack(texts, 1), torch.cat([frame for frame in codes if frame is not None], dim=-1)


def test_conversations_in_a_batch_are_what_they_are_alone(moshi):
    user = random_codes(3, 20, holes=0)[:, 5:]
    texts, codes = conversation(moshi, user, moshi.init_state(3, seeds=[1, 2, 3]))
    for row in range(3):
        text, own = conversation(moshi, user[row : row + 1], moshi.init_state(1, seeds=1 + row))
        assert torch.equal(text[0], texts[row])
        assert torch.equal(own[0], codes[row])
    assert not torch.equal(texts[0], texts[1])


def test_chance_comes_from_the_seed(moshi):
    user = random_codes(1, 20, holes=0)[:, 5:].expand(3, -1, -1)
    texts, codes = conversation(moshi, user, moshi.init_state(3, seeds=[4, 4, 5]))
    assert torch.equal(texts[0], texts[1])
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


def test_a_conversation_starts_again_without_touching_the_others(moshi):
    user = random_codes(2, 30, holes=0)[:, 5:]
    expected_texts, expected_codes = conversation(moshi, user, moshi.init_state(2, seeds=[1, 2]))
    state = moshi.init_state(2, seeds=[1, 2])
    conversation(moshi, user[..., :12], state)
    state.reset(torch.tensor([False, True]))
    both = torch.stack([user[0, :, 12:], user[1, :, : 30 - 12]])
    texts, codes = conversation(moshi, both, state)
    assert torch.equal(texts[0], expected_texts[0, 12:])
    assert torch.equal(texts[1], expected_texts[1, : 30 - 12])
    assert torch.equal(codes[0], expected_codes[0, :, 11:])
    assert (codes[1, :, 0] == moshi.nothing).all()  # its first frame is not complete yet
    assert torch.equal(codes[1, :, 1:], expected_codes[1, :, : 30 - 13])
    state.reset()
    assert moshi.step(user[..., :1], state)[1] is None


def test_a_paused_conversation_goes_on_where_it_was(moshi):
    user = random_codes(1, 18, holes=0)[:, 5:]
    expected, _ = conversation(moshi, user, moshi.init_state(1))
    state, texts, time = moshi.init_state(2), [], 0
    for step in range(24):
        active = step % 4 != 1
        state.set_active(torch.tensor([active, True]))
        frame = user[..., time : time + 1] if active else torch.full((1, 4, 1), 9)
        text, _ = moshi.step(frame.expand(2, -1, -1), state)
        if active:
            texts.append(text[0])
            time += 1
    assert torch.equal(torch.stack(texts), expected[0])


@torch.no_grad()
def test_what_is_not_there_goes_nowhere_and_teaches_nothing(moshi):
    codes = random_codes(2, 20, holes=0.3)
    before = moshi(codes)
    assert torch.equal(before.text_mask, codes[:, 0] != -1)
    for row, delay in enumerate(moshi.delays.rows[1:]):
        expected = (codes[:, 1 + row] != -1) & (torch.arange(20) < 20 - delay)
        assert torch.equal(before.audio_mask[:, row], expected)
    assert not before.audio_logits[:, 1, 19:].any()
    silent = codes.clone()
    silent[:, 5:] = -1
    quiet = moshi(silent)
    moshi.audio_embedding.weight.view(8, 33, -1)[4:, :32] += 1  # of the user; not of the initial token
    again = moshi(silent)
    assert torch.equal(quiet.text_logits, again.text_logits)
    assert not torch.equal(moshi(codes).text_logits, before.text_logits)


@torch.no_grad()
def test_without_audio_the_text_is_heliums(tmp_path):
    helium = registry.build("helium-tiny").eval()
    folder.save(tmp_path / "lm", registry.to_portable(registry.preset("helium-tiny")), helium.state_dict(), stage="a")
    moshi = build()
    load_part(moshi, "temporal", str(tmp_path / "lm"))
    tokens = torch.full((4, 9, 60), moshi.nothing)
    tokens[:, 0] = torch.randint(256, (4, 60))
    logits = moshi.temporal.output(moshi.temporal.transform(moshi.embed(tokens)))
    torch.testing.assert_close(logits, helium(tokens[:, 0]), atol=0, rtol=0)
    # In a whole conversation of text alone, only the rows' initial tokens are more than the text.
    moshi.initial_text.copy_(helium.embedding.weight[1])
    moshi.audio_embedding.weight.view(8, 33, -1)[:, 32] = 0
    with_bos = torch.cat([torch.ones(4, 1, dtype=torch.int64), tokens[:, 0, :-1]], dim=1)
    torch.testing.assert_close(moshi(tokens).text_logits, helium(with_bos), atol=1e-6, rtol=0)


def test_the_depth_transformer_can_learn_from_some_positions(moshi):
    codes = random_codes(3, 30)
    codes[1:, :, 12:] = -1  # short ones
    whole, some = moshi.hidden(codes), moshi.hidden(codes, depth_fraction=0.25)
    assert some.positions.shape == (23,)
    assert (some.positions.diff() > 0).all()
    assert torch.equal(whole.positions, torch.arange(90))
    torch.testing.assert_close(some.context, whole.context[some.positions], atol=1e-6, rtol=0)
    assert torch.equal(some.tokens, whole.tokens[:, some.positions])
    assert torch.equal(some.audio_mask, whole.audio_mask[:, some.positions])
    assert some.audio_mask.any(0).all()  # something to learn at each
    assert not torch.equal(some.positions, moshi.hidden(codes, depth_fraction=0.25).positions)
    seen = torch.cat([moshi.hidden(codes, depth_fraction=0.25).positions for _ in range(40)]).unique()
    assert torch.equal(seen, whole.audio_mask.any(0).nonzero()[:, 0])
    assert moshi.hidden(codes, depth_fraction=0.9).audio_mask.any(0).sum() == len(seen)  # more than there are


def test_every_parameter_learns(moshi):
    output = moshi(random_codes(2, 20))
    loss = output.text_logits[output.text_mask].logsumexp(-1).sum()
    loss = loss + output.audio_logits[output.audio_mask].logsumexp(-1).sum()
    loss = loss + moshi.extra_heads(moshi.hidden(random_codes(1, 5)).text).sum()
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in moshi.parameters())


def test_without_a_user_the_model_plays_both(moshi):
    state = moshi.init_state(2, seeds=[1, 2])
    for _ in range(20):
        _, own = moshi.step(None, state)
    assert own.shape == (2, 4, 1)
    users = state.rows.tokens[:, 5:]
    assert users.unique().numel() > 5  # the user's rows were written
    depth = {**vars(moshi.depth.size), "schedule": None}
    listener = build(user_heads=False, depth=depth)
    with pytest.raises(ValueError, match=r"give user_codes \[B, 4, 1\]"):
        listener.step(None, listener.init_state(1))


def test_heads_for_the_user_do_no_work_while_there_is_one(moshi):
    codes = Told(torch.zeros(9, 1, dtype=torch.int64))
    moshi.step(torch.zeros(1, 4, 1, dtype=torch.int64), moshi.init_state(1), Choosers(GREEDY.text, codes))
    assert len(codes.logits) == 4


def test_half_precision_and_folders(moshi, tmp_path):
    spec = registry.to_portable(registry.preset("moshi-tiny"))
    folder.save(tmp_path / "m", spec, moshi.bfloat16().state_dict(), stage="test")
    loaded = folder.load(tmp_path / "m")
    codes = random_codes(1, 12)
    with torch.no_grad():
        assert torch.equal(loaded(codes).audio_logits, moshi(codes).audio_logits)
    text, own = conversation(loaded, random_codes(2, 6, holes=0)[:, 5:], loaded.init_state(2))
    assert text.dtype == own.dtype == torch.int64


def test_special_tokens_have_names(moshi):
    assert (moshi.initial_text_token, moshi.initial_code) == (256, 32)
    assert (moshi.epad_token, moshi.pad_token, moshi.nothing) == (0, 3, -1)
    assert moshi.delays.initial == (256, *[32] * 8)


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [("nano", 5_559_040), ("base", 236_016_768), ("7b", 7_687_729_152)],
)
def test_presets_have_their_number_of_parameters(name, num_parameters):
    with torch.device("meta"):
        model = registry.build(f"moshi-{name}")
    assert sum(p.numel() for p in model.parameters()) == num_parameters
    assert model.num_rows == 17


@pytest.mark.parametrize("name", ["tiny", "nano", "base", "7b"])
def test_presets_fit_the_models_they_are_made_of(name):
    with torch.device("meta"):
        moshi, helium = registry.build(f"moshi-{name}"), registry.build(f"helium-{name}")
        codec = registry.build("mimi-full" if name == "7b" else f"mimi-{name}")
    trunk = {key: tensor.shape for key, tensor in moshi.temporal.state_dict().items()}
    assert trunk == {key: tensor.shape for key, tensor in helium.state_dict().items()}
    assert moshi.codebook_size == codec.codebook_size
    assert moshi.num_own_codebooks == moshi.num_user_codebooks == min(codec.num_codebooks, 8)


def test_what_does_not_fit_is_refused(moshi):
    with pytest.raises(ValueError, match=r"codes \(1, 8, 5\) must be \[B, 9, T\]"):
        moshi(torch.zeros(1, 8, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match="audio rows hold tokens from 0 to 33; this model knows -1"):
        moshi(torch.zeros(1, 9, 5, dtype=torch.int64).index_fill(1, torch.tensor([3]), 33))
    with pytest.raises(ValueError, match="text rows hold tokens from -2 to -2"):
        moshi(torch.zeros(1, 9, 5, dtype=torch.int64).index_fill(1, torch.tensor([0]), -2))
    with pytest.raises(ValueError, match=r"user_codes \(2, 3, 1\) must be \(2, 4, 1\)"):
        moshi.step(torch.zeros(2, 3, 1, dtype=torch.int64), moshi.init_state(2))
    with pytest.raises(ValueError, match="2 seeds for 3 conversations"):
        moshi.init_state(3, seeds=[1, 2])
    with pytest.raises(ValueError, match=r"depth_fraction \(0\) must be above 0"):
        moshi.hidden(random_codes(1, 5), depth_fraction=0)
    with pytest.raises(ValueError, match="8 delays for 9 rows"):
        build(delays=[0] * 8)
    with pytest.raises(ValueError, match=r"num_own_codebooks \(1\) must be 2 or more"):
        build(num_own_codebooks=1, num_user_codebooks=0, delays=[0, 0])
