"""The processes beside and around a program: they know no answers."""
