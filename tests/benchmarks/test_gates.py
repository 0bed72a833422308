import importlib
import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
gates = importlib.import_module("gates")


@pytest.fixture
def finish(tmp_path):
    def run(*found, options=()):
        chosen = gates.options("").parse_args(["--json", str(tmp_path / "a.json"), *options])
        return gates.finish(chosen, found), json.loads((tmp_path / "a.json").read_text())

    return run


def test_the_json_names_machine_command_and_gates(finish):
    code, report = finish(gates.at_least("speed", 20.04, 13), gates.at_most("error", 2, 1))
    assert code == 0
    assert set(report) == {"machine", "command", "gates"}
    assert report["gates"] == [
        {"name": "speed", "ratio": 20.04, "gate": 13, "met": True},
        {"name": "error", "ratio": 2, "gate": 1, "met": False},
    ]


@pytest.mark.parametrize(("ratio", "code"), [(13, 0), (12.9, 1)])
def test_check_exits_with_1_below_a_gate(finish, ratio, code):
    assert finish(gates.at_least("speed", ratio, 13), options=["--check"])[0] == code


def test_every_rival_has_its_turn_in_every_round():
    calls = []
    rivals = {name: lambda number, name=name: calls.append((name, number)) or 1 for name in "ab"}
    seconds = gates.take_turns(rivals, rounds=2)
    assert calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert [len(times) for times in seconds.values()] == [2, 2]


def test_ratios_are_taken_within_rounds():
    assert gates.times_faster([10, 30, 200], [1, 3, 10]) == 10


def test_a_table_is_markdown(capsys):
    gates.show("Title", ("a", "long name"), [(1, 0.12345)])
    assert (
        capsys.readouterr().out
        == "\nTitle\n\n| a | long name |\n| - | --------- |\n| 1 | 0.123     |\n"
    )
