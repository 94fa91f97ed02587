"""The settings of the response cache of a ``Client`` (MCP 2026-07-28, ``ttlMs``, ``cacheScope``).

The names are those of ``mcp.client.caching``. The results themselves are kept by the engine.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from toolbridge import _toolbridge
from toolbridge.exceptions import ConfigurationError
from toolbridge.mcp.client._arguments import type_error

__all__ = ["DEFAULT_CACHE", "MAX_TTL_MS", "CacheConfig", "CacheMode", "InMemoryResponseCacheStore"]

# One Literal is what stubtest does not take for an alias.
CacheMode: TypeAlias = Literal["use"] | Literal["refresh", "bypass"]  # noqa: PYI030
"""What one call does with the cache: takes and keeps, asks and keeps, or neither."""

MAX_TTL_MS: Final = 24 * 60 * 60 * 1000
"""No result is kept for longer, whatever its server says."""

_DEFAULT_ENTRIES = 1024
_DEFAULT_BYTES = 64 * 1024 * 1024


class InMemoryResponseCacheStore:
    """Kept results, for one ``Client`` or for several; those used longest ago go first.

    Args:
        max_entries: How many results it holds; 0 is no limit but that of the bytes.
        max_bytes: How large they may be together, in bytes. Default: 64 MiB.

    Raises:
        ValueError: A limit is negative.
    """

    __slots__ = ("_native",)

    def __init__(
        self, *, max_entries: int = _DEFAULT_ENTRIES, max_bytes: int = _DEFAULT_BYTES
    ) -> None:
        """See the class."""
        for name, limit in (("max_entries", max_entries), ("max_bytes", max_bytes)):
            if isinstance(limit, bool) or not isinstance(limit, int):
                raise type_error(name, "an int", limit)
            if limit < 0:
                message = f"{name} is {limit}; it takes an int of 0 or more"
                raise ValueError(message)
        self._native = _toolbridge.CacheStore(max_entries or None, max_bytes)

    def __len__(self) -> int:
        """How many results it holds."""
        return len(self._native)

    def __bool__(self) -> bool:
        """An empty store is a store too."""
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._native.clear()


class CacheConfig:
    """How the results of one ``Client`` are kept.

    Args:
        store: Where; an ``InMemoryResponseCacheStore`` that several clients share. Default: one for
            this client alone.
        partition: Who the caller is, where the store is shared: results that the server calls
            private are given to callers of the same name alone. Derive it from a credential that
            was checked. Needed with ``store``.
        target_id: Which server it is, where the store is shared. Default: the URL; needed with
            ``store`` for a server without one.
        default_ttl_ms: How long a result is kept that does not say, in milliseconds. Default: not
            at all.
        share_public: Whether what the server calls public is shared with every other caller in the
            store. The server is believed.

    Raises:
        TypeError: ``store`` is none of this package; others are not called by the engine.
        ValueError: ``store`` without ``partition``, an empty ``target_id``, or a negative
            ``default_ttl_ms``.
    """

    __slots__ = ("default_ttl_ms", "partition", "share_public", "store", "target_id")

    def __init__(
        self,
        store: InMemoryResponseCacheStore | None = None,
        partition: str = "",
        target_id: str | None = None,
        default_ttl_ms: int = 0,
        *,
        share_public: bool = False,
    ) -> None:
        """See the class."""
        if store is not None and not isinstance(store, InMemoryResponseCacheStore):
            raise type_error("store", "an InMemoryResponseCacheStore of this package", store)
        if store is not None and not partition:
            message = "store is shared between callers, so partition must say who this one is"
            raise ConfigurationError(message)
        if target_id == "":
            message = "target_id is empty; give the server a name, or leave it out"
            raise ConfigurationError(message)
        if default_ttl_ms < 0:
            message = f"default_ttl_ms is {default_ttl_ms}; it takes 0 or more"
            raise ConfigurationError(message)
        self.store = store
        self.partition = partition
        self.target_id = target_id
        self.default_ttl_ms = default_ttl_ms
        self.share_public = share_public

    def __repr__(self) -> str:
        """Show it without the names of the caller and of the server."""
        return f"CacheConfig(default_ttl_ms={self.default_ttl_ms})"


DEFAULT_CACHE: Final = CacheConfig()
"""Obeys the server, for one client alone."""


def read_cache(cache: object, url: str | None) -> tuple[Any, ...] | None:
    """Check ``cache`` of a client, and make of it what the engine reads."""
    if cache is None:
        return None
    if not isinstance(cache, CacheConfig):
        raise type_error("cache", "a CacheConfig or None", cache)
    target = cache.target_id or url
    if cache.store is not None and target is None:
        message = "cache: a store that is shared needs target_id, as this server has no URL"
        raise ConfigurationError(message)
    store = InMemoryResponseCacheStore() if cache.store is None else cache.store
    ttl = min(cache.default_ttl_ms, MAX_TTL_MS) / 1000
    return store._native, target or "", cache.partition, bool(cache.share_public), ttl


def read_cache_mode(mode: object) -> dict[str, Any] | None:
    """Check ``cache_mode`` of a call; None is the usual one."""
    if mode == "use":
        return None
    if mode not in {"refresh", "bypass"}:
        message = f"cache_mode is {mode!r}; it takes 'use', 'refresh' or 'bypass'"
        raise ConfigurationError(message)
    return {"cache": mode}
