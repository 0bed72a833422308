"""The command as its user sees it: a process of its own, its exit code and its one line."""

import os
import re
import signal
import socket
import subprocess
import sys

import httpx2
import pytest

from dsnjax import bundle, main


@pytest.fixture(scope="module")
def server():
    """A server of the model that ships: (process, address)."""
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


def test_sigterm_answers_what_is_under_way_and_ends_well(server):
    process, address = server
    body = b'{"drawings": [[[[0, 255], [0, 255]]]]}'
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    assert httpx2.get(f"{address}/healthz", timeout=60).status_code == 200
    port = int(address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        peer.sendall(head.encode() + body[:5])
        # The second answer shows that the server has read the first request's head.
        assert httpx2.get(f"{address}/healthz", timeout=60).status_code == 200
        process.send_signal(signal.SIGTERM)
        peer.sendall(body[5:])
        assert peer.recv(1000).startswith(b"HTTP/1.1 200 OK")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


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
        (["--host", "no.such.host.invalid"], "no.such.host.invalid:8000: "),
        (["--port", "99999"], "less than or equal to 65535"),
    ],
)
def test_a_mistake_is_one_line(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
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
