"""Filling a store: streams side by side, in blocks, with what is bad left out."""

import json

import pytest
import torch
import torch.nn.functional as F

from moshi_zoo.data import audio, code_encoding
from moshi_zoo.data.alignments import MAIN, Word, find_dialogues, write_words
from moshi_zoo.data.code_encoding import encode_dialogues
from moshi_zoo.data.code_store import CodecIdentity, CodeStore, CodeStoreWriter
from moshi_zoo.data.manifest import Recording
from tests.data.sounds import noise

RATE, FRAME = 1000, 100
CODEC = CodecIdentity("fake", "f" * 64, RATE, 10.0, num_codebooks=2, codebook_size=1 << 15)


class FakeCodec:
    """Frame t of a stream becomes (t, loudness): shows whether a stream goes on where it was."""

    def __init__(self):
        self.blocks: list[torch.Size] = []

    def start(self, batch_size):
        done = 0

        def encode(wav):
            nonlocal done
            assert wav.shape[0] == batch_size
            self.blocks.append(wav.shape)
            codes = loudness(wav[:, 0])
            numbers = torch.arange(done, done + codes.shape[1]).expand(batch_size, -1)
            done += codes.shape[1]
            return torch.stack([numbers, codes], dim=1)

        return encode


def loudness(wav):
    return (wav.unflatten(-1, (-1, FRAME)).abs().mean(-1) * 10_000).round().long()


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr(code_encoding, "BLOCK_FRAMES", 4)


def dialogues(folder, lengths, channels=2):
    folder.mkdir(exist_ok=True)
    for seed, (name, seconds) in enumerate(lengths.items()):
        audio.save(folder / name, noise(seconds, RATE, channels, seed=seed), RATE)
    lines = [json.dumps({"path": name, "duration": seconds, "split": "train"}) for name, seconds in lengths.items()]
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return find_dialogues(folder)


def encoded(recordings, folder, codec=None, batch_size=2, view="recorded"):
    *_, report = encode_dialogues(
        recordings, CodeStoreWriter(folder, CODEC), (codec or FakeCodec()).start, view=view, batch_size=batch_size
    )
    return report


def test_every_channel_of_every_file_has_the_codes_it_would_have_alone(tmp_path):
    recordings = dialogues(tmp_path / "in", {"a.wav": 0.95, "b.wav": 0.3, "c.wav": 2.0})
    report = encoded(recordings, tmp_path / "store", batch_size=3)
    assert (report.encoded, report.known, report.bad) == (3, 0, [])
    assert report.seconds == pytest.approx(1.0 + 0.3 + 2.0)
    store = CodeStore(tmp_path / "store")
    assert sorted(entry.num_frames for entry in store.entries) == [3, 10, 20]
    for number, entry in enumerate(store.entries):
        wav = audio.load(entry.path, RATE)
        codes = store.codes(number)
        assert codes[:, 0].tolist() == [list(range(entry.num_frames))] * 2
        assert torch.equal(codes[:, 1], loudness(F.pad(wav, (0, -wav.shape[1] % FRAME))))
        assert (entry.split, entry.channels, entry.num_words) == ("train", 2, None)


def test_a_long_file_goes_through_in_blocks(tmp_path):
    codec = FakeCodec()
    encoded(dialogues(tmp_path / "in", {"a.wav": 1.3}), tmp_path / "store", codec)
    assert codec.blocks == [(2, 1, 400), (2, 1, 400), (2, 1, 400), (2, 1, 100)]


def test_files_with_one_channel_and_words_keep_them(tmp_path):
    recordings = dialogues(tmp_path / "in", {"a.wav": 0.5}, channels=1)
    write_words(recordings[0].path, [Word("hello", 0.1, 0.4, MAIN)])
    encoded(recordings, tmp_path / "store")
    store = CodeStore(tmp_path / "store")
    assert store.codes(0).shape == (1, 2, 5)
    assert store.words(0) == [Word("hello", 0.1, 0.4, MAIN)]


def test_channels_may_be_mixed_into_one(tmp_path):
    recordings = dialogues(tmp_path / "in", {"a.wav": 0.6, "b.wav": 1.0})
    write_words(recordings[0].path, [Word("hello", 0.1, 0.4, MAIN)], {"family": "talk"})
    encoded(recordings, tmp_path / "store", view="mono")
    store = CodeStore(tmp_path / "store")
    assert [(entry.channels, entry.view) for entry in store.entries] == [(1, "mono")] * 2
    assert torch.equal(store.codes(0)[0, 1], loudness(audio.load(recordings[0].path, RATE).mean(0, keepdim=True))[0])
    assert store.words(0) == [Word("hello", 0.1, 0.4, MAIN)]
    assert (store.about(0), store.about(1)) == ({"family": "talk"}, {})
    with pytest.raises(ValueError, match=r"a\.wav in the view mono"):
        encoded(recordings, tmp_path / "store")


def test_one_of_several_speakers_becomes_moshi(tmp_path):
    recordings = dialogues(tmp_path / "in", {"a.wav": 2.0, "silent.wav": 1.0}, channels=1)
    words = [Word("hello", 0.2, 0.6, "anna"), Word("hi", 1.2, 1.6, "ben")]
    write_words(recordings[0].path, words)
    report = encoded(recordings, tmp_path / "store", view="duplex")
    assert ["who says what" in bad.reason for bad in report.bad] == [True]
    store = CodeStore(tmp_path / "store")
    (entry,) = store.entries
    assert (entry.channels, entry.view) == (2, "duplex")
    own, rest = store.codes(0)[:, 1]
    main = next(word for word in store.words(0) if word.speaker == MAIN)
    begin, end = round((main.start_s - 0.1) * 10), round((main.end_s + 0.1) * 10)
    assert own.nonzero().flatten().tolist() == list(range(begin, end))
    assert (rest[begin:end] == 0).all()
    assert (own + rest == loudness(audio.load(recordings[0].path, RATE))[0]).all()
    encoded(recordings, tmp_path / "again", view="duplex")
    assert torch.equal(CodeStore(tmp_path / "again").codes(0), store.codes(0))


