"""Batches of 17 rows from stores of codes."""

from dataclasses import replace

import pytest
import torch
from jsonargparse import ArgumentParser

from moshi_zoo.data.alignments import OTHER, Word
from moshi_zoo.data.code_store import CodeStore
from moshi_zoo.data.dialogue_data import DialogueData
from moshi_zoo.data.dialogue_masks import Masks
from moshi_zoo.data.dialogue_modes import Mode
from moshi_zoo.data.dialogue_windows import Place, RandomDialogueWindows, Rows
from moshi_zoo.data.loader import Process, TrainLoader
from moshi_zoo.data.text_row import TextRowBuilder
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.word_tokens import WordTokens
from tests.data.stores import CODEC, make_store

LENGTHS = {f"{i}.wav": 20 + 9 * i for i in range(6)}


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["hello moshi there, how are you"] * 3, vocab_size=300, size="at most")


@pytest.fixture
def data(tmp_path, tokenizer):
    tokenizer.save(tmp_path / "tokenizer.model")

    def make(source=None, lengths=LENGTHS, splits=None, **settings):
        source = source or str(make_store(tmp_path / "store", lengths, splits=splits))
        settings = {"num_own_codebooks": 4, "num_user_codebooks": 4, "num_frames": 24, "batch_size": 2, **settings}
        return DialogueData(source, str(tmp_path / "tokenizer.model"), **settings)

    return make


def rows_of(tokenizer, **settings):
    text = TextRowBuilder(frame_rate=12.5, pad=tokenizer.pad, epad=tokenizer.epad)
    return Rows(text, WordTokens(tokenizer), **{"num_own_codebooks": 4, "num_user_codebooks": 4, **settings})


