import gzip
import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsnjax.data import formats
from dsnjax.errors import DataError

CAT = (
    b'{"word":"cat","key_id":"5326","countrycode":"DE","recognized":true,'
    b'"drawing":[[[0,255],[7,9]]]}'
)


def row(drawing, **fields) -> bytes:
    return json.dumps({"drawing": drawing, **fields}).encode()


def rows(data: bytes) -> list[formats.Drawing | formats.Reject]:
    return list(formats.rows(formats.Source(io.BytesIO(data), "cat.ndjson")))


def rejects(data: bytes) -> formats.Reject:
    (found,) = rows(data)
    assert isinstance(found, formats.Reject), found
    return found


def drawings(paths) -> list[formats.Drawing]:
    return [one for one in formats.read(paths) if isinstance(one, formats.Drawing)]


def test_row_of_the_official_files_is_read():
    found = formats.parse_row(CAT)
    assert isinstance(found, formats.Drawing)
    assert found.drawing == [([0, 255], [7, 9])]
    assert (found.word, found.key_id, found.countrycode, found.recognized) == (
        "cat",
        5326,
        "DE",
        True,
    )


def test_a_drawing_alone_is_enough():
    assert formats.parse_row(row([[[1], [2]]])) == formats.Drawing([([1], [2])])


@pytest.mark.parametrize(
    ("data", "reason", "path"),
    [
        (CAT[:-3], "truncated", "$"),
        (CAT[:9] + b"\xc3", "truncated", "$"),
        (CAT.replace(b"cat", b"c\xfft"), "utf8", "$"),
        (b"cat", "json", "$"),
        (CAT + b"x", "json", "$"),
        (b"{}", "missing", "$"),
        (b"[1]", "type", "$"),
        (CAT.replace(b"255", b"NaN"), "number", "$"),
        (CAT.replace(b"255", b"-Infinity"), "number", "$"),
        (CAT.replace(b"255", b"1e400"), "number", "$.drawing[0][0][1]"),
        (CAT.replace(b"255", b"9" * 400), "number", "$.drawing[0][0][1]"),
        (CAT.replace(b"255", b"256"), "range", "$.drawing[0][0][1]"),
        (CAT.replace(b"255", b"-1"), "range", "$.drawing[0][0][1]"),
        (row([]), "empty", "$.drawing"),
        (row([[[], []]]), "empty", "$.drawing[0]"),
        (row([[[1, 2], [3]]]), "shape", "$.drawing[0]"),
        (row([[[1, 2]]]), "shape", "$.drawing[0]"),
        (row([[["1"], [2]]]), "type", "$.drawing[0][0][0]"),
        (row([[[None], [2]]]), "type", "$.drawing[0][0][0]"),
        (row([[[True], [2]]]), "type", "$.drawing[0][0][0]"),
        (row([[[[1]], [2]]]), "type", "$.drawing[0][0][0]"),
        (b'{"drawing":' + b"[" * 100_000, "type", "$.drawing[0][0][0]"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"," + CAT[1:], "json", "$"),
        (row([[[1], [2]]], key_id="x1"), "key_id", "$.key_id"),
        (row([[[1], [2]]], key_id=str(2**64)), "key_id", "$.key_id"),
        (row([[[1], [2]]], key_id=-1), "key_id", "$.key_id"),
        (row([[[1], [2]]], key_id=1.5), "key_id", "$.key_id"),
        (row([[[1.5], [2]]]), "type", "$.drawing[0][0][0]"),
        (row([[[1], [2], [3]], [[1], [2]]]), "shape", "$.drawing[1]"),
        (row([[[1], [2], [3, 4]]]), "shape", "$.drawing[0]"),
        (row([[[1], [2], [3], [4]]]), "shape", "$.drawing[0]"),
        (row([[[1e308, -1e308], [2, 2], [3, 4]]]), "number", "$.drawing[0]"),
        (row([[[1.5], ["2"], [3]]]), "type", "$.drawing[0][1][0]"),
        (row([[[1.5], [2], [3]]]).replace(b"1.5", b"NaN"), "number", "$"),
        (row([[[7] * 70_000] * 2]), "stroke_too_long", "$.drawing[0]"),
        (row([[[1], [2]]], countrycode="Germany"), "type", "$.countrycode"),
    ],
)
def test_bad_row_is_rejected_with_reason_and_path(data, reason, path):
    found = rejects(data)
    assert (found.reason, found.path) == (reason, path)
    assert reason in formats.REASONS


def test_strokes_in_quotes_are_sent_to_the_csv_reader():
    assert "give the .csv file" in rejects(row("[[[1],[2]]]")).message


def test_reject_names_file_line_path_and_reason():
    *_, bad = rows(CAT + b"\n" + row([[[300], [2]]]))
    assert str(bad) == ("cat.ndjson:2: range at $.drawing[0][0][0]: Expected `int` <= 255")


def test_byte_order_mark_crlf_and_blank_lines_are_accepted():
    found = rows(b"\xef\xbb\xbf" + CAT + b"\r\n\r\n \n" + CAT)
    assert found == [formats.parse_row(CAT)] * 2


