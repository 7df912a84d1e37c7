"""The command `footage`, which `python -m footage` is too."""

import os
import sys


def main() -> None:
    """Run the command line; a Ctrl-C while it is still being loaded ends it without a word, for nothing was begun.

    One of several processes of a training ends at once when all is written: a thread that waits for the others within
    C++ while the interpreter ends aborts the process ("terminate called without an active exception").
    """
    status: str | int | None = None
    try:
        from footage.commands.main import main as run

        run()
    except KeyboardInterrupt:
        status = 130
    except SystemExit as ended:
        status = ended.code
    if "TORCHELASTIC_RUN_ID" in os.environ and not isinstance(status, str):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)
    sys.exit(status)


if __name__ == "__main__":
    main()
