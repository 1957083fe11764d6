"""What strangers do to an object of the suite. Pure; called by world.py."""

from __future__ import annotations

import random
from typing import Any


def edit(chance: random.Random, body: Any, key: Any, *, definition: bool) -> None:
    """Go down from `body[key]`, and change, remove or add there. Only definitions may grow (change/growth.py)."""
    deed = chance.choice(("change", "remove", "add"))
    for _ in range(chance.randint(1, 8)):
        inner = body[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        place = chance.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if deed == "add" and not isinstance(inner[place], dict | list):
            break
        body, key = inner, place
    value = body[key]
    match deed:
        case "add" if isinstance(value, dict) and not definition:
            value["added"] = "by somebody"
        case "add" if isinstance(value, list) and not definition:
            value.append(value[0] if value else "added")
        case "remove" if not isinstance(body, list):
            del body[key]
        case _ if isinstance(value, str):
            body[key] = value + "x"
        case _ if isinstance(value, int) and not isinstance(value, bool):
            body[key] = value + 1
        case _ if isinstance(value, bool):
            body[key] = not value
