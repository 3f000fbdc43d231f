"""Moshi against PyPI `moshi` and `transformers`: random weights, converted, compared."""

import json
import os

os.environ.setdefault("NO_TORCH_COMPILE", "1")  # read when moshi is imported; a compiler would take half a minute

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.models.conversation import GREEDY
from moshi_zoo.zoo import moshi_config, moshi_format
from moshi_zoo.zoo.convert import export_weights, import_weights
from moshi_zoo.zoo.exports import Codec

pytestmark = pytest.mark.parity


def spec(depth=None, transformer=None, **changes):
    args = {
        "vocab_size": 48,
        "dim": 32,
        "transformer": {
            "num_layers": 2,
            "num_heads": 2,
            "hidden_dim": 88,
            "context": 12,
            "layer_scale": None,
            "norm": "rms",
            "mlp": "swiglu",
            "initial": "normal",
            **(transformer or {}),
        },
        "num_own_codebooks": 3,
        "num_user_codebooks": 3,
        "codebook_size": 32,
        "delays": [0, 0, 1, 1, 0, 1, 1],
        "depth": {"dim": 16, "num_layers": 2, "num_heads": 2, "hidden_dim": 44, **(depth or {})},
        **changes,
    }
    return registry.to_portable(registry.complete(registry.from_portable({"component": "moshi", "init_args": args})))


SPECS = {
    "moshi": spec(),
    # every option that both know
    "shared": spec(
        transformer={"num_heads": 4, "num_kv_heads": 2, "max_period": 100_000.0, "hidden_dim": 83},
        depth={"schedule": [0, 1, 1], "embedding_rank": 8, "num_layers": 1},
        delays=[0, 0, 2, 3, 1, 1, 2],
        num_extra_heads=2,
    ),
    # what transformers knows, too
    "plain": spec(transformer={"num_heads": 4, "num_kv_heads": 2}),
    "plays the user": spec(user_heads=True),
    "single": spec(num_user_codebooks=0, delays=[2, 0, 2, 2]),
}


CODEC = registry.to_portable(registry.complete(registry.preset("mimi-tiny")))


@pytest.fixture(params=SPECS)
def pair(request, tmp_path):
    """A model, and the same one in PyPI moshi by way of the files that we write."""
    loaders = pytest.importorskip("moshi.models.loaders", reason="PyPI moshi is not installed")
    ours = random_moshi(SPECS[request.param])
    weights, config = export_weights(SPECS[request.param], ours.state_dict(), "kyutai", tmp_path)
    arguments = json.loads(config.read_text())
    for key in ("model_type", "moshi_name"):  # as CheckpointInfo does
        del arguments[key]
    return ours, loaders.get_moshi_lm(weights, arguments, dtype=torch.float32)


