"""Accept the old names of commands and options for one version, and say so on stderr."""

from __future__ import annotations

from collections.abc import Sequence

COMMANDS = {
    "compare": "compare-separate",
    "describe": "describe-network",
    "sweep": "compare-weightings",
}
"""Old name of a command -> new name."""

OPTIONS = {
    "compare-weightings": {"--weights": "--loss-weights"},
    "fit": {"--joint": "--score-weight", "--weight": "--loss-weight"},
    "pick": {"--weight": "--score-weight"},
}
"""Command -> old option -> new option."""


def renamed(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the words of a command line under their new names, and the names that changed.

    Args:
        words: the words after `polycera`.

    Examples:
        >>> renamed(["compare", "runs/a", "--seeds", "2"])
        (['compare-separate', 'runs/a', '--seeds', '2'], [('compare', 'compare-separate')])
    """
    changed: dict[str, str] = {}
    result = list(words)
    place = next((i for i, word in enumerate(words) if not word.startswith("-")), len(words))
    if place == len(words):
        return result, []
    if result[place] in COMMANDS:
        changed[words[place]] = result[place] = COMMANDS[words[place]]
    options = OPTIONS.get(result[place], {})
    for i in range(place + 1, len(words)):
        if words[i] == "--":  # what follows is no option
            break
        option, equals, value = words[i].partition("=")
        if option in options:
            changed[option] = options[option]
            result[i] = options[option] + equals + value
    return result, list(changed.items())
