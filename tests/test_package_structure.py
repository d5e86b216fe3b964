"""Import rules between folders, and limits on the size of modules and functions."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "appliance"
MODULES = sorted(PACKAGE.rglob("*.py"))
TOP_LEVEL = {
    "LICENSE",
    "README.md",
    "appliance",
    "config.yaml",
    "pyproject.toml",
    "requirements.lock",
    "systemd",
    "tests",
}
LEFT_BY_TOOLS = {"build", "dist", "__pycache__"}
SHARED = {
    *("core", "display", "config", "net", "process", "metrics", "dtelecom"),
    "sound_cards",
    *("ports", "pcm", "errors"),
}
"""Folders and modules that every folder may import besides itself."""
FOR_CORE = {"core", "config", "errors"}
FOR_DISPLAY = FOR_CORE | {"display"}
PURE = {"appliance.net.url"}
"""Modules outside of `core` that it may import, because they do no I/O."""
WIRING = {"cli", "app", "assembly", "demo", "doctor", "__main__"}
"""Modules and folders that name concrete adapters; nothing else imports them."""
MODULE_LINES = 400
FUNCTION_LINES = 40
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "handler", "misc"}
IMPURE = {
    *("asyncio", "concurrent", "multiprocessing", "queue", "sched", "threading"),
    *("ctypes", "fcntl", "mmap", "signal", "subprocess", "sys", "time"),
    *("glob", "io", "logging", "os", "pathlib", "shutil", "tempfile"),
    *("http", "select", "selectors", "socket", "ssl", "urllib.request"),
    *("gpiozero", "httpx", "livekit", "luma", "sounddevice", "starlette", "uvicorn"),
    "PIL",
}
IMPURE_CALLS = {"open", "print", "input"}


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), name(path))


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of everything that the module imports, also in functions."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folders_of(path: Path) -> Iterator[str]:
    """Yield the folder that each of our own imports comes from."""
    for imported in imports(path):
        package, _, rest = imported.partition(".")
        if package == "appliance" and not is_any(imported, PURE):
            yield rest.partition(".")[0]


def folder(path: Path) -> str:
    """Return the folder of the module, or its own name at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def allowed(path: Path) -> set[str]:
    own = folder(path)
    limited = {"core": FOR_CORE, "display": FOR_DISPLAY}
    return limited.get(own, SHARED | {own})


def is_any(module: str, packages: set[str]) -> bool:
    return any(module == x or module.startswith(f"{x}.") for x in packages)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_imports_only_the_folders_that_its_own_folder_may_import(path):
    if folder(path) in WIRING:
        return
    assert set(folders_of(path)) <= allowed(path)


def test_nothing_imports_the_modules_that_name_concrete_adapters():
    offenders = [
        name(path)
        for path in MODULES
        if folder(path) not in WIRING and WIRING & set(folders_of(path))
    ]
    assert offenders == []


@pytest.mark.parametrize(
    "path", [*PACKAGE.glob("core/*.py"), PACKAGE / "audio" / "dsp.py"], ids=name
)
def test_a_pure_module_has_no_clock_thread_task_file_or_device(path):
    calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    called = {func.id for func in calls if isinstance(func, ast.Name)}
    assert not called & IMPURE_CALLS
    assert [module for module in imports(path) if is_any(module, IMPURE)] == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_fits_on_a_few_screens(path):
    """A module that only lists classes or data, such as events, may be longer."""
    is_list = not any(isinstance(x, Function) for x in ast.walk(tree(path)))
    assert is_list or len(path.read_text().splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_function_fits_on_one_screen(path):
    long = {
        f"{name(path)}:{node.lineno} {node.name}": lines(node)
        for node in ast.walk(tree(path))
        if isinstance(node, Function) and lines(node) > FUNCTION_LINES
    }
    assert long == {}


def lines(function: Function) -> int:
    """Return the length of the function without its docstring."""
    body = function.body
    has_docstring = ast.get_docstring(function) is not None
    docstring = (body[0].end_lineno or 0) - body[0].lineno + 1 if has_docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_only_the_app_has_a_broad_except():
    others = (path for path in MODULES if folder(path) != "app")
    assert [where for path in others for where in everything_caught(path)] == []


def everything_caught(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler | ast.Call) and catches_everything(node):
            yield f"{name(path)}:{node.lineno}"


def catches_everything(node: ast.AST) -> bool:
    """Return whether it is a bare or broad `except`, or an equivalent `suppress`.

    An `except` that raises again at its end does not count.
    """
    if isinstance(node, ast.ExceptHandler):
        last = node.body[-1]
        is_raised = isinstance(last, ast.Raise) and last.exc is None
        return not is_raised and (node.type is None or is_broad(node.type))
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    return called.endswith("suppress") and any(map(is_broad, node.args))


def is_broad(kind: ast.expr) -> bool:
    named = {x.id for x in ast.walk(kind) if isinstance(x, ast.Name)}
    return bool(named & {"Exception", "BaseException"})


def test_no_module_has_a_vague_name():
    parts = {part for path in MODULES for part in path.with_suffix("").parts}
    assert not parts & VAGUE


def test_no_check_is_disabled_in_the_code():
    excuses = ("# no" + "qa", "# type: " + "ignore", "# pragma: " + "no")
    files = [*MODULES, *(REPOSITORY / "tests").rglob("*.py")]
    offenders = [
        name(path)
        for path in files
        if any(excuse in path.read_text() for excuse in excuses)
    ]
    assert offenders == []


def test_the_top_level_is_as_designed():
    found = {path.name for path in REPOSITORY.iterdir() if path.name[0] != "."}
    assert found - LEFT_BY_TOOLS == TOP_LEVEL


@pytest.mark.parametrize(
    ("code", "is_caught"),
    [
        ("try: x\nexcept Exception: pass", True),
        ("try: x\nexcept (OSError, BaseException): pass", True),
        ("try: x\nexcept: pass", True),
        ("with contextlib.suppress(Exception): pass", True),
        ("try: x\nexcept Exception as e: raise ValueError from e", True),
        ("try: x\nexcept BaseException: y(); raise", False),
        ("try: x\nexcept OSError: pass", False),
        ("with contextlib.suppress(OSError): pass", False),
    ],
)
def test_the_search_for_broad_excepts_finds_them(code, is_caught):
    assert any(map(catches_everything, ast.walk(ast.parse(code)))) == is_caught


@pytest.mark.parametrize("path", sorted((REPOSITORY / "tests").rglob("*.py")), ids=name)
def test_a_test_module_says_what_it_is_about(path):
    module = tree(path)
    assert not module.body or ast.get_docstring(module), f"{name(path)}: no docstring"