def test_long_line_is_cut_and_the_next_row_is_read(monkeypatch):
    monkeypatch.setattr(formats, "MAX_LINE", 200)
    data = b'{"drawing":' + b"[" * 5000 + b"\n" + CAT
    long, cat = rows(data)
    assert isinstance(long, formats.Reject) and long.reason == "line_too_long"
    assert cat == formats.parse_row(CAT)


def test_files_and_standard_input_give_one_result_a_row_in_order(tmp_path, monkeypatch):
    (tmp_path / "a.ndjson").write_bytes(CAT + b"\n" + CAT[:-9] + b"\n")
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(row([[[1], [2]]])))
    (tmp_path / "c").write_bytes(row([[[3], [4]]]))
    with (tmp_path / "c").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        found = list(formats.read([tmp_path / "a.ndjson", "-", tmp_path / "b.ndjson.gz"]))
    assert [type(item).__name__ for item in found] == ["Drawing", "Reject", "Drawing", "Drawing"]
    assert found[2:] == [formats.Drawing([([3], [4])]), formats.Drawing([([1], [2])])]


def test_raw_drawing_is_moved_to_the_corner_and_scaled_to_the_square():
    raw = [[[100.0, 300.5, 610.0], [-20.0, -20.0, 180.0], [0, 16, 40]]]
    found = formats.parse_row(row(raw, word="cat"))
    assert isinstance(found, formats.Drawing) and found.word == "cat"
    assert np.abs(np.array(found.drawing) - [[[0, 100, 255], [0, 0, 100]]]).max() <= 1


@pytest.mark.parametrize(
    ("times", "backwards"),
    [([[0, 5], [9, 9]], False), ([[0, 5], [4, 9]], True), ([[-3, 5], [6, 9]], True)],
)
def test_raw_drawing_whose_times_run_backwards_is_kept_and_told(times, backwards):
    found = formats.parse_row(row([[[0, 9], [0, 9], times[0]], [[5, 6], [7, 9], times[1]]]))
    assert isinstance(found, formats.Drawing) and found.backwards == backwards
    assert found.times is not None and found.times[0][0] == 0


def test_far_coordinates_and_a_dot_fit_the_square():
    far = formats.parse_row(row([[[-1e9, 1e9], [0, 0], [0, 1]]]))
    dot = formats.parse_row(row([[[7.5, 7.5], [3.0, 3.0], [9, -9]]]))
    assert isinstance(far, formats.Drawing) and far.drawing[0][0][0] == 0
    assert isinstance(dot, formats.Drawing) and dot.drawing[0][0][0] == 0


def test_own_drawing_of_any_size_fits_if_asked_to():
    own = row([[[0, 400.5], [0, 801]]])
    assert isinstance(formats.parse_row(own), formats.Reject)
    found = formats.parse_row(own, fit=True)
    assert isinstance(found, formats.Drawing) and max(found.drawing[0][1]) >= 254
    small = formats.parse_row(row([[[10, 20], [10, 20]]]), fit=True)
    assert isinstance(small, formats.Drawing) and small.drawing == [([0, 255], [0, 255])]


HEADER = "countrycode,drawing,key_id,recognized,timestamp,word\n"


def write(folder, name, text) -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_csv_of_kaggle_is_read(tmp_path):
    train = HEADER + 'DE,"[[[0, 255], [7, 9]]]",5326,True,2017-03-27 19:54:52 UTC,cat\n'
    test = 'key_id,countrycode,drawing\r\n9000003627287624,US,"[[[1], [2]]]"\r\n'
    paths = [
        write(tmp_path, "train.csv", train),
        write(tmp_path, "test.csv.gz", gzip.compress(test.encode())),
    ]
    first, second = formats.read(paths)
    time = "2017-03-27 19:54:52 UTC"
    assert first == formats.Drawing([([0, 255], [7, 9])], "cat", 5326, "DE", time, True)
    assert second == formats.Drawing([([1], [2])], None, 9000003627287624, "US")


def test_bad_rows_of_a_csv_are_rejected_one_by_one(tmp_path):
    rows = [
        b'DE,"[[[1], [2]]]",1,True,,cat',
        b'DE,"[[[1], [2]]]",1',
        b'DE,"[[[1], [2]]",1,True,,cat',
        b'DE,"[[[1], [300]]]",1,True,,cat',
        b'DE,"[[[1], [2]]]",x,True,,cat',
        b'DE,"[[[1], [2]]]",1,perhaps,,cat',
        b'DE,"[[[1], [2]]]",1,True,,c\xfft',
        b"DE,,1,True,,cat",
        b'DE,"[[[3], [4]]]",,,,',
    ]
    path = write(tmp_path, "cat.csv", HEADER.encode() + b"\n".join(rows))
    found = list(formats.read([path]))
    bad = [one for one in found if isinstance(one, formats.Reject)]
    assert isinstance(found[0], formats.Drawing) and found[-1] == formats.Drawing(
        [([3], [4])], None, 0, "DE"
    )
    assert [(one.line, one.reason) for one in bad] == [
        (3, "csv"), (4, "json"), (5, "range"), (6, "key_id"), (7, "type"), (8, "utf8"), (9, "type"),
    ]  # fmt: skip


