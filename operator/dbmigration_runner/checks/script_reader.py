"""Goes through a function of a revision as Python would, statement by statement, and runs nothing.

Where a condition is not known both ways are gone; a loop over known items is gone once for each. What a call does is the
business of script_calls.py. Never raises: what is too deep or too long to follow is entered in the ledger as unclear.
"""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Any

from dbmigration_runner.checks.drops import HOLE
from dbmigration_runner.checks.script_calls import Calls
from dbmigration_runner.checks.script_objects import LIBRARIES, attribute
from dbmigration_runner.checks.script_values import (
    UNKNOWN,
    UNLOADED,
    Flow,
    Frame,
    Function,
    Made,
    Some,
    at_most,
    compared,
    element,
    fewer,
    items_of,
    join,
    percent,
    same,
    text_of,
    truth,
)

if TYPE_CHECKING:
    from dbmigration_runner.checks.drops import Ledger

MOST_STEPS = 20_000
DEEPEST = 12  # calls within calls


class _TooMuch(Exception):  # noqa: N818  # it is caught here, and means no error of anybody
    pass


class Reader:
    """One reading, into one ledger."""

    def __init__(self, ledger: Ledger, dialect: str | None = None) -> None:
        self.ledger = ledger
        self.dialect = dialect  # as SQLAlchemy calls it; None: any
        self.unsure = 0  # how many unknown conditions we are in
        self._calls = Calls(self, ledger)
        self._steps = 0
        self._at_work: list[Any] = []

    def read(self, function: Function) -> Flow:
        """Go through a function that is called without arguments."""
        try:
            return self.run(function, [], {})[0]
        except (_TooMuch, RecursionError):
            self.ledger.say("does more than can be followed")
            return Flow.ON

    def run(self, function: Function, values: list[Any], named: dict[str, Any]) -> tuple[Flow, Any]:
        """Go through a call; how it ends and what it gives."""
        if len(self._at_work) >= DEEPEST or function.definition in self._at_work:
            self.ledger.say(f"calls {getattr(function.definition, 'name', 'a function')} deeper than can be followed")
            return Flow.ON, UNKNOWN
        frame = Frame(self._bound(function, values, named), function.module, function.outer)
        self._at_work.append(function.definition)
        try:
            if isinstance(function.definition, ast.Lambda):
                return Flow.ON, self.value(function.definition.body, frame)
            flow = self._block(function.definition.body, frame)
        finally:
            self._at_work.pop()
        given = frame.returned
        whole = flow is not Flow.ON and given and all(same(given[0], other) for other in given[1:])
        return (Flow.RAISED if flow is Flow.RAISED else Flow.ON), given[0] if whole else (UNKNOWN if given else None)

    def _bound(self, function: Function, values: list[Any], named: dict[str, Any]) -> dict[str, Any]:
        rules = function.definition.args
        names = [rule.arg for rule in (*rules.posonlyargs, *rules.args)]
        outer = Frame({}, function.module, function.outer)
        bound: dict[str, Any] = dict.fromkeys([*names, *(rule.arg for rule in rules.kwonlyargs)], UNKNOWN)
        for name, default in zip(reversed(names), reversed(rules.defaults), strict=False):
            bound[name] = self.value(default, outer)
        for rule, preset in zip(rules.kwonlyargs, rules.kw_defaults, strict=True):
            bound[rule.arg] = self.value(preset, outer) if preset is not None else UNKNOWN
        given = ([function.owner] if function.owner is not None else []) + values
        bound.update(zip(names, given, strict=False))
        if rules.vararg is not None:
            bound[rules.vararg.arg] = tuple(given[len(names) :])
        bound.update({name: value for name, value in named.items() if name in bound})
        if rules.kwarg is not None:
            bound[rules.kwarg.arg] = {name: value for name, value in named.items() if name not in bound}
        return bound

    def _block(self, body: list[ast.stmt], frame: Frame) -> Flow:
        for statement in body:
            flow = self._statement(statement, frame)
            if flow is not Flow.ON:
                return flow
        return Flow.ON

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise _TooMuch

    def _statement(self, node: ast.stmt, frame: Frame) -> Flow:  # noqa: C901, PLR0912  # one rung a statement of Python
        self._step()
        match node:
            case ast.Return(value=given):
                frame.returned.append(self.value(given, frame) if given is not None else None)
                return Flow.LEFT
            case ast.Raise():
                return Flow.RAISED
            case ast.Break():
                return Flow.BROKEN
            case ast.Continue():
                return Flow.NEXT
            case ast.If():
                return self._if(node, frame)
            case ast.For() | ast.AsyncFor():
                return self._for(node, frame)
            case ast.While():
                self.value(node.test, frame)
                self._unsurely(node.body, frame)
                return self._block(node.orelse, frame)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    entered = self.value(item.context_expr, frame)
                    if item.optional_vars is not None:
                        self._assign(item.optional_vars, entered, frame)
                return self._block(node.body, frame)
            case ast.Try():
                return self._try(node, frame)
            case ast.Match():
                self.value(node.subject, frame)
                for case in node.cases:
                    self._forget(case.pattern, frame)
                    self._unsurely(case.body, frame)
            case ast.Assign():
                value = self.value(node.value, frame)
                for target in node.targets:
                    self._assign(target, value, frame)
            case ast.AnnAssign() if node.value is not None:
                self._assign(node.target, self.value(node.value, frame), frame)
            case ast.AugAssign():
                value = self.value(node.value, frame)
                grown = isinstance(node.op, ast.Add) and isinstance(node.target, ast.Name)
                self._assign(node.target, join(self.value(node.target, frame), value) if grown else UNKNOWN, frame)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                frame.names[node.name] = Function(node, frame.module, frame)
            case ast.ClassDef():
                frame.names[node.name] = UNKNOWN
            case ast.Import() | ast.ImportFrom():
                _import(node, frame)
            case ast.Assert():
                return Flow.RAISED if truth(self.value(node.test, frame)) is False else Flow.ON
            case ast.Expr():
                return self._calls.flow_of(node.value, frame)
            case _:
                self._parts(node, frame)
        return Flow.ON

    def _if(self, node: ast.If, frame: Frame) -> Flow:
        known = truth(self.value(node.test, frame))
        if known is not None:
            return self._block(node.body if known else node.orelse, frame)
        yes, no = frame.fork(), frame.fork()
        self.unsure += 1
        flows = (self._block(node.body, yes), self._block(node.orelse, no))
        self.unsure -= 1
        frame.join([way for way, flow in zip((yes, no), flows, strict=True) if flow is Flow.ON] or [yes, no])
        if flows[0] is flows[1]:
            return flows[0]
        # One way ends here, and a loop or a function goes on with the other; both end where neither goes on.
        return Flow.LEFT if Flow.ON not in flows and Flow.NEXT not in flows else Flow.ON

    def _for(self, node: ast.For | ast.AsyncFor, frame: Frame) -> Flow:
        iterated = self.value(node.iter, frame)
        items = items_of(iterated)
        if items is None or isinstance(iterated, Some):
            for item in items if items is not None else [UNKNOWN]:
                self._assign(node.target, item, frame)
                self._unsurely(node.body, frame)
            return self._block(node.orelse, frame)
        for item in items:
            self._assign(node.target, item, frame)
            flow = self._block(node.body, frame)
            if flow is Flow.BROKEN:
                return Flow.ON
            if flow in {Flow.LEFT, Flow.RAISED}:
                return flow
        return self._block(node.orelse, frame)

    def _try(self, node: ast.Try, frame: Frame) -> Flow:
        flow = self._block(node.body, frame)
        ends = {self._unsurely(handler.body, frame) for handler in node.handlers}
        if flow is Flow.RAISED and ends - {Flow.RAISED}:
            flow = Flow.ON if Flow.ON in ends else Flow.LEFT
        elif flow is Flow.ON:
            flow = self._block(node.orelse, frame)
        last = self._block(node.finalbody, frame)
        return last if last is not Flow.ON else flow

    def _unsurely(self, body: list[ast.stmt], frame: Frame) -> Flow:
        """What may run, once, several times or not at all."""
        way = frame.fork()
        self.unsure += 1
        flow = self._block(body, way)
        self.unsure -= 1
        frame.join([frame.fork(), way])
        return flow

    def _assign(self, target: ast.expr, value: Any, frame: Frame) -> None:
        match target:
            case ast.Name():
                frame.names[target.id] = value
            case ast.Tuple() | ast.List():
                values = items_of(value)
                starred = any(isinstance(part, ast.Starred) for part in target.elts)
                fits = values is not None and len(values) == len(target.elts) and not starred
                for number, part in enumerate(target.elts):
                    self._assign(part, values[number] if fits and values is not None else UNKNOWN, frame)
            case ast.Starred():
                self._assign(target.value, UNKNOWN, frame)
            case ast.Attribute():
                self.value(target.value, frame)
                self.ledger.sets = True
            case ast.Subscript(value=ast.Name(id=name)):
                frame.names[name] = UNKNOWN
            case ast.Subscript():
                self.ledger.sets |= isinstance(target.value, ast.Attribute)
            case _:
                pass

    def _forget(self, pattern: ast.AST, frame: Frame) -> None:
        for node in ast.walk(pattern):
            name = getattr(node, "name", None) or getattr(node, "rest", None)
            if isinstance(name, str):
                frame.names[name] = UNKNOWN

    def value(self, node: ast.expr, frame: Frame) -> Any:  # noqa: C901, PLR0912  # one rung an expression of Python
        """What an expression gives; what it does on the way is done."""
        self._step()
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return frame.look_up(node.id)
            case ast.Attribute():
                return attribute(self.value(node.value, frame), node.attr)
            case ast.Call():
                return self._calls.value_of(node, frame)
            case ast.JoinedStr():
                return "".join(text_of(self.value(part, frame)) for part in node.values)
            case ast.FormattedValue():
                value = self.value(node.value, frame)
                return text_of(value) if node.format_spec is None and node.conversion != ord("r") else HOLE
            case ast.BinOp(op=ast.Add()):
                return join(self.value(node.left, frame), self.value(node.right, frame))
            case ast.BinOp(op=ast.Mod()):
                return percent(self.value(node.left, frame), self.value(node.right, frame))
            case ast.BinOp(op=ast.Sub() | ast.BitAnd()):
                self.value(node.right, frame)
                return fewer(self.value(node.left, frame))
            case ast.Tuple() | ast.List() | ast.Set():
                return self._collected(node, frame)
            case ast.Dict():
                keys = [self.value(key, frame) if key is not None else UNKNOWN for key in node.keys]
                values = [self.value(value, frame) for value in node.values]
                known = all(type(key) in (str, int, bool) for key in keys)
                return dict(zip(keys, values, strict=True)) if known else UNKNOWN
            case ast.Subscript():
                return element(self.value(node.value, frame), self.value(node.slice, frame))
            case ast.UnaryOp(op=ast.Not()):
                known_truth = truth(self.value(node.operand, frame))
                return UNKNOWN if known_truth is None else not known_truth
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as number)):
                return -number
            case ast.BoolOp():
                return self._either(
                    [self.value(part, frame) for part in node.values], is_or=isinstance(node.op, ast.Or)
                )
            case ast.Compare(ops=[operator], comparators=[right]):
                return compared(self.value(node.left, frame), operator, self.value(right, frame))
            case ast.IfExp():
                return self._if_expression(node, frame)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehended(node, frame)
            case ast.NamedExpr():
                value = self.value(node.value, frame)
                self._assign(node.target, value, frame)
                return value
            case ast.Lambda():
                return Function(node, frame.module, frame)
            case ast.Await() | ast.Starred():
                return self.value(node.value, frame)
            case _:
                self._parts(node, frame)
                return UNKNOWN

    def _parts(self, node: ast.AST, frame: Frame) -> None:
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                self.value(part, frame)

    def _collected(self, node: ast.Tuple | ast.List | ast.Set, frame: Frame) -> Any:
        collected: list[Any] = []
        for part in node.elts:
            value = self.value(part, frame)
            if isinstance(part, ast.Starred):
                items = items_of(value)
                if items is None or isinstance(value, Some):
                    return UNKNOWN
                collected += items
            else:
                collected.append(value)
        return tuple(collected) if isinstance(node, ast.Tuple) else collected  # a set's order is nobody's business

    def _either(self, values: list[Any], *, is_or: bool) -> Any:
        for value in values[:-1]:
            known = truth(value)
            if known is None:
                return UNKNOWN
            if known is is_or:
                return value
        return values[-1]

    def _if_expression(self, node: ast.IfExp, frame: Frame) -> Any:
        known = truth(self.value(node.test, frame))
        if known is not None:
            return self.value(node.body if known else node.orelse, frame)
        self.unsure += 1
        ways = self.value(node.body, frame), self.value(node.orelse, frame)
        self.unsure -= 1
        return ways[0] if same(*ways) else UNKNOWN

    def _comprehended(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, frame: Frame) -> Any:
        inner = Frame({}, frame.module, frame)
        kept: list[Any] = []
        complete = self._generate(node.generators, node, inner, kept)
        if isinstance(node, ast.DictComp):
            return UNKNOWN
        return kept if complete else at_most(kept)

    def _generate(self, clauses: list[ast.comprehension], node: Any, frame: Frame, kept: list[Any]) -> bool:
        """Collect; is it known that these are all?"""
        if not clauses:
            kept.append(self.value(node.value if isinstance(node, ast.DictComp) else node.elt, frame))
            return True
        iterated = self.value(clauses[0].iter, frame)
        items = items_of(iterated)
        complete = items is not None and not isinstance(iterated, Some)
        unsure = not complete
        self.unsure += unsure
        for item in items if items is not None else [UNKNOWN]:
            self._assign(clauses[0].target, item, frame)
            tests = [truth(self.value(test, frame)) for test in clauses[0].ifs]
            if False not in tests:
                complete = self._generate(clauses[1:], node, frame, kept) and complete and None not in tests
        self.unsure -= unsure
        return complete


def _import(node: ast.Import | ast.ImportFrom, frame: Frame) -> None:
    """A name of a module that is loaded already; nothing is imported."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            name = alias.name if alias.asname else alias.name.split(".")[0]
            frame.names[alias.asname or name] = sys.modules.get(name, _unloaded(name))
        else:
            module = sys.modules.get(node.module or "") if not node.level else None
            found = attribute(module, alias.name) if module is not None else UNKNOWN
            if found is UNKNOWN and not node.level:
                found = sys.modules.get(f"{node.module}.{alias.name}", UNKNOWN)
            if found is UNKNOWN and module is None:
                found = _unloaded(node.module or "")
            frame.names[alias.asname or alias.name] = found


def _unloaded(module: str) -> Any:
    """What nobody can read yet; of a library it is known by its name."""
    return UNKNOWN if module.partition(".")[0] in LIBRARIES else Made(UNLOADED)
