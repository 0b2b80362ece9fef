"""What Numba leaves out while it compiles Shearloc's kernels: work that they do not need, a third of its time.

Each shortcut stands in for a function of Numba while one of our kernels is compiled, and only then. `kernels.py`
imports this before there is any kernel.
"""

import gc
import os
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from threading import Lock
from types import SimpleNamespace
from typing import Any

from numba.core import event

Function = Callable[..., Any]


def is_ours(function: Function) -> bool:
    """Whether a function is one of Shearloc's."""
    return str(function.__module__).startswith(f"{__package__}.")


def _inline_without_copies(inline_function: Function) -> Function:
    """Numba's `inline_function`, without two deep copies of the code, which is made anew to be inlined anyway."""
    inlining: Any = import_module(inline_function.__module__)

    @wraps(inline_function)
    def inline(*arguments: Any, **named: Any) -> Any:
        copy, inlining.copy = inlining.copy, SimpleNamespace(deepcopy=lambda block: block)
        try:
            return inline_function(*arguments, **named)
        finally:
            inlining.copy = copy

    return inline


def _run_without_entries(run: Function) -> Function:
    """Numba's `PostProcessor.run`, without what lives where a block begins: only generators and object mode ask."""
    postproc: Any = import_module(run.__module__)

    @wraps(run)
    def run_without(self: Any, emit_dels: bool = False, extend_lifetimes: bool = False) -> None:
        code = self.func_ir
        if code.is_generator:
            run(self, emit_dels, extend_lifetimes)
            return
        code.blocks = postproc.transforms.canonicalize_cfg(code.blocks)
        code.variable_lifetime, code.generator_info = postproc.VariableLifetime(code.blocks), None
        if emit_dels:
            self._insert_var_dels(extend_lifetimes=extend_lifetimes)

    return run_without


_FOUND: dict[Any, Any] = {}
"""(function's type, target, types of the arguments) -> signature, as `get_call_type` found it."""


def _remember_calls(get_call_type: Function) -> Function:
    """Numba's `get_call_type`, but each function is asked once for the same types: `a + b` tries a dozen signatures."""

    @wraps(get_call_type)
    def remembered(self: Any, context: Any, args: Any, kws: Any) -> Any:
        key = self, context, args
        found = None if kws else _FOUND.get(key)
        if found is None or found.args not in self._impl_keys:
            found = get_call_type(self, context, args, kws)
            if not kws:
                _FOUND[key] = found
        return found

    return remembered


def _leave_to_the_module(optimize_functions: Function) -> Function:
    """Numba's `_optimize_functions`, without passes of their own: the module's passes do the same to all functions."""

    @wraps(optimize_functions)
    def only_laid_out(self: Any, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    return only_laid_out


_SHORTCUTS = (
    ("numba.core.inline_closurecall", "InlineWorker", "inline_function", _inline_without_copies),
    ("numba.core.postproc", "PostProcessor", "run", _run_without_entries),
    ("numba.core.types.functions", "BaseFunction", "get_call_type", _remember_calls),
    ("numba.core.codegen", "CPUCodeLibrary", "_optimize_functions", _leave_to_the_module),
)
"""Module, class, function, and what makes the shortcut. Two of the modules take 0.2 s to import."""


class _WhileCompiling(event.Listener):
    """Takes the shortcuts from the moment that a kernel of ours is compiled until it is done.

    Numba compiles on one thread at a time. Nor does Python look for garbage in cycles: that took a seventh of the time.
    """

    def __init__(self) -> None:
        self._depth, self._lock, self._undo = 0, Lock(), list[Callable[[], None]]()

    def on_start(self, event: Any) -> None:
        """A kernel is compiled, perhaps for another one."""
        with self._lock:
            if self._depth == 0 and is_ours(event.data["dispatcher"].py_func):
                self._begin()
            self._depth += 1

    def on_end(self, event: Any) -> None:
        """It is done."""
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._end()

    def forked(self) -> None:
        """This is a new process, without the threads that were compiling."""
        self._depth, self._lock = 0, Lock()
        self._end()

    def _begin(self) -> None:
        if gc.isenabled():
            gc.disable()
            self._undo.append(gc.enable)
        for module, kind, name, shortcut in _SHORTCUTS:
            owner = getattr(import_module(module), kind)
            before = getattr(owner, name)
            setattr(owner, name, shortcut(before))
            self._undo.append(lambda owner=owner, name=name, before=before: setattr(owner, name, before))  # type: ignore[misc]

    def _end(self) -> None:
        while self._undo:
            self._undo.pop()()


_WHILE_COMPILING = _WhileCompiling()
event.register("numba:compile", _WHILE_COMPILING)  # type: ignore[no-untyped-call]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_WHILE_COMPILING.forked)
