import errno
import json
import os
import re
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from dsnjax import main, presets
from dsnjax.commands import COMMANDS
from dsnjax.data import synthetic

ROOT = Path(__file__).parents[1]


def say(capsys, *words):
    """Exit code, standard output and standard error of a command."""
    code = main.main([str(word) for word in words])
    return code, *capsys.readouterr()


def test_help_names_every_command(capsys):
    code, out, _ = say(capsys, "--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in COMMANDS)


def test_it_says_its_version(capsys):
    assert say(capsys, "--version") == (0, f"dsnjax {metadata.version('dsnjax')}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(capsys, name):
    with pytest.raises(SystemExit) as end:
        main.main([name, "--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert f"Example: dsnjax {name}" in out
    assert "execute" not in out


@pytest.mark.parametrize(("command", "folder"), [("train", "."), ("sweep", "sweeps")])
def test_help_names_every_config_that_ships(capsys, command, folder):
    with pytest.raises(SystemExit):
        main.main([command, "--help"])
    said = capsys.readouterr().out
    there = (presets.folder() / folder).glob("*.yaml")
    assert all(re.search(rf"\b{file.stem}\b", said) for file in there)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["prepar"], 2, "prepar: no such command; nearest is prepare"),
        (["train", "--config", "dsn_pls"], 2, "no such preset; nearest is dsn_plus"),
        (["--optim.learnin-rate", "1"], 2, "nearest is --optim.learning-rate"),
        (["train", "--workers", "2"], 2, "--workers goes with --engine ray"),
        (["evaluate"], 2, "workdir: wants a value: --workdir; see --help"),
        (["prepare", "--store", "S"], 2, "no SOURCE; name files or folders of drawings"),
        (["predict", "--workdir", "a", "--model", "b"], 2, "are both given; want one"),
        (["predict", "--model", "nowhere", "x"], 2, "nowhere: no model here"),
        (["predict", "--balanced"], 2, "--balanced goes with --submission"),
        (["predict", "--submission", "s", "--top", "5"], 2, "--top does not go with --submission"),
        (["prepare", "x", "--store", "S", "--verify"], 2, "--verify reads a store, and does noth"),
        (["report", "--workdir", "a", "b", "--figure", "f"], 2, "--figure is one file of one sto"),
        (["draw", "nowhere", "--dest", "D"], 2, "nowhere: No such file or directory; give a file"),
        (["evaluate", "--workdir", "nowhere"], 4, "nowhere: no run here"),
        (["train", "--data.store", "nowhere", "--workdir", "W"], 2, "nowhere: no store here"),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(
    capsys, monkeypatch, tmp_path, words, code, message
):
    monkeypatch.chdir(tmp_path)
    got, out, err = say(capsys, *words)
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert err.startswith("dsnjax: ")
    assert message in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("init: 5", "c.yaml: init: got 5; input should be a valid"),
        ("data: 5", "c.yaml: data: got 5; input should be a valid"),
        ("config: dsn", "c.yaml: config: no such setting"),
        ("run: {epochs: 2020-99-99}", "c.yaml: not YAML: month must be in 1..12"),
        ("[" * 3000, "c.yaml: not YAML: maximum recursion"),
    ],
    ids=["init", "data", "config", "date", "nested"],
)
def test_a_config_of_wrong_form_is_one_line(capsys, tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    code, out, err = say(capsys, "--config", tmp_path / "c.yaml", "--data.length", "9")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_destination_that_is_something_else_is_one_line(capsys, tmp_path):
    (tmp_path / "a.ndjson").write_text('{"drawing": [[[0, 9], [0, 9]]]}')
    words = ["draw", tmp_path / "a.ndjson", "--dest", tmp_path / "a.ndjson"]
    code, _, err = say(capsys, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert "a.ndjson/1.png: cannot be written (File exists); name another" in err


@pytest.mark.fault
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "full", "a/b.tmp"), 75, "a/b.tmp: full; make room; the same comma"),
        (OSError(errno.ENOSPC, "full"), 75, "full; make room; the same command goes on"),
        (OSError(errno.EDQUOT, "quota", "a"), 75, "a: quota; make room; the same command goes on"),
        (OSError(errno.EROFS, "read-only", "a"), 2, "a: read-only; name another place"),
        (OSError(errno.EACCES, "denied", "a"), 2, "a: denied; name another place"),
        (KeyboardInterrupt(), 75, "interrupted; the same command goes on"),
    ],
)
def test_what_comes_from_outside_is_one_line(capsys, monkeypatch, error, code, said):
    def refuse(words):
        raise error

    monkeypatch.setattr(main, "run", refuse)
    got, out, err = say(capsys, "train")
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(f"dsnjax: {said}")


def test_other_trouble_with_files_is_a_bug_with_its_traceback(monkeypatch):
    def lose(words):
        raise FileNotFoundError(errno.ENOENT, "gone", "x")

    monkeypatch.setattr(main, "run", lose)
    with pytest.raises(FileNotFoundError):
        main.main(["train"])


def test_a_launchers_signal_ends_a_command_as_ctrl_c_does(capsys, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(main, "run", lambda words: os.kill(os.getpid(), signal.SIGTERM))
    assert main.main(["prepare"]) == 75
    assert capsys.readouterr().err == "dsnjax: interrupted; the same command goes on\n"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "words", ["report --workdir a", "report --store {}", "sweep --config alpha --workdir W"]
)
def test_a_page_without_its_extra_is_refused_before_any_work(made_up, tmp_path, words):
    code = """import sys
sys.modules.update({"jinja2": None, "markupsafe": None})
from dsnjax.main import main
sys.exit(main(sys.argv[1:]))"""
    run = subprocess.run(
        [sys.executable, "-c", code, *words.format(made_up).split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr.count("\n")) == (2, 1), run.stderr
    assert "pip install 'dsnjax[report]'" in run.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_from_files_of_drawings_to_named_drawings(capsys, tmp_path, tiny):
    drawings, store, run, model = (
        tmp_path / name for name in ("drawings", "store", "run", "model")
    )
    synthetic.write(drawings, 20, seed=2)
    names = ",".join(synthetic.categories())
    words = ["prepare", drawings, "--store", store, "--categories", names, "--jobs", "1"]
    assert say(capsys, *words)[0] == 0

    values = tiny.model_dump(mode="json")
    values["data"]["store"] = str(store)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    code, trained, _ = say(capsys, "--config", tmp_path / "mine.yaml", "--workdir", run)
    assert code == 0
    assert trained.startswith("test: MAP@3 0.")

    code, measured, _ = say(capsys, "evaluate", "--workdir", run)
    assert (code, measured) == (0, trained)
    assert say(capsys, "train", "--workdir", run)[1] == trained

    assert say(capsys, "bundle", "--workdir", run, "--dest", model)[0] == 0
    code, out, _ = say(capsys, "predict", "--model", model, run / "drawings.ndjson", "--top", "2")
    answers = [json.loads(line) for line in out.splitlines()]
    rows = (run / "drawings.ndjson").read_text().splitlines()
    assert [one["key_id"] for one in answers] == [json.loads(row)["key_id"] for row in rows]
    assert all(len(one["top"]) == 2 for one in answers)
