"""Features from disk instead of from the teacher."""

import pytest
import torch
from safetensors.torch import load_file

from moshi_zoo import registry
from moshi_zoo.modules.cached_teacher import CachedTeacher
from moshi_zoo.modules.teacher import Teacher, pool

RATE, FRAME = 24_000, 1920
CPU = torch.device("cpu")


class Loudness(Teacher):
    """Mean of each 20 ms, and one more feature; counts what it hears."""

    def __init__(self, scale=1.0):
        super().__init__(dim=2)
        self.scale, self.heard = scale, []

    def features(self, wav, sample_rate):
        self.heard.append(wav.shape[-1])
        steps = wav.unfold(-1, sample_rate // 50, sample_rate // 50).mean(-1)  # [B, 1, N]
        return torch.cat([steps, self.scale * steps.abs()], dim=1)


class Clips:
    """Recordings in memory."""

    def __init__(self, *wavs):
        self.names = [f"/somewhere/{i}.wav" for i in range(len(wavs))]
        self.wavs = wavs

    def load(self, index):
        return self.wavs[index]


def ramp(num_frames, extra=0):
    return torch.linspace(0, 1, num_frames * FRAME + extra)[None]


def batch(recordings, places, num_frames=3):
    num_samples = num_frames * FRAME
    parts = [recordings.load(i)[:, start : start + num_samples] for i, start in places]
    wav = torch.stack([torch.nn.functional.pad(part, (0, num_samples - part.shape[1])) for part in parts])
    given = {"wav": wav, "num_samples": torch.tensor([part.shape[1] for part in parts])}
    where = {"recording": torch.tensor([i for i, _ in places]), "start": torch.tensor([start for _, start in places])}
    return given | where


def prepared(folder, recordings, inner=Loudness):
    teacher = CachedTeacher(inner, folder=str(folder))
    teacher.prepare(recordings, RATE, CPU)
    return teacher


def test_a_lesson_is_the_teachers_own_cut_from_the_whole_recording(tmp_path):
    clips = Clips(ramp(10), 1 - ramp(7))
    teacher = prepared(tmp_path / "new", clips)
    given = batch(clips, [(1, 4 * 480), (0, 480 * 13), (1, 2 * FRAME)])
    cached, direct = teacher.lesson(given, RATE), Loudness().lesson(given, RATE)
    torch.testing.assert_close(cached.features, direct.features, atol=2e-3, rtol=0)  # half precision
    assert torch.equal(cached.mask, direct.mask)


def test_places_between_two_features_are_rounded(tmp_path):
    clips = Clips(ramp(10))
    teacher = prepared(tmp_path, clips)
    near, exact, far = (teacher.lesson(batch(clips, [(0, s)]), RATE).features for s in (960 + 239, 960, 960 + 241))
    assert torch.equal(near, exact)
    assert not torch.equal(far, exact)


def test_behind_the_end_of_a_recording_nothing_is_learnt(tmp_path):
    clips = Clips(ramp(1, extra=100))
    lesson = prepared(tmp_path, clips).lesson(batch(clips, [(0, 0)]), RATE)
    assert lesson.mask.tolist() == [[True, True, False]]
    assert lesson.features[0, :, 2].abs().max() < 0.3


def test_a_recording_is_heard_once_and_never_again(tmp_path):
    clips = Clips(ramp(10), ramp(7))
    first = prepared(tmp_path, clips)
    assert len(first.teacher.heard) == 3  # and the noise
    first.lesson(batch(clips, [(0, 0), (1, 0)]), RATE)
    assert len(first.teacher.heard) == 3
    again = prepared(tmp_path, Clips(*clips.wavs, ramp(5)))
    assert again.teacher.heard[1:] == [5 * FRAME]


def test_long_recordings_pass_in_blocks_with_context_that_fit_together(tmp_path):
    wav = torch.rand(1, 700 * FRAME)
    teacher = prepared(tmp_path, Clips(wav))
    (name,) = {path.name for path in tmp_path.iterdir()} - {"sample.safetensors"}
    kept = load_file(tmp_path / name)["features"]
    assert kept.shape == (2800, 2)
    torch.testing.assert_close(kept.float(), Loudness().features(wav[None], RATE)[0].T, atol=2e-3, rtol=0)
    assert [heard // FRAME for heard in teacher.teacher.heard[1:]] == [275, 300, 225]


def test_another_teachers_folder_is_refused(tmp_path):
    prepared(tmp_path, Clips(ramp(3)))
    prepared(tmp_path, Clips(ramp(3)), lambda: Loudness(scale=1.001))  # as on another device
    with pytest.raises(ValueError, match="features of another teacher, or of another setting"):
        prepared(tmp_path, Clips(ramp(3)), lambda: Loudness(scale=1.5))


def test_a_broken_off_run_leaves_no_half_files(tmp_path, monkeypatch):
    def save_and_stop(tensors, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("moshi_zoo.modules.cached_teacher.save_file", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        prepared(tmp_path, Clips(ramp(3)))
    monkeypatch.undo()
    clips = Clips(ramp(3))
    assert prepared(tmp_path, clips).lesson(batch(clips, [(0, 0)]), RATE).features.abs().max() > 0.1


def test_batches_that_do_not_say_where_they_come_from_are_refused(tmp_path):
    clips = Clips(ramp(3))
    given = batch(clips, [(0, 0)])
    del given["recording"]
    with pytest.raises(ValueError, match=r"\(`recording`, `start`\), such as SegmentData"):
        prepared(tmp_path, clips).lesson(given, RATE)
    with pytest.raises(ValueError, match="data that shows its `recordings`"):
        CachedTeacher(Loudness, folder=str(tmp_path)).lesson(batch(clips, [(0, 0)]), RATE)


def test_it_wraps_any_teacher_of_the_registry(tmp_path):
    inner = registry.preset("wavlm-teacher-tiny")
    teacher = registry.build("cached-teacher", teacher=inner, folder=str(tmp_path))
    clips = Clips(0.1 * torch.randn(1, 10 * FRAME))
    teacher.prepare(clips, RATE, CPU)
    given = batch(clips, [(0, 0)], num_frames=10)
    direct = pool(teacher.features(given["wav"], RATE))
    torch.testing.assert_close(teacher.lesson(given, RATE).features, direct, atol=5e-3, rtol=0)
