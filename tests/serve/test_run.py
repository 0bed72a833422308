"""The command as its user sees it: a process of its own, its exit code and its one line."""

import contextlib
import json
import mmap
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from dsnjax import bundle, main

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server():
    """A server of the model that ships: (process, address). The test of SIGTERM is its last."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dsnjax.main", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert process.stdout is not None
    yield process, process.stdout.readline().split("/  ")[0]
    process.kill()
    process.communicate()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read memory from")
@pytest.mark.parametrize("length", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
def test_bodies_that_are_too_large_leave_memory_flat(server, length):
    process, address = server
    piece = b"100000\r\n" + b"[" * 0x100000 + b"\r\n"
    assert httpx2.get(f"{address}/healthz", timeout=60).status_code == 200
    held = [memory(process.pid)]
    for _ in range(100):
        with socket.create_connection(place(address), timeout=60) as peer:
            peer.sendall(HEAD + length.encode() + b"\r\n\r\n")
            with contextlib.suppress(OSError):  # the server hangs up before the end
                for _ in range(256):
                    peer.sendall(piece)
                    held.append(memory(process.pid))
            assert peer.recv(100).startswith(b"HTTP/1.1 413 ")
    assert max(held) - held[0] < 16 * 2**20


def test_a_burst_is_answered_or_told_to_come_again_and_health_still_answers(server):
    _, address = server
    body = json.dumps({"drawings": [[[[0, 255], [0, 255]]]] * 16}).encode()
    request = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with contextlib.ExitStack() as stack:
        probe, *peers = [
            stack.enter_context(socket.create_connection(place(address), timeout=60))
            for _ in range(1 + 1000)
        ]
        for peer in peers:
            peer.sendall(request)
        probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert probe.recv(100).startswith(b"HTTP/1.1 200 ")
        answers = [peer.recv(1000) for peer in peers]
    full = [answer for answer in answers if not answer.startswith(b"HTTP/1.1 200 ")]
    assert 0 < len(full) < 1000
    for answer in full:
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in answer.lower()


def test_sigterm_answers_what_is_under_way_and_ends_well(server):
    process, address = server
    body = b'{"drawings": [[[[0, 255], [0, 255]]]]}'
    head = HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
    assert httpx2.get(f"{address}/healthz", timeout=60).status_code == 200
    with socket.create_connection(place(address), timeout=60) as peer:
        peer.sendall(head + body[:5])
        # The second answer shows that the server has read the first request's head.
        assert httpx2.get(f"{address}/healthz", timeout=60).status_code == 200
        process.send_signal(signal.SIGTERM)
        peer.sendall(body[5:])
        assert peer.recv(1000).startswith(b"HTTP/1.1 200 OK")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_nothing_is_compiled_once_the_address_is_said():
    code = """
from dsnjax.serve import app, run
from raster import kernels

def compiled():
    return {name: len(one.signatures) for name, one in vars(kernels).items()
            if hasattr(one, "signatures")}

at_first, make = {}, run.server

def server(*words):
    at_first.update(compiled())
    return make(*words)

run.server = server
run.serve(None, "127.0.0.1", 0, app.Options())
print(compiled() == at_first)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().split("/  ")[0]
        for fit in (False, True):
            asked = {"drawings": [[[[0, 255], [0, 255]]]], "fit": fit}
            answer = httpx2.post(f"{address}/v1/predict", json=asked, timeout=60)
            assert answer.status_code == 200
        process.terminate()
        assert process.communicate(timeout=60)[0].splitlines()[-1] == "True"
    finally:
        process.kill()


def test_a_port_that_is_taken_is_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main.main(["serve", "--port", str(port)]) == 2
    assert re.fullmatch(
        rf"dsnjax: serve: 127.0.0.1:{port}: Address already in use; give another .*\n",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "nowhere"], "nowhere: no model here"),
        (["--workdir", "a", "--model", "b"], "are both given; want one"),
        (["--host", "a..b"], "serve: a..b: no name of a host; give another --host"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid:8000: "),
        (["--collect", "file"], "--collect file: File exists; name a folder that can be written"),
        (["--collect", "file/in"], "--collect file/in: Not a directory; name a folder"),
        (["--port", "99999"], "less than or equal to 65535"),
    ],
)
def test_a_mistake_is_one_line(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    words = words if "--port" in words or "--host" in words else [*words, "--port", "0"]
    assert main.main(["serve", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("file", ["weights.safetensors", "config.json", "categories.txt"])
def test_a_damaged_model_is_one_line(capsys, tmp_path, file):
    for name in ("weights.safetensors", "config.json", "categories.txt"):
        (tmp_path / name).write_bytes((bundle.PRETRAINED / name).read_bytes())
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) // 2])
    assert main.main(["serve", "--model", str(tmp_path), "--port", "0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def place(address: str) -> tuple[str, int]:
    return "127.0.0.1", int(address.rpartition(":")[2])


def memory(process: int) -> int:
    """Bytes that a process holds."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * mmap.PAGESIZE
