import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from dsnjax import config, main, measured, mesh, settings, state, step, stop, train
from dsnjax.data import batches, prepare, synthetic
from dsnjax.data.store import Store
from dsnjax.errors import DataError, Interrupted, UserError
from dsnjax.plan import Plan
from dsnjax.workdir import Workdir, abstract

ROOT = Path(__file__).parents[1]


def leaves(path):
    """Every array of the newest state in a work directory, by its place."""
    workdir = Workdir(path)
    run = workdir.config()
    network = state.network(run.model, run.data, len(workdir.categories()))
    shapes = abstract(network, run, mesh.make())
    with workdir.checkpoints() as saved:
        found = saved.newest(shapes)
    assert found is not None
    bare = state.TrainState(**vars(found) | {"key": jax.random.key_data(found.key)})
    places, _ = jax.tree.flatten_with_path(bare)
    return {jax.tree_util.keystr(place): np.asarray(leaf) for place, leaf in places}


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def assert_same_run(path, other):
    assert_same_weights(path, other)
    assert [line["step"] for line in lines(path)] == [line["step"] for line in lines(other)]


def assert_same_weights(path, other):
    found, wanted = leaves(path), leaves(other)
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not np.array_equal(found[name], wanted[name])] == []


@pytest.fixture(scope="module")
def whole(trained):
    """The work directory of a run that nothing disturbed, and its figures."""
    return trained, measured.figures(trained)


def test_a_run_leaves_what_the_contract_names(whole, tiny):
    path, figures = whole
    names = {file.name for file in path.iterdir()}
    assert names >= {
        "config.yaml",
        "categories.txt",
        "metrics.jsonl",
        "checkpoints",
        "evaluation.json",
        "drawings.png",
        "drawings.ndjson",
    }
    assert figures.keys() >= {"map3", "accuracy", "per_category", "confusion", "categories"}
    assert settings.check(config.Config, yaml.safe_load((path / "config.yaml").read_text())) == tiny


def test_the_loss_falls(whole):
    losses = [line["loss"] for line in lines(whole[0]) if "loss" in line]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_a_finished_run_is_not_run_again(whole, tiny):
    path, figures = whole
    before = (path / "metrics.jsonl").stat().st_mtime_ns
    assert train.train(tiny, Workdir(path)) == figures
    assert (path / "metrics.jsonl").stat().st_mtime_ns == before


def after(questions):
    """A stop that comes when it was asked so many times."""
    calls = iter(range(10_000))
    return {"asked": lambda self: next(calls) >= questions}


def before_validating(self, items, doing):
    raise Interrupted(f"stopped while {doing}")
    yield


@pytest.mark.parametrize(
    ("stops", "message"),
    [(after(5), "stopped at step 6 of"), ({"between": before_validating}, "while validating")],
    ids=["training", "validating"],
)
def test_stopped_and_resumed_is_the_same_run_bit_for_bit(
    whole, tiny, tmp_path, monkeypatch, stops, message
):
    """Dropout and flips are on; it is stopped between two checkpoints of the first epoch."""
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match=message):
        for name, method in stops.items():
            patch.setattr(stop.Stop, name, method)
        train.train(tiny, Workdir(tmp_path))
    assert 0 < lines(tmp_path)[-1]["step"] < lines(whole[0])[-1]["step"]
    assert train.train(tiny, Workdir(tmp_path)) == whole[1]
    assert_same_run(tmp_path, whole[0])


def test_a_folder_holds_one_run(whole, tiny):
    other = tiny.model_copy(update={"seed": 9})
    with pytest.raises(UserError, match=r"holds a run with seed=0, not 9; give another --workdir"):
        train.train(other, Workdir(whole[0]))


def test_a_finished_run_keeps_its_config_though_its_checkpoints_are_gone(whole, tiny, tmp_path):
    run = Workdir(shutil.copytree(whole[0], tmp_path / "run"))
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(UserError, match=r"holds a run with seed=0, not 9; give another --workdir"):
        train.train(tiny.model_copy(update={"seed": 9}), run)
    assert train.train(tiny, run) == whole[1]


def test_a_folder_in_use_is_refused(whole, tiny):
    with (
        Workdir(whole[0]).claim(tiny),
        pytest.raises(UserError, match="another run writes here; wait until it has ended, or name"),
    ):
        train.train(tiny, Workdir(whole[0]))


