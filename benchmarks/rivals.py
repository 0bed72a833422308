"""How drawings are kept and loaded elsewhere: what dsnjax's store and loader are measured against.

Each is written the obvious way by somebody who knows its library, and gives the same things: the
image, the sequence of points, their number and the label, or the drawings as a `Packed`.
Libraries are imported where they are used, so that each rival needs only its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import raster
from dsnjax import config
from dsnjax.data import batches
from dsnjax.data.store import Store

SUBPIXEL = 4  # fraction bits of OpenCV's coordinates
HEAD = 2  # bytes of a record that say how many strokes it has

Batches = Iterator[dict]
Reader = Callable[[np.ndarray], raster.Packed]


# ----------------------------------------------------------------------------- loaders


class Drawings:
    """A data set of PyTorch: one drawing at a time, its image by `cv2.polylines`."""

    def __init__(self, store: Store, rows: np.ndarray, data: config.Data):
        self.drawings = [
            [np.array(stroke, np.float32).T for stroke in drawing]
            for drawing in store.take(rows).unpack()
        ]
        self.label = store.label[rows].tolist()
        self.size, self.length, self.thickness = data.image_size, data.length, data.thickness

    def __len__(self) -> int:
        return len(self.drawings)

    def __getitem__(self, row: int) -> dict:
        strokes = self.drawings[row]
        points, length = self.points(strokes)
        return {
            "image": self.image(strokes)[..., None],
            "points": points,
            "length": length,
            "label": self.label[row],
        }

    def image(self, strokes: list[np.ndarray]) -> np.ndarray:
        """Scaled and levelled as `raster.render` does it."""
        import cv2

        margin = self.thickness / 2 + 0.5
        scale = (self.size - 1 - 2 * margin) / 255
        image = np.zeros((self.size, self.size), np.uint8)
        for t, stroke in enumerate(strokes):
            corners = np.rint((stroke * scale + margin) * 2**SUBPIXEL).astype(np.int32)
            level, thickness = 125 + 13 * min(t, 10), round(self.thickness)
            cv2.polylines(image, [corners], False, level, thickness, cv2.LINE_AA, SUBPIXEL)
        return image

    def points(self, strokes: list[np.ndarray]) -> tuple[np.ndarray, int]:
        """(dx, dy, pen) of the first points, as `raster.sequences` gives them."""
        pen = [np.arange(len(stroke)) == len(stroke) - 1 for stroke in strokes]
        steps = np.diff(np.concatenate(strokes), axis=0, prepend=strokes[0][:1]) / 255
        length = min(len(steps), self.length)
        points = np.zeros((self.length, 3), np.float32)
        points[:length, :2] = steps[:length]
        points[:length, 2] = np.concatenate(pen)[:length]
        return points, length


def torch_loader(store: Store, rows: np.ndarray, data: config.Data) -> Batches:
    """PyTorch's DataLoader without workers, epoch after epoch."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(
        Drawings(store, rows, data),  # pyright: ignore[reportArgumentType]
        batch_size=data.batch_size,
        shuffle=True,
        drop_last=True,
    )
    return itertools.chain.from_iterable(itertools.repeat(loader))


def grain_loader(store: Store, rows: np.ndarray, data: config.Data, seed: int = 0) -> Batches:
    """grain's own shuffle and batch of row numbers, then our kernels."""
    import grain

    numbers = (
        grain.MapDataset.range(len(rows))
        .shuffle(seed)
        .repeat()
        .batch(data.batch_size, drop_remainder=True, batch_fn=np.asarray)
        .map(lambda chosen: batches.draw(store, rows[chosen], data))
    )
    # Without threads: the fastest of grain's settings for data in memory, and one thread here too.
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    return iter(numbers.to_iter_dataset(options))


# ----------------------------------------------------------------------------- stores


def array_record(drawings: raster.Packed, path: Path) -> Reader:
    """Writes a record for each drawing and reads those of a batch in one call.

    A record is its number of strokes, their lengths and its points: the least there is to parse.
    """
    from array_record.python import array_record_module

    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    for (p, s), (q, t) in itertools.pairwise(drawings.index.tolist()):
        lengths = drawings.stroke_lengths[s:t].astype("<u2").tobytes()
        head = (t - s).to_bytes(HEAD, "little")
        writer.write(head + lengths + drawings.points[p:q].tobytes())
    writer.close()
    reader = array_record_module.ArrayRecordReader(str(path))

    def read(rows: np.ndarray) -> raster.Packed:
        records = reader.read(rows.tolist())
        strokes = [int.from_bytes(record[:HEAD], "little") for record in records]
        begins = [HEAD + 2 * count for count in strokes]
        lengths = b"".join(r[HEAD:end] for r, end in zip(records, begins, strict=True))
        points = b"".join(r[end:] for r, end in zip(records, begins, strict=True))
        sizes = [(len(r) - end) // 2 for r, end in zip(records, begins, strict=True)]
        return _packed(points, lengths, np.array([sizes, strokes]).T)

    return read


def arrow(drawings: raster.Packed, path: Path, chunk: int | None = None) -> Reader:
    """Writes a Feather file, which is Arrow's own, maps it into memory and takes rows of it.

    Args:
        chunk: rows of a record batch; pyarrow's own choice, 65,536, where None.
    """
    import pyarrow as pa
    from pyarrow import feather

    points, strokes = (drawings.index[:, axis].astype(np.int32) for axis in (0, 1))
    table = pa.table(
        {
            "points": pa.ListArray.from_arrays(2 * points, drawings.points.reshape(-1)),
            "lengths": pa.ListArray.from_arrays(strokes, drawings.stroke_lengths.astype(np.uint16)),
        }
    )
    feather.write_feather(table, str(path), compression="uncompressed", chunksize=chunk)
    mapped = feather.read_table(str(path), memory_map=True)

    def read(rows: np.ndarray) -> raster.Packed:
        points, lengths = (column.combine_chunks() for column in mapped.take(rows).columns)
        sizes = np.stack([np.diff(points.offsets) // 2, np.diff(lengths.offsets)], axis=1)
        return _packed(points.values.to_numpy(), lengths.values.to_numpy(), sizes)

    return read


def _packed(points, lengths, sizes: np.ndarray) -> raster.Packed:
    """Joined points and stroke lengths of drawings of so many points and strokes, [b, 2]."""
    index = np.zeros((len(sizes) + 1, 2), np.int64)
    np.cumsum(sizes, axis=0, out=index[1:])
    corners = np.frombuffer(points, np.uint8).reshape(-1, 2)
    return raster.Packed(corners, np.frombuffer(lengths, np.uint16), index)
