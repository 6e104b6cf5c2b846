"""Plugin files: Python files, named by a suite or the command line, that register classes."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path

from lwft_bench.plugins.registry import REGISTRIES
from lwft_bench.schema.errors import UserError, described


def load_plugin(path: str | Path) -> None:
    """Import one plugin file; what it registers has the file's absolute path as its origin.

    Loading the same file again replaces what it registered before.

    Raises:
        UserError: With file, line and exception, if it fails or takes a name that exists.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise UserError(f"{path}: no such plugin file")
    for registry in REGISTRIES:
        registry.forget(str(file))
    # One module name per path: two plugins may have the same file name.
    module_name = f"lwft_bench_plugin_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: a plugin is a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    # Read and compiled here rather than by the loader, whose bytecode cache goes by the clock's
    # seconds and would miss an edit of the same length within one.
    sys.modules[module_name] = module
    try:
        exec(compile(file.read_bytes(), str(file), "exec"), vars(module))
        _complete_options(str(file))
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        for registry in REGISTRIES:
            registry.forget(str(file))
        raise UserError(f"{path}:{_line_in(file, error)}: {_told(error)}") from error


def _complete_options(origin: str) -> None:
    """Pydantic leaves annotations whose names it does not find for later: for the first use."""
    for registry in REGISTRIES:
        for name in registry.names():
            if registry.origin(name) == origin:
                registry.get(name).Options.model_rebuild()


def _told(error: BaseException) -> str:
    if isinstance(error, UserError):
        return error.message
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"  # its text would have the place again
    return described(error)


def _line_in(file: Path, error: BaseException) -> int:
    """The line of `file` the error came through; 1 if it never got that far."""
    if isinstance(error, SyntaxError) and error.filename == str(file) and error.lineno:
        return error.lineno
    if isinstance(error, SyntaxError | ValueError) and b"\0" in (content := file.read_bytes()):
        return content.count(b"\n", 0, content.index(b"\0")) + 1  # the compiler does not say where
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return (lines[-1] if lines else None) or 1
