import json
import struct
import sys

import pytest

from dsnjax import config, writers
from dsnjax.errors import UserError

FIGURES = [(2, 0.5), (4, 0.25)]


def written(workdir, *track, begin=0, quiet=False):
    run = config.Config(run=config.Run(track=track))
    writer = writers.open_all(workdir, run, begin, quiet=quiet)
    for step, loss in FIGURES:
        if step > begin:
            writer.write(step, loss=loss)
    writer.close()


def events(file):
    """What TensorBoard reads of a file: records of length, checksum, event, checksum."""
    protos = pytest.importorskip("tensorboardX.proto.event_pb2")
    raw = file.read_bytes()
    while raw:
        (length,) = struct.unpack("<Q", raw[:8])
        yield protos.Event.FromString(raw[12 : 12 + length])
        raw = raw[16 + length :]


def test_lines_are_written_whatever_is_tracked(tmp_path):
    written(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"step": s, "loss": v} for s, v in FIGURES]


def test_tensorboard_reads_back_what_was_written(tmp_path):
    pytest.importorskip("tensorboardX")
    written(tmp_path, "tensorboard")
    (file,) = (tmp_path / "tensorboard").iterdir()
    found = [
        (event.step, value.tag, value.simple_value)
        for event in events(file)
        for value in event.summary.value
    ]
    assert found == [(step, "loss", loss) for step, loss in FIGURES]


@pytest.mark.parametrize("begin", [0, 2])
def test_tensorboard_shows_a_step_once_that_was_taken_again(tmp_path, begin):
    pytest.importorskip("tensorboardX")
    shown = []
    for attempt, step in enumerate((0, begin)):
        written(tmp_path, "tensorboard", begin=step)
        (file,) = (tmp_path / "tensorboard").glob("events*")
        # A file is named for the second it was opened in, which may be that of both.
        for event in events(file.rename(tmp_path / str(attempt))):
            if event.session_log.status == event.session_log.START:  # what came before ends here
                shown = [one for one in shown if one[0] < event.step]
            shown += [(event.step, value.simple_value) for value in event.summary.value]
    assert shown == FIGURES


@pytest.mark.slow
def test_wandb_makes_a_run_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    written(tmp_path, "wandb")
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert folder.name.endswith((tmp_path / "wandb.id").read_text())
    assert list(folder.glob("run-*.wandb"))


@pytest.mark.slow
def test_a_run_that_goes_on_is_the_same_one_at_wandb(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    written(tmp_path, "wandb")
    name = (tmp_path / "wandb.id").read_text()
    written(tmp_path, "wandb", begin=2)
    assert {file.stem for file in tmp_path.glob("wandb/offline-run-*/*.wandb")} == {f"run-{name}"}


@pytest.mark.parametrize(("kind", "module"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_an_extra_that_is_missing_is_named(tmp_path, monkeypatch, kind, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        UserError, match=rf"{kind} needs {module}, .* not installed: pip install 'dsnjax\[{kind}\]'"
    ):
        written(tmp_path, kind)


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path):
    written(tmp_path, "tensorboard", quiet=True)
    assert list(tmp_path.iterdir()) == []
