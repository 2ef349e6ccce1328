"""A plan in lines that people read."""

from __future__ import annotations

from millstream.plan import nodes


def plan_lines(root: nodes.Node, sink: nodes.Sink | None) -> list[str]:
    """The steps of a plan, result first, each input indented below its step."""
    depth = 0 if sink is None else 1
    lines = [] if sink is None else [sink_line(sink)]
    return lines + [line for line, _ in node_lines(root, depth)]


def sink_line(sink: nodes.Sink) -> str:
    """Where a plan's rows go."""
    return f"write {sink.topic} as {sink.value_layout.format}, key {sink.key_layout.format}"


def node_lines(node: nodes.Node, depth: int) -> list[tuple[str, nodes.Node]]:
    """A line for a node and each below it, and the node that it shows."""
    shown = ", ".join(f"{c.name} {c.type}" for c in node.schema)
    lines = [("  " * depth + f"> {_step(node)}: {shown}", node)]
    for child in nodes.children(node):
        lines += node_lines(child, depth + 1)
    return lines


def _step(node: nodes.Node) -> str:
    match node:
        case nodes.ReadSource():
            kind = "table" if node.is_table else "stream"
            kept = ", kept" if node.materialised else ""
            return f"read {kind} {node.source.name}{kept}"
        case nodes.Filter():
            return node.clause
        case nodes.Project():
            return "project"
        case nodes.Rekey():
            return "partition by"
        case nodes.FlatMap():
            return "table functions"
        case nodes.Aggregate():
            return _aggregate(node)
        case nodes.StreamTableJoin():
            return f"{node.kind.value} join with a table"
        case nodes.StreamStreamJoin():
            grace = "24 hours" if node.grace_ms is None else f"{node.grace_ms} ms"
            return (
                f"{node.kind.value} join of streams within {node.before_ms} ms before"
                f" and {node.after_ms} ms after, grace {grace}"
            )
        case nodes.TableTableJoin():
            return f"{node.kind.value} join of tables"
        case nodes.ForeignKeyJoin():
            return f"{node.kind.value} join of tables by a foreign key"
    return type(node).__name__


def _aggregate(node: nodes.Aggregate) -> str:
    names = ", ".join(c.name for c in node.calls)
    if node.spec is None:
        return f"aggregate {names}"
    spec = node.spec
    size = "gap" if spec.kind == "SESSION" else "size"
    text = f"aggregate {names} in {spec.kind} windows, {size} {spec.size_ms} ms"
    if spec.kind == "HOPPING":
        text += f", advance {spec.advance_ms} ms"
    text += f", grace {spec.grace_ms} ms, retention {spec.retention_ms} ms"
    return text + (", final results only" if node.final else "")
