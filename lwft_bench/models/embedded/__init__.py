"""The small language model that ships with the package, and the script that made it."""
