"""The official bucket, a mirror or a folder -> files of drawings, whole and checked, or none.

What has arrived of a file lies under `NAME.part` and is gone on with after any interruption. A
file gets its name when its size and the checksum that the server sent (`x-goog-hash`) are right.
"""

import base64
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote, unquote, urlsplit

import httpx2
import tenacity
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dsnjax import files, tracking
from dsnjax.data import categories as names
from dsnjax.errors import DataError, Interrupted, UserError

BUCKET = "https://storage.googleapis.com/quickdraw_dataset"
SCHEMES = ("http", "https", "file")
SUFFIX = {"simplified": "ndjson", "raw": "ndjson", "binary": "bin"}
CHUNK = 1 << 20  # bytes
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 8
WAIT = tenacity.wait_random_exponential(multiplier=0.5, max=30)

T = TypeVar("T")
Kind = Literal["simplified", "raw", "binary"]
Tell = Callable[[int], None]
"""Is told how many bytes of a file are there."""


@dataclass(frozen=True)
class Remote:
    """A file to fetch: where it is, where it goes, and what the server says of it."""

    url: str
    target: Path
    size: int = 0
    md5: str = ""

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def tag(self) -> Path:
        """Holds the ETag of the version that the part is of."""
        return self.target.with_name(f"{self.target.name}.etag")

    def drop_part(self) -> None:
        self.part.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)


class TransientError(Exception):
    """The server may do better next time; `after` is how many seconds it asks for."""

    def __init__(self, message: str, after: float = 0.0):
        super().__init__(message)
        self.after = after


class ChecksumError(TransientError):
    """All bytes came, but not the right ones."""


def download(
    dest: str | Path,
    categories: str | Path | Sequence[str],
    *,
    kind: Kind = "simplified",
    base_url: str = BUCKET,
    jobs: int = 4,
) -> list[Path]:
    """Fetches the files of some categories; those that are there already are checked and kept.

    Args:
        dest: folder; the files go below it as in the bucket, to `full/KIND/NAME.ndjson`.
        categories: a preset, a file or a list, as `categories.read` takes it.
        kind: which form of the drawings.
        base_url: the bucket or a mirror laid out alike: http, https, or file for a folder.
        jobs: files to fetch at a time.

    Returns:
        The files, in the order of the categories.

    Raises:
        UserError: no such file there; the disk is too small; another run writes to `dest`.
        DataError: a file keeps arriving damaged.
        Interrupted: the server cannot be reached, or keeps failing.
    """
    _require_address(base_url)
    folder = Path(dest) / "full" / kind
    chosen, official = names.read(categories), names.known()
    if base_url == BUCKET and (unknown := [name for name in chosen if name not in official]):
        raise UserError(f"category {unknown[0]!r}: not there{names.near(unknown[0], official)}")
    wanted = [_file_name(name, SUFFIX[kind]) for name in chosen]
    # httpx2 takes an address without a host for a relative one.
    base = f"{base_url.replace('file:///', 'file://localhost/').rstrip('/')}/full/{kind}"
    with files.locked(folder), _client() as client:
        remotes = [Remote(f"{base}/{quote(name)}", folder / name) for name in wanted]
        with _threads(jobs) as (pool, stop), tracking.bar("checking", len(remotes)) as bar:
            bar.note("what is there")
            look = partial(_patiently, stop, _look, client)
            remotes = list(pool.map(look, remotes))
            there = list(bar.watched(pool.map(_complete, remotes)))
        missing = [remote for remote, done in zip(remotes, there, strict=True) if not done]
        _require_space(missing, folder)
        with files.full_disk_told(folder, sum(remote.size for remote in missing)):
            _fetch_all(client, missing, jobs)
    return [remote.target for remote in remotes]


def _require_address(base_url: str) -> None:
    """Raises UserError for what is no address; neither parser finds all that the other one does."""
    try:
        address = urlsplit(base_url)
        known = address.scheme == httpx2.URL(base_url).scheme in SCHEMES
        if known and not base_url.startswith("file://"):
            known = bool((address.hostname or "").encode("idna"))
    except (ValueError, httpx2.InvalidURL):
        known = False
    if not known:
        raise UserError(f"base_url={base_url!r}: want an address of http://, https:// or file://")


