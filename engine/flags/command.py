"""What every command does around its work: bad input ends in a message, a bug keeps its traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from datasets.layouts.findings import begin_run
from runtime.allocator import keep_freed_memory
from runtime.errors import ConfigError, DataError, StopTraining, WeightsError
from runtime.names.spelling import make_printing_safe
from runtime.processes.launch import Launch, find_launch
from runtime.processes.meeting import OthersRefused
from runtime.processes.voice import is_bug_to_tell, speak_once, tell_error
from runtime.refusals import is_out_of_memory, is_refusal, tell_memory, tell_os_error


def exit_cleanly(main: Callable[[], None], *, shared: bool = False) -> None:
    """Run a command: what the user can fix is printed as a message (exit 2), a bug keeps its traceback.

    Of several processes the first one speaks. Unless they are `shared`, commands are its work alone.
    """
    keep_freed_memory()
    begin_run()
    make_printing_safe()
    try:
        launch = find_launch()
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if launch.world > 1 and not shared:
        if launch.rank:
            return
        print(f"note: this is the work of one process; the other {launch.world - 1} leave it to it", file=sys.stderr)
        launch = Launch()
    try:
        with speak_once(launch):
            main()
    except OthersRefused:  # who did says why
        sys.exit(2)
    except KeyboardInterrupt:
        if launch.rank == 0:
            print("interrupted; the last checkpoint stands", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        message = tell_what_to_mend(error)
        if message is not None:
            tell_error(launch, f"error: {message}")
            sys.exit(2)
        if is_bug_to_tell(launch, error):
            raise
        sys.exit(1)


def tell_what_to_mend(error: Exception) -> str | None:
    """The message of what the user can fix; None for a bug."""
    if isinstance(error, (ConfigError, DataError, WeightsError, StopTraining)):
        return str(error)
    if isinstance(error, (OSError, RuntimeError, MemoryError)) and is_out_of_memory(error):
        return tell_memory(error)
    return tell_os_error(error) if isinstance(error, OSError) and is_refusal(error) else None
