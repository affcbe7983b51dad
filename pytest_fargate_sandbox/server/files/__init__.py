"""How files and trees are read and written."""
