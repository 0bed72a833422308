import gzip
import hashlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from dsnjax import config, files, tracking
from dsnjax.data import formats, join, prepare, shards
from dsnjax.data.store import Store
from dsnjax.errors import DataError, Interrupted, UserError

LINE = [[[0, 255], [0, 255]]]


def row(drawing=LINE, **fields) -> str:
    return json.dumps({"drawing": drawing, **fields})


def dot(x: int, y: int) -> list:
    return [[[x, x], [y, y]]]


def write(folder: Path, **texts: str | list) -> Path:
    """Files of rows: cat=[...] is cat.ndjson."""
    folder.mkdir(exist_ok=True)
    for name, rows in texts.items():
        text = rows if isinstance(rows, str) else "\n".join(rows) + "\n"
        (folder / f"{name}.ndjson").write_text(text)
    return folder


def many(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        row([rng.integers(0, 256, (2, rng.integers(1, 9))).tolist() for _ in range(3)])
        for _ in range(count)
    ]


def checksums(store: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(store.iterdir())
    }


def shown(summary: prepare.Summary) -> str:
    """The words of the summary's table."""
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary.table(config.Noise(), config.Split()))
    return " ".join(console.export_text().replace("│", "").split())


@pytest.fixture
def small_ranges(monkeypatch):
    monkeypatch.setattr(prepare, "RANGE", 1000)


def test_word_names_the_category_and_else_the_file(tmp_path):
    source = write(tmp_path / "in", cat=[row(dot(1, 1)), row(dot(2, 2), word="dog")])
    prepare.prepare([source], tmp_path / "s", "cat,dog", jobs=1)
    assert Store.open(tmp_path / "s").label.tolist() == [0, 1]


def test_rows_of_other_categories_are_counted_and_left_out(tmp_path):
    source = write(tmp_path / "in", mixed=[row(word="cat"), row(word="dog"), row(word="owl")])
    counts = prepare.prepare([source], tmp_path / "s", "dog", jobs=1).manifest.counts
    assert (counts.rows, counts.kept, counts.other, counts.rejected) == (3, 1, 2, {})


def test_official_layout_is_found_and_other_categories_are_not_read(tmp_path):
    (tmp_path / "full").mkdir()
    write(tmp_path / "full" / "simplified", cat=[row()], dog="no JSON at all")
    assert prepare.prepare([tmp_path], tmp_path / "s", "cat", jobs=1).manifest.counts.rows == 1


def test_raw_files_of_a_bucket_are_read_where_times_are_kept(tmp_path):
    (tmp_path / "full").mkdir()
    write(tmp_path / "full" / "simplified", cat=[row()])
    write(tmp_path / "full" / "raw", cat=[row([[[0, 9], [0, 5], [0, 70]]])])
    prepare.prepare([tmp_path], tmp_path / "s", "cat", jobs=1, times=True)
    times = Store.open(tmp_path / "s").packed.times
    assert times is not None and times.tolist() == [0, 70]


def test_own_folder_in_every_form_makes_categories_of_its_files(tmp_path):
    source = write(tmp_path / "in", house=[row()], tree=[row([[[0.0, 9.5], [0, 2], [0, 5]]])])
    (source / "boat.csv").write_text('drawing\n"[[[1], [2]]]"\n')
    (source / "sun.ndjson.gz").write_bytes(gzip.compress(row(dot(3, 3)).encode()))
    moon = bytes(15) + b"\1\0" + b"\1\0" + bytes([7, 8])
    (source / "moon.bin.gz").write_bytes(gzip.compress(moon))
    (source / "readme.txt").write_text("not a drawing")
    prepare.prepare([source], tmp_path / "s", jobs=1)
    store = Store.open(tmp_path / "s")
    assert store.categories == ("boat", "house", "moon", "sun", "tree")
    assert store.label.tolist() == [0, 1, 2, 3, 4]
    assert store.take(np.array([0, 2, 3])).unpack() == [[[[1], [2]]], [[[7], [8]]], dot(3, 3)]


