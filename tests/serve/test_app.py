"""The service over real HTTP on loopback."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import httpx2
import jax
import msgspec
import numpy as np
import pytest

import raster
from dsnjax import bundle, predict, state
from dsnjax.data import formats
from dsnjax.serve import app, wire
from dsnjax.serve.site import Model

CAT = [[[0, 100, 255], [0, 30, 255]], [[7, 9], [3, 200]]]


@pytest.fixture(scope="module")
def address(gate, serving):
    with serving(gate, room=8, patience=0.5) as address:
        yield address


@pytest.fixture
def client(address):
    with httpx2.Client(base_url=address, timeout=60) as client:
        yield client


def said(response) -> tuple[int, str, str]:
    problem = response.json()
    return response.status_code, problem["path"], problem["error"]


def test_each_drawing_is_named_in_order(client):
    response = client.post("/v1/predict", json={"drawings": [CAT, CAT[:1]], "top": 1})
    assert response.status_code == 200
    assert response.json() == {
        "results": [
            {"top": [{"category": "bird", "probability": 0.8}]},
            {"top": [{"category": "ant", "probability": 0.8}]},
        ]
    }


def test_what_it_is_not_sure_of_is_unknown(client):
    sure = client.post("/v1/predict", json={"drawings": [CAT], "min_probability": 0.8}).json()
    unsure = client.post("/v1/predict", json={"drawings": [CAT], "min_probability": 0.81}).json()
    (top,) = (one["top"] for one in sure["results"])
    assert [one["category"] for one in top] == ["bird", "ant", "cat"]
    assert unsure["results"] == [{"top": [{"category": "unknown", "probability": 0.8}, *top]}]


def test_where_the_network_looked_is_told_when_asked(client):
    response = client.post("/v1/predict", json={"drawings": [CAT], "attention": True})
    looked = response.json()["results"][0]["attention"]
    assert looked == {"image": [0.33333, 0.33333], "points": [0.33333]}


def test_raw_drawings_are_simplified():
    raw = [[[1000.5, 1000.5, 1100.5], [-3, 7, 7], [0, 10, 20]]]
    asked = wire.read_predict(json.dumps({"drawings": [raw]}).encode())
    assert asked.fit
    assert wire.simplified(asked.drawings) == [raster.simplify(raw)]
    untimed = [raw[0][:2]]
    asked = wire.read_predict(json.dumps({"drawings": [untimed], "fit": True}).encode())
    assert wire.simplified(asked.drawings) == [raster.simplify(untimed)]


def test_drawings_that_take_long_to_simplify_are_refused(client):
    zigzag = [[9 * (i % 2) for i in range(4000)], [i // 400 for i in range(4000)]]
    asked = {"drawings": [[zigzag] * 2], "fit": True}
    status, path, why = said(client.post("/v1/predict", json=asked))
    assert (status, path) == (422, "$.drawings")
    assert "sum to more than 20,000,000; send fewer" in why


def test_other_requests_are_answered_while_drawings_are_simplified(client, address, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def simplify(drawing, **_):
        begun.set()
        assert go_on.wait(60)
        return drawing

    monkeypatch.setattr(raster, "simplify", simplify)
    slow = {"drawings": [CAT], "fit": True}
    with flying(lambda: httpx2.post(f"{address}/v1/predict", json=slow, timeout=60)):
        assert begun.wait(60)
        try:
            assert client.get("/healthz", timeout=10).json() == {"status": "ok"}
        finally:
            go_on.set()


def test_fit_scales_whole_coordinates_too_as_a_recognizer_does(serving):
    small = [[[10, 30, 61], [20, 26, 71]], [[11, 12], [21, 60]]]
    (wanted,) = predict.Recognizer().predict([small], fit=True)
    with serving(Model.of(bundle.read(bundle.PRETRAINED))) as address:
        asked = {"drawings": [small], "fit": True}
        answer = httpx2.post(f"{address}/v1/predict", json=asked, timeout=60)
    (named,) = answer.json()["results"]
    assert [one["category"] for one in named["top"]] == [one["category"] for one in wanted]
    assert [one["probability"] for one in named["top"]] == pytest.approx(
        [one["probability"] for one in wanted], abs=1e-3
    )


def test_a_model_that_reads_times_wants_them():
    timed = [[[0, 10, 20], [0, 0, 5], [0, 40, 90]]]
    body = json.dumps({"drawings": [timed]}).encode()
    asked = wire.read_predict(body, timed=True)
    assert asked.fit
    assert wire.simplified(asked.drawings, timed=True) == [raster.simplify(timed, times=True)]
    with pytest.raises(wire.Fault, match="this model reads times") as caught:
        wire.read_predict(json.dumps({"drawings": [CAT]}).encode(), timed=True)
    assert (caught.value.status, caught.value.path) == (422, "$.drawings[0][0]")


def test_a_model_that_reads_times_is_served_to_the_page_and_to_others(serving, tiny):
    data = tiny.data.model_copy(update={"levels": ("order", "time", "speed")})
    network = state.network(tiny.model, data, 3)
    weights = jax.device_get(jax.jit(lambda: state.fresh(network, 0))())
    recipe = bundle.Recipe(model=tiny.model, data=data)
    model = Model.of(bundle.Bundle(recipe, ("ant", "bird", "cat"), *weights))
    timed = [[*stroke, [100 * i + 7 * j for j in range(len(stroke[0]))]]
             for i, stroke in enumerate(CAT)]  # fmt: skip
    with serving(model) as address, httpx2.Client(base_url=address, timeout=60) as client:
        told = client.get("/model.json").json()
        assert (told["timed"], told["browser"], told["server"]) == (True, False, True)
        answer = client.post("/v1/predict", json={"drawings": [timed], "attention": True})
        expected = model.network(raster.pack([raster.simplify(timed, times=True)]))[0]
        top = answer.json()["results"][0]["top"]
        assert [one["probability"] for one in top] == pytest.approx(
            np.sort(expected[0])[::-1], abs=1e-3
        )
        refused = client.post("/v1/predict", json={"drawings": [CAT]})
        assert said(refused)[:2] == (422, "$.drawings[0][0]")


@pytest.mark.parametrize(
    ("body", "status", "path", "message"),
    [
        ("{", 400, "$", "truncated"),
        ("", 400, "$", "truncated"),
        ("\xff", 400, "$", "not JSON"),
        ('{"drawings": [[[[NaN], [1]]]]}', 400, "$", "malformed"),
        ('{"drawings":[[[[0.5],[1]]]', 400, "$", "truncated"),
        ('{"drawings":[[[[0.5],[1]]]],"\xff":1}', 400, "$", "not JSON"),
        ("[" * 200_000, 422, "$", "Expected `object`"),
        ('{"drawings": ' + "[" * 200_000, 422, "$.drawings[0][0][0][0]", "Expected `float`"),
        ('{"drawings": [[[[1e400], [1]]]]}', 422, "$.drawings[0][0][0][0]", "out of range"),
        ("{}", 422, "$", "missing required field `drawings`"),
        ('{"drawings": []}', 422, "$.drawings", "length >= 1"),
        ('{"drawings": [[]]}', 422, "$.drawings[0]", "length >= 1"),
        ('{"drawings": [[[[], []]]]}', 422, "$.drawings[0][0][0]", "length >= 1"),
        ('{"drawings": [[[[1, 2], [1]]]]}', 422, "$.drawings[0][0]", "want equal ones"),
        ('{"drawings": [[[[1], [1]], [[1], [1], [0, 1]]]], "fit": true}', 422,
         "$.drawings[0][1]", "want equal ones"),
        ('{"drawings": [[[["a"], [1]]]]}', 422, "$.drawings[0][0][0][0]", "got `str`"),
        ('{"drawings": [[[[null], [1]]]]}', 422, "$.drawings[0][0][0][0]", "got `null`"),
        ('{"drawings": [[[[true], [1]]]]}', 422, "$.drawings[0][0][0][0]", "got `bool`"),
        ('{"drawings": [[[[256], [1]]]]}', 422, "$.drawings[0][0][0][0]", "or `fit`"),
        ('{"drawings": [[[[1e13], [1]]]], "fit": true}', 422, "$.drawings[0][0][0][0]", "<= 1"),
        ('{"drawings": [[[[1], [1]]]], "top": 0}', 422, "$.top", ">= 1"),
        ('{"drawings": [[[[1], [1]]]], "min_probability": 1.5}', 422, "$.min_probability", "<= 1"),
        ('{"drawings": [[[[1], [1]]]], "tpo": 1}', 422, "$", "unknown field `tpo`"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told_what_and_where(client, body, status, path, message):
    response = client.post(
        "/v1/predict",
        content=body.encode("latin-1"),
        headers={"content-type": "application/json; charset=utf-8"},
    )
    got = said(response)
    assert got[:2] == (status, path)
    assert message in got[2]


def test_only_json_is_taken(client):
    response = client.post("/v1/predict", content=b"x", headers={"content-type": "text/plain"})
    assert said(response) == (415, "$", "content-type 'text/plain'; want application/json")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(client, chunked):
    body = b"[" * (wire.MAX_BODY + 1)
    content = iter([body[:1000], body[1000:]]) if chunked else body
    response = client.post(
        "/v1/predict", content=content, headers={"content-type": "application/json"}
    )
    assert said(response) == (413, "$", f"want at most {wire.MAX_BODY} bytes")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_without_reading_it(address, chunked):
    kind = "Transfer-Encoding: chunked" if chunked else "Content-Length: 50000000"
    with connected(address) as peer:
        peer.sendall(head(kind))
        with contextlib.suppress(OSError):  # the server hangs up before the end
            for _ in range(50 if chunked else 0):
                peer.sendall(b"10000\r\n" + b"[" * 0x10000 + b"\r\n")
        assert peer.recv(100).startswith(b"HTTP/1.1 413 ")


def test_requests_that_come_together_run_as_one_batch(gate, address):
    drain(gate)
    gate.open.clear()
    answers = []

    def ask(count):
        drawings = {"drawings": [CAT] * count}
        answers.append(httpx2.post(f"{address}/v1/predict", json=drawings, timeout=60))

    with flying(ask, 1):
        assert gate.entered.acquire(timeout=60)
        with flying(ask, 2), flying(ask, 3):
            until_waiting(address, 5)
            gate.open.set()
    assert gate.sizes[-2:] == [1, 5]
    assert sorted(len(answer.json()["results"]) for answer in answers) == [1, 2, 3]


def test_a_full_queue_says_when_to_come_again_and_health_still_answers(gate, address, client):
    drain(gate)
    gate.open.clear()

    def ask(count):
        httpx2.post(f"{address}/v1/predict", json={"drawings": [CAT] * count}, timeout=60)

    with flying(ask, 1):
        assert gate.entered.acquire(timeout=60)
        with flying(ask, 7):
            until_waiting(address, 7)
            response = client.post("/v1/predict", json={"drawings": [CAT] * 2})
            assert said(response) == (503, "$", "8 drawings wait already; ask again later")
            assert response.headers["retry-after"] == "1"
            assert client.get("/healthz").json() == {"status": "ok"}
            gate.open.set()


def test_others_are_sent_away_while_as_long_strokes_are_simplified(client, address, monkeypatch):
    inside, out = threading.Event(), threading.Event()
    simplified = wire.simplified

    def held(drawings, *, timed):
        if len(drawings) == 2:
            inside.set()
            assert out.wait(60)
        return simplified(drawings, timed=timed)

    monkeypatch.setattr(wire, "simplified", held)
    monkeypatch.setattr(wire, "MAX_WORK", 30)  # CAT has 3 points and 2, which is 13

    def ask(_):
        httpx2.post(f"{address}/v1/predict", json={"drawings": [CAT] * 2, "fit": True}, timeout=60)

    with flying(ask, 1):
        assert inside.wait(60)
        try:
            response = client.post("/v1/predict", json={"drawings": [CAT], "fit": True})
            few = client.post("/v1/predict", json={"drawings": [CAT[1:]], "fit": True})
        finally:
            out.set()
    assert said(response)[0] == 503 and "ask again later" in said(response)[2]
    assert few.status_code == 200


def test_slow_clients_are_sent_away_with_408(address):
    half_bodies = [connected(address) for _ in range(20)]
    half_heads = [connected(address) for _ in range(20)]
    silent = [connected(address) for _ in range(20)]
    for peer in half_bodies:
        peer.sendall(head("Content-Length: 100") + b'{"drawings"')
    for peer in half_heads:
        peer.sendall(b"POST /v1/predict HTTP/1.1\r\nHost")
    for peers, what in ((half_bodies, "body"), (half_heads, "request's head")):
        for peer in (*peers, *(silent if peers is half_heads else ())):
            with peer:
                start, _, body = everything(peer).partition(b"\r\n\r\n")
            assert start.startswith(b"HTTP/1.1 408 ")
            assert f"content-length: {len(body)}".encode() in start
            assert json.loads(body) == {
                "error": f"the {what} did not arrive within 0.5 s",
                "path": "$",
            }


def test_a_client_that_hangs_up_leaves_no_trace(address, client, capfd):
    for content in (b'{"drawings"', b""):
        with connected(address) as peer:
            peer.sendall(head("Content-Length: 100") + content)
    assert client.get("/healthz").status_code == 200
    until(lambda: 'status="499"} 2' in client.get("/metrics").text)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "path",
    [
        "/../app.py",
        "/%2e%2e/app.py",
        "/..%2fapp.py",
        "/..%5capp.py",
        "/%00",
        "/a%00b",
        "/nothing",
        "//etc/passwd",
    ],
)
def test_only_the_page_is_served(address, path):
    with connected(address) as peer:
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert peer.recv(100).startswith(b"HTTP/1.1 404 ")


def test_a_link_out_of_the_folder_is_not_followed(gate, serving, tmp_path, monkeypatch):
    (tmp_path / "secret.txt").write_text("secret")
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("page")
    (page / "link.txt").symlink_to(tmp_path / "secret.txt")
    (page / "folder").symlink_to(tmp_path)
    (page / "inside.txt").symlink_to(page / "index.html")
    monkeypatch.setattr(app, "PAGE", page)
    with serving(gate) as address, httpx2.Client(base_url=address) as client:
        found = {
            path: client.get(path).status_code
            for path in ("/", "/inside.txt", "/link.txt", "/folder/secret.txt")
        }
    assert found == {"/": 200, "/inside.txt": 200, "/link.txt": 404, "/folder/secret.txt": 404}


def test_the_document_describes_the_structs_that_check(client):
    document = client.get("/v1/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    kinds = {"/v1/predict": wire.PredictRequest, "/v1/collect": wire.CollectRequest}
    _, wanted = msgspec.json.schema_components(
        kinds.values(), ref_template="#/components/schemas/{name}"
    )
    for path, kind in kinds.items():
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert body["schema"] == {"$ref": f"#/components/schemas/{kind.__name__}"}
        assert schemas[kind.__name__] == wanted[kind.__name__]
    faults = {"400", "408", "413", "415", "422"}
    assert {path: set(one["post"]["responses"]) for path, one in document["paths"].items()} == {
        "/v1/predict": {"200", *faults, "503"},
        "/v1/collect": {"200", *faults, "404", "507"},
    }


def test_metrics_count_requests_drawings_and_batches(client):
    client.post("/v1/predict", json={"drawings": [CAT]})
    text = client.get("/metrics").text
    for name in ("requests_total", "drawings_total", "request_seconds_count", "batch_drawings_sum"):
        assert f"\ndsnjax_{name}" in text


def test_nothing_is_kept_unless_a_folder_was_named(client):
    response = client.post("/v1/collect", json={"category": "cat", "drawing": CAT})
    assert said(response)[0] == 404


def test_saved_drawings_become_files_that_training_reads(gate, serving, tmp_path):
    with serving(gate, collect=tmp_path / "own") as address:
        for name in ("my cat", "my cat", "дом", "बिल्ली"):
            answer = httpx2.post(f"{address}/v1/collect", json={"category": name, "drawing": CAT})
            assert answer.status_code == 200
        for name in ("../x", "a/b", "", ".hidden", "x" * 65, "a\nb", "a\n", "\u0301a", "a\x00"):
            answer = httpx2.post(f"{address}/v1/collect", json={"category": name, "drawing": CAT})
            assert said(answer)[:2] == (422, "$.category")
    files = sorted((tmp_path / "own").iterdir())
    assert [file.name for file in files] == ["my cat.ndjson", "дом.ndjson", "बिल्ली.ndjson"]
    assert sorted(tmp_path.iterdir()) == [tmp_path / "own"]
    rows = [row for row in formats.read(files) if isinstance(row, formats.Drawing)]
    assert [row.word for row in rows] == ["my cat", "my cat", "дом", "बिल्ली"]
    assert [[*map(list, stroke)] for stroke in rows[0].drawing] == CAT


def test_what_cannot_be_saved_is_told(gate, serving, tmp_path):
    (tmp_path / "cat.ndjson").mkdir()
    with serving(gate, collect=tmp_path) as address:
        for name, *told in (
            ("cat", 507, "$", "the drawing cannot be kept: Is a directory"),
            ("\U00020000" * 64, 422, "$.category", "too long for a file's name"),
        ):
            answer = httpx2.post(f"{address}/v1/collect", json={"category": name, "drawing": CAT})
            assert said(answer) == tuple(told)


def test_a_broken_network_is_a_counted_500_of_its_requests_only(serving):
    calls = []

    def network(packed):
        calls.append(len(packed))
        if len(calls) == 1:
            raise RuntimeError("broken")
        return np.ones((len(packed), 3), np.float32) / 3, None

    with serving(network) as address:
        codes = [
            httpx2.post(f"{address}/v1/predict", json={"drawings": [CAT]}).status_code
            for _ in range(2)
        ]
        counted = httpx2.get(f"{address}/metrics").text
    assert codes == [500, 200]
    for code in codes:
        assert f'\ndsnjax_requests_total{{status="{code}"}} 1.0\n' in counted
    assert "\ndsnjax_request_seconds_count 2.0\n" in counted


def connected(address: str) -> socket.socket:
    port = int(address.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def everything(peer: socket.socket) -> bytes:
    """What the server sends until it hangs up."""
    return b"".join(iter(lambda: peer.recv(1000), b""))


def head(*lines: str) -> bytes:
    start = ("POST /v1/predict HTTP/1.1", "Host: x", "Content-Type: application/json")
    return "\r\n".join((*start, *lines, "", "")).encode()


@contextlib.contextmanager
def flying(work, *words) -> Iterator[None]:
    """Runs the work in a thread until the end of the block."""
    thread = threading.Thread(target=work, args=words)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)


def until(happens) -> None:
    for _ in range(10_000):
        if happens():
            return
    raise AssertionError("never happened")


def until_waiting(address: str, count: int) -> None:
    with httpx2.Client(base_url=address) as client:
        until(lambda: f"dsnjax_waiting_drawings {count}.0" in client.get("/metrics").text)


def drain(gate) -> None:
    while gate.entered.acquire(blocking=False):
        pass
