import base64
import hashlib
import http.server
import threading
from urllib.parse import unquote

import pytest
import tenacity

from dsnjax import files
from dsnjax.data import download
from dsnjax.errors import DataError, Interrupted, UserError

CAT = bytes(range(256)) * 2000  # 512 kB
MD5 = base64.b64encode(hashlib.md5(CAT).digest()).decode()
FAULTS = ("drop", "503", "429", "stall", "corrupt", "changed", "no range", "part", "long")


class Bucket(http.server.ThreadingHTTPServer):
    """A bucket that serves CAT and does the next of `faults` at each GET."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.asked = [], []
        self.head = self.hash = True
        self.content, self.etag = CAT, '"one"'
        self.released = threading.Event()

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Bucket

    def log_message(self, format, *args):
        """Tests are quiet."""

    def do_HEAD(self):
        self.answer(body=False) if self.server.head else self.send_error(501)

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range", ""))
        known = server.faults and not self.path.endswith("hit%20dog.ndjson")
        fault = server.faults.pop(0) if known else ""
        if fault in ("503", "429"):
            self.send_response(int(fault))
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.answer(fault)

    def answer(self, fault="", body=True):
        server, path = self.server, unquote(self.path)
        if path.startswith("/old"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/old"))
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if path != "/full/simplified/hot dog.ndjson":
            return self.send_error(404)
        if fault == "changed":
            server.content, server.etag = CAT[::-1], '"two"'
        content, asked = server.content, self.headers.get("Range")
        asked = asked if self.headers.get("If-Range") == server.etag else None
        begin = int(asked[6:-1]) if asked and fault != "no range" else 0
        self.send_response(206 if begin else 200)
        if begin:
            begin -= 9 * (fault == "part")
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if server.hash:
            md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
            self.send_header("x-goog-hash", f"crc32c=AAAAAA==,md5={md5}")
        self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        if body:
            self.send_body(content[begin:], fault)

    def send_body(self, content, fault):
        if fault == "corrupt":
            content = content[:1000] + b"?" + content[1001:]
        if fault in ("drop", "stall"):
            self.wfile.write(content[: len(content) // 3])
            self.wfile.flush()
            if fault == "stall":
                self.server.released.wait(20)
            self.close_connection = True
        else:
            self.wfile.write(content)


@pytest.fixture
def bucket(monkeypatch):
    monkeypatch.setattr(download, "WAIT", tenacity.wait_none())
    monkeypatch.setattr(download, "TIMEOUT", 1.0)
    monkeypatch.setenv("NO_PROXY", "*")
    with Bucket() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def fetch(bucket, dest, names="hot dog,", prefix="", **more):
    base = f"http://127.0.0.1:{bucket.server_port}{prefix}"
    (file,) = download.download(dest, names, base_url=base, **more)
    return file


@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["drop"] * 3,
        ["503", "503"],
        ["429"],
        ["stall"],
        ["corrupt"],
        ["drop", "no range"],
        ["drop", "part"],
        ["drop", "corrupt", "drop", "503"],
    ],
    ids=" ".join,
)
def test_file_comes_whole_whatever_the_server_does(bucket, tmp_path, faults):
    bucket.faults = list(faults)
    file = fetch(bucket, tmp_path)
    assert file == tmp_path / "full" / "simplified" / "hot dog.ndjson"
    assert file.read_bytes() == CAT and bucket.faults == []
    assert sorted(path.name for path in file.parent.iterdir()) == [".lock", "hot dog.ndjson"]


def test_dropped_file_goes_on_where_it_was(bucket, tmp_path):
    bucket.faults = ["drop", "drop"]
    fetch(bucket, tmp_path)
    first, second, third = bucket.asked
    assert first == "" and 0 < int(second[6:-1]) < int(third[6:-1]) < len(CAT)


def test_part_of_a_file_that_changed_is_thrown_away(bucket, tmp_path):
    bucket.faults = ["drop", "changed"]
    assert fetch(bucket, tmp_path).read_bytes() == CAT[::-1]


def test_file_that_keeps_coming_damaged_never_gets_its_name(bucket, tmp_path):
    bucket.faults = ["corrupt"] * download.ATTEMPTS
    with pytest.raises(DataError, match=r"hot%20dog\.ndjson: the bytes that came do not have"):
        fetch(bucket, tmp_path)
    assert not list(tmp_path.rglob("hot dog*"))


def test_run_that_gave_up_is_gone_on_with_by_the_next(bucket, tmp_path):
    bucket.faults = ["drop"] + ["503"] * (download.ATTEMPTS - 1)
    with pytest.raises(Interrupted, match=r"gave up after 8 attempts \(the server answered 503\)"):
        fetch(bucket, tmp_path)
    assert not list(tmp_path.rglob("hot dog.ndjson"))
    assert fetch(bucket, tmp_path).read_bytes() == CAT
    assert bucket.asked[-1].startswith("bytes=")


def test_second_run_checks_and_fetches_nothing(bucket, tmp_path):
    fetch(bucket, tmp_path)
    fetch(bucket, tmp_path)
    assert len(bucket.asked) == 1


def test_second_run_mends_a_file_that_was_damaged(bucket, tmp_path):
    file = fetch(bucket, tmp_path)
    file.write_bytes(CAT[:-1] + b"?")
    assert fetch(bucket, tmp_path).read_bytes() == CAT


def test_server_without_head_and_without_checksums_will_do(bucket, tmp_path):
    bucket.head = bucket.hash = False
    bucket.faults = ["drop", "503"]
    assert fetch(bucket, tmp_path).read_bytes() == CAT


def test_redirect_is_followed(bucket, tmp_path):
    assert fetch(bucket, tmp_path, prefix="/old").read_bytes() == CAT


def test_missing_file_is_named_with_what_was_meant_before_anything_is_fetched(bucket, tmp_path):
    with pytest.raises(UserError, match=r"hit%20dog\.ndjson: not there; did you mean 'hot dog'"):
        fetch(bucket, tmp_path, "hot dog,hit dog")
    assert bucket.asked == []


def test_a_run_that_ends_does_not_wait_for_a_file_that_is_to_be_tried_again(
    bucket, tmp_path, monkeypatch
):
    monkeypatch.setattr(download, "WAIT", tenacity.wait_fixed(3600))
    bucket.head, bucket.faults = False, ["503"]
    with pytest.raises(UserError, match=r"hit%20dog\.ndjson: not there"):
        fetch(bucket, tmp_path, "hot dog,hit dog")


def test_mistake_in_an_official_name_is_told_before_anything_is_asked(tmp_path):
    with pytest.raises(UserError, match="category 'cta': not there; did you mean 'cat'"):
        download.download(tmp_path, "dog,cta")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "C:", "CON", "x" * 300, ".hidden"])
def test_category_cannot_lead_out_of_the_folder(tmp_path, name):
    with pytest.raises(UserError, match="cannot be the name of a file"):
        download.download(tmp_path, [name], base_url="http://127.0.0.1:1")


def test_disk_that_is_too_small_is_found_before_anything_is_fetched(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match="1 MB are to come, but only 0 MB are free"):
        fetch(bucket, tmp_path)
    assert bucket.asked == []


def test_two_runs_do_not_write_one_folder(bucket, tmp_path):
    with (
        files.locked(tmp_path / "full" / "simplified"),
        pytest.raises(UserError, match="another run writes here"),
    ):
        fetch(bucket, tmp_path)


def test_folder_stands_in_for_the_bucket(tmp_path):
    mirror = tmp_path / "a mirror" / "full" / "binary"
    mirror.mkdir(parents=True)
    (mirror / "hot dog.bin").write_bytes(CAT)
    base = (tmp_path / "a mirror").as_uri()
    for _ in range(2):
        (file,) = download.download(tmp_path / "d", ["hot dog"], kind="binary", base_url=base)
        assert file.read_bytes() == CAT
    with pytest.raises(UserError, match=r"cat\.bin: not there; see base_url, kind and categories$"):
        download.download(tmp_path / "d", ["cat"], kind="binary", base_url=base)


@pytest.mark.parametrize(
    "address",
    [
        "gs://bucket",
        "bucket",
        "http://[bad",
        "http://a:port",
        "https://a..b/",
        "http:///x",
        "file:x",
    ],
)
def test_other_address_is_refused(tmp_path, address):
    with pytest.raises(UserError, match=r"base_url='.*': want an address of http://"):
        download.download(tmp_path, ["cat"], base_url=address)
