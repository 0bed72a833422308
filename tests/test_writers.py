import json
import struct
import sys

import pytest

from dsnjax import config, writers
from dsnjax.errors import UserError

FIGURES = [(2, 0.5), (4, 0.25)]


def written(workdir, *track, quiet=False):
    run = config.Config(run=config.Run(track=track))
    writer = writers.open_all(workdir, run, 0, quiet=quiet)
    for step, loss in FIGURES:
        writer.write(step, loss=loss)
    writer.close()


def test_lines_are_written_whatever_is_tracked(tmp_path):
    written(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"step": s, "loss": v} for s, v in FIGURES]


def test_tensorboard_reads_back_what_was_written(tmp_path):
    protos = pytest.importorskip("tensorboardX.proto.event_pb2")
    written(tmp_path, "tensorboard")
    (file,) = (tmp_path / "tensorboard").iterdir()
    raw, found = file.read_bytes(), []
    while raw:  # records of length, checksum, event, checksum
        (length,) = struct.unpack("<Q", raw[:8])
        event = protos.Event.FromString(raw[12 : 12 + length])
        found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        raw = raw[16 + length :]
    assert found == [(step, "loss", loss) for step, loss in FIGURES]


@pytest.mark.slow
def test_wandb_makes_a_run_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    written(tmp_path, "wandb")
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert folder.name.endswith((tmp_path / "wandb.id").read_text())
    assert list(folder.glob("run-*.wandb"))


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
