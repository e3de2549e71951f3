"""``python -m asrlsa`` is the same as the ``asrlsa`` command."""

from asrlsa.cli import main

main()