class TestRows:
    @pytest.fixture
    def place(self, tmp_path):
        return Place(CodeStore(make_store(tmp_path / "store", {"a.wav": 40})), 0)

    def test_with_room_tone_a_conversation_goes_on_in_silence(self, tokenizer, place):
        window = rows_of(tokenizer, room_tone=True).window(place, 30, 23)
        codes = place.store.codes(0).flatten(0, 1)
        assert torch.equal(window[1:, :10], codes[:, 30:])
        assert torch.equal(window[1:, 10:], codes[:, 16:29])  # the last word ends in frame 15
        assert (window[0, 10:] == tokenizer.pad).all()

    def test_room_tone_is_what_follows_the_last_word_again_and_again(self, place):
        quiet = place.store.codes(0, 16)
        assert torch.equal(place.room_tone(50), torch.cat([quiet, quiet, quiet[..., :2]], dim=-1))

    def test_where_the_last_word_is_the_end_its_last_frames_must_do(self, tmp_path):
        place = Place(CodeStore(make_store(tmp_path / "short", {"b.wav": 15})), 0)
        assert torch.equal(place.room_tone(4), place.store.codes(0, 11))

    def test_without_it_nothing_is_there(self, tokenizer, place):
        assert (rows_of(tokenizer).window(place, 30, 23)[:, 10:] == -1).all()

    @pytest.mark.parametrize("mode", ["asr", "tts"])
    def test_only_conversations_go_on(self, tokenizer, place, mode):
        window = rows_of(tokenizer, room_tone=True).window(place, 30, 23, mode=mode)
        assert (window[:, 10:] == -1).all()

    def test_text_is_first_then_moshi_then_the_user(self, tokenizer, place):
        window = rows_of(tokenizer).window(place, 0, 20)
        assert window.dtype == torch.int64
        assert window.shape == (9, 20)
        assert torch.equal(window[1:5], place.store.codes(0, 0, 20)[0])
        assert torch.equal(window[5:], place.store.codes(0, 0, 20)[1])
        text = window[0].tolist()
        assert tokenizer.decode([t for t in text if t not in (tokenizer.pad, tokenizer.epad)]) == " hello there"
        assert text[0] == text[9] == tokenizer.epad  # the words begin in frames 1 and 10

    def test_a_window_is_a_piece_of_the_whole_and_nothing_is_behind_its_end(self, tokenizer, place):
        rows = rows_of(tokenizer)
        whole = rows.window(place, 0, 40)
        for start in (0, 1, 2, 11, 33):  # in the midst of words too
            window = rows.window(place, start, 12)
            length = min(12, 40 - start)
            assert torch.equal(window[:, :length], whole[:, start : start + length])
            assert (window[:, length:] == -1).all()

    def test_the_text_may_be_the_user_s_or_everybody_s(self, tokenizer, place):
        def said(text_of):
            row = rows_of(tokenizer, text_of=text_of).text_row(place)
            return tokenizer.decode([t for t in row.tokens if t != tokenizer.pad])

        assert said("user") == " moshi"
        assert said("both") == " hello moshi there"

    def test_what_moshi_hears_is_between_its_own_words(self, tokenizer, place):
        alone = rows_of(tokenizer).text_row(place).tokens.tolist()
        rows = rows_of(tokenizer, text_of="moshi_and_heard", heard_delay_s=0.64)
        row = rows.window(place, 0, 40)[0].tolist()
        assert tokenizer.words(row) == tokenizer.words(alone)
        ((frame, word),) = tokenizer.words_heard(row)
        assert word == " moshi"
        assert row[frame - 1] == tokenizer.heard
        assert frame >= int((0.2 + 0.64) * 12.5)
        spoken = [t for t in rows.window(place, 0, 40, mode="asr", text_delay_s=-0.4)[0, 1:].tolist() if t >= 0]
        assert tokenizer.heard not in spoken  # there, all words are the user's

    def test_what_an_aligner_takes_for_one_word_is_announced_word_by_word(self, tmp_path, tokenizer):
        words = [Word("how are you", 0.5, 1.0, OTHER)]
        place = Place(CodeStore(make_store(tmp_path / "joined", {"a.wav": 40}, words=words)), 0)
        row = rows_of(tokenizer, text_of="moshi_and_heard", heard_delay_s=0.4).window(place, 0, 40)[0].tolist()
        assert [word for _, word in tokenizer.words_heard(row)] == [" how", " are", " you"]

    def test_hearing_needs_a_mark_and_a_delay(self, tokenizer):
        with pytest.raises(ValueError, match="heard_delay_s is not given"):
            rows_of(tokenizer, text_of="moshi_and_heard")
        bare = Tokenizer.train(["hello moshi there"] * 3, vocab_size=300, control_tokens=1, size="at most")
        with pytest.raises(ValueError, match="the tokenizer has no spare control token"):
            rows_of(bare, text_of="moshi_and_heard", heard_delay_s=0.5)

    def test_fewer_codebooks_than_the_store_has_are_the_first_ones(self, tokenizer, place):
        window = rows_of(tokenizer, num_own_codebooks=3, num_user_codebooks=2).window(place, 0, 20)
        assert torch.equal(window[1:4], place.store.codes(0, 0, 20)[0, :3])
        assert torch.equal(window[4:], place.store.codes(0, 0, 20)[1, :2])
        assert len(rows_of(tokenizer, num_user_codebooks=0).window(place, 0, 20)) == 5

    def test_one_channel_leaves_the_user_s_rows_empty_and_unknown_words_the_text(self, tmp_path, tokenizer):
        place = Place(CodeStore(make_store(tmp_path / "mono", {"a.wav": 8}, channels=1, words=None)), 0)
        window = rows_of(tokenizer).window(place, 0, 8)
        assert (window[0] == -1).all()
        assert (window[1:5] >= 0).all()
        assert (window[5:] == -1).all()


