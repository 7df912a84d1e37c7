"""`python -m footage` is the command `footage`."""

from footage.cli import main

if __name__ == "__main__":
    main()
