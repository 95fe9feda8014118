"""Tables that people have, as Arrow streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["is_table", "reader"]


def is_table(rows: object) -> bool:
    """Whether this speaks Arrow's interface (the Arrow PyCapsule interface)."""
    return hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__")


def reader(rows: Any) -> pa.RecordBatchReader:
    """The rows of whatever speaks Arrow's interface."""
    import pyarrow as pa

    if hasattr(rows, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(rows)
    if hasattr(rows, "__arrow_c_array__"):
        batch = pa.record_batch(rows)
        return pa.RecordBatchReader.from_batches(batch.schema, [batch])
    raise TypeError(
        f"{type(rows).__name__} does not speak Arrow's interface; give a table, such as pyarrow.table({{...}})"
    )
