"""The pipeline runs nothing twice, leaves nothing half-written, and resumes."""

import errno
import fcntl
import json
from dataclasses import replace

import pytest

from flow.errors import UserError
from flow.pipeline import Pipeline, Stage, clear_faults


class Recorder:
    """Three stages that note when they run; `options` are what the second depends on."""

    def __init__(self, root):
        self.ran, self.options, self.fail, self.root = [], 1, None, root

    def pipeline(self, resumable=False):
        def stage(name, options=lambda work: None):
            def run(work, folder):
                work.ran.append(name)
                if work.fail == name:
                    (folder / "half").write_text("half")
                    raise KeyboardInterrupt
                (folder / "out").write_text(name)
                return {name: 1}

            return Stage(name, f"0-{name}", run, options, (), resumable)

        stages = (stage("a"), stage("b", lambda work: work.options), stage("c"))
        return Pipeline(stages, self, self.root)


@pytest.fixture
def recorder(tmp_path):
    return Recorder(tmp_path / "out")


def test_runs_what_is_needed_and_nothing_twice(recorder):
    recorder.pipeline().run_to("b")
    recorder.pipeline().run_to("c")
    assert recorder.ran == ["a", "b", "c"]


def test_a_changed_option_reruns_its_stage_and_those_after_it(recorder):
    recorder.pipeline().run_to("c")
    recorder.options = 2
    recorder.pipeline().run_to("c")
    assert recorder.ran == ["a", "b", "c", "b", "c"]


def test_a_stage_that_is_stale_does_not_count_as_done(recorder):
    recorder.pipeline().run_to("c")
    recorder.options = 2
    again = recorder.pipeline()
    assert [again.done(n) for n in "abc"] == [True, False, False]


def test_a_result_that_does_not_serve_is_refused_each_time_and_not_made_again(recorder):
    """As a circuit that fits on one board and not on another, without being another circuit."""
    allowed = True

    def check(work, folder):
        assert (folder / "out").read_text() == "b"
        if not allowed:
            raise UserError("does not fit")

    line = recorder.pipeline()
    line.stages = (line.stages[0], replace(line.stages[1], check=check), line.stages[2])
    line.run_to("b")
    allowed = False
    with pytest.raises(UserError, match="does not fit"):
        line.run_to("c")
    allowed = True
    line.run_to("c")
    assert recorder.ran == ["a", "b", "c"]


def test_a_new_result_that_does_not_serve_is_not_kept(recorder):
    def refuse(work, folder):
        raise UserError("does not fit")

    line = recorder.pipeline()
    line.stages = (replace(line.stages[0], check=refuse),)
    with pytest.raises(UserError, match="does not fit"):
        line.run_to("a")
    assert [p.name for p in recorder.root.iterdir()] == [".lock"]


def test_an_interrupted_stage_leaves_nothing_behind(recorder):
    recorder.fail = "b"
    with pytest.raises(KeyboardInterrupt):
        recorder.pipeline().run_to("c")
    assert sorted(p.name for p in recorder.root.iterdir()) == [".lock", "0-a"]
    recorder.fail = None
    recorder.pipeline().run_to("c")
    assert recorder.ran == ["a", "b", "b", "c"]


def test_a_resumable_stage_finds_its_own_traces_again_and_no_others(recorder):
    recorder.fail = "b"
    with pytest.raises(KeyboardInterrupt):
        recorder.pipeline(resumable=True).run_to("c")
    half = recorder.root / "0-b.part" / "half"
    assert half.exists()
    recorder.options, recorder.fail = 2, None  # traces of other options must not be resumed
    recorder.pipeline(resumable=True).run_to("b")
    assert not (recorder.root / "0-b" / "half").exists()


def test_stamp_holds_sections_and_seconds(recorder):
    pipeline = recorder.pipeline()
    pipeline.run_to("a")
    stamp = pipeline.stamp("a")
    assert stamp["sections"] == {"a": 1} and stamp["seconds"] >= 0
    assert json.loads((recorder.root / "0-a" / "stage.json").read_text()) == stamp


def test_two_runs_in_one_folder_are_refused(recorder):
    recorder.root.mkdir()
    with (recorder.root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another run"):
            recorder.pipeline().run_to("a")


def test_an_output_folder_that_is_a_file_is_refused(recorder):
    recorder.root.write_text("in the way")
    with pytest.raises(UserError, match="not a folder"):
        recorder.pipeline().run_to("a")


def test_a_full_disk_is_one_line():
    with pytest.raises(UserError, match="disk is full"), clear_faults():
        raise OSError(errno.ENOSPC, "No space left on device", "x")


def test_other_faults_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), clear_faults():
        _ = 1 / 0
