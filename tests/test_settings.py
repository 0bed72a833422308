from pathlib import Path

import pytest

from dsnjax import flags, main, presets, settings
from dsnjax.commands import Train
from dsnjax.config import Config
from dsnjax.errors import UserError

PRESETS = sorted(presets.folder().glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_are_found_by_name_and_fit_the_schema(path):
    assert settings.check(Config, settings.load(path.stem)) == settings.check(
        Config, settings.load(str(path))
    )


def test_presets_say_how_they_are_used():
    for path in PRESETS:
        assert f"dsnjax train --config {path.stem}" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dsn_pls", "--config dsn_pls: no such preset; nearest is dsn_plus"),
        ("nowhere.yaml", "--config nowhere.yaml: No such file or directory"),
    ],
)
def test_a_config_that_is_not_there(name, message):
    with pytest.raises(UserError, match=message):
        settings.load(name)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not YAML"), ("- a", "holds list; want sections")]
)
def test_a_file_that_is_no_config(tmp_path: Path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        settings.load(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize("value", [5, "abc", [1]])
def test_a_value_in_the_place_of_a_section_is_named(tmp_path: Path, value):
    with pytest.raises(UserError, match=r"^data: got .*; want a section of values$"):
        settings.put({"data": value}, "data.batch_size", 8)
    (tmp_path / "config.yaml").write_text(f"data: {value}\n")
    with pytest.raises(UserError, match=r"config\.yaml: data: got .*; want a section of values$"):
        settings.of_model(str(tmp_path))


def test_a_file_of_a_newer_dsnjax_is_refused_and_one_of_an_older_is_read(tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_text("# Written by dsnjax 99.0.1\nseed: 1\nnew_setting: 2\n")
    with pytest.raises(UserError, match=r"config.yaml: written by dsnjax 99.0.1, this is .*; upgr"):
        settings.load(str(file))
    file.write_text("# Written by dsnjax 0.0.9\nseed: 1\n")
    assert settings.load(str(file)) == {"seed": 1}


def test_what_is_dumped_is_loaded_again(tmp_path: Path):
    (tmp_path / "config.yaml").write_text(settings.dump(Config(seed=3)))
    assert settings.check(Config, settings.load(str(tmp_path / "config.yaml"))) == Config(seed=3)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {
            "seed": 3,
            "data": {"store": "S", "levels": ["order", "time"], "augment": {"flip": False}},
        },
        {
            "data": {"noise": {"filter": "all", "recognized": True}, "split": {"fixed": 512}},
            "loss": {"alpha": 0.0},
        },
        {
            "init": {"model": "m", "freeze": ["cnn", "rnn"]},
            "model": {"cnn": {"widths": [8, 16, 32]}},
        },
    ],
    ids=str,
)
def test_the_command_of_a_run_trains_the_same(values):
    wanted = settings.check(Config, settings.over(settings.load("dsn_small"), values))
    words = settings.command(wanted).split()[2:]
    assert len(words) < 14
    found = flags.parse(Train, words, main.base(words))
    assert settings.check(Config, found.model_dump(include=set(Config.model_fields))) == wanted