def test_a_second_run_encodes_what_is_new_alone(tmp_path):
    dialogues(tmp_path / "in", {"a.wav": 0.5})
    encoded(find_dialogues(tmp_path / "in"), tmp_path / "store")
    recordings = dialogues(tmp_path / "in", {"a.wav": 0.5, "b.wav": 0.6})
    report = encoded(recordings, tmp_path / "store")
    assert (report.encoded, report.known) == (1, 1)
    assert [entry.num_frames for entry in CodeStore(tmp_path / "store").entries] == [5, 6]
    assert encoded(recordings, tmp_path / "store").encoded == 0


def test_a_run_that_was_stopped_goes_on_after_the_last_whole_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(code_encoding, "_SHARD_DIALOGUES", 2)
    recordings = dialogues(tmp_path / "in", {f"{i}.wav": 0.3 + i / 10 for i in range(5)})
    encoded(recordings, tmp_path / "once")
    reports = encode_dialogues(recordings, CodeStoreWriter(tmp_path / "twice", CODEC), FakeCodec().start, batch_size=2)
    for _ in range(3):
        next(reports)  # one shard is written, the next one is not
    reports.close()
    assert len(CodeStore(tmp_path / "twice").entries) == 2
    encoded(recordings, tmp_path / "twice")
    once, twice = CodeStore(tmp_path / "once"), CodeStore(tmp_path / "twice")
    assert once.entries == twice.entries
    assert all(torch.equal(once.codes(i), twice.codes(i)) for i in range(5))


def test_a_file_that_has_changed_is_refused(tmp_path):
    encoded(dialogues(tmp_path / "in", {"a.wav": 0.5}), tmp_path / "store")
    with pytest.raises(ValueError, match=r"a\.wav has changed"):
        encoded(dialogues(tmp_path / "in", {"a.wav": 0.7}), tmp_path / "store")


def test_bad_files_are_left_out_and_named_wherever_they_turn_out_bad(tmp_path):
    lengths = {"good.wav": 0.5, "many.wav": 0.5, "words.wav": 0.5, "empty.wav": 0.5, "torn.flac": 3.0}
    recordings = dialogues(tmp_path / "in", lengths)
    audio.save(tmp_path / "in/many.wav", noise(0.5, RATE, 3), RATE)
    (tmp_path / "in/words.json").write_text("{")
    (tmp_path / "in/empty.wav").write_bytes(b"")
    torn = tmp_path / "in/torn.flac"
    torn.write_bytes(torn.read_bytes()[:6000])
    report = encoded(recordings, tmp_path / "store", batch_size=8)
    reasons = {bad.path.name: bad.reason for bad in report.bad}
    assert set(reasons) == {"many.wav", "words.wav", "empty.wav", "torn.flac"}
    assert "3 channels" in reasons["many.wav"]
    assert "not JSON" in reasons["words.wav"]
    assert [entry.path for entry in CodeStore(tmp_path / "store").entries] == [str(tmp_path / "in/good.wav")]


def test_a_monologue_has_a_quiet_room_for_a_user(tmp_path):
    audio.save(tmp_path / "a.wav", noise(1.0, RATE), RATE)
    heard = []

    def start(rows):
        def encode(wav):
            heard.append(wav)
            return torch.zeros(rows, CODEC.num_codebooks, wav.shape[-1] // FRAME, dtype=torch.int64)

        return encode

    writer = CodeStoreWriter(tmp_path / "store", CODEC)
    list(encode_dialogues([Recording(tmp_path / "a.wav")], writer, start, view="monologue"))
    assert CodeStore(tmp_path / "store").entries[0].channels == 2
    voice, room = torch.cat(heard, dim=-1)[:, 0, : 10 * FRAME]
    assert torch.equal(voice, audio.load(tmp_path / "a.wav", RATE)[0, : len(voice)])
    assert -73 < 20 * room.square().mean().sqrt().log10() < -51


def test_copies_begin_at_other_fractions_of_a_frame_and_their_words_with_them(tmp_path):
    audio.save(tmp_path / "a.wav", noise(1.0, RATE), RATE)
    heard = []

    def start(rows):
        blocks = []
        heard.append(blocks)

        def encode(wav):
            blocks.append(wav[0, 0])
            return torch.zeros(rows, CODEC.num_codebooks, wav.shape[-1] // FRAME, dtype=torch.int64)

        return encode

    recording = Recording(tmp_path / "a.wav", words=[["hello", 0.2, 0.6]])
    writer = CodeStoreWriter(tmp_path / "store", CODEC)
    *_, report = encode_dialogues([recording], writer, start, copies=4)
    assert report.encoded == 4
    store, wav = CodeStore(tmp_path / "store"), audio.load(tmp_path / "a.wav", RATE)[0]
    for copy, (entry, blocks) in enumerate(zip(store.entries, heard, strict=True)):
        lead = copy * FRAME // 4
        assert torch.equal(torch.cat(blocks)[: lead + len(wav)], torch.cat([torch.zeros(lead), wav]))
        assert entry.path.endswith(f"a.wav#{copy}" if copy else "a.wav")
        assert store.words(copy)[0].start_s == pytest.approx(0.2 + copy * 0.025)
    *_, again = encode_dialogues([recording], CodeStoreWriter(tmp_path / "store", CODEC), start, copies=4)
    assert (again.encoded, again.known) == (0, 4)
