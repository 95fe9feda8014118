"""The largest rows of a map, on a terminal or in a pipe."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from fastbpf.cli.refusal import Refused
from fastbpf.cli.views import PipeView

if TYPE_CHECKING:
    from typing import Self

    import pyarrow as pa


class Top:
    """Takes what `Map.watch` gives, and shows the rows that are largest in a column."""

    def __init__(self, column: str | None, rows: int | None) -> None:
        self._column = column
        self._rows = rows
        self._view: Any = None
        if os.isatty(1):
            from fastbpf.cli.screen import Picture

            self._view = Picture()
        self._pipe = None if self._view else PipeView()

    def __enter__(self) -> Self:
        if self._view:
            self._view.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._view:
            self._view.stop()

    def gone(self) -> bool:
        """Whether nobody reads any more."""
        return self._pipe is not None and self._pipe.gone()

    def show(self, batch: pa.RecordBatch) -> None:
        """Shows the largest rows of the batch."""
        from fastbpf import _native
        from fastbpf.record.tables import reader

        rows = _native.RecordBatch.imported(reader(self._largest(batch)))
        if self._pipe:
            self._pipe.write(rows, lambda: False)
        else:
            more = f"{len(batch) - len(rows):,} more" if len(batch) > len(rows) else ""
            self._view.draw(rows.column_names, rows.to_text(0, len(rows)), more)

    def _largest(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow.compute as pc

        names = batch.schema.names
        if self._column is None:
            self._column = next((name for name in names if name.endswith("_rate")), names[0])
        if self._column not in names:
            near = get_close_matches(self._column, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise Refused(f"there is no column {self._column} to sort by; {hint}")
        room = self._rows or (self._view.room() if self._view else len(batch))
        # Rates of the first read are null, which is last; then what is largest so far tells most.
        by = [(self._column, "descending")]
        by += [(name, "descending") for name in names if f"{name}_rate" == self._column]
        order = pc.sort_indices(batch, sort_keys=by)
        return batch.take(order[:room])
