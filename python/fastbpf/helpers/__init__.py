"""The helper functions that the kernel offers to BPF programs: what they are, and what this kernel allows.

>>> from fastbpf import helpers
>>> helper = helpers.get("map_lookup_elem")
>>> helper.id, helper.signature, str(helper.min_kernel)
(1, 'void *bpf_map_lookup_elem(void *map, const void *key)', '3.19')
>>> len(helpers.all()), [one.name for one in helpers.by_category("time")][:2]
(211, ['ktime_get_ns', 'jiffies64'])

The registry is pure Python and asks nobody. `check` and `probe` ask the running kernel. Names load what they need when
they are first used.
"""

_HOMES = {
    "helper": ("Helper", "HelperError"),
    "registry": (
        *("all", "available", "by_category", "categories", "compatible", "get", "register"),
        *("search", "since", "unregister", "until"),
    ),
    "summary": ("Stats", "describe", "stats", "table"),
    "btf": ("Comparison", "check"),
    "probing": ("Probed", "Verdict", "probe"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605  # a list, whatever made it


def __getattr__(name: str) -> object:
    from importlib import import_module

    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
