"""What a search server's answer to a `_bulk` call means."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.connect.base import ConnectorError, Rejected, RetriableError
from millstream.connect.bulk import Bulk

_FOR_NOW = ("cluster_block_exception", "unavailable_shards_exception", "process_cluster_event")
"""Error types that pass whatever status they come with: a full disk, a shard on the move."""

_OF_THE_INDEX = {
    "index_not_found_exception": "the index does not exist and the server may not make it",
    "index_closed_exception": "the index is closed",
    "invalid_index_name_exception": "the index cannot have this name",
    "security_exception": "the user may not write to the index",
}


def judge_answer(status: int, content: bytes, bulk: Bulk, url: str) -> list[Rejected]:
    """The documents that the server refused for good.

    Raises RetriableError where the call (or a document in it) failed for now, ConnectorError
    where it always will.
    """
    where = _without_user(url)
    if status == 429 or status >= 500:
        raise RetriableError(
            f"The search server at {where} is not ready (HTTP {status}{_cause(content)})."
        )
    if status in (401, 403):
        raise _log_in_error(status, where)
    if status == 404 or 300 <= status < 400 or status == 405:
        raise ConnectorError(
            f"{where} answered HTTP {status} to _bulk, so no search server is there.",
            hint="Check the option 'connection.url' (host, port, path).",
        )
    if status >= 400:
        raise ConnectorError(
            f"The search server at {where} refused the call: HTTP {status}{_cause(content)}.",
            hint="Check the option 'connection.url' (host, port, path).",
        )
    answer = _decoded(content)
    if answer is None or not isinstance(answer.get("items"), list):
        raise _nonsense(where)
    if not answer.get("errors"):
        return []
    items = answer["items"]
    if len(items) != len(bulk.rows) or not any(map(_is_failure, items)):
        # Which documents are meant cannot be told, so none of them counts as written.
        raise _nonsense(where)
    return _judge_items(items, bulk)


def _nonsense(where: str) -> ConnectorError:
    return ConnectorError(
        f"{where} answered something that no search server says.",
        hint="Check the option 'connection.url' (host, port, path).",
    )


def _result(item: Any) -> tuple[int, dict[str, Any]]:
    """The status of a document and what is said of it; 0 where nothing is."""
    result = next(iter(item.values()), None) if isinstance(item, dict) else None
    if not isinstance(result, dict):
        return 0, {}
    status = result.get("status")
    return (status if type(status) is int else 0), result


def _is_failure(item: Any) -> bool:
    status, result = _result(item)
    return status >= 300 and result.get("error") is not None


def _judge_items(items: list[Any], bulk: Bulk) -> list[Rejected]:
    refused: list[Rejected] = []
    for document, item in enumerate(items):
        status, result = _result(item)
        if status == 0:
            raise RetriableError("The search server does not say what became of a document.")
        error = result.get("error")
        if status < 300 or status == 409 or error is None:  # 409: a newer one is there already
            continue
        kind, reason = _kind_and_reason(error)
        if status == 429 or status >= 500 or kind in _FOR_NOW:
            raise RetriableError(f"The search server could not write a document: {reason}.")
        if kind in _OF_THE_INDEX:
            raise ConnectorError(
                f"Nothing can be written to the index {result.get('_index')}: "
                f"{_OF_THE_INDEX[kind]} ({reason})."
            )
        refused.append(bulk.reject(document, f"The search server refused it: {reason}."))
    return refused


def _kind_and_reason(error: Any) -> tuple[str, str]:
    if not isinstance(error, dict):
        return "", str(error).rstrip(".")
    reason = str(error.get("reason", error.get("type", ""))).rstrip(".")
    cause = error.get("caused_by")
    if isinstance(cause, dict) and cause.get("reason"):
        reason += f" ({str(cause['reason']).rstrip('.')})"
    return str(error.get("type", "")), " ".join(reason.split())


def _cause(content: bytes) -> str:
    """What the server says about a failed call, as the end of a sentence."""
    answer = _decoded(content)
    error = answer.get("error") if answer else None
    return f": {_kind_and_reason(error)[1]}" if error else ""


def _decoded(content: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError:
        return None


def _log_in_error(status: int, where: str) -> ConnectorError:
    if status == 401:
        return ConnectorError(
            f"The search server at {where} does not let this user in (HTTP 401).",
            hint="Check the options 'connection.user' and 'connection.password'.",
        )
    return ConnectorError(
        f"The search server at {where} does not allow this user to write (HTTP 403).",
        hint="Give the user the right to write and to create the indices.",
    )


def _without_user(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://{tail}" if at else url
