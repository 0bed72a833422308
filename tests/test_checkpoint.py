import errno
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dsnjax import checkpoint, losses
from dsnjax.errors import CheckpointError, Interrupted, UserError
from dsnjax.state import TrainState


def state(step, width=3):
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        params={"head/kernel": jnp.full((width, 2), float(step))},
        statistics={"norm/mean": jnp.full(width, float(step))},
        opt_state=({"head/kernel": jnp.ones((width, 2))},),
        centers=losses.no_centers(2, width),
        key=jax.random.key(0),
    )


LIKE = jax.eval_shape(lambda: state(0))


@pytest.fixture
def folder(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as saved:
        for step, map3 in [(1, 0.5), (2, 0.9), (3, 0.7)]:
            saved.save(state(step))
            saved.measure(step, map3)
        saved.save(state(4))
    return tmp_path


def newest(folder):
    with checkpoint.Checkpoints(folder) as saved:
        return saved.newest(like())


def newest_step(folder):
    found = newest(folder)
    return found and int(found.step)


def like():
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=here), LIKE)


def test_the_latest_two_and_the_best_are_kept(folder):
    with checkpoint.Checkpoints(folder) as saved:
        assert saved.steps() == [2, 3, 4]
        assert saved.ranked() == [2, 3, 4]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["2", "3", "4"]


def test_a_manifest_tells_what_a_save_cost(folder):
    manifest = json.loads((folder / "4.json").read_text())
    files = [path for path in (folder / "4").rglob("*") if path.is_file()]
    assert manifest["bytes"] == sum(path.stat().st_size for path in files)
    assert manifest["seconds"] > 0


def test_what_was_saved_comes_back_bit_for_bit(folder):
    found = newest(folder)
    assert jax.tree.structure(found) == jax.tree.structure(state(4))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(state(4)), strict=True):
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        assert np.array_equal(one, other)


def test_arrays_may_be_donated_while_they_are_written(tmp_path):
    big = {"head/kernel": jnp.arange(2_000_000, dtype=jnp.float32)}
    before = state(1)
    before = TrainState(**{**vars(before), "params": big})
    advance = jax.jit(lambda s: jax.tree.map(lambda a: a * 0, s), donate_argnums=0)
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(before)
        advance(big)
        shapes = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding),
            TrainState(**{**vars(state(1)), "params": {"head/kernel": jnp.zeros(2_000_000)}}),
        )
        saved.check(wait=True)
        found = saved.newest(shapes)
    assert found is not None
    assert np.array_equal(found.params["head/kernel"], np.arange(2_000_000, dtype=np.float32))


@pytest.mark.fault
def test_a_change_of_every_file_and_its_loss_is_seen(folder, capsys):
    files = sorted(path for path in (folder / "4").rglob("*") if path.is_file())
    assert len(files) > 3
    for file in files:
        whole = file.read_bytes()
        flipped = bytes([whole[0] ^ 1]) + whole[1:] if whole else b"?"
        for changed in {flipped, whole[:-1] if whole else b"??"}:
            file.write_bytes(changed)
            assert newest_step(folder) == 3
            assert f"{file.name} has changed since it was written" in capsys.readouterr().err
        file.unlink()
        assert newest_step(folder) == 3
        assert f"{file.name} is missing" in capsys.readouterr().err
        file.write_bytes(whole)
    assert newest_step(folder) == 4


@pytest.mark.fault
def test_a_damaged_step_is_made_good_when_it_is_reached_again(folder):
    next(path for path in (folder / "4").rglob("*") if path.is_file()).unlink()
    with checkpoint.Checkpoints(folder) as saved:
        saved.save(state(4))
    assert newest_step(folder) == 4


@pytest.mark.fault
@pytest.mark.parametrize(("map3", "damaged"), [(0.5, [1000, 1100]), (None, [1000])])
def test_a_run_that_went_on_from_before_damaged_steps_keeps_what_it_saves(tmp_path, map3, damaged):
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(state(400))
        if map3:
            saved.measure(400, map3)
        for step in damaged:
            saved.save(state(step))
    for step in damaged:
        next(path for path in (tmp_path / str(step)).rglob("*") if path.is_file()).unlink()
    assert newest_step(tmp_path) == 400
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(state(500))
    assert saved.steps() == [400, 500]
    assert newest_step(tmp_path) == 500


@pytest.mark.fault
def test_a_step_whose_manifest_is_damaged_is_not_measured(folder):
    (folder / "4.json").write_text("{")
    with checkpoint.Checkpoints(folder) as saved:
        saved.measure(4, 0.95)
    assert (folder / "4.json").read_text() == "{"


