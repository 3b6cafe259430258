"""Event tracking for Python web applications: two documented HTTP endpoints and the store behind them.

The public names are listed in `_public.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from falcon_events._version import __version__ as __version__

if TYPE_CHECKING:
    from falcon_events._public import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """Load the public names with the first use of one: pytest loads this package as a plugin, and the owner needs none."""
    if name == "__all__":
        return __dir__()
    if not name.startswith("_"):
        from falcon_events import _public

        if hasattr(_public, name):
            value = globals()[name] = getattr(_public, name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from falcon_events import _public

    return sorted(name for name in vars(_public) if name.isidentifier() and not name.startswith("_"))