class TestModes:
    @pytest.fixture
    def place(self, tmp_path):
        return Place(CodeStore(make_store(tmp_path / "store", {"a.wav": 40})), 0)

    def test_recognition_hears_the_user_and_writes_what_it_says(self, tokenizer, place):
        window = rows_of(tokenizer).window(place, 0, 40, text_delay_s=-0.4, mode="asr")
        assert (window[1:5] == -1).all()
        assert torch.equal(window[5:], place.store.codes(0)[1])
        assert window[0, 0] == tokenizer.bos
        assert (window[0, 1:5] == -1).all()  # nothing can be known yet
        assert tokenizer.decode([t for t in window[0, 5:].tolist() if t != tokenizer.pad]) == " moshi"

    def test_what_the_user_says_comes_as_late_as_is_asked_for(self, tokenizer, place):
        assert rows_of(tokenizer).heard(place, 0, 20, "duplex") is None
        rows = rows_of(tokenizer, heard_delay_s=0.16)
        assert rows.heard(place, 0, 20, "tts").tolist() == [-1] * 20
        for mode in ("duplex", "asr"):
            heard = rows.heard(place, 2, 40, mode)
            expected = rows.text_row(place, text_delay_s=-0.16, mode="asr").tokens[2:]
            assert heard[: len(expected)].tolist() == expected.tolist()
            assert (heard[len(expected) :] == -1).all()
            spoken = [t for t in heard.tolist() if t not in (tokenizer.pad, tokenizer.epad, -1)]
            assert tokenizer.decode(spoken) == " moshi"

    def test_reading_aloud_has_the_text_ahead_and_no_user(self, tokenizer, place):
        window = rows_of(tokenizer).window(place, 0, 40, text_delay_s=0.2, mode="tts")
        assert torch.equal(window[1:5], place.store.codes(0)[0])
        assert (window[5:] == -1).all()
        assert window[0, 0] == tokenizer.eos
        assert tokenizer.decode([t for t in window[0, 1:].tolist() if t != tokenizer.pad]) == " hello there"

    def test_one_channel_is_who_is_heard_and_who_reads(self, tokenizer, tmp_path):
        place = Place(CodeStore(make_store(tmp_path / "mono", {"a.wav": 40}, channels=1)), 0)
        heard = rows_of(tokenizer).window(place, 0, 40, mode="asr")
        assert torch.equal(heard[5:], place.store.codes(0)[0])
        assert (heard[1:5] == -1).all()
        assert tokenizer.decode([t for t in heard[0, 1:].tolist() if t != tokenizer.pad]) == " hello moshi there"

    def test_modes_come_in_their_shares_with_their_delays(self, tokenizer, place):
        modes = [Mode("duplex", 2.0), Mode("asr", 1.0, (-0.4, -0.2)), Mode("tts", 1.0, (0.1, 0.3))]
        dataset = RandomDialogueWindows(
            [[place]], weights=None, rows=rows_of(tokenizer), num_frames=16, num_items=200, modes=modes, seed=0
        )
        found = {"duplex": 0, "asr": 0, "tts": 0}
        for i in range(200):
            item = dataset[0, i]
            first = int(item.codes[0, 0])
            name = {tokenizer.bos: "asr", tokenizer.eos: "tts"}.get(first, "duplex")
            found[name] += 1
            low, high = {"duplex": (0, 0), "asr": (-0.4, -0.2), "tts": (0.1, 0.3)}[name]
            assert low <= item.text_delay_s <= high
            assert (item.codes[1:5] == -1).all() == (name == "asr")
        assert found == {"duplex": pytest.approx(100, abs=20), "asr": pytest.approx(50, abs=15), "tts": found["tts"]}


