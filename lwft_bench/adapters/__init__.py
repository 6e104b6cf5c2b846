"""How weights are parameterised, one file each. Light to import."""
