import json
import math

import jax
import numpy as np
import pytest

from dsnjax import bundle, config, flags, main, optim, settings, start, state, stop, train
from dsnjax.commands import Train
from dsnjax.data import synthetic
from dsnjax.errors import Interrupted, UserError
from dsnjax.models import OF_CATEGORIES, Output
from dsnjax.workdir import Workdir

SIZES = {
    "cnn": {"stem": 4, "widths": [8], "blocks": [1]},
    "rnn": {"widths": [8], "kernels": [3], "strides": [2], "hidden": 8},
    "width": 16,
    "heads": 2,
    "fusion": "logits",
}
NAMES = ("cat", "dog", "tree")
VALUES = set(config.Config.model_fields)


def run(**values):
    data = {"image_size": 16, "length": 16, "batch_size": 32}
    return settings.check(config.Config, {"data": data, "model": SIZES, **values})


def model(folder, names, seed, **sizes):
    """Writes a bundle of fresh weights for some categories; gives what it holds."""
    recipe = bundle.Recipe(model=settings.check(config.Model, SIZES | sizes), data=run().data)
    network = state.network(recipe.model, recipe.data, len(names))
    weights = state.once(lambda: state.fresh(network, seed))()
    bundle.write(bundle.Bundle(recipe, names, *weights), folder, "")
    written = bundle.read(folder)
    return written.params, written.statistics


def begun(settings, names):
    network = state.network(settings.model, settings.data, len(names))
    found = start.weights(settings, network, names)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A bundle of both branches, and its weights."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    return folder, *model(folder, NAMES, 7)


def test_a_start_with_the_same_categories_is_the_model_itself(whole):
    folder, params, statistics = whole
    found, moved = begun(run(init={"model": str(folder)}), NAMES)
    assert found.keys() == params.keys()
    assert all(np.array_equal(found[name], params[name]) for name in params)
    assert all(np.array_equal(moved[name], statistics[name]) for name in statistics)


def test_a_known_category_keeps_its_part_of_the_head_and_a_new_one_gets_a_fresh_one(whole):
    folder, params, _ = whole
    names = ("boat", "tree", "cat", "sun")
    found, _ = begun(run(init={"model": str(folder)}), names)
    nothing = run()
    network = state.network(nothing.model, nothing.data, 4)
    fresh, _ = state.once(lambda: state.fresh(network, 0))()
    head, old = found["cnn_head/kernel"], params["cnn_head/kernel"]
    assert np.array_equal(head[:, 1], old[:, 2])
    assert np.array_equal(head[:, 2], old[:, 0])
    assert np.array_equal(head[:, [0, 3]], fresh["cnn_head/kernel"][:, [0, 3]])
    assert np.array_equal(found["score/kernel"][1], params["score/kernel"][2])
    assert np.array_equal(found["rnn/lstm/kernel"], params["rnn/lstm/kernel"])


def test_a_model_of_other_sizes_is_named_by_its_parameter(whole):
    wider = run(init={"model": str(whole[0])}, model=SIZES | {"rnn": SIZES["rnn"] | {"hidden": 9}})
    with pytest.raises(UserError, match=r"init: rnn.* is \[.*\] in .*, the config wants \[.*--con"):
        begun(wider, NAMES)


def test_a_head_that_must_learn_a_new_category_is_not_frozen(whole):
    known = run(init={"model": str(whole[0]), "freeze": ["cnn", "cnn_head"]})
    begun(known, NAMES[:2])
    with pytest.raises(UserError, match=r"freeze=cnn_head: .* does not know 'sun', whose part of"):
        begun(known, (*NAMES, "sun"))
    begun(run(init={"model": str(whole[0]), "freeze": ["cnn"]}), (*NAMES, "sun"))