class TestWindows:
    def windows(self, tokenizer, folder, lengths, num_items, **settings):
        store = CodeStore(make_store(folder, lengths))
        places = [Place(store, i) for i in range(len(lengths))]
        defaults = {"weights": None, "num_frames": 16, "seed": 0}
        sources = settings.pop("sources", [places])
        return RandomDialogueWindows(sources, rows=rows_of(tokenizer), num_items=num_items, **{**defaults, **settings})

    def test_an_epoch_takes_dialogues_in_proportion_to_their_length(self, tokenizer, tmp_path):
        dataset = self.windows(tokenizer, tmp_path, {"long.wav": 96, "short.wav": 3, "other.wav": 13}, 400)
        lengths = [int((dataset[0, i].codes[1] >= 0).sum()) for i in range(400)]
        assert [lengths.count(length) for length in (16, 3, 13)] == [pytest.approx(n, abs=2) for n in (300, 50, 50)]

    def test_windows_lie_anywhere_and_elsewhere_in_the_next_epoch(self, tokenizer, tmp_path):
        dataset = self.windows(tokenizer, tmp_path, {"a.wav": 30}, 300)  # shorter than 32: the first code is the frame
        starts = [[int(dataset[epoch, i].codes[1, 0]) for i in range(300)] for epoch in (0, 1)]
        assert set(starts[0]) == set(range(15))
        assert starts[0] != starts[1]
        assert starts[0] == [int(dataset[0, i].codes[1, 0]) for i in range(300)]

    def test_a_share_of_the_windows_begins_with_the_dialogue(self, tokenizer, tmp_path):
        dataset = self.windows(tokenizer, tmp_path, {"a.wav": 30}, 300, from_start=0.6)
        starts = [int(dataset[0, i].codes[1, 0]) for i in range(300)]
        assert starts.count(0) == pytest.approx(0.6 * 300 + 0.4 * 20, abs=30)
        assert set(starts) == set(range(15))

    def test_what_is_taken_away_is_another_thing_in_each_epoch(self, tokenizer, tmp_path):
        dataset = self.windows(tokenizer, tmp_path, {"a.wav": 16}, 4, masks=Masks(text=0.3, user=0.3))
        whole = dataset.rows.window(dataset.places[0], 0, 16)
        one, two = dataset[0, 0].codes, dataset[1, 0].codes
        for codes in (one, two):
            kept = codes >= 0
            assert torch.equal(codes[kept], whole[kept])
            assert torch.equal(codes[1:5], whole[1:5])  # Moshi's own are never touched
        assert not torch.equal(one, two)
        assert torch.equal(one, dataset[0, 0].codes)

    def test_each_epoch_draws_the_delay_anew_within_the_range(self, tokenizer, tmp_path):
        dataset = self.windows(tokenizer, tmp_path, {"a.wav": 16}, 50, modes=[Mode(text_delay_s=(-0.6, 0.6))])
        delays = [dataset[0, i].text_delay_s for i in range(50)]
        assert -0.6 <= min(delays) < -0.3 < 0.3 < max(delays) <= 0.6
        late = dataset[0, delays.index(min(delays))]
        assert late.codes[0, 0] == -1
        assert dataset[1, 0].text_delay_s != delays[0]

    def test_sources_have_their_shares(self, tokenizer, tmp_path):
        one = [Place(CodeStore(make_store(tmp_path / "one", {"a.wav": 16})), 0)]
        two = [Place(CodeStore(make_store(tmp_path / "two", {"b.wav": 9})), 0)]
        dataset = self.windows(tokenizer, tmp_path / "x", {"c.wav": 1}, 100, sources=[one, two], weights=[3.0, 1.0])
        lengths = [int((dataset[0, i].codes[1] >= 0).sum()) for i in range(100)]
        assert (lengths.count(16), lengths.count(9)) == (75, 25)

    def test_any_number_of_processes_and_a_resumed_run_see_the_same_windows(self, tokenizer, tmp_path):
        dataset = self.windows(tokenizer, tmp_path, LENGTHS, 24, modes=[Mode(text_delay_s=(-0.3, 0.3))])

        def loader(batch_size, process=None):
            def stacked(windows):
                return torch.stack([window.codes for window in windows])

            return TrainLoader(
                dataset, num_items=24, batch_size=batch_size, collate=stacked, finish=lambda b: b, process=process
            )

        one = list(loader(4))
        pair = [list(loader(2, Process(rank, 2))) for rank in (0, 1)]
        assert all(torch.equal(a, torch.cat(b)) for a, b in zip(one, zip(*pair, strict=True), strict=True))
        stopped = loader(4)
        for _, _ in zip(range(2), stopped, strict=False):
            pass
        resumed = loader(4)
        resumed.load_state_dict(stopped.state_dict())
        assert torch.equal(next(iter(resumed)), one[2])