def test_a_folder_below_a_file_is_refused(tiny, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/run: cannot be written \(.*\); name another"):
        train.train(tiny, Workdir(tmp_path / "file" / "run"))


@pytest.mark.parametrize("small_disk", [64], indirect=True)
@pytest.mark.fault
def test_a_folder_that_can_only_be_read_is_refused(tiny, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError, match=r"run: cannot be written \(Read-only.*\); name another"):
        train.train(tiny, Workdir(small_disk / "run"))


@pytest.mark.parametrize(
    ("names", "other"),
    [(synthetic.categories()[::-1], "categories"), (synthetic.categories(), "drawings")],
)
def test_another_store_is_refused(whole, tiny, tmp_path, names, other):
    synthetic.write(tmp_path / "drawings", 20, seed=0)
    prepare.prepare([tmp_path / "drawings"], tmp_path / "store", names, jobs=1)
    shutil.copytree(whole[0], tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    file.write_text(file.read_text().replace(str(tiny.data.store), str(tmp_path / "store")))
    with pytest.raises(UserError, match=f"other {other} than the run in"):
        Workdir(tmp_path / "run").store()


def test_a_store_that_was_moved_is_looked_for_where_the_config_says(whole, tiny, tmp_path):
    shutil.copytree(tiny.data.store, moved := tmp_path / "moved")
    shutil.copytree(whole[0], tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    text = file.read_text()
    file.write_text(text.replace(str(tiny.data.store), str(tmp_path / "gone")))
    with pytest.raises(UserError, match=r"gone: no store here; .* set data\.store in .*yaml"):
        Workdir(tmp_path / "run").store()
    file.write_text(text.replace(str(tiny.data.store), str(moved)))
    assert Workdir(tmp_path / "run").store().path == moved


def test_a_run_goes_on_with_its_drawings_where_they_lie_now(whole, tiny, tmp_path):
    run = Workdir(shutil.copytree(whole[0], tmp_path / "run"))
    shutil.copytree(tiny.data.store, moved := tmp_path / "moved")
    data = tiny.data.model_copy(update={"store": moved})
    there = (run.path / "config.yaml").read_text()
    assert train.train(tiny.model_copy(update={"data": data}), run) == whole[1]
    assert (run.path / "config.yaml").read_text() == there.replace(str(tiny.data.store), str(moved))

    synthetic.write(tmp_path / "drawings", 20, seed=0)
    other = tmp_path / "other"
    prepare.prepare([tmp_path / "drawings"], other, synthetic.categories(), jobs=1)
    data = tiny.data.model_copy(update={"store": other})
    with pytest.raises(UserError, match="other drawings than the run in"):
        train.train(tiny.model_copy(update={"data": data}), run)
    assert run.config().data.store == moved


@pytest.mark.slow
@pytest.mark.fault
def test_a_loss_that_is_no_number_stops_and_saves_nothing(tiny, tmp_path):
    wild = tiny.model_copy(update={"optim": config.Optim(learning_rate=1e38, clip=1e38)})
    with pytest.raises(
        DataError, match=r"step 3, seed 0: the loss is (nan|inf); .*batch-3.*learning-rate"
    ):
        train.train(wild, Workdir(tmp_path))
    batch = [json.loads(line) for line in (tmp_path / "batch-3.ndjson").read_text().splitlines()]
    store = Workdir(tmp_path).store()
    order = batches.order(store, batches.rows(store, wild.data)["train"], wild.data, 0)
    assert [one["row"] for one in batch] == order[2].tolist()
    assert [one["key_id"] for one in batch] == [str(one) for one in store.key_id[order[2]]]
    assert not (tmp_path / "evaluation.json").exists()
    assert list((tmp_path / "checkpoints").glob("*.json")) == []


@pytest.mark.slow
@pytest.mark.fault
def test_one_bad_batch_is_named_and_the_run_goes_on_from_the_checkpoint_before_it(
    whole, tiny, tmp_path, monkeypatch
):
    steps = iter(range(1, 1000))

    def poisoned(batch, devices):
        points = batch["points"] * (np.nan if next(steps) == 5 else 1)
        return mesh.spread(batch | {"points": points}, devices)

    with monkeypatch.context() as patch, pytest.raises(DataError, match="step 5, seed 0: the loss"):
        patch.setattr(train, "mesh", SimpleNamespace(**vars(mesh) | {"spread": poisoned}))
        train.train(tiny, Workdir(tmp_path))
    said = [json.loads(line) for line in (tmp_path / "batch-5.ndjson").read_text().splitlines()]
    workdir = Workdir(tmp_path)
    assert workdir.checkpoints().steps() == [4]
    assert [one["row"] for one in said] == made_again(workdir, 5)
    assert train.train(tiny, workdir) == whole[1]
    assert_same_run(tmp_path, whole[0])


@pytest.mark.slow
@pytest.mark.fault
def test_what_broke_behind_a_good_loss_is_not_saved(tiny, tmp_path, monkeypatch):
    def broken(*given):
        take = step.make_train_step(*given)

        def broken_at_four(now, batch):
            now, figures = take(now, batch)
            bad = jnp.where(now.step == 4, jnp.nan, 0)
            return replace(now, statistics=jax.tree.map(bad.__add__, now.statistics)), figures

        return broken_at_four

    monkeypatch.setattr(train, "make_train_step", broken)
    with pytest.raises(DataError, match="step 4, seed 0: what it made of the weights is no number"):
        train.train(tiny, Workdir(tmp_path))
    assert (tmp_path / "batch-4.ndjson").exists()
    assert not Workdir(tmp_path).checkpoints().steps()


def made_again(workdir, step):
    """The rows of a step's batch, found as docs/scale.md says."""
    config, store = workdir.config(), workdir.store()
    rows = batches.rows(store, config.data)["train"]
    columns = batches.training(store, rows, config.data, config.seed, step - 1, columns=["hash"])
    with closing(columns) as found:
        wanted = next(found)["hash"]
    row_of = {one: row for row, one in enumerate(store.hash.tolist())}
    return [row_of[one] for one in wanted.tolist()]


@pytest.mark.slow
@pytest.mark.parametrize("small_disk", [2048], indirect=True)
@pytest.mark.fault
def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    whole, tiny, small_disk, monkeypatch, capsys
):
    run = small_disk / "run"
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(stop.Stop, "asked", after(5)["asked"])
        train.train(tiny, Workdir(run))
    capsys.readouterr()
    for room in (0, 64 << 10):  # for nothing at all, and for less than a checkpoint
        rest = small_disk / "rest"
        rest.write_bytes(bytes(shutil.disk_usage(small_disk).free - room))
        assert main.main(["train", "--workdir", str(run)]) == 75
        lines = capsys.readouterr().err.splitlines()
        (said,) = [line for line in lines if not line.startswith("epoch ")]
        assert re.search("^dsnjax: .*(No space left on device|the disk is full); .*make room", said)
        assert Workdir(run).checkpoints().steps()[-1] == 6
        rest.unlink()
    assert train.train(tiny, Workdir(run)) == whole[1]
    assert_same_weights(run, whole[0])


@pytest.mark.slow
def test_without_a_validation_split_a_run_goes_on_from_the_end_of_an_epoch(tiny, tmp_path):
    split = tiny.data.split.model_copy(update={"valid": 0.0})
    config = tiny.model_copy(update={"data": tiny.data.model_copy(update={"split": split})})
    run = Workdir(tmp_path / "run")
    wanted = train.train(config, run)
    (run.path / "evaluation.json").unlink()  # as where it was killed while it evaluated
    assert train.train(config, run) == wanted


def test_a_mistake_before_the_first_step_leaves_the_folder_free(tiny, tmp_path):
    lost = tiny.data.model_copy(update={"store": tmp_path / "typo"})
    run = Workdir(tmp_path / "run")
    with pytest.raises(UserError, match="typo: no store here"):
        train.train(tiny.model_copy(update={"data": lost}), run)
    assert not (run.path / "config.yaml").exists()  # no base for the next command
    with run.claim(tiny):
        assert run.config() == tiny
        assert len(run.store()) == len(Store.open(tiny.data.store))


def test_a_refused_start_leaves_nothing_behind(tiny, tmp_path):
    run = Workdir(tmp_path / "run")
    with pytest.raises(UserError, match="as refused"), run.claim(tiny):
        run.store()
        raise UserError("as refused")
    assert [file.name for file in run.path.iterdir()] == [".lock"]


def test_values_that_were_there_before_a_refused_start_stay(tiny, tmp_path):
    begun, own = Workdir(tmp_path / "begun"), Workdir(tmp_path / "own")
    with begun.claim(tiny):
        pass
    own.path.mkdir()
    text = (begun.path / "config.yaml").read_text()
    (own.path / "config.yaml").write_text("# My notes.\n" + text.split("\n", 1)[1])
    for run in (begun, own):
        there = (run.path / "config.yaml").read_text()
        with pytest.raises(UserError, match="as refused"), run.claim(tiny):
            raise UserError("as refused")
        assert (run.path / "config.yaml").read_text() == there


def test_a_store_beside_a_config_of_somebodys_own_is_no_moved_one(tiny, tmp_path):
    own = tmp_path / "config.yaml"
    own.write_text(settings.dump(tiny).split("\n", 1)[1])
    moved = tiny.model_copy(
        update={"data": tiny.data.model_copy(update={"store": tmp_path / "new"})}
    )
    with pytest.raises(UserError, match=r"holds a run with data\.store="):
        Workdir(tmp_path).claim(moved).__enter__()


def test_a_config_of_somebodys_own_is_not_written_over(tiny, tmp_path):
    own = tmp_path / "config.yaml"
    own.write_text("seed: 7\n")
    with (
        pytest.raises(UserError, match=r"holds a run with seed=7, not 0"),
        Workdir(tmp_path).claim(tiny),
    ):
        pass
    assert own.read_text() == "seed: 7\n"


def test_other_made_up_drawings_are_refused(tiny, tmp_path):
    for count in (3, 4):
        data = tiny.data.model_copy(update={"store": None, "made_up": count})
        with Workdir(tmp_path).claim(tiny.model_copy(update={"data": data})):
            if count == 3:
                Workdir(tmp_path).store()
                continue
            with pytest.raises(UserError, match="other made-up drawings; give another --workdir"):
                Workdir(tmp_path).store()


def test_steps_are_timed_and_validating_is_not(whole):
    told = [line for line in lines(whole[0]) if "loss" in line]
    assert all(
        {"drawings_per_second", "step_seconds", "data_wait"} <= line.keys() for line in told[1:]
    )


def test_the_bar_notes_rate_time_of_a_step_and_waiting_once_they_are_known():
    line = {"loss": 0.25}
    assert train.note(line) == "loss 0.250"
    line |= {"drawings_per_second": 1234.5, "step_seconds": 0.20732, "data_wait": 0.046}
    assert train.note(line) == "loss 0.250  1,234/s  0.207 s a step  5% waiting for data"


def test_an_epoch_ends_where_its_last_drawing_is_seen():
    plan = Plan(drawings=100, batch_size=32, epochs=2)
    assert plan.steps == 7
    assert [step for step in range(1, 8) if plan.ends_epoch(step)] == [4, 7]


FAULTS = {
    "kill next 1": None,
    "twice next 1": "stopping at the end of this step; once more ends at once",
    "int next 1": "stopped at step 1 of",  # while the step is compiled
    "kill asked 2": None,
    "kill _commit 1": None,
    "kill _write 1": None,
    "term _commit 1": "stopped at step",
    "kill between 1": None,
    "kill measure 1": None,
    "stop between 1": "stopped while validating",
    "stop between 3": "stopped while evaluating",
}


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_killed_at_any_moment_is_the_same_run_bit_for_bit(tiny, tmp_path):
    """Each moment that FAULTS names meets the run once, one after the other."""
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tiny.model_dump(mode="json")))
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",  # as what users run
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
    }

    def train_with(fault, run):
        program = [sys.executable, str(ROOT / "tests" / "faulty.py"), *fault.split()]
        return subprocess.run(
            [*program, "train", "--config", "mine.yaml", "--workdir", run],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )

    assert train_with("none asked 0", "whole").returncode == 0
    for fault, said in FAULTS.items():
        ended = train_with(fault, "run")
        assert ended.returncode == (75 if said else -9), (fault, ended.stderr)
        assert "Traceback" not in ended.stderr
        if said:
            last = ended.stderr.splitlines()[-1]
            assert last.startswith(f"dsnjax: {said}"), fault
            assert last.endswith(("the same command goes on from there", "once more ends at once"))
    assert train_with("none asked 0", "run").returncode == 0
    assert measured.figures(tmp_path / "run") == measured.figures(tmp_path / "whole")
    assert_same_weights(tmp_path / "run", tmp_path / "whole")