def test_ends_of_names_may_be_in_capitals(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "RANGE", 9)
    folder = tmp_path / "in"
    folder.mkdir()
    moon = bytes(15) + b"\1\0" + b"\1\0" + bytes([7, 8])
    (folder / "boat.CSV").write_text('drawing\n"[[[1], [2]]]"\n')
    (folder / "moon.BIN.Gz").write_bytes(gzip.compress(moon))
    (folder / "star.Bin").write_bytes(moon)
    (folder / "sun.NDJSON.GZ").write_bytes(gzip.compress(row(dot(3, 3)).encode()))
    prepare.prepare([folder], tmp_path / "s", jobs=1)
    store = Store.open(tmp_path / "s")
    assert store.categories == ("boat", "moon", "star", "sun")
    assert store.packed.unpack() == [[[[1], [2]]], [[[7], [8]]], [[[7], [8]]], dot(3, 3)]


def test_times_of_raw_drawings_are_kept_on_request(tmp_path):
    raw = [
        [[[0, 10, 20], [0, 5, 0], [100, 110, 130]], [[0, 20], [20, 20], [150, 190]]],
        [[[4], [5], [6]]],
    ]
    source = write(tmp_path / "in", cat=[row(drawing) for drawing in raw])
    prepare.prepare([source], tmp_path / "s", "cat", jobs=1, times=True)
    store = Store.open(tmp_path / "s")
    assert store.packed.times is not None
    first, second = store.take(np.array([0, 1])).unpack()
    assert [stroke[2][0] for stroke in first] == [0, 50] and first[1][2][-1] == 90
    assert set(second[0][2]) == {0}
    prepare.prepare([source], tmp_path / "without", "cat", jobs=1)
    assert Store.open(tmp_path / "without").packed.times is None


def test_times_that_run_backwards_are_kept_counted_and_shown(tmp_path):
    fine, back, negative = (
        [[[0, 9, 20], [0, y, 0], ts]] for y, ts in enumerate(([0, 5, 9], [0, 9, 5], [-1, 5, 9]))
    )
    source = write(tmp_path / "in", cat=[row(fine), row(dot(1, 1) + dot(2, 2))])
    (source / "dog.ndjson").write_text("\n".join([row(back), row(negative)]))
    summary = prepare.prepare([source], tmp_path / "s", jobs=1)
    assert summary.manifest.counts.backwards == 2 and summary.manifest.counts.kept == 4
    assert "with times that run backwards, not left out 2" in shown(summary)


def test_rows_without_times_are_bad_where_times_were_asked_for(tmp_path):
    source = write(tmp_path / "in", cat=[row()])
    with pytest.raises(DataError, match=r"1 of 1 rows are bad.*times at \$\.drawing"):
        prepare.prepare([source], tmp_path / "s", "cat", jobs=1, times=True)


def test_shard_that_is_told_to_stop_is_not_there(tmp_path):
    source, stop = write(tmp_path / "in", cat=[row()]), threading.Event()
    stop.set()
    with pytest.raises(Interrupted, match="prepare: stopped; the same command goes on"):
        shards.convert(shards.Range(0, str(source / "cat.ndjson")), ("cat",), tmp_path, stop=stop)
    assert list(tmp_path.iterdir()) == [source]


def test_damaged_gzip_ends_in_no_store(tmp_path):
    source = write(tmp_path / "in", dog=[row()])
    (source / "cat.ndjson.gz").write_bytes(gzip.compress("\n".join(many(99)).encode())[:-20])
    with pytest.raises(DataError, match=r"cat\.ndjson\.gz: damaged"):
        prepare.prepare([source], tmp_path / "s", "cat,dog", jobs=1)
    assert not (tmp_path / "s" / "manifest.json").exists()


