"""onnxruntime-web, which runs models in browsers: from its npm package into the page's folder.

Three files of 14 MB that are not part of the source. Their version and checksums are, so that
what runs in people's browsers is what was tested.
"""

import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import httpx2

from dsnjax import files
from dsnjax.errors import DataError, UserError

VERSION = "1.30.0"
FOLDER = Path(__file__).parent / "page" / "ort"
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
SHA256 = dict(
    zip(
        FILES,
        (
            "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
            "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
            "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
        ),
        strict=True,
    )
)
MISSING = "what runs models in browsers is not here; fetch it: dsnjax runtime"
MAX_FILE = 64 << 20  # bytes


def there() -> bool:
    """Whether all files have been fetched."""
    return all((FOLDER / name).is_file() for name in SHA256)


def fetch(source: str | None = None) -> None:
    """Fetches the files; does nothing where they are.

    Args:
        source: the package's .tgz, as a file or an address; None asks npm for it.

    Raises:
        UserError: the package cannot be had. DataError: it is not the one that was tested.
    """
    if there() and all(files.sha256(FOLDER / name) == wanted for name, wanted in SHA256.items()):
        return
    found = _unpack(_package(source))
    for name, data in found.items():
        files.write(FOLDER / name, data)


def _package(source: str | None) -> bytes:
    """The bytes of the .tgz."""
    if source is None:
        return _from_npm()
    try:
        if source.startswith(("http://", "https://")):
            answer = httpx2.get(source, follow_redirects=True, timeout=60)
            answer.raise_for_status()
            return answer.content
        return Path(source).read_bytes()
    except (OSError, httpx2.HTTPError) as error:
        raise UserError(f"runtime: {source}: {error}") from error


def _from_npm() -> bytes:
    wanted = f"onnxruntime-web@{VERSION}"
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            f"runtime: no npm here; give the package: --source onnxruntime-web-{VERSION}.tgz"
        )
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [npm, "pack", "--silent", wanted], cwd=folder, capture_output=True, text=True
        )
        packages = list(Path(folder).glob("*.tgz"))
        if run.returncode or not packages:
            said = (run.stderr.strip() or "no answer").splitlines()[0]
            raise UserError(f"runtime: npm pack {wanted}: {said}; or give --source FILE")
        return packages[0].read_bytes()


def _unpack(package: bytes) -> dict[str, bytes]:
    """The files wanted, each compared with its checksum."""
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as opened:
            for name, wanted in SHA256.items():
                file = opened.extractfile(f"package/dist/{name}")
                data = file.read(MAX_FILE) if file else b""
                if hashlib.sha256(data).hexdigest() != wanted:
                    raise DataError(f"runtime: {name} is not that of version {VERSION}")
                found[name] = data
    except (KeyError, tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"runtime: not the package onnxruntime-web {VERSION}: {error}") from error
    return found
