"""The words that the generated task and the embedded model's pretraining text have in common."""

from __future__ import annotations

PEOPLE = (
    "Tom", "Mia", "Sam", "Ana", "Ben", "Eva", "Leo", "Zoe",
    "Max", "Lily", "Jack", "Nina", "Omar", "Rosa", "Paul", "Kate",
)  # fmt: skip

THINGS = (
    "apples", "pens", "books", "cards", "shells", "stamps", "balls", "eggs",
    "cups", "stones", "beads", "cakes", "flowers", "toys", "pears", "keys",
)  # fmt: skip

CONTAINERS = (
    ("box", "boxes"), ("bag", "bags"), ("basket", "baskets"), ("jar", "jars"),
    ("tray", "trays"), ("drawer", "drawers"),
)  # fmt: skip
"""Singular and plural."""
