"""Run the command line: `python -m ser_toolkit` is `sertk`."""

from .cli import main

if __name__ == "__main__":
    main()
