"""The runner's door: started as `python FOLDER`, within an application's own interpreter and working directory.

Loads this package by its place and leaves sys.path to the application: nothing of it is shadowed by us, nothing of ours
by it. Must be readable by interpreters that are too old to run the rest, to say so.
"""

import gc
import json
import os
import signal
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PACKAGE = "dbmigration_runner"
OLDEST = (3, 10)
CHILD_ARGUMENTS = 4  # program, "child", and the numbers of two pipes


def leave_path_to_application() -> None:
    """Take our folders off sys.path; the working directory and then the vendored libraries go to its very end."""
    ours = {FOLDER, FOLDER.parent}
    while sys.path and Path(sys.path[0]).resolve() in ours:
        del sys.path[0]
    sys.path.append(str(Path.cwd()))
    vendored = FOLDER.parent / "vendor"
    if vendored.is_dir():
        sys.path.append(str(vendored))


def load_by_place() -> None:
    """Make `dbmigration_runner` this folder, whatever else bears the name."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        PACKAGE, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(PACKAGE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


def refuse_interpreter(message: str) -> int:
    """Report without the contract's classes: they need an interpreter or libraries that are not there."""
    try:
        task = json.loads(os.environ.get("DBMIGRATION_TASK", ""))
        kind, nonce = task["kind"], task["nonce"]
    except (ValueError, KeyError, TypeError):
        kind, nonce = "look", ""
    result = {
        "kind": kind,
        "nonce": nonce,
        "outcome": "Failed",
        "reason": "InterpreterUnsuitable",
        "message": message,
        "changed": False,
        "version": 1,
    }
    Path(os.environ.get("DBMIGRATION_RESULT") or "/dev/termination-log").write_text(json.dumps(result), "utf-8")
    return 1


def main() -> int:
    """Be the parent, or the child that the parent starts."""
    remedy = "Set migrations.python to the interpreter that has the application's libraries."
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        return refuse_interpreter(f"{sys.executable} is Python {found}; 3.10 or newer is needed. {remedy}")
    gc.disable()  # until all is loaded: a third of the time of loading SQLAlchemy went into looking for garbage
    leave_path_to_application()
    load_by_place()
    if len(sys.argv) == CHILD_ARGUMENTS and sys.argv[1] == "child":
        from dbmigration_runner import child

        return child.main(int(sys.argv[2]), int(sys.argv[3]))
    # A stop that comes while all is loaded waits until the step obeys it: a container's first process would never hear of it.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    try:
        import sqlalchemy  # noqa: F401  # the parent's own sessions need it
    except ImportError:
        return refuse_interpreter(f"{sys.executable} cannot import SQLAlchemy. {remedy}")
    from dbmigration_runner import supervisor

    return supervisor.main()


if __name__ == "__main__":
    sys.exit(main())
