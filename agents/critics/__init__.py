"""Critics: models that say what will become of a program."""