@pytest.mark.slow
def test_branches_start_from_networks_trained_alone(tmp_path):
    image, _ = model(tmp_path / "cnn", NAMES, 1, branches="cnn")
    points, _ = model(tmp_path / "rnn", NAMES, 2, branches="rnn")
    init = {"cnn": str(tmp_path / "cnn"), "rnn": str(tmp_path / "rnn")}
    found, _ = begun(run(init=init), NAMES)
    taken = {name for name in found if name.startswith(("cnn", "rnn"))}
    assert taken == set(image) | set(points)
    assert all(np.array_equal(found[name], (image | points)[name]) for name in taken)
    # Under one attention over tokens a branch's own head reads other features, and starts anew.
    tokens = run(model=SIZES | {"fusion": "tokens"})
    fresh, _ = state.once(lambda: state.fresh(state.network(tokens.model, tokens.data, 3), 0))()
    under, _ = begun(run(init=init, model=SIZES | {"fusion": "tokens"}), NAMES)
    assert np.array_equal(under["rnn/lstm/kernel"], points["rnn/lstm/kernel"])
    heads = [name for name in under if name.startswith(("cnn_head", "rnn_head"))]
    assert heads
    assert all(np.array_equal(under[name], fresh[name]) for name in heads)


def test_the_model_that_ships_has_a_name():
    assert len(bundle.find("pretrained").categories) == 40


@pytest.mark.parametrize(
    "flag", [["--init-from", "pretrained"], ["--init_from=pretrained"], ["--init.model=pretrained"]]
)
def test_a_start_brings_its_network_and_what_it_is_shown(flag):
    values = main.base([*flag, "--workdir", "nowhere"])
    ships = bundle.find("pretrained").recipe
    found = settings.check(config.Config, values)
    assert found.model == ships.model
    assert (found.data.image_size, found.data.length) == (64, 96)
    assert found.data.batch_size == config.Data().batch_size


def parsed(line):
    return flags.parse(Train, line.split(), main.base(line.split()))


def test_train_without_a_word_is_the_default_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parsed("") == Train()


def test_init_from_is_another_name_of_init_model():
    found = parsed("--config dsn_plus --init-from runs/dsn --loss.centers fixed")
    assert found == parsed("--config dsn_plus --init.model runs/dsn --loss.centers fixed")
    assert parsed("--config finetune --init-from none").init.model is None
    with pytest.raises(UserError, match=r"--init-from and --init.model are both given; want one"):
        parsed("--init-from a --init.model b")


@pytest.mark.parametrize("now", [None, "dsn_small"], ids=["gone", "of other sizes"])
def test_the_same_command_goes_on_whatever_became_of_the_start(tmp_path, monkeypatch, now):
    monkeypatch.chdir(tmp_path)
    small, mine = tmp_path / "small" / "config.yaml", tmp_path / "runs/finetune/config.yaml"
    for file in (small, mine):
        file.parent.mkdir(parents=True)
    small.write_text(settings.dump(settings.check(config.Config, settings.load("quickstart"))))
    command = "--config finetune --init-from small"
    begun = parsed(command)
    assert begun.data.length == 64
    mine.write_text(settings.dump(config.Config(**begun.model_dump(include=VALUES))))
    small.unlink()
    if now:
        small.write_text(settings.dump(settings.check(config.Config, settings.load(now))))
    assert parsed(command) != begun  # nothing was saved yet: the start is read again
    (mine.parent / "checkpoints").mkdir()
    (mine.parent / "checkpoints" / "5.json").write_text("{}")
    assert parsed(command) == begun
    other = parsed("--config finetune --init-from other --workdir runs/finetune")
    assert other.model != begun.model


def test_fixed_centers_are_the_mean_features_of_all_batches_without_their_padding():
    def apply(params, statistics, batch, *, train, key=None):
        return Output(batch["points"], batch["points"], (), None), statistics

    network = state.Network(lambda key: ({}, {}), apply, categories=3, features=2)
    now = state.initial(network, optim.make(config.Optim(), (1,)), 0)
    rows = {"points": np.array([[1.0, 2], [3, 4], [9, 9]]), "label": np.array([0, 1, 1])}
    first = rows | {"mask": np.array([1.0, 1, 0])}
    second = rows | {"mask": np.array([0.0, 1, 1])}
    found = start.centers(network, now, [first, second])
    np.testing.assert_allclose(found.mean, [[1, 2], [5, 17 / 3], [0, 0]], rtol=1e-6)
    assert found.seen.tolist() == [1, 1, 0]


