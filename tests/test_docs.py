"""Every command that a page, a preset or a help text shows is one that the program takes.

Read are a page's sh blocks, line by line, and its code spans, with the variables that it sets.
Left out is what holds `...`, which stands for what is not said, or asks for --help; of a command's
bare name only the name is looked up.
"""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from string import Template

import pytest

from dsnjax import flags, main, sweep
from dsnjax.commands import COMMANDS, Sweep, Train
from dsnjax.errors import UserError

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "dsnjax/pretrained/README.md"]
PAGES += [f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md"))]
# What a page writes for any number, preset or sweep; and the preset that its sed begins with.
STANDS_FOR = {"N": "2", "NAME": "dsn", "FILE": "alpha", "scratch.yaml": "finetune"}
WRITTEN = re.compile(r"cat > (\S+) <<'END'\n(.*?)END\n", re.DOTALL)  # files that a block makes


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def shown(text: str) -> Iterator[str]:
    """The commands of a page, in order, their variables filled in."""
    variables = {}
    text = WRITTEN.sub("", text).replace("\\\n", " ")
    for kind, block, span in re.findall(r"```(\w*)\n(.*?)```|`([^`]+)`", text, re.DOTALL):
        for line in block.splitlines() if kind == "sh" else [span]:
            filled = Template(line).safe_substitute(variables)
            if found := re.match(r'(\w+)="(.*?)"', filled):
                variables[found[1]] = found[2]
            elif re.search(r"(^|\s)dsnjax ", filled) and not re.search(r"\.\.\.|--help", filled):
                yield filled


def elsewhere() -> Iterator[str]:
    """The commands of presets and of help texts."""
    for file in sorted((ROOT / "configs").rglob("*.yaml")):
        yield from re.findall(r"^# +(dsnjax .*)", file.read_text(encoding="utf-8"), re.MULTILINE)
    for schema in COMMANDS.values():
        yield from re.findall(r"Example: (.*)", schema.__doc__ or "")


def take(command: str) -> None:
    """Parses a line of a shell as the program would, and plans a sweep; runs nothing."""
    words = shlex.split(command, comments=True)
    words = words[words.index("dsnjax") + 1 :]
    name, *rest = takewhile(lambda word: word not in "|>", words)
    schema = COMMANDS[name]
    if rest:
        rest = [STANDS_FOR.get(word, word) for word in rest]
        found = flags.parse(schema, rest, main.base(rest) if schema is Train else None)
        if isinstance(found, Sweep):
            sweep.plan(found.config, sweep.assigned(found.set), found.base)


CASES = [(page, command) for page in PAGES for command in shown(read(page))]


@pytest.mark.parametrize(("page", "command"), CASES)
def test_a_page_shows_commands_that_the_program_takes(page, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in WRITTEN.findall(read(page)):
        Path(name).write_text(text)
    take(command)


def test_no_two_of_the_runs_with_results_share_a_work_directory():
    runs = {}
    for command in (one for page in ("results", "paper") for one in shown(read(f"docs/{page}.md"))):
        if found := re.search(r"dsnjax (?:train|sweep) .*--workdir (\S+)", command):
            assert runs.setdefault(found[1], command) == command
    assert len(runs) > 30


@pytest.mark.parametrize("command", [*elsewhere()])
def test_presets_and_help_show_commands_that_the_program_takes(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    take(command)


def test_what_a_page_shows_is_found_and_misspelt_options_are_refused():
    page = """`dsnjax serve`, `R`, `--seed`, `dsnjax train ...`
```sh
R="dsnjax train --config cnn"    # of all
X=1 $R --sed 1 \\
    --workdir W | head
```
```
dsnjax no block of a shell
```
`$R --workdir V`"""
    serve, wrong, right = shown(page)
    take(serve)
    take(right)
    with pytest.raises(UserError, match=r"--sed: no such option; nearest is --seed"):
        take(wrong)
