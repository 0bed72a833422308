import io
import json
import re
from functools import partial

from rich.console import Console

from dsnjax import tracking


def test_lines_beyond_the_step_gone_back_to_are_taken_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 2, "loss": 1}\n{"step": 4, "loss": 0.5}\n{"step": 6, "lo')
    metrics = tracking.Metrics(path, 3)
    metrics.write(4, loss=0.25)
    metrics.close()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert found == [{"step": 2, "loss": 1}, {"step": 4, "loss": 0.25}]


def test_a_bar_is_silent_where_there_is_no_terminal(capsys):
    with tracking.bar("training", 3) as bar:
        assert list(bar.watched([1, 2, 3])) == [1, 2, 3]
        bar.say("epoch 1")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "epoch 1\n")


def test_a_bar_on_a_terminal_shows_steps_time_left_and_figures_below_what_is_said(monkeypatch):
    screen = io.StringIO()
    terminal = partial(Console, file=screen, force_terminal=True, width=120)
    monkeypatch.setattr(tracking, "Console", lambda stderr, quiet: terminal(quiet=quiet))
    with tracking.bar("training", 9, 4) as bar:
        bar.advance()
        bar.note("loss 0.500")
        bar.say("epoch 1")
    said, *_, shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", screen.getvalue()).splitlines()
    assert "epoch 1" in said
    assert re.fullmatch(r"training .* 5/9 (-|\d)[-:\d]+ loss 0\.500 *", shown)


def test_a_narrow_terminal_loses_the_end_of_the_note_and_not_the_steps(monkeypatch):
    screen = io.StringIO()
    terminal = partial(Console, file=screen, force_terminal=True, width=60)
    monkeypatch.setattr(tracking, "Console", lambda stderr, quiet: terminal(quiet=quiet))
    with tracking.bar("training", 12_286, 1_141) as bar:
        bar.note("loss 1.048  412/s  0.155 s a step  0% waiting for data")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", screen.getvalue()).splitlines()[-1]
    assert re.search(r"training +1141/12286 +-:--:-- loss 1\.048  412/s", shown)
