"""Read the names of months and weekdays in several languages."""

from __future__ import annotations

from polycera.data.cells.words import literal

MONTHS = {
    "jan": "jan|january|januar|janvier|janv|enero|ene|gennaio|gen|januari|janeiro|jänner",
    "feb": "feb|february|februar|février|févr|fév|fevrier|febrero|febbraio|februari|fevereiro|fev",
    "mar": "mar|march|märz|mär|mrz|mars|marzo|maart|mrt|março|marco",
    "apr": "apr|april|avril|avr|abril|abr|aprile",
    "may": "may|mai|mayo|maggio|mag|mei|maio",
    "jun": "jun|june|juni|juin|junio|giugno|giu|junho",
    "jul": "jul|july|juli|juillet|juil|julio|luglio|lug|julho",
    "aug": "aug|august|août|aout|agosto|ago|augustus|augusti",
    "sep": "sep|sept|september|septembre|septiembre|settembre|set|setembro",
    "oct": "oct|october|oktober|okt|octobre|octubre|ottobre|ott|outubro|out",
    "nov": "nov|november|novembre|noviembre|novembro",
    "dec": "dec|december|dezember|dez|décembre|déc|decembre|diciembre|dic|dicembre|dezembro",
}
"""English name -> names of the month in English, German, French, Spanish, Italian and others."""
_WEEKDAYS = (
    "mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|saturday"
    "|sunday|mo|di|mi|do|fr|sa|so|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag"
    "|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche"
)


def english_sql(cell: str) -> str:
    """Return the SQL of a date whose month is named in English, in three letters.

    A weekday before it is left out.
    """
    weekday = rf"^(?:{_WEEKDAYS})\.?,? +"
    text = f"regexp_replace(lower({cell}), {literal(weekday)}, '')"
    text = f"regexp_replace({text}, '(\\d)(?:st|nd|rd|th|er|º)\\b', '\\1')"
    text = f"regexp_replace({text}, '\\b(?:de|del|of)\\b', '', 'g')"
    for english, names in MONTHS.items():
        pattern = rf"(^|[^\p{{L}}])(?:{names})\.?($|[^\p{{L}}])"
        new = rf"\1{english}\2"
        text = f"regexp_replace({text}, {literal(pattern)}, {literal(new)})"
    return text