class TestData:
    def test_batches_have_the_promised_shapes(self, data):
        module = data()
        batch = next(iter(module.train_dataloader()))
        assert {name: (list(t.shape), t.dtype) for name, t in batch.items()} == {
            "codes": ([2, 9, 24], torch.int64),
            "index": ([2], torch.int64),
            "text_delay_s": ([2], torch.float32),
        }
        assert module.codec == CODEC
        assert module.tokenizer.vocab_size <= 300

    def test_a_batch_has_what_the_user_says_if_it_is_asked_for(self, data):
        batch = next(iter(data(heard_delay_s=0.4).train_dataloader()))
        assert batch["heard"].shape == (2, 24)
        with pytest.raises(ValueError, match=r"heard_delay_s is -0\.1"):
            data(heard_delay_s=-0.1)

    def test_some_dialogues_are_held_out_where_none_are_marked(self, data):
        module = data(validation_share=0.3)
        (valid,) = list(module.val_dataloader())
        held_out = sorted(int((codes[1] >= 0).sum()) for codes in valid["codes"])
        assert len(held_out) == 2
        places = module._training[0]
        assert len(places) == 4
        assert {place.number for place in places}.isdisjoint({place.number for place in module._valid})

    def test_marked_splits_hold(self, data):
        module = data(splits={"0.wav": "valid", "1.wav": "test", "2.wav": "train"})
        module.setup()
        assert [place.number for place in module._valid] == [0]
        assert [place.number for place in module._test] == [1]
        assert [place.number for place in module._training[0]] == [2, 3, 4, 5]

    def test_a_store_of_its_own_validates(self, data, tmp_path):
        other = make_store(tmp_path / "valid", {"v.wav": 30})
        module = data(valid_source=str(other))
        assert len(next(iter(module.val_dataloader()))["codes"]) == 1
        assert len(module._training[0]) == 6

    def test_a_mixture_takes_all_its_stores(self, data, tmp_path):
        one, two = (make_store(tmp_path / name, LENGTHS) for name in ("one", "two"))
        module = data(f"{one}:0.7,{two}:0.3")
        batches = list(module.train_dataloader())
        assert len(batches) == 10
        assert [len(places) for places in module._training] == [5, 5]  # the same dialogue is held out of both
        assert [place.number for place in module._valid] == [module._valid[0].number] * 2

    def test_what_does_not_go_together_is_refused(self, data, tmp_path):
        with pytest.raises(ValueError, match=r"net has 8 codebooks of 2048 .*has 4 of 32"):
            data(num_own_codebooks=8).setup()
        with pytest.raises(ValueError, match=r"net has 4 codebooks of 16 .*has 4 of 32"):
            data(str(tmp_path / "store"), codebook_size=16).setup()
        with pytest.raises(ValueError, match="the net knows only 7"):
            data(str(tmp_path / "store"), vocab_size=7).setup()
        other = make_store(tmp_path / "other", LENGTHS, codec=replace(CODEC, name="else", sha256="b" * 64))
        with pytest.raises(ValueError, match=r"of tiny, .* of another codec, else"):
            data({str(tmp_path / "store"): 1.0, str(other): 1.0}).setup()
        with pytest.raises(ValueError, match="one dialogue cannot both"):
            data(str(make_store(tmp_path / "single", {"a.wav": 5}))).setup()
        with pytest.raises(ValueError, match="num_frames is 0"):
            data(str(tmp_path / "store"), num_frames=0)
        with pytest.raises(ValueError, match="text_delay_s"):
            data(str(tmp_path / "store"), text_delay_s=(0.5, -0.5))
        with pytest.raises(ValueError, match="each of the modes says its own"):
            data(str(tmp_path / "store"), text_delay_s=(0.0, 0.5), modes=[Mode()])
        with pytest.raises(ValueError, match="num_user_codebooks is 0"):
            data(str(tmp_path / "store"), num_user_codebooks=0, modes=[Mode("asr")])
        with pytest.raises(ValueError, match="from_start is 2"):
            data(str(tmp_path / "store"), from_start=2)

    def test_modes_are_said_in_recipes_and_the_first_validates(self, data, tmp_path, tokenizer):
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(DialogueData, "data", required=True)
        make_store(tmp_path / "store", LENGTHS)
        tokenizer.save(tmp_path / "tokenizer.model")
        modes = [{"name": "tts", "weight": 0.5, "text_delay_s": [0.2, 0.2]}, {"name": "duplex"}]
        settings = {"source": str(tmp_path / "store"), "tokenizer": str(tmp_path / "tokenizer.model"), "modes": modes}
        settings |= {"num_own_codebooks": 4, "num_user_codebooks": 4, "num_frames": 24, "user_dropout": 0.1}
        config = parser.parse_object({"data": {"class_path": "DialogueData", "init_args": settings}})
        module = parser.instantiate_classes(config).data
        assert module.modes == [Mode("tts", 0.5, (0.2, 0.2)), Mode()]
        batch = next(iter(module.val_dataloader()))
        assert (batch["codes"][:, 0, 0] == tokenizer.eos).all()
        assert batch["text_delay_s"].tolist() == pytest.approx([0.2] * len(batch["codes"]))

    def test_a_resumed_run_must_find_the_same_tokenizer_and_codec(self, data, tmp_path):
        module = data()
        module.setup()
        state = module.state_dict()
        module.load_state_dict(state)
        for name in ("tokenizer", "codec"):
            with pytest.raises(ValueError, match=f"another {name}"):
                module.load_state_dict({**state, name: "c" * 64})
