import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from dsnjax import files, main, measured, presets, settings, sweep
from dsnjax.data import engines
from dsnjax.errors import Interrupted, UserError

ROOT = Path(__file__).parents[1]
SWEEPS = sorted((presets.folder() / "sweeps").glob("*.yaml"))
SAYS = "import sys; print(sys.argv[1]); sys.exit(int(sys.argv[2]))"


def written(folder, **values) -> str:
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump({"base": "quickstart", **values}))
    return str(file)


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_every_sweep_that_ships_is_whole(file):
    runs = sweep.plan(file.stem, {"data.store": "S"})
    assert len(runs) >= 3
    assert all(str(run.config.data.store) == "S" for run in runs)


def test_a_grid_combines_its_values(tmp_path):
    grid = {"loss.alpha": [0.0, 0.1], "optim.learning_rate": [0.1, 0.2]}
    runs = sweep.plan(written(tmp_path, grid=grid, set={"run.epochs": 3}), {})
    assert [run.name for run in runs] == [
        "alpha=0.0,learning_rate=0.1",
        "alpha=0.0,learning_rate=0.2",
        "alpha=0.1,learning_rate=0.1",
        "alpha=0.1,learning_rate=0.2",
    ]
    assert runs[3].config.loss.alpha == 0.1
    assert {run.config.run.epochs for run in runs} == {3}


def test_a_list_names_single_runs(tmp_path):
    runs = sweep.plan(written(tmp_path, runs=[{"seed": 1}, {"data.image_size": 32}]), {})
    assert [(run.name, run.config.seed, run.config.data.image_size) for run in runs] == [
        ("seed=1", 1, 64),
        ("image_size=32", 0, 32),
    ]


def test_values_that_end_alike_are_told_apart(tmp_path):
    runs = [{"model.cnn.widths": [8, 16, 32]}, {"model.rnn.widths": [8, 16, 32]}, {"seed": 1}]
    assert [run.name for run in sweep.plan(written(tmp_path, runs=runs), {})] == [
        "model.cnn.widths=_8,_16,_32_",
        "model.rnn.widths=_8,_16,_32_",
        "seed=1",
    ]


def test_the_same_run_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="two of its runs change the same: seed=1"):
        sweep.plan(written(tmp_path, runs=[{"seed": 1}, {"seed": 1}]), {})


def test_every_run_takes_another_base_and_values_from_the_command_line(tmp_path):
    common = sweep.assigned(
        ["run.epochs=5", "data.noise.filter=all", "model.rnn.strides=[1, 1, 2]"]
    )
    (run,) = sweep.plan(written(tmp_path, runs=[{"seed": 7}]), common, "dsn_small")
    assert run.config.model_dump() == {
        **sweep.plan(written(tmp_path, base="dsn_small"), common)[0].config.model_dump(),
        "seed": 7,
    }
    found = run.config
    assert (found.run.epochs, found.data.noise.filter, found.model.rnn.strides) == (
        5,
        "all",
        (1, 1, 2),
    )


def test_what_the_runs_differ_in_is_not_set_as_well(tmp_path):
    with pytest.raises(UserError, match=r"its runs differ in seed; do not set it as well"):
        sweep.plan(written(tmp_path, runs=[{"seed": 1}]), {"seed": 2})


def test_a_section_sets_the_values_it_names_and_no_others(tmp_path):
    grid = {"data.noise": [{"filter": "none"}, {"filter": "train"}]}
    file = written(tmp_path, base="dsn_small", grid=grid, set={"data": {"length": 48}})
    with pytest.raises(UserError, match=r"differ in data\.noise\.filter; do not set it as well"):
        sweep.plan(file, sweep.assigned(["data.noise={filter: all}"]))
    runs = sweep.plan(file, sweep.assigned(["data.noise={low: 0.1}"]))
    assert [run.name for run in runs] == ["filter=none", "filter=train"]
    wanted = {"data.length": 48, "data.noise.low": 0.1, "data.noise.filter": "train"}
    (run,) = sweep.plan(written(tmp_path, base="dsn_small", set=wanted | {"data.split": {}}), {})
    assert runs[1].config == run.config


