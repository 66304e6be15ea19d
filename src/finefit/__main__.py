"""`python -m finefit` is `finefit`."""

from finefit.cli.main import main

if __name__ == "__main__":
    main()