@pytest.mark.usefixtures("small_ranges")
def test_bytes_do_not_depend_on_the_jobs_nor_on_where_files_are_cut(tmp_path, monkeypatch):
    source = write(tmp_path / "in", cat=many(60), dog=many(40, 1))
    prepare.prepare([source], tmp_path / "a", "cat,dog", jobs=1)
    prepare.prepare([source], tmp_path / "b", "cat,dog", jobs=2)
    monkeypatch.setattr(prepare, "RANGE", 1 << 20)
    prepare.prepare([source], tmp_path / "c", "cat,dog", jobs=1)
    assert checksums(tmp_path / "a") == checksums(tmp_path / "b") == checksums(tmp_path / "c")
    assert len(Store.open(tmp_path / "a")) == 100


@pytest.mark.parametrize("size", range(1, 40, 3))
def test_every_row_is_read_once_wherever_a_file_is_cut(tmp_path, monkeypatch, size):
    monkeypatch.setattr(prepare, "RANGE", size)
    drawings = [dot(i, i) for i in range(5)]
    source = write(tmp_path / "in", cat="\r\n\n".join(row(drawing) for drawing in drawings))
    prepare.prepare([source], tmp_path / "s", "cat", jobs=1)
    assert Store.open(tmp_path / "s").packed.unpack() == drawings


def test_parts_of_a_shard_join_to_the_same_store(tmp_path, monkeypatch):
    source = write(tmp_path / "in", cat=many(50))
    prepare.prepare([source], tmp_path / "a", "cat", jobs=1)
    monkeypatch.setattr(shards, "BATCH", 7)
    monkeypatch.setattr(shards, "PART", 10)
    prepare.prepare([source], tmp_path / "b", "cat", jobs=1)
    assert checksums(tmp_path / "a") == checksums(tmp_path / "b")


@pytest.mark.usefixtures("small_ranges")
def test_bad_rows_are_counted_by_reason_and_described(tmp_path):
    rows = many(100)
    rows[70], rows[80], rows[90] = row([]), rows[80][:-5], row([[[300], [0]]])
    source = write(tmp_path / "in", cat=rows)
    summary = prepare.prepare([source], tmp_path / "s", "cat", jobs=1, max_reject_share=0.03)
    counts = summary.manifest.counts
    assert counts.rejected == {"empty": 1, "range": 1, "truncated": 1}
    assert (counts.rows, counts.kept) == (100, 97)
    told = [json.loads(line) for line in (tmp_path / "s/rejects.ndjson").read_text().splitlines()]
    assert [(one["line"], one["reason"], one["path"]) for one in told] == [
        (71, "empty", "$.drawing"),
        (81, "truncated", "$"),
        (91, "range", "$.drawing[0][0][0]"),
    ]
    assert {one["file"] for one in told} == {str(source / "cat.ndjson")}


def test_too_many_bad_rows_are_bad_data_and_a_higher_share_goes_on(tmp_path):
    source = write(tmp_path / "in", cat=[*many(9), "{"])
    with pytest.raises(DataError, match=r"1 of 10 rows are bad.*the first: .*cat.ndjson:10: trunc"):
        prepare.prepare([source], tmp_path / "s", "cat", jobs=1)
    with pytest.raises(UserError, match="no store here"):
        Store.open(tmp_path / "s")
    prepare.prepare([source], tmp_path / "s", "cat", jobs=1, max_reject_share=0.1)
    assert len(Store.open(tmp_path / "s")) == 9


def test_first_of_two_equal_drawings_is_kept(tmp_path):
    source = write(
        tmp_path / "in",
        cat=[row(dot(1, 1), key_id="5"), row(dot(2, 2)), row(dot(1, 1)), row(dot(2, 2))],
        dog=[row(dot(3, 3), key_id="5"), row(dot(2, 2)), row(dot(4, 4))],
    )
    counts = prepare.prepare([source], tmp_path / "s", "cat,dog", jobs=1).manifest.counts
    store = Store.open(tmp_path / "s")
    assert counts.duplicates == {"key_id": 1, "strokes": 2} and counts.kept == 4
    assert store.packed.unpack() == [dot(1, 1), dot(2, 2), dot(2, 2), dot(4, 4)]
    assert store.label.tolist() == [0, 0, 1, 1]