@pytest.mark.parametrize("word", ["run.epochs", "run.epochs=["])
def test_a_value_of_another_form_is_answered_with_an_example(word):
    with pytest.raises(UserError, match=r"want a name and a value, such as run\.epochs=5"):
        sweep.assigned([word])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grdi": {}}, "grdi: no such setting; nearest is grid"),
        ({"grid": {"optim.learning_rat": [1]}}, "nearest is optim.learning_rate"),
        ({"grid": {"run.epochs": [0]}}, "run.epochs: got 0"),
        ({"set": {"data": None}, "grid": {"data.length": [9]}}, "data: got None"),
        ({"set": {"data.length": 9, "data": 5}}, "data: got 5"),
        ({"set": {"datta": {}}}, "datta: no such setting; nearest is data"),
    ],
)
def test_a_typo_is_answered_before_anything_runs(tmp_path, values, message):
    with pytest.raises(UserError, match=message):
        sweep.plan(written(tmp_path, **values), {})


def test_a_base_that_is_none_is_answered_though_every_run_sets_what_it_lacks(tmp_path):
    base = tmp_path / "mine.yaml"
    base.write_text("data:\n")
    with pytest.raises(UserError, match=r"base .*mine\.yaml: data: got None"):
        sweep.plan(written(tmp_path, set={"data.length": 9}), {}, str(base))


def test_a_base_may_leave_the_start_of_what_it_freezes_to_the_runs(tmp_path):
    base = tmp_path / "mine.yaml"
    base.write_text("init: {freeze: [cnn, rnn]}\n")
    (run,) = sweep.plan(written(tmp_path, set={"init.model": "pretrained"}), {}, str(base))
    assert (run.config.init.model, run.config.init.freeze) == ("pretrained", ("cnn", "rnn"))


def test_a_run_of_other_drawings_is_not_one_of_the_sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "command", pytest.fail)
    (run,) = sweep.plan(written(tmp_path, runs=[{"seed": 1}]), {"data.store": "one"})
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1" / "config.yaml").write_text(settings.dump(run.config))
    (tmp_path / "seed=1" / "evaluation.json").write_text('{"steps_left": 0}')
    (run,) = sweep.plan(written(tmp_path, runs=[{"seed": 1}]), {"data.store": "other"})
    with pytest.raises(UserError, match=r"seed=1 holds a run with data\.store=one, not other"):
        sweep.execute([run], tmp_path, jobs=1, engine="local")


def test_an_unknown_sweep_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="--config lerning_rate: no such sweep; nearest is learn"):
        sweep.plan("lerning_rate", {})


def test_a_store_that_is_not_there_is_told_before_anything_runs(tmp_path):
    runs = sweep.plan(written(tmp_path, grid={"seed": [1, 2]}), {"data.store": tmp_path / "typo"})
    with pytest.raises(UserError, match="typo: no store here"):
        sweep.execute(runs, tmp_path / "sweep", 1, "local")
    assert not (tmp_path / "sweep").exists()


def test_a_run_that_fails_loses_no_other():
    commands = {name: [sys.executable, "-c", SAYS, name, code] for name, code in FAILING.items()}
    assert sweep.here(commands, jobs=2) == {"a": (0, "a"), "b": (3, "b"), "c": (0, "c")}


FAILING = {"a": "0", "b": "3", "c": "0"}


def test_a_run_that_is_killed_is_told_by_its_signal():
    code = "import os; print('epoch 1', flush=True); os.kill(os.getpid(), 9)"
    told = sweep.here({"a": [sys.executable, "-c", code]}, jobs=1)
    assert told == {"a": (-9, "killed by SIGKILL")}


