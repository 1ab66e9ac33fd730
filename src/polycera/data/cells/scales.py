"""Know the scales in which people rate: they give the order of levels, never a task's kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SCALES: tuple[tuple[str, ...], ...] = tuple(
    tuple(line.split(", "))
    for line in (
        "strongly disagree, disagree, somewhat disagree, slightly disagree, "
        "neutral, slightly agree, somewhat agree, agree, strongly agree",
        "strongly disagree, disagree, neither agree nor disagree, agree, strongly agree",
        "strongly disagree, disagree, undecided, agree, strongly agree",
        "very low, low, medium, high, very high",
        "very low, low, moderate, high, very high",
        "very low, low, mid, high, very high",
        "very low, low, average, high, very high",
        "low, medium, high, critical",
        "very small, small, medium, large, very large",
        "xxs, xs, s, m, l, xl, xxl, xxxl",
        "very bad, bad, ok, good, very good",
        "very bad, bad, okay, good, very good",
        "very bad, bad, neutral, good, very good",
        "very bad, bad, average, good, very good, excellent",
        "very poor, poor, fair, good, very good, excellent, outstanding",
        "very poor, poor, average, good, very good, excellent, outstanding",
        "terrible, poor, fair, good, great, excellent",
        "poor, fair, good, great, excellent",
        "never, rarely, sometimes, often, usually, always",
        "never, seldom, sometimes, often, very often, always",
        "never, rarely, occasionally, frequently, always",
        "not at all, slightly, somewhat, moderately, very, extremely",
        "not at all, a little, moderately, quite a bit, extremely",
        "very unlikely, unlikely, neutral, likely, very likely",
        "extremely unlikely, unlikely, neutral, likely, extremely likely",
        "very dissatisfied, dissatisfied, neutral, satisfied, very satisfied",
        "very unsatisfied, unsatisfied, neutral, satisfied, very satisfied",
        "not important, slightly important, important, very important",
        "none, mild, moderate, severe, very severe, critical",
        "none, low, medium, high",
        "minor, moderate, major, critical",
        "beginner, elementary, intermediate, advanced, expert",
        "junior, mid, senior, lead, principal",
        "bronze, silver, gold, platinum, diamond",
        "cold, cool, mild, warm, hot",
        "first, second, third, fourth, fifth, sixth, seventh, eighth, ninth",
        "i, ii, iii, iv, v, vi, vii, viii, ix, x",
        "primary, secondary, tertiary",
        "monday, tuesday, wednesday, thursday, friday, saturday, sunday",
        "mon, tue, wed, thu, fri, sat, sun",
        "january, february, march, april, may, june, july, august, september, "
        "october, november, december",
        "jan, feb, mar, apr, may, jun, jul, aug, sep, oct, nov, dec",
        "morning, noon, afternoon, evening, night",
        "child, teenager, adult, senior",
    )
)
"""Levels of each scale, from the lowest to the highest."""


def known_order(levels: Iterable[Any]) -> list[Any] | None:
    """Return levels in the order of a well-known scale that has them all; None without one.

    Examples:
        >>> known_order(["High", "Low", "Medium"])
        ['Low', 'Medium', 'High']
    """
    found = list(levels)
    if len(found) < 2 or not all(isinstance(level, str) for level in found):
        return None
    words = {_word(level) for level in found}
    if len(words) < len(found):
        return None
    for scale in SCALES:
        if words <= set(scale):
            return sorted(found, key=lambda level: scale.index(_word(level)))
    return None


def _word(level: str) -> str:
    """Return a level in lower case, with single blanks between its words."""
    return " ".join(level.lower().replace("_", " ").replace("-", " ").split())
