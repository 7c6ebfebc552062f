"""Alter the structure of JSON values with hypothesis."""

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from malformed import HOSTILE_WORDS


def nested(depth: int) -> Any:
    """Return a list in a list in a list."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


hostile_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([2**31, 2**53, 2**63, 2**64, 10**40, 10**3000, -(10**20)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e308, 5e-324, -0.0]),
    st.sampled_from(HOSTILE_WORDS),
    st.text(max_size=20).filter(lambda text: text.isprintable()),
    st.just([]),
    st.just({}),
    st.just({"a": 1}),
    st.just(nested(50)),
).map(deepcopy)  # what is drawn may be altered once more


def paths_in(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(*prefix, key), *paths_in(inner, (*prefix, key))]]


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """Draw a copy of a JSON value in which one or two values were replaced, removed, added or renamed."""
    changed = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 2))):
        places = paths_in(changed)
        if not places:
            break
        *parents, last = draw(st.sampled_from(places))
        owner = changed
        for key in parents:
            owner = owner[key]
        how = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add", "rename"]))
        if how == "remove":
            del owner[last]
        elif how == "replace" or isinstance(owner, list):
            owner[last] = draw(hostile_values)
        elif how == "add":
            owner[
                draw(st.sampled_from(["new", "digest", "self", "__class__", "a b", "", "x" * 300, *HOSTILE_WORDS[:6]]))
            ] = draw(hostile_values)
        else:
            owner[draw(st.sampled_from([f"{last}x", str(last).upper(), str(last)[1:]]))] = owner.pop(last)
    return changed


def toml_text(value: Any) -> str:
    """Return a JSON value as TOML, without nulls, which TOML cannot hold."""
    return "".join(f"{json.dumps(key)} = {_toml(inner)}\n" for key, inner in value.items() if inner is not None)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items() if v is not None) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value if inner is not None) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