def test_equal_strokes_in_two_categories_share_the_hash_so_that_no_split_parts_them(tmp_path):
    source = write(tmp_path / "in", cat=[row(key_id="5")], dog=[row(key_id="6"), row(dot(1, 1))])
    prepare.prepare([source], tmp_path / "s", "cat,dog", jobs=1)
    hash = Store.open(tmp_path / "s").hash
    assert hash[0] == hash[1] != hash[2]


def test_duplicates_are_those_a_set_finds():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 500).astype(np.uint16)
    key_id = rng.integers(0, 300, 500).astype(np.uint64) * (rng.random(500) < 0.5)
    strokes = rng.choice(rng.integers(0, 2**64, 200, np.uint64), 500)
    keep, hash, duplicates = join.unique(label, key_id.astype(np.uint64), strokes)
    keys, drawn, expected = set(), set(), np.zeros(500, bool)
    for i, (a, b, c) in enumerate(zip(label, key_id, strokes, strict=True)):
        if b and b in keys:
            continue
        keys.add(b)
        expected[i] = (a, c) not in drawn
        drawn.add((a, c))
    assert np.array_equal(keep, expected)
    assert sum(duplicates.values()) == 500 - keep.sum()
    of_strokes = {}
    assert all(
        of_strokes.setdefault(s, h) == h for s, h in zip(strokes[keep], hash[keep], strict=True)
    )


@pytest.mark.parametrize(
    ("categories", "words"),
    [
        ("cat,dgo", "category 'dgo': the sources hold no drawing of it; did you mean 'dog'"),
        ("cat,owl", "category 'owl': the sources hold no drawing of it; their rows say dog: "),
    ],
)
def test_category_without_drawings_is_named_with_what_was_meant(tmp_path, categories, words):
    source = write(tmp_path / "in", mixed=[row(word="cat"), row(word="dog")])
    with pytest.raises(UserError, match=words):
        prepare.prepare([source], tmp_path / "s", categories, jobs=1)


@pytest.mark.parametrize(
    ("name", "words"),
    [("nowhere", "nowhere: no such file or folder"), ("empty", "no files of drawings here")],
)
def test_source_without_files_is_refused(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=words):
        prepare.prepare([tmp_path / name], tmp_path / "s", "cat", jobs=1)


def test_second_call_changes_nothing_and_other_categories_are_refused(tmp_path):
    source = write(tmp_path / "in", cat=[row()], dog=[row(dot(1, 1))])
    first = prepare.prepare([source], tmp_path / "s", "cat,dog", jobs=1)
    before = checksums(tmp_path / "s")
    assert prepare.prepare([source], tmp_path / "s", "cat,dog", jobs=1) == first
    assert checksums(tmp_path / "s") == before
    with pytest.raises(UserError, match="holds a store of other files, or was made with other"):
        prepare.prepare([source], tmp_path / "s", "dog,cat", jobs=1)


@pytest.mark.usefixtures("small_ranges")
def test_finished_shards_are_not_made_again_and_a_damaged_one_is(tmp_path):
    source = write(tmp_path / "in", cat=many(60))
    prepare.prepare([source], tmp_path / "a", "cat", jobs=1)
    work = tmp_path / "b" / ".work"
    with pytest.raises(DataError):  # stops when all shards are made
        prepare.prepare(
            [write(tmp_path / "in2", cat=[*many(60), "{"])], tmp_path / "b", "cat", jobs=1
        )
    made = {file.name: file.stat().st_mtime_ns for file in work.glob("*/0*.npz")}
    first = next(work.glob(f"*/{min(made)}"))
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    prepare.prepare([tmp_path / "in2"], tmp_path / "b", "cat", jobs=1, max_reject_share=1)
    a, b = checksums(tmp_path / "a"), checksums(tmp_path / "b")
    assert len(made) > 5 and a["points.npy"] == b["points.npy"]
    assert not work.exists()