def _client() -> httpx2.Client:
    # Compressed on the way, ranges and checksums would be of other bytes than the file's.
    headers = {"Accept-Encoding": "identity"}
    mounts = {"file://": FolderTransport()}
    return httpx2.Client(headers=headers, mounts=mounts, timeout=TIMEOUT, follow_redirects=True)


class FolderTransport(httpx2.BaseTransport):
    """Answers file:// addresses as the bucket answers its own."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        path = Path(unquote(request.url.path))
        if not path.is_file():
            return httpx2.Response(404)
        headers = {"content-length": str(path.stat().st_size), "x-goog-hash": f"md5={_md5(path)}"}
        return httpx2.Response(200, headers=headers, stream=FileStream(path))


class FileStream(httpx2.SyncByteStream):
    """The bytes of a file, a chunk at a time."""

    def __init__(self, path: Path):
        self.path = path

    def __iter__(self) -> Iterator[bytes]:
        with open(self.path, "rb") as file:
            yield from iter(lambda: file.read(CHUNK), b"")


def _file_name(category: str, suffix: str) -> str:
    """The category's file in the bucket. Raises UserError where that is no plain name."""
    name = f"{category}.{suffix}"
    if (
        re.search(r'[/\\:*?"<>|\x00-\x1f]|^\.|(?i:^(con|prn|aux|nul|com\d|lpt\d)\.)', name)
        or len(name.encode()) > 200
    ):
        raise UserError(f"category {category[:50]!r} cannot be the name of a file")
    return name


def _look(client: httpx2.Client, remote: Remote) -> Remote:
    """Asks the server for size and checksum; a server without HEAD leaves them open."""
    response = client.head(remote.url)
    if response.status_code in (405, 501):
        return remote
    _raise_unless_well(response, remote)
    size = int(response.headers.get("content-length", 0))
    return replace(remote, size=size, md5=_sent_md5(response))


def _complete(remote: Remote) -> bool:
    """Whether the file is there already, as far as the server lets us know."""
    file = remote.target
    if not file.is_file() or not (remote.size or remote.md5):
        return False
    if remote.size and remote.size != file.stat().st_size:
        return False
    return not remote.md5 or remote.md5 == _md5(file)


def _require_space(remotes: Sequence[Remote], folder: Path) -> None:
    parts = sum(remote.part.stat().st_size for remote in remotes if remote.part.exists())
    need, free = sum(remote.size for remote in remotes) - parts, shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"{folder}: {need / 1e6:,.0f} MB are to come, but only {free / 1e6:,.0f} MB are free; "
            "choose fewer categories or another dest"
        )


@contextmanager
def _threads(jobs: int) -> Iterator[tuple[ThreadPoolExecutor, threading.Event]]:
    """Threads, and what stops them where one fails or Ctrl-C comes, also while they wait."""
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield pool, stop
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_all(client: httpx2.Client, remotes: Sequence[Remote], jobs: int) -> None:
    """Fetches files side by side, with a bar for each and one for all."""
    with _progress() as progress, _threads(jobs) as (pool, stop):
        everything = progress.add_task("all", total=sum(remote.size for remote in remotes))

        def one(remote: Remote) -> None:
            bar = progress.add_task(remote.target.name, total=remote.size or None)
            there = 0

            def tell(size: int) -> None:
                nonlocal there
                if stop.is_set():
                    raise Interrupted("stopped")
                progress.update(bar, completed=size)
                progress.advance(everything, size - there)
                there = size

            _patiently(stop, _fetch, client, remote, tell)
            progress.remove_task(bar)

        for future in as_completed([pool.submit(one, remote) for remote in remotes]):
            future.result()


