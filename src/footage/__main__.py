"""The command `footage`, which `python -m footage` is too."""

import sys


def main() -> None:
    """Run the command line; a Ctrl-C while it is still being loaded ends it without a word, for nothing was begun."""
    try:
        from footage.commands.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
