"""Python sources as data: literals, and calls with literal arguments. Nothing is executed."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rota.cli.exits import CommandFailed
from rota.cli.local.importing.imported import NotMappable


@dataclass(frozen=True, slots=True)
class Call:
    """A call in a source: its name without the module, and its arguments as nodes."""

    name: str
    arguments: tuple[ast.expr, ...]
    named: Mapping[str, ast.expr]

    def literals(self, *positions: str) -> dict[str, Any]:
        """Return the arguments by name, those without one by `positions`; raises NotMappable if that is not clear."""
        if len(self.arguments) > len(positions):
            raise NotMappable(f"name the arguments of {self.name}()")
        placed = dict(zip(positions, self.arguments, strict=False))
        return {name: literal(node) for name, node in {**placed, **self.named}.items()}


def parse(text: str, name: str) -> ast.Module:
    """Return a source as a tree; raises CommandFailed with its line if it is no Python."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise CommandFailed(f"{name}{line}: this is no Python ({error}).") from None


def literal(node: ast.expr) -> Any:
    """Return the value of a literal; raises NotMappable for anything that would have to be computed."""
    try:
        return _number(node) if isinstance(node, ast.BinOp) else ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise NotMappable(
            f"{_shown(node)!r} is computed by the program; only literals can be read"
        ) from None


def _shown(node: ast.expr) -> str:
    try:
        return ast.unparse(node)[:80]
    except RecursionError:
        return "…"


def _number(node: ast.expr) -> float:
    """Return a product or sum of numbers, such as `60 * 60`; raises ValueError for others."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _number(left) * _number(right)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _number(left) + _number(right)
        case ast.Constant(value=int() | float() as value):
            return value
        case _:
            raise ValueError(node)


def call_in(node: ast.expr) -> Call | None:
    """Return the call that an expression is, None if it is none."""
    if not isinstance(node, ast.Call):
        return None
    name = dotted(node.func).rpartition(".")[2]
    named = {each.arg: each.value for each in node.keywords if each.arg is not None}
    return Call(name, tuple(node.args), named)


def dotted(node: ast.expr) -> str:
    """Return a name such as `app.conf.beat_schedule`; empty for other expressions."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=of, attr=name):
            return f"{dotted(of)}.{name}"
        case _:
            return ""
