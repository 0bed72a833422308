"""A store -> one Parquet file, for DuckDB, polars, pandas and R."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import raster
from dsnjax import files, tracking
from dsnjax.data.store import Store
from dsnjax.errors import extra

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = 1 << 16  # drawings in a row group


def write(store: Store, path: Path) -> None:
    """Writes every drawing of a store with what is known about it, in the store's order.

    The columns: word, key_id, countrycode, recognized, entropy, hash, and drawing as in the
    ndjson files, [[xs, ys], ...]; null where a value is not known.

    Raises:
        UserError: pyarrow is not installed.
    """
    with extra("parquet", "parquet"):
        import pyarrow.parquet
    begins = range(0, len(store), GROUP)
    with files.whole(path) as file, tracking.bar("exporting", len(begins)) as bar:
        writer = None
        for begin in bar.watched(begins):
            table = _table(store, np.arange(begin, min(begin + GROUP, len(store))))
            writer = writer or pyarrow.parquet.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table)
        if writer:
            writer.close()


def _table(store: Store, rows: np.ndarray) -> "pa.Table":
    import pyarrow as pa

    words = pa.DictionaryArray.from_arrays(
        store.label[rows], pa.array(store.categories, pa.string())
    )
    country, recognized, key_id = (
        column[rows] for column in (store.country, store.recognized, store.key_id)
    )
    return pa.table(
        {
            "word": words,
            "key_id": pa.array(key_id, mask=key_id == 0),
            "countrycode": pa.array(country.astype("U2"), pa.string(), mask=country == b""),
            "recognized": pa.array(recognized == 1, mask=recognized < 0),
            "entropy": store.entropy[rows],
            "hash": store.hash[rows],
            "drawing": _drawings(store.take(rows)),
        }
    )


def _drawings(packed: raster.Packed) -> "pa.ListArray":
    """Strokes as list<list<list<uint8>>>: of a drawing, of a stroke, x before y."""
    import pyarrow as pa

    lengths = packed.stroke_lengths.astype(np.int64)
    begins = np.cumsum(lengths) - lengths
    x_at = np.arange(len(packed.points)) + np.repeat(begins, lengths)
    values = np.empty(2 * len(packed.points), np.uint8)
    values[x_at], values[x_at + np.repeat(lengths, lengths)] = packed.points.T
    ends = np.append(0, np.cumsum(np.repeat(lengths, 2)))
    lists = pa.ListArray.from_arrays(ends.astype(np.int32), values)
    strokes = pa.ListArray.from_arrays(np.arange(0, len(lists) + 1, 2).astype(np.int32), lists)
    return pa.ListArray.from_arrays(packed.index[:, 1].astype(np.int32), strokes)