@pytest.mark.slow
def test_own_categories_are_learnt_from_a_run_by_the_command_line(trained, tmp_path, capsys):
    synthetic.write(tmp_path / "drawings", 50, seed=5)
    old, *known = sorted(synthetic.categories())[:3]
    mine = ["mine", *known]
    (file,) = (tmp_path / "drawings").rglob(f"{old}.ndjson")
    file.with_name("mine.ndjson").write_text(file.read_text().replace(f'"{old}"', '"mine"'))
    words = ["--store", tmp_path / "store", "--categories", ",".join(mine), "--jobs", "1"]
    assert say("prepare", tmp_path / "drawings", *words) == 0
    short = "--run.epochs 12 --data.batch-size 16 --optim.accumulate 2 --optim.learning-rate 0.01"
    held_out = "--data.split.valid 0 --data.split.test 0.3"
    words = ["--init-from", trained, "--data.store", tmp_path / "store", *short.split()]
    words += held_out.split()
    assert say("train", *words, "--workdir", tmp_path / "run") == 0
    assert Workdir(tmp_path / "run").config().model == Workdir(trained).config().model
    begins(Workdir(tmp_path / "run"), bundle.find(trained), new=mine.index("mine"))
    capsys.readouterr()
    rows = tmp_path / "run" / "drawings.ndjson"
    assert say("predict", "--workdir", tmp_path / "run", rows) == 0
    answers = [json.loads(line)["top"] for line in capsys.readouterr().out.splitlines()]
    assert {one["category"] for top in answers for one in top} == set(mine)
    drawn = [json.loads(line)["word"] for line in rows.read_text().splitlines()]
    right = [top[0]["category"] == word for top, word in zip(answers, drawn, strict=True)]
    assert len(right) > 10 and np.mean(right) > 0.7


def begins(run, there, new):
    """Asserts that a run begins with all that is there, but for one category's part of the head."""
    params, statistics = begun(run.config(), run.categories())
    for found, wanted in ((params, there.params), (statistics, there.statistics)):
        trunk = [name for name in found if name.partition("/")[0] not in OF_CATEGORIES]
        assert trunk and all(np.array_equal(found[name], wanted[name]) for name in trunk)
    labels = [there.categories.index(name) for name in run.categories() if name in there.categories]
    head, known = params["head/kernel"], there.params["head/kernel"][:, labels]
    assert np.array_equal(np.delete(head, new, axis=1), known)
    assert not any(np.array_equal(head[:, new], one) for one in there.params["head/kernel"].T)


@pytest.mark.slow
def test_branches_trained_alone_are_joined_and_only_what_is_between_them_learns(made_up, tmp_path):
    """The authors' staged way, as docs/training.md has it."""

    def trained(name, **values):
        settings = run(**values, run={"epochs": 1})
        data = settings.data.model_copy(update={"store": made_up})
        train.train(settings.model_copy(update={"data": data}), Workdir(tmp_path / name))
        return bundle.from_workdir(Workdir(tmp_path / name)).params

    alone = {name: trained(name, model=SIZES | {"branches": name}) for name in ("cnn", "rnn")}
    frozen = ["cnn", "rnn", "cnn_head", "rnn_head"]
    places = {name: str(tmp_path / name) for name in alone}
    joined = trained("joined", init={**places, "freeze": frozen})
    assert joined.keys() - {"score/kernel"} == alone["cnn"].keys() | alone["rnn"].keys()
    for part in alone.values():
        assert all(np.array_equal(joined[name], part[name]) for name in part)
    settings = Workdir(tmp_path / "joined").config()
    params, _ = begun(settings, Workdir(tmp_path / "joined").categories())
    assert not np.array_equal(joined["score/kernel"], params["score/kernel"])


def test_a_file_may_leave_the_start_of_what_it_freezes_to_the_options(trained, tmp_path):
    (tmp_path / "mine.yaml").write_text("init: {freeze: [cnn, rnn]}\n")
    values = main.base(["--config", str(tmp_path / "mine.yaml"), "--init-from", str(trained)])
    assert values["init"] == {"freeze": ["cnn", "rnn"]}  # the option comes over it later
    with pytest.raises(UserError, match="nothing trained is there to keep"):
        main.base(["--config", str(tmp_path / "mine.yaml")])


