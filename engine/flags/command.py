"""What every command does around its work: bad input ends in a message, a bug keeps its traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from datasets.layouts.findings import begin_run
from runtime.allocator import keep_freed_memory
from runtime.errors import ConfigError, DataError, StopTraining, WeightsError
from runtime.names.spelling import make_printing_safe
from runtime.refusals import is_out_of_memory, is_refusal, tell_memory, tell_os_error


def exit_cleanly(main: Callable[[], None]) -> None:
    """Run a command: what the user can fix is printed as a message (exit 2), a bug keeps its traceback."""
    keep_freed_memory()
    begin_run()
    make_printing_safe()
    try:
        main()
    except (ConfigError, DataError, WeightsError, StopTraining) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except (OSError, RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            print(f"error: {tell_memory(error)}", file=sys.stderr)
        elif isinstance(error, OSError) and is_refusal(error):
            print(f"error: {tell_os_error(error)}", file=sys.stderr)
        else:
            raise
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the last checkpoint stands", file=sys.stderr)
        sys.exit(130)
