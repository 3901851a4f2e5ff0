"""`python -m zerosum`, which is also what torchrun starts."""

from zerosum.cli import main

if __name__ == "__main__":
    main()
