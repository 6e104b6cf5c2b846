"""Update rules, one file each. Light to import."""
