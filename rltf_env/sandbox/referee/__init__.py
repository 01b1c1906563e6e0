"""The process that knows the answers and runs no line of a program."""
