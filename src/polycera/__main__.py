"""`python -m polycera` is the command `polycera`."""

from polycera_cli import main

if __name__ == "__main__":
    main()
