"""That the benchmark of servers leaves none behind."""

import importlib
import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
bench_serve = importlib.import_module("bench_serve")

SERVER = """
import os, pathlib, signal, sys
if sys.argv[-1] == "dsnjax":
    sys.exit("broken")
pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
print(1, flush=True)
signal.pause()
"""


def test_a_server_that_does_not_start_leaves_no_other_alive(tmp_path, monkeypatch):
    pytest.importorskip("fastapi")
    (tmp_path / "server.py").write_text(SERVER)
    monkeypatch.setattr(bench_serve, "__file__", str(tmp_path / "server.py"))
    monkeypatch.setattr(sys, "argv", ["bench_serve", "--quick"])
    with pytest.raises(ValueError, match="invalid literal"):
        bench_serve.main()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
