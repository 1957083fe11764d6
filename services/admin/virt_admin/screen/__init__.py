"""How findings reach a terminal, a pipe or a program."""