def test_csv_without_drawings_is_bad_data(tmp_path):
    with pytest.raises(DataError, match=r"cat\.csv: no column `drawing` in the first line"):
        list(formats.read([write(tmp_path, "cat.csv", "a,b\n1,2\n")]))


def record(strokes, key_id=5326, country=b"DE", recognized=1, seconds=1490644492) -> bytes:
    head = struct.pack("<Q2sBIH", key_id, country, recognized, seconds, len(strokes))
    return head + b"".join(struct.pack("<H", len(xs)) + bytes(xs) + bytes(ys) for xs, ys in strokes)


def test_binary_records_are_read(tmp_path):
    data = record([([0, 255], [7, 9]), ([1], [2])]) + record([([3], [4])], 0, b"\0\0", 0)
    first, second = formats.read([write(tmp_path, "cat.bin", data)])
    time = "2017-03-27 19:54:52 UTC"
    strokes = [([0, 255], [7, 9]), ([1], [2])]
    assert first == formats.Drawing(strokes, None, 5326, "DE", time, True)
    assert second == formats.Drawing([([3], [4])], None, 0, None, time, False)


def test_damaged_binary_records_are_rejected(tmp_path):
    good, empty, strange = (
        record([([3], [4])]),
        record([([], [])]),
        record([([3], [4])], recognized=7),
    )
    path = write(tmp_path, "cat.bin", good + empty + strange + good + good[:-1])
    found = list(formats.read([path]))
    assert (
        found[0]
        == found[3]
        == formats.Drawing([([3], [4])], None, 5326, "DE", "2017-03-27 19:54:52 UTC", True)
    )
    bad = [one for one in found if isinstance(one, formats.Reject)]
    assert [(one.line, one.reason) for one in bad] == [(2, "empty"), (3, "type"), (5, "truncated")]


@given(st.binary(max_size=200), st.integers(0, 60), st.integers(0, 255))
def test_no_bytes_at_all_upset_the_binary_reader(noise, place, byte):
    data = bytearray(record([([0, 255], [7, 9]), ([1], [2])]) + noise)
    data[place % len(data)] = byte
    found = list(formats.rows(formats.Source(io.BytesIO(bytes(data)), "cat.bin")))
    assert found and all(isinstance(one, formats.Drawing | formats.Reject) for one in found)


@given(st.binary(max_size=200), st.integers(0, 90), st.integers(0, 255))
def test_no_bytes_at_all_upset_the_line_readers(noise, place, byte):
    data = bytearray(CAT + noise)
    data[place % len(CAT)] = byte
    for name in ("cat.ndjson", "cat.csv"):
        text = HEADER.encode() + bytes(data) if name == "cat.csv" else bytes(data)
        for found in formats.rows(formats.Source(io.BytesIO(text), name), fit=True):
            assert isinstance(found, formats.Drawing) or found.reason in formats.REASONS


def test_gzip_bomb_is_refused_while_it_is_small(tmp_path):
    bomb = io.BytesIO()
    with gzip.open(bomb, "wb") as out:
        for _ in range(40):
            out.write(bytes(1 << 20))
    with pytest.raises(DataError, match=r"bomb\.ndjson\.gz: grows more than 100 times"):
        list(formats.read([write(tmp_path, "bomb.ndjson.gz", bomb.getvalue())]))


@pytest.mark.real
def test_real_binary_record_is_read(quickdraw):
    (found,) = formats.read([quickdraw / "full" / "binary" / "bed.bin"])
    assert isinstance(found, formats.Drawing) and found.countrycode == "US" and found.recognized


@pytest.mark.real
def test_every_real_raw_row_is_read_and_begins_where_the_simplified_one_does(quickdraw):
    folder = quickdraw / "full"
    raw, simplified = (
        {one.key_id: one.drawing for one in drawings([folder / kind])}
        for kind in ("raw/bed.ndjson", "simplified/bed.ndjson")
    )
    both = raw.keys() & simplified.keys()
    assert both and all(len(raw[key]) == len(simplified[key]) for key in both)
    first = np.array([[one[key][0][0][0] for one in (raw, simplified)] for key in both])
    assert np.abs(first[:, 0] - first[:, 1]).max() <= 1


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:30] + b"xxx" + data[33:]]
)
def test_damaged_gzip_is_bad_data(tmp_path, damage):
    path = tmp_path / "cat.ndjson.gz"
    path.write_bytes(damage(gzip.compress((CAT + b"\n") * 99)))
    with pytest.raises(DataError, match=r"cat\.ndjson\.gz: damaged"):
        list(formats.read([path]))


def test_every_reason_is_explained_to_the_user():
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    assert [reason for reason in formats.REASONS if f"`{reason}`" not in page] == []
