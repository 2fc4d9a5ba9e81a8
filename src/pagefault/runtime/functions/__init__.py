"""Functions that models may call: declared, checked, granted and run."""

from pagefault.runtime.functions.builtin import BUILTINS, GRANTS
from pagefault.runtime.functions.decorator import Function, definition_of, function
from pagefault.runtime.functions.definition import CallContext, FunctionDefinition, SystemSettings
from pagefault.runtime.functions.executor import FunctionExecutor, run_function
from pagefault.runtime.functions.registry import AgentFunctions, Grant, Registry

__all__ = [
    "BUILTINS",
    "GRANTS",
    "AgentFunctions",
    "CallContext",
    "Function",
    "FunctionDefinition",
    "FunctionExecutor",
    "Grant",
    "Registry",
    "SystemSettings",
    "definition_of",
    "function",
    "run_function",
]