def _fetch(client: httpx2.Client, remote: Remote, tell: Tell) -> None:
    """Goes on with the part that is there, or begins; names the file when all is right."""
    tag = remote.tag.read_text() if remote.tag.exists() and remote.part.exists() else ""
    have = remote.part.stat().st_size if tag else 0
    # If-Range: a server whose file has changed since sends all of the new one.
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have else {}
    with client.stream("GET", remote.url, headers=headers) as response:
        if response.status_code in (206, 416) and not _goes_on(response, have, tag):
            remote.drop_part()
            raise TransientError("the server sent another part than the one asked for")
        _raise_unless_well(response, remote)
        have = have if response.status_code == 206 else 0
        etag = response.headers.get("etag", "")
        remote.tag.write_text("" if etag.startswith("W/") else etag)
        with open(remote.part, "ab" if have else "wb") as out:
            tell(have)
            for chunk in response.iter_raw():
                out.write(chunk)
                tell(out.tell())
            out.flush()
            os.fsync(out.fileno())
    _require_sound(remote, _sent_md5(response) or remote.md5)
    os.replace(remote.part, remote.target)
    remote.tag.unlink()


def _goes_on(response: httpx2.Response, have: int, tag: str) -> bool:
    """Whether the rest of a part comes, of the version that the part is of."""
    begin = response.headers.get("content-range", "").startswith(f"bytes {have}-")
    return bool(have) and begin and response.headers.get("etag", tag) == tag


def _require_sound(remote: Remote, md5: str) -> None:
    """Raises ChecksumError, and drops the part, where it is not what the server has."""
    size = remote.part.stat().st_size
    if md5 and md5 != _md5(remote.part):
        remote.drop_part()
        raise ChecksumError("the bytes that came do not have the checksum that the server sent")
    if remote.size and remote.size != size:
        remote.drop_part()
        raise ChecksumError(f"{size} bytes came, {remote.size} were announced")


def _raise_unless_well(response: httpx2.Response, remote: Remote) -> None:
    status = response.status_code
    if status < 400:
        return
    if status in (404, 410):
        known, stem = names.known(), remote.target.stem
        wanted = "" if stem in known else names.near(stem, known)
        raise UserError(f"{remote.url}: not there{wanted or '; see base_url, kind and categories'}")
    if status in (408, 429) or status >= 500:
        after = response.headers.get("retry-after", "")
        raise TransientError(f"the server answered {status}", int(after) if after.isdigit() else 0)
    raise UserError(f"{remote.url}: the server refuses it ({status})")


def _patiently(
    stop: threading.Event,
    act: Callable[..., T],
    client: httpx2.Client,
    remote: Remote,
    *more: Tell,
) -> T:
    """Calls `act` until it succeeds, waiting longer each time, at most ATTEMPTS times."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((httpx2.TransportError, TransientError)),
        stop=tenacity.stop_after_attempt(ATTEMPTS) | tenacity.stop_when_event_set(stop),
        sleep=tenacity.sleep_using_event(stop),
        wait=_wait,
        reraise=True,
    )
    try:
        return retrying(act, client, remote, *more)
    except ChecksumError as error:
        raise DataError(f"{remote.url}: {error}, {ATTEMPTS} times; try another base_url") from None
    except (httpx2.RequestError, TransientError) as error:
        reason = str(error) or type(error).__name__
        raise Interrupted(
            f"{remote.url}: gave up after {ATTEMPTS} attempts ({reason}); what has come is kept: "
            "run it again to go on"
        ) from None


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.after if isinstance(error, TransientError) else 0.0
    return max(WAIT(state), min(asked, 60.0))


def _sent_md5(response: httpx2.Response) -> str:
    """The file's MD5 in base64 as the bucket sends it, or nothing."""
    sums = response.headers.get_list("x-goog-hash", split_commas=True)
    return next((one.strip()[4:] for one in sums if one.strip().startswith("md5=")), "")


def _md5(file: Path) -> str:
    with open(file, "rb") as data:
        digest = hashlib.file_digest(data, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()


def _progress() -> Progress:
    console = Console(stderr=True)
    size = DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    columns = TextColumn("{task.description}"), BarColumn(), *size
    return Progress(*columns, console=console, disable=not console.is_terminal)