@pytest.mark.usefixtures("small_ranges")
def test_rate_is_of_the_rows_read_now_not_of_those_that_lay_there(tmp_path, monkeypatch):
    source, said = write(tmp_path / "in", cat=many(60)), []
    plan = prepare._plan([source], ("cat",), False)
    monkeypatch.setattr(tracking.Bar, "note", lambda self, text: said.append(text))

    def last_said():
        seconds = iter(range(1000))  # one for each shard
        monkeypatch.setattr(prepare, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
        prepare._converted(plan, tmp_path, 1, "local")
        return said[-1]

    count = len(plan.ranges)
    assert count > 5 and last_said() == f"60 drawings  {60 / count:,.0f}/s"
    lost = shards.finished(0, tmp_path)
    assert lost is not None
    shards.sidecar_file(0, tmp_path).unlink()
    assert last_said() == f"60 drawings  {lost.counts.rows / count:,.0f}/s"


def test_full_disk_ends_without_a_store_and_the_next_run_goes_on(tmp_path):
    source = write(tmp_path / "in", cat=many(20))
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "points.npy").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"s: the disk is full; free 0 MB in all and run it again"):
        prepare.prepare([source], tmp_path / "s", "cat", jobs=1)
    assert not (tmp_path / "s" / "manifest.json").exists()
    (tmp_path / "s" / "points.npy").unlink()
    assert prepare.prepare([source], tmp_path / "s", "cat", jobs=1).manifest.counts.kept == 20


@pytest.mark.parametrize("small_disk", [96], indirect=True)
@pytest.mark.fault
@pytest.mark.usefixtures("small_ranges")
def test_small_disk_ends_without_torn_files_and_a_larger_one_goes_on(tmp_path, small_disk):
    source, store = write(tmp_path / "in", cat=many(400)), small_disk / "s"
    with pytest.raises(UserError, match=r"disk/s: the disk is full; free \d MB in all and run it"):
        prepare.prepare([source], store, "cat", jobs=1)
    assert not (store / "manifest.json").exists()
    assert list(store.rglob("*.part")) == []
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    prepare.prepare([source], store, "cat", jobs=1)
    prepare.prepare([source], tmp_path / "whole", "cat", jobs=1)
    assert checksums(store) == checksums(tmp_path / "whole")


def test_line_without_end_is_one_bad_row_and_little_memory(tmp_path):
    source = write(tmp_path / "in", cat=[row()])
    with open(source / "cat.ndjson", "ab") as file:
        file.truncate(1 << 28)
    tracemalloc.start()
    counts = prepare.prepare(
        [source], tmp_path / "s", "cat", jobs=1, max_reject_share=0.5
    ).manifest.counts
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts.rejected == {"line_too_long": 1} and counts.kept == 1
    assert peak < 100 << 20


