"""What a dictionary can do."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Dictionary = MutableMapping[Any, Any]
else:

    class Dictionary:
        """A MutableMapping that does not say so: polars takes a Mapping for columns by name, and asks for no Arrow."""

        __contains__ = MutableMapping.__contains__
        get = MutableMapping.get
        keys = MutableMapping.keys
        values = MutableMapping.values
        items = MutableMapping.items
        popitem = MutableMapping.popitem
        clear = MutableMapping.clear
        setdefault = MutableMapping.setdefault
        update = MutableMapping.update

        def pop(self, key: Any, *default: Any) -> Any:
            """As dict.pop."""
            try:
                value = self[key]
            except KeyError:
                if not default:
                    raise
                return default[0]
            del self[key]
            return value
