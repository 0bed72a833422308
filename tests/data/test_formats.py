import gzip
import io
import json

import pytest

from dsnjax.data import formats
from dsnjax.errors import DataError

CAT = (
    b'{"word":"cat","key_id":"5326","countrycode":"DE","recognized":true,'
    b'"drawing":[[[0,255],[7,9]]]}'
)


def row(drawing, **fields) -> bytes:
    return json.dumps({"drawing": drawing, **fields}).encode()


def rows(data: bytes) -> list[formats.Drawing | formats.Reject]:
    return list(formats.rows(formats.Lines(io.BytesIO(data), "cat.ndjson")))


def rejects(data: bytes) -> formats.Reject:
    (found,) = rows(data)
    assert isinstance(found, formats.Reject), found
    return found


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
        (CAT.replace(b"255", b"9" * 400), "range", "$.drawing[0][0][1]"),
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
        (row([[[1], [2]]], key_id="x1"), "key_id", "$.key_id"),
        (row([[[1], [2]]], key_id=str(2**64)), "key_id", "$.key_id"),
        (row([[[1], [2]]], key_id=-1), "key_id", "$.key_id"),
        (row([[[1], [2]]], key_id=1.5), "key_id", "$.key_id"),
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
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(row([[[3], [4]]]))))
    found = list(formats.read([tmp_path / "a.ndjson", "-", tmp_path / "b.ndjson.gz"]))
    assert [type(item).__name__ for item in found] == ["Drawing", "Reject", "Drawing", "Drawing"]
    assert found[2:] == [formats.Drawing([([3], [4])]), formats.Drawing([([1], [2])])]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:30] + b"xxx" + data[33:]]
)
def test_damaged_gzip_is_bad_data(tmp_path, damage):
    path = tmp_path / "cat.ndjson.gz"
    path.write_bytes(damage(gzip.compress((CAT + b"\n") * 99)))
    with pytest.raises(DataError, match=r"cat\.ndjson\.gz: damaged"):
        list(formats.read([path]))