def spec_of(model):
    """Which of the specs a model was made from."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for portable in SPECS.values():
        other = registry.instantiate(registry.from_portable(portable)).state_dict()
        if shapes == {name: tensor.shape for name, tensor in other.items()}:
            return portable
    raise AssertionError("none of them")


def random_moshi(portable):
    torch.manual_seed(0)
    model = registry.instantiate(registry.from_portable(portable)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)  # ones would hide a swapped tensor
    return model


def random_codes(model, length, batch_size=2):
    generator = torch.Generator().manual_seed(1)
    shape = batch_size, model.num_rows, length
    codes = torch.randint(model.codebook_size, shape, generator=generator)
    codes[:, 0] = torch.randint(model.temporal.vocab_size, codes[:, 0].shape, generator=generator)
    return codes.masked_fill(torch.rand(shape, generator=generator) < 0.1, -1)


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 5, 40])
def test_logits_and_masks_equal(pair, length):
    ours, theirs = pair
    codes = random_codes(ours, length)
    found, expected = ours(codes), theirs(codes)
    assert torch.equal(found.text_mask, expected.text_mask[:, 0])
    assert torch.equal(found.audio_mask, expected.mask)
    for logits, theirs_, mask in [
        (found.text_logits, expected.text_logits[:, 0], found.text_mask),
        (found.audio_logits, expected.logits, found.audio_mask),
    ]:
        torch.testing.assert_close(logits[mask], theirs_[mask], atol=1e-4, rtol=0)
    assert not any(heads.isnan().any() for heads in (found.text_logits, found.audio_logits))


@torch.no_grad()
def test_greedy_conversations_equal_for_200_steps(pair):
    from moshi.models import LMGen

    ours, theirs = pair
    num_own, plays_both = ours.num_own_codebooks, ours.num_generated + 1 == ours.num_rows
    user = random_codes(ours, 200).clamp(min=0)[:, 1 : 1 + (0 if plays_both else ours.num_user_codebooks)]
    state, generator = ours.init_state(2), LMGen(theirs, use_sampling=False, check=True)
    late = max(ours.delays.rows)  # theirs gives a frame of text and codes when all rows are complete
    texts, num_compared = [], 0
    with generator.streaming(2):
        for step, heard in enumerate(user.split(1, dim=-1)):
            expected = generator.step(heard)
            text, own = ours.step(None if plays_both else heard, state, GREEDY)
            texts.append(text)
            if expected is None:
                assert own is None
            else:
                assert torch.equal(own, expected[:, 1 : 1 + num_own])
                assert torch.equal(texts[step - late + ours.delays.rows[0]], expected[:, 0, 0])
                num_compared += 1
    assert num_compared == 200 - late
    assert torch.stack(texts).unique().numel() > 5


@torch.no_grad()
def test_sessions_that_start_again_and_pause_equal(pair):
    from moshi.models import LMGen

    ours, theirs = pair
    if ours.num_generated + 1 == ours.num_rows:
        pytest.skip("there is no user to listen to")
    user = random_codes(ours, 60, batch_size=3).clamp(min=0)[:, 1 : 1 + ours.num_user_codebooks]
    state = ours.init_state(3)
    generator = LMGen(theirs, use_sampling=False, support_out_of_sync=True)
    with generator.streaming(3):
        for step in range(60):
            if step == 21:
                generator.reset_streaming(torch.tensor([False, True, False]))
                state.reset(torch.tensor([False, True, False]))
            active = torch.tensor([True, step % 3 != 1, step > 4])
            generator.set_exec_mask(active)
            state.set_active(active)
            expected = generator.step(user[..., step : step + 1])[:, 1 : 1 + ours.num_own_codebooks]
            _, own = ours.step(user[..., step : step + 1], state, GREEDY)
            if own is not None:
                assert torch.equal(own[active], expected.clamp(min=-1)[active])


@torch.no_grad()
def test_extra_heads_equal():
    loaders = pytest.importorskip("moshi.models.loaders", reason="PyPI moshi is not installed")
    from moshi.models import LMGen

    ours = random_moshi(SPECS["shared"])
    arguments = moshi_config.kyutai_config(SPECS["shared"])
    del arguments["model_type"]
    theirs = loaders.get_moshi_lm(None, arguments, dtype=torch.float32)
    theirs.load_state_dict(moshi_format.to_kyutai(ours.state_dict(), SPECS["shared"]))
    user = random_codes(ours, 9).clamp(min=0)[:, 4:]
    state, generator = ours.init_state(2), LMGen(theirs, use_sampling=False)
    with generator.streaming(2):
        for frame in user.split(1, dim=-1):
            expected = generator.step_with_extra_heads(frame)
            ours.step(frame, state, GREEDY)
        probabilities = ours.extra_heads(state.hidden).softmax(-1)  # [B, heads, 1, classes]
        torch.testing.assert_close(probabilities, torch.stack(expected[1], dim=1), atol=1e-5, rtol=0)


def test_training_gives_the_same_gradients(pair):
    ours, theirs = pair
    codes = random_codes(ours, 20)
    found, expected = ours(codes), theirs.train()(codes)
    loss = sum(x.square().sum() for x in (found.text_logits[found.text_mask], found.audio_logits[found.audio_mask]))
    loss.backward()
    text_mask, mask = expected.text_mask, expected.mask
    loss = sum(x.square().sum() for x in (expected.text_logits[text_mask], expected.logits[mask]))
    loss.backward()
    portable = spec_of(ours)
    gradients = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    for name, parameter in theirs.named_parameters():
        gradients.setdefault(name, torch.zeros_like(parameter))  # extra heads
    back = moshi_format.from_kyutai(gradients, portable)
    for name, parameter in ours.named_parameters():
        mine = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(mine, back[name], atol=1e-3, rtol=1e-3, msg=name)


@pytest.mark.parametrize("name", SPECS)
def test_layout_round_trips_bit_for_bit(name, tmp_path):
    before = random_moshi(SPECS[name]).bfloat16().state_dict()
    export_weights(SPECS[name], before, "kyutai", tmp_path)
    read, after = import_weights(tmp_path, "kyutai")
    assert registry.to_portable(registry.complete(registry.from_portable(read))) == SPECS[name]
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)
    again = moshi_format.to_kyutai(after, SPECS[name])
    theirs = moshi_format.to_kyutai(before, SPECS[name])
    assert all(torch.equal(again[key], theirs[key]) for key in theirs.keys() | again.keys())


def test_their_names_in_memory_are_read(pair):
    ours, theirs = pair
    assert any(".in_projs." in name for name in theirs.state_dict())
    portable = spec_of(ours)
    back = moshi_format.from_kyutai(theirs.state_dict(), portable)
    assert all(torch.equal(back[name], tensor) for name, tensor in ours.state_dict().items())


@torch.no_grad()
def test_what_is_exported_for_transformers_gives_the_same_logits_and_the_same_sound(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    ours, codec, length = random_moshi(SPECS["plain"]), random_codec(), 11
    export_weights(SPECS["plain"], ours.state_dict(), "hf", tmp_path, codec=Codec(CODEC, codec.state_dict()))
    theirs, report = transformers.MoshiForConditionalGeneration.from_pretrained(
        tmp_path, attn_implementation="sdpa", output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    theirs.eval()
    codes = random_codes(ours, length).clamp(min=0)
    tokens = ours.delays.delay(codes)
    inputs, said = tokens[..., :-1], tokens[..., 1:]
    embedded = theirs.decoder.model.embed_tokens(inputs[:, 0])
    embedded = embedded + sum(table(inputs[:, 1 + row]) for row, table in enumerate(theirs.embed_tokens))
    hidden = theirs.decoder.model(inputs_embeds=embedded).last_hidden_state
    found = ours.hidden(codes)
    torch.testing.assert_close(ours.temporal.output(found.text), theirs.decoder.lm_head(hidden), atol=1e-4, rtol=0)
    depth_inputs = said[:, :3].transpose(1, 2).flatten(0, 1)  # [B T, text and all codes but the last]
    logits = theirs.depth_decoder(input_ids=depth_inputs, last_hidden_state=hidden.flatten(0, 1)[:, None]).logits
    torch.testing.assert_close(
        ours.depth.output(ours.depth(found.context, found.tokens[:-1])), logits.transpose(0, 1), atol=1e-4, rtol=0
    )
    sound = theirs.audio_encoder.decode(codes[:, 1:4]).audio_values
    torch.testing.assert_close(codec.decode(codes[:, 1:4]), sound, atol=1e-4, rtol=0)


def random_codec():
    """A codec whose entries differ; fresh ones may all be zero."""
    torch.manual_seed(0)
    codec = registry.build("mimi-tiny").eval()
    for name, buffer in codec.named_buffers():
        if name.endswith("embedding_sum"):
            buffer.normal_()
        elif name.endswith(("cluster_usage", "initialized")):
            buffer.fill_(1)
    return codec
