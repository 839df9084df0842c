"""`python -m audit` is the command `rolecall`."""

from audit.cli import main

if __name__ == "__main__":
    main()
