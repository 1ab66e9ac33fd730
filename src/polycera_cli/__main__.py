"""`python -m polycera_cli` is `polycera`."""

from polycera_cli import main

main()