def say(*words):
    return main.main([str(word) for word in words])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"init": {"model": "a", "cnn": "b"}}, "model and a branch are both given; want one"),
        ({"loss": {"centers": "fixed"}}, "name a start by init.model, or, with another fusion"),
        (
            {"loss": {"centers": "fixed"}, "init": {"cnn": "a", "rnn": "b"}},
            "loss.centers=fixed: an untrained network",  # between the branches and the feature
        ),
        ({"model": {"branches": "cnn"}, "init": {"freeze": ["rnn"]}}, "branches=cnn has no rnn"),
        ({"init": {"freeze": ["cnn"]}}, "cnn: nothing trained is there to keep; name a start by"),
        (
            {"init": {"rnn": "a", "freeze": ["rnn", "cnn_head"]}},
            "init.freeze=cnn_head: with fusion=tokens it starts anew, for other features",
        ),
        ({"optim": {"accumulate": 3}}, "batch_size=256 has no 3 equal parts; want a mult"),
        ({"run": {"profile": [5]}}, "want a first and a last step"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        settings.check(config.Config, values)


ALL_ON = {
    "optim": {"kind": "lamb", "schedule": "halving", "accumulate": 2, "ema": 0.9},
    "loss": {"centers": "fixed", "center_warmup": 0.5, "label_smoothing": 0.1},
    "run": {
        "epochs": 2,
        "log_every": 2,
        "checkpoint_every": 3,
        "track": ["tensorboard"],
        "profile": [2, 3],
    },
}


@pytest.fixture(scope="module")
def everything(made_up, tmp_path_factory):
    """Config of a run from a trained start with all that training offers; its work directory."""
    folder = tmp_path_factory.mktemp("everything")
    model(folder / "model", synthetic.categories(), 3)
    settings = run(init={"model": str(folder / "model"), "freeze": ["cnn", "cnn_head"]}, **ALL_ON)
    data = settings.data.model_copy(update={"store": made_up})
    settings = settings.model_copy(update={"data": data})
    figures = train.train(settings, Workdir(folder / "run"))
    return settings, Workdir(folder / "run"), figures


def bare(workdir):
    _, now = workdir.restore()
    return jax.device_get(vars(now) | {"key": jax.random.key_data(now.key)})


@pytest.mark.slow
def test_frozen_parts_do_not_move_nor_do_their_statistics_and_all_others_do(everything):
    settings, workdir, _ = everything
    params, statistics = begun(settings, workdir.categories())
    now = bare(workdir)
    frozen = {name for name in params if name.startswith(("cnn/", "cnn_head/"))}
    still = {name for name in params if np.array_equal(now["params"][name], params[name])}
    assert frozen and still == frozen
    assert all(np.array_equal(now["statistics"][name], statistics[name]) for name in statistics)
    assert all(np.array_equal(now["ema"][0][name], params[name]) for name in frozen)


@pytest.mark.slow
def test_what_a_run_is_watched_by_is_written_beside_it(everything):
    _, workdir, _ = everything
    assert list((workdir.path / "tensorboard").iterdir())
    (trace,) = (workdir.path / "profile").rglob("*.xplane.pb")
    assert trace.stat().st_size > 0


@pytest.mark.slow
def test_the_averages_are_what_is_bundled(everything):
    _, workdir, _ = everything
    now, there = bare(workdir), bundle.from_workdir(workdir)
    name = "rnn_head/kernel"
    assert np.array_equal(there.params[name], now["ema"][0][name])
    assert not np.array_equal(there.params[name], now["params"][name])


@pytest.mark.slow
def test_fixed_centers_are_means_by_the_network_a_run_starts_from(everything):
    settings, workdir, _ = everything
    centers = bare(workdir)["centers"]
    training = train.Training(settings, workdir, workdir.store(), stop.Stop())
    before = jax.device_get(training.begin().centers)
    assert np.array_equal(before.mean, centers.mean)
    assert before.seen.all()
    assert np.ptp(before.mean, axis=0).max() > 0


@pytest.mark.slow
def test_with_all_of_it_on_a_run_resumes_bit_for_bit(everything, tmp_path, monkeypatch):
    settings, whole, figures = everything
    centers = math.ceil(figures["trained_on"] / settings.data.batch_size)
    stops = {1: "stopped while measuring the centers", centers + 4: "stopped at step 5"}
    for count, said in stops.items():
        calls = iter(range(10_000))
        with monkeypatch.context() as patch, pytest.raises(Interrupted, match=said):
            patch.setattr(stop.Stop, "asked", lambda self: next(calls) >= count)  # noqa: B023
            train.train(settings, Workdir(tmp_path))
    assert train.train(settings, Workdir(tmp_path)) == figures
    found, wanted = bare(Workdir(tmp_path)), bare(whole)
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    assert all(map(np.array_equal, jax.tree.leaves(found), jax.tree.leaves(wanted)))