def test_finished_runs_are_skipped_and_a_stop_is_told(tmp_path, monkeypatch):
    runs = sweep.plan(written(tmp_path, runs=[{"seed": 1}, {"seed": 2}]), {})
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1" / "evaluation.json").write_text('{"steps_left": 0}')
    stops = [sys.executable, "-c", SAYS, "stopped", str(sweep.STOPPED)]
    started = []
    monkeypatch.setattr(sweep, "command", lambda run, folder: started.append(run.name) or stops)
    with pytest.raises(Interrupted, match="the same command goes on"):
        sweep.execute(runs, tmp_path, jobs=1, engine="local")
    assert started == ["seed=2"]


def test_runs_of_other_values_are_not_taken_for_those_of_the_sweep(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(sweep, "command", pytest.fail)
    begun = tmp_path / "seed=1"
    begun.mkdir()
    (run,) = sweep.plan(written(tmp_path, runs=[{"seed": 1}]), {})
    longer = run.config.model_copy(update={"run": tiny.run.model_copy(update={"epochs": 9})})
    (begun / "config.yaml").write_text(settings.dump(longer))
    (begun / "evaluation.json").write_text('{"steps_left": 0}')
    said = r"seed=1 holds a run with run\.epochs=9, not 6; give another --workdir"
    with pytest.raises(UserError, match=said):
        sweep.execute([run], tmp_path, jobs=1, engine="local")


def test_two_sweeps_in_one_folder_are_refused(tmp_path, capsys):
    words = ["sweep", "--config", written(tmp_path, grid=RATES), "--workdir", str(tmp_path / "w")]
    with files.locked(tmp_path / "w"):
        assert main.main(words) == 2
    assert "w: another run writes here; wait until it has ended" in capsys.readouterr().err


def test_the_table_has_the_best_run_first_and_the_failed_last(tmp_path):
    runs = sweep.plan(written(tmp_path, runs=[{"seed": seed} for seed in range(3)]), {})
    for seed, map3, left in ((0, 0.5, 0), (1, 0.9, 3), (2, 0.75, 0)):
        (tmp_path / f"seed={seed}").mkdir()
        figures = f'{{"map3": {map3}, "accuracy": 0.5, "loss": 1.0, "steps_left": {left}}}'
        (tmp_path / f"seed={seed}" / "evaluation.json").write_text(figures)
    sweep.write(runs, tmp_path, {"seed=1": "no disk"})
    lines = (tmp_path / "sweep.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["run", "seed=2", "seed=0", "seed=1"]
    assert lines[-1].endswith("no disk")
    assert (tmp_path / "sweep.svg").read_text().startswith("<svg")


@pytest.mark.slow
@pytest.mark.fault
def test_a_sweep_that_was_stopped_goes_on_and_is_not_trained_again(
    tmp_path, tiny, capsys, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the processes that train
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tiny.model_dump(mode="json")))
    file = written(tmp_path, base=str(tmp_path / "mine.yaml"), grid={"optim.learning_rate": [0.01]})
    words = ["sweep", "--config", file, "--workdir", str(tmp_path / "w"), "--set", "run.epochs=1"]
    real = sweep.command

    def faulty(run, folder) -> list[str]:
        program = [sys.executable, str(ROOT / "tests" / "faulty.py"), "term", "asked", "3"]
        return program + real(run, folder)[3:]

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "command", faulty)
        assert main.main(words) == 75
    said = capsys.readouterr().err
    assert "learning_rate=0.01: stopped at step" in said
    assert said.endswith("w: stopped, finished runs are kept; the same command goes on\n")
    assert not (tmp_path / "w" / "sweep.csv").exists()

    assert main.main(words) == 0
    table = (tmp_path / "w" / "sweep.csv").read_text()
    assert table.count("\n") == 2
    assert (tmp_path / "w" / "sweep.svg").is_file()
    assert (tmp_path / "w" / "estimates.svg").is_file()

    monkeypatch.setattr(sweep, "command", pytest.fail)
    assert main.main(words) == 0
    assert (tmp_path / "w" / "sweep.csv").read_text() == table


RATES = {"optim.learning_rate": [0.1, 0.001, 0.01]}


