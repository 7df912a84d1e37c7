"""`python -m footage` is the command `footage`."""

from footage.commands.main import main

if __name__ == "__main__":
    main()
