"""The parts of ``asrlsa bench``: its matrix, the results on the disk, the choice, tables, and the page."""