PEAK = """
import sys
from dsnjax.data import prepare
prepare.prepare([sys.argv[1]], sys.argv[2], jobs=1, max_reject_share=1)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc tells the peak here")
def test_huge_drawings_and_very_many_bad_rows_take_little_memory(tmp_path):
    stroke = struct.pack("<H", 65_535) + bytes(2 * 65_535)
    large = struct.pack("<Q2sBIH", 0, b"DE", 1, 0, 4) + 4 * stroke
    source = write(tmp_path / "in", dog=[row(), *[row([[[1, 300], [2, 3]]])] * 100_000])
    with open(source / "cat.bin", "wb") as file:
        file.writelines([large] * 100)
    command = [sys.executable, "-c", PEAK, str(source), str(tmp_path / "s")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 400 << 10  # KiB; a worker may have 1 GiB


def test_drawing_of_ten_thousand_strokes_is_kept(tmp_path):
    drawing = [[[i % 256, 7], [i // 256, 9]] for i in range(10_000)]
    prepare.prepare([write(tmp_path / "in", cat=[row(drawing)])], tmp_path / "s", "cat", jobs=1)
    assert Store.open(tmp_path / "s").packed.unpack() == [drawing]


@pytest.mark.parametrize("name", ["hot\ndog", "hot\u2028dog", "hot\tdog"])
def test_file_whose_name_can_be_no_category_is_refused(tmp_path, name):
    source = write(tmp_path / "in", **{name: [row()]})
    with pytest.raises(UserError, match=r"categories: a file names 'hot\\.*want no line"):
        prepare.prepare([source], tmp_path / "s", jobs=1)


@pytest.mark.parametrize("categories", [None, "cat,dog"])
def test_file_whose_name_is_no_utf8_is_refused(tmp_path, categories):
    source = write(tmp_path / "in", **{"caf\udce9": [row()]})
    with pytest.raises(UserError, match=r"caf\\udce9\.ndjson': a name that is no UTF-8; rename it"):
        prepare.prepare([source], tmp_path / "s", categories, jobs=1)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_store_that_cannot_be_written_is_named(tmp_path, name):
    source = write(tmp_path / "in", cat=[row()])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file.*: cannot be written \(.*\); name another"):
        prepare.prepare([source], tmp_path / name, "cat", jobs=1)


def test_two_runs_do_not_write_one_store(tmp_path):
    source = write(tmp_path / "in", cat=[row()])
    with (
        files.locked(tmp_path / "s" / ".work"),
        pytest.raises(UserError, match="another run writes here"),
    ):
        prepare.prepare([source], tmp_path / "s", "cat", jobs=1)


def test_table_tells_what_became_of_the_rows(tmp_path):
    source = write(tmp_path / "in", cat=[row(), row(), "{", row(word="dog")])
    summary = prepare.prepare([source], tmp_path / "s", "cat", jobs=1, max_reject_share=1)
    words = shown(summary)
    for cell in (
        "read 4",
        f"rejected, truncated: {formats.REASONS['truncated']} 1",
        "duplicates, same strokes 1",
        "of other categories 1",
        "kept, of 1 categories 1",
        "entropy outside the percentiles 5% to 95% 0",
        "split train 1",
    ):
        assert cell in words


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own defaults
# Ray forks, of which jax warns where another test of this process has loaded it.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*_at_fork:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.usefixtures("small_ranges")
def test_ray_makes_the_same_bytes(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is an extra")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # for the workers
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # or it writes a token to the home folder
    monkeypatch.chdir(tmp_path)
    source = write(Path("in"), cat=[*many(60), "{"])
    prepare.prepare([source], "a", "cat", jobs=1, max_reject_share=0.1)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    try:
        prepare.prepare([source], "b", "cat", jobs=1, max_reject_share=0.1, engine="ray")
        (source / "dog.ndjson.gz").write_bytes(b"no gzip")
        with pytest.raises(DataError, match=r"dog\.ndjson\.gz: damaged"):
            prepare.prepare([source], "c", "cat,dog", jobs=1, engine="ray")
    finally:
        ray.shutdown()
    assert checksums(Path("a")) == checksums(Path("b"))


RUN = """
import sys
from dsnjax.data import join, prepare
if __name__ == "__main__":
    prepare.RANGE = 1000
    prepare.prepare([sys.argv[1]], sys.argv[2], "cat", jobs=2)
"""


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.usefixtures("small_ranges")
def test_killed_run_goes_on_to_the_same_bytes(tmp_path):
    source = write(tmp_path / "in", cat=many(800))
    (tmp_path / "run.py").write_text(RUN)
    store = tmp_path / "store"
    command = [sys.executable, str(tmp_path / "run.py"), str(source), str(store)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, start_new_session=True) as run:
        while run.poll() is None and len(list(store.glob(".work/*/0*.json"))) < 10:
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    assert not (store / "manifest.json").exists()
    subprocess.run(command, env=environment, check=True)
    prepare.prepare([source], tmp_path / "whole", "cat", jobs=1)
    assert checksums(store) == checksums(tmp_path / "whole")


@pytest.mark.real
def test_real_drawings_become_a_small_sound_store(quickdraw, tmp_path):
    summary = prepare.prepare([quickdraw], tmp_path / "s", "bed,The Eiffel Tower", jobs=1)
    store = Store.open(tmp_path / "s")
    store.verify()
    store.packed.check()
    size = sum(file.stat().st_size for file in (tmp_path / "s").glob("*.npy"))
    assert summary.manifest.counts.rejected == {} and size / len(store) <= 150
