"""``python -m ohmloop``: the command line where the script is not on the path."""

from ohmloop.cli import main

main()
