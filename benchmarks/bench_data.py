"""How fast files of drawings become a store, beside the paper's way, by form and by workers.

    python benchmarks/bench_data.py --drawings PATH --json data.json --check

PATH is an .ndjson file of simplified drawings, a folder of them, or a folder in the layout of the
official bucket (`full/simplified`, and `full/raw` to measure raw ones). Without it the drawings
are made up. Rivals take turns, so only ratios within a run mean something.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import gates
import paper
import sources

from dsnjax.data import prepare
from dsnjax.data.store import Store

WORD = "cat"  # of all of them, since .bin files name theirs by the file alone
COUNT, MANY = 20_000, 500_000
HEAD = struct.Struct("<Q2sBIH")  # key_id, country, recognized, seconds, strokes


def main() -> int:
    parser = gates.options("How fast files of drawings become a store")
    parser.add_argument("--drawings", type=Path, metavar="PATH", help=sources.HELP)
    chosen = parser.parse_args()
    count, many, rounds = (4_000, MANY, 3) if chosen.quick else (COUNT, MANY, 7)
    rows = [
        row | {"word": WORD, "key_id": str(number)}
        for number, row in enumerate(sources.rows(chosen.drawings, count), 1 << 52)
    ]
    kind = chosen.drawings.name if chosen.drawings else "made-up"
    libraries = gates.version("numpy", "numba", "pandas", "opencv-python-headless")
    print(f"{gates.machine()}; {libraries}")
    print(f"{count:,} drawings ({kind}), {many:,} by tiling them for the workers; one core")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = against_paper(rows, folder, rounds)
        forms(rows, chosen.drawings, folder, rounds)
        found += workers(rows, many, folder, 1 if chosen.quick else 3)
    return gates.finish(chosen, found)


def preparing(source: Path, units: int) -> gates.Turn:
    """All of a file into a store, by this process."""
    store = source.with_suffix(".store")

    def turn(number: int) -> int:
        shutil.rmtree(store, ignore_errors=True)
        prepare.prepare([source], store, [WORD], jobs=1)
        return units

    return turn


# ---------------------------------------------------------------------- the paper's way


def against_paper(rows: list[dict], folder: Path, rounds: int) -> list[gates.Gate]:
    """ndjson to a store with entropies, and CSV to entropies alone."""
    part = rows[:1000]  # theirs takes so much longer
    ours, theirs = ndjson(rows, folder / "all.ndjson"), kaggle(part, folder / "part.csv")

    def turn(number: int) -> int:
        paper.filtered(theirs)
        return len(part)

    if not gates.rival("-e .[bench]", lambda: turn(0)):
        return []
    rivals = {"dsnjax prepare": preparing(ours, len(rows)), "the paper's way": turn}
    turns = gates.take_turns(rivals, rounds)
    gates.rates("From files to entropies", turns, "dsnjax prepare")
    faster = gates.times_faster(turns["the paper's way"], turns["dsnjax prepare"])
    return [gates.at_least("prepare_vs_paper", faster, 8)]


# -------------------------------------------------------------------------------- forms


def forms(rows: list[dict], path: Path | None, folder: Path, rounds: int) -> None:
    """The same drawings in every form, and raw ones where the path has some."""
    files = {
        "simplified .ndjson": (ndjson(rows, folder / f"{WORD}.ndjson"), len(rows)),
        "... .ndjson.gz": (compressed(folder / f"{WORD}.ndjson"), len(rows)),
        "... .csv, Kaggle's": (kaggle(rows, folder / f"{WORD}.csv"), len(rows)),
        "... .bin": (binary(rows, folder / f"{WORD}.bin"), len(rows)),
    }
    if path and (path / "full" / "raw").is_dir():
        raw = [json.loads(line) for file in sources.files(path, "raw") for line in file.open()]
        raw = [row | {"word": WORD} for row in raw[: len(rows)]]
        files["raw .ndjson, simplified"] = ndjson(raw, folder / "raw" / f"{WORD}.ndjson"), len(raw)
    turns = gates.take_turns(
        {name: preparing(file, count) for name, (file, count) in files.items()}, rounds
    )
    gates.rates("By form", turns, "simplified .ndjson")
    store = folder / f"{WORD}.store"
    size = sum(file.stat().st_size for file in store.iterdir())
    print(f"\nThe store: {size / len(Store.open(store)):.0f} bytes a drawing")


def ndjson(rows: Iterable[dict], file: Path) -> Path:
    file.parent.mkdir(exist_ok=True)
    with file.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    return file


def compressed(file: Path) -> Path:
    packed = file.with_name(f"{file.name}.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    return packed


def kaggle(rows: Sequence[dict], file: Path) -> Path:
    names = ("countrycode", "drawing", "key_id", "recognized", "timestamp", "word")
    with file.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(names)
        for row in rows:
            known = row | {"drawing": json.dumps(row["drawing"])}
            table.writerow([known.get(name, "") for name in names])
    return file


def binary(rows: Sequence[dict], file: Path) -> Path:
    with file.open("wb") as out:
        for row in rows:
            country = (row.get("countrycode") or "").encode()
            recognized, strokes = bool(row.get("recognized")), row["drawing"]
            out.write(HEAD.pack(int(row["key_id"]), country, recognized, 0, len(strokes)))
            for xs, ys in strokes:
                out.write(struct.pack("<H", len(xs)) + bytes(xs) + bytes(ys))
    return file


# ------------------------------------------------------------------------------ workers


def workers(rows: list[dict], many: int, folder: Path, rounds: int) -> list[gates.Gate]:
    """The command itself, with one worker and with two."""
    source = ndjson(tiled(rows, many), folder / "many" / f"{WORD}.ndjson")
    most = {}

    def turn(jobs: int) -> gates.Turn:
        store = folder / f"store{jobs}"
        command = [sys.executable, "-m", "dsnjax.main", "prepare", str(source), "--store"]
        command += [str(store), "--categories", WORD, "--jobs", str(jobs)]

        def run(number: int) -> int:
            shutil.rmtree(store, ignore_errors=True)
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(f"dsnjax prepare ended with {process.returncode}")
            most[jobs] = usage.ru_maxrss
            return many

        return run

    one, two = "one worker", "two workers"
    turns = gates.take_turns({one: turn(1), two: turn(2)}, rounds)
    gates.rates(f"The whole command, {many:,} drawings", turns, one)
    memory = most[1] * (1 if sys.platform == "darwin" else 1024)
    print(f"\nMost memory of one worker, which joins the shards as well: {memory / 1e6:.0f} MB")
    return [gates.at_least("prepare_scaling", gates.times_faster(turns[one], turns[two]), 1.4)]


def tiled(rows: list[dict], many: int) -> Iterable[dict]:
    """`many` rows: each again and again with another key_id and its first point elsewhere."""
    for number in range(many):
        again, place = divmod(number, len(rows))
        row = rows[place]
        (xs, ys), *strokes = row["drawing"]
        first = [(xs[0] + again) % 256, *xs[1:]]
        yield row | {"key_id": str((1 << 53) + number), "drawing": [[first, ys], *strokes]}


if __name__ == "__main__":
    sys.exit(main())