@pytest.mark.parametrize(
    ("grid", "shown"),
    [
        (RATES, [">optim.learning_rate<", ">0.001<", ">0.01<", ">0.1<", ">MAP@3<", ">accuracy<"]),
        (RATES | {"seed": [1, 2]}, [">learning_rate=0.001,seed=2<", ">MAP@3<"]),
        ({"model.fusion": ["tokens", "logits"]}, [">fusion=tokens<", ">fusion=logits<"]),
    ],
    ids=["number", "numbers", "words"],
)
def test_estimates_stand_against_the_number_that_is_swept_else_in_a_row_for_each(
    tmp_path, grid, shown
):
    runs = sweep.plan(written(tmp_path, base="dsn_small", grid=grid), {})
    for run in runs:
        (tmp_path / run.name).mkdir()
        (tmp_path / run.name / "evaluation.json").write_text('{"steps_left": 0}')
        said = dict.fromkeys(measured.ARRAYS, np.arange(5))
        np.savez(tmp_path / run.name / measured.PREDICTIONS, **said)
    svg = sweep.estimates(runs, tmp_path)
    assert [one for one in shown if one not in svg] == []


def test_runs_without_an_end_have_no_estimates(tmp_path):
    runs = sweep.plan(written(tmp_path, grid=RATES), {})
    assert sweep.estimates(runs, tmp_path) == ""


# A run that stops its sweep, and saves when it is told to stop.
STOPS = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1], "w").write("saved"), sys.exit(75)))
os.kill(int(sys.argv[2]), signal.SIGTERM)
while True:
    signal.pause()
"""


def stops(file: Path) -> list[str]:
    return [sys.executable, "-c", STOPS, str(file), str(os.getpid())]


@pytest.mark.fault
def test_a_launchers_signal_reaches_the_runs_which_save(tmp_path):
    with main.terminable(), pytest.raises(KeyboardInterrupt):
        sweep.here({"stops": stops(tmp_path / "file")}, 1)
    assert (tmp_path / "file").read_text() == "saved"


@pytest.fixture(scope="module")
def ray():
    """A cluster of this machine, with one processor and what is said to be one GPU."""
    ray = pytest.importorskip("ray", reason="Ray is an extra")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # for the workers
        patch.setenv("RAY_AUTH_MODE", "disabled")  # or it writes a token to the home folder
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TASK_MAX_RETRIES", "1")  # each of which starts a process
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init(num_cpus=4, num_gpus=1, log_to_driver=False, logging_level=40, **engines.ALONE)
        yield ray
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.usefixtures("ray")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own defaults
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*_at_fork:pytest.PytestUnraisableExceptionWarning"
)
class TestOnRay:
    def test_a_lost_worker_loses_no_other_run(self):
        lost = "import os; os.kill(os.getppid(), 9)"
        commands = {
            "lost": [sys.executable, "-c", lost],
            "well": [sys.executable, "-c", SAYS, "done", "0"],
            "bad": [sys.executable, "-c", SAYS, "dsnjax: no store", "3"],
        }
        codes = sweep.on_ray(commands, 2)
        code, said = codes.pop("lost")
        assert code == 1
        assert said.startswith("Ray: The worker died")
        assert codes == {"well": (0, "done"), "bad": (3, "no store")}

    def test_each_run_has_a_gpu_of_its_own(self):
        say = [sys.executable, "-c", "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"]
        assert sweep.on_ray({"a": say, "b": say}, 2) == {"a": (0, "0"), "b": (0, "0")}

    def test_a_launchers_signal_reaches_the_runs_which_save(self, tmp_path):
        """Also where Ctrl-C is ignored, as in what a script begins in the background."""
        waits = [sys.executable, "-c", SAYS, "done", "0"]  # for the GPU
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with main.terminable(), pytest.raises(KeyboardInterrupt):
                sweep.on_ray({"stops": stops(tmp_path / "file"), "waits": waits}, 2)
        finally:
            signal.signal(signal.SIGINT, before)
        assert (tmp_path / "file").read_text() == "saved"