@pytest.mark.fault
def test_a_file_of_another_name_is_no_step(folder):
    (folder / "notes.json").write_text("{}")
    assert newest_step(folder) == 4


@pytest.mark.fault
@pytest.mark.parametrize("damaged", ["{", "[]"])
def test_a_folder_of_damaged_steps_is_refused(folder, damaged):
    for manifest in folder.glob("*.json"):
        manifest.write_text(damaged)
    with pytest.raises(CheckpointError, match="every checkpoint is damaged"):
        newest(folder)


@pytest.mark.fault
def test_a_step_without_a_manifest_was_cut_short_and_does_not_count(folder):
    (folder / "4.json").unlink()
    assert newest_step(folder) == 3


@pytest.mark.fault
def test_the_next_save_clears_away_what_a_killed_run_left(folder):
    (folder / "4.json").unlink()  # killed before the manifest, and another time while it wrote
    (folder / "5.orbax-checkpoint-tmp").mkdir()
    with checkpoint.Checkpoints(folder) as saved:
        saved.save(state(6))
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["2", "3", "6"]


def test_an_empty_folder_has_nothing_to_restore(tmp_path):
    assert newest(tmp_path / "none") is None
    with pytest.raises(CheckpointError, match="no checkpoint; train there first"):
        checkpoint.Checkpoints(tmp_path / "none").best(like())


@pytest.mark.fault
def test_the_next_best_step_stands_in_for_a_damaged_best_one(folder, capsys):
    (folder / "2.json").write_text("{")
    with checkpoint.Checkpoints(folder) as saved:
        assert int(saved.best(like()).step) == 3
    assert capsys.readouterr().err == f"{folder}: step 2 skipped: its manifest cannot be read\n"


@pytest.mark.fault
def test_damaged_steps_are_named_on_one_line_each(folder, capsys):
    for step in (2, 3, 4):
        next(path for path in (folder / str(step)).rglob("*") if path.is_file()).unlink()
    with pytest.raises(CheckpointError, match="every checkpoint is damaged; train afresh"):
        newest(folder)
    assert capsys.readouterr().err.count("\n") == 3


def test_a_step_may_be_measured_after_it_was_saved(folder):
    with checkpoint.Checkpoints(folder) as saved:
        assert not saved.measured(4)
        saved.measure(4, 0.95)
        assert saved.measured(4)
        assert saved.ranked() == [4, 2, 3]
        assert int(saved.best(like()).step) == 4


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: state(0, width=5),
            r"head/kernel is float32\[3, 2\] there, the config wants float32\[5, 2\]; "
            "use the --model values",
        ),
        (
            lambda: TrainState(**{**vars(state(0)), "opt_state": ({"m": jnp.ones(1)},)}),
            r"opt_state/0/m is absent there, .* use the --optim values it was trained with",
        ),
        (
            lambda: TrainState(**{**vars(state(0)), "params": {}}),
            r"head/kernel is float32\[3, 2\] there, the config wants none; use the --model values",
        ),
        (
            lambda: TrainState(**{**vars(state(0)), "ema": ({"head": jnp.ones(1)}, {})}),
            r"ema/0/head is absent there, the config wants float32\[1\]; use the --optim values",
        ),
    ],
    ids=["network", "optimizer", "smaller network", "averages"],
)
def test_a_state_of_another_shape_is_named_by_its_array_and_the_flag(folder, other, message):
    with pytest.raises(UserError, match=message):
        checkpoint.Checkpoints(folder).newest(jax.eval_shape(other))


@pytest.mark.fault
def test_a_last_save_that_failed_is_said_on_leaving(folder, monkeypatch):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.Checkpoints, "_write", full)
    with (
        pytest.raises(Interrupted, match="the disk is full; step 4 is intact"),
        checkpoint.Checkpoints(folder) as saved,
    ):
        saved.save(state(5))


@pytest.mark.parametrize("small_disk", [256], indirect=True)
@pytest.mark.fault
def test_a_full_disk_is_said_on_one_line_and_the_last_good_step_stays(small_disk, caplog):
    noise = jax.random.normal(jax.random.key(0), (200_000,))  # 800 KB that no codec makes smaller
    big = TrainState(**{**vars(state(2)), "params": {"head/kernel": noise}})
    saved = checkpoint.Checkpoints(small_disk)
    saved.save(state(1))
    saved.save(big)
    with pytest.raises(
        Interrupted, match=r"saving a checkpoint failed: the disk is full; step 1 is"
    ):
        saved.check(wait=True)
    assert caplog.records == []  # nor does Orbax speak of it at length
    assert list(small_disk.glob("*tmp*")) == []
    assert newest_step(small_disk) == 1
