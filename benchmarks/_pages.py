"""Put the cells of benchmarks/tables.py together and make the pages, the table and the figure."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from _contenders import OURS, SEEDED
from _scores import critical_difference, macro, over_folds, ranks, resamples, rrmse

NAMES = {"rrmse": "aRRMSE", "auc": "macro AUC", "ap": "mAP"}
HEADINGS = {
    "linear": "ridge / logistic",
    "forest": "random forest",
    "histogram": "HistGradientBoosting",
}
HEADINGS |= {
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
    "separate": "separate MLPs",
    "together": "one plain MLP",
}
LIBRARIES = (
    "polycera",
    "keras",
    "jax",
    "tensorflow",
    "torch",
    "scikit-learn",
    "lightgbm",
    "catboost",
)


@dataclass(frozen=True)
class Duel:
    """Ours against the best other column by one measure; `by` is above 0 where ours is better.

    Attributes:
        error: standard error of `by`; NaN where it cannot be had.
        how: over what it is.
    """

    set: str
    measure: str
    best: str
    ours: float
    other: float
    by: float
    error: float
    how: str

    @property
    def held(self) -> bool:
        return self.by >= -np.nan_to_num(self.error)

    @property
    def opponent(self) -> str:
        return f"{self.other:.4f} ({HEADINGS.get(self.best, self.best)})"

    @property
    def sure(self) -> str:
        return (
            f"{self.error:.4f} ({self.how}) | "
            f"{'better' if self.won else 'within one' if self.held else 'worse'}"
        )

    @property
    def won(self) -> bool:
        return self.by > 0


@dataclass(frozen=True)
class Found:
    """All cells there are.

    Attributes:
        cells: as `cells.jsonl` has them.
        predictions: the folder of the test rows' predictions.
        first_sets, columns: the order in which sets and columns are shown.
    """

    cells: list[dict[str, Any]]
    predictions: Path
    first_sets: list[str]
    all_columns: list[str]

    @cached_property
    def sets(self) -> list[str]:
        names = dict.fromkeys([*self.first_sets, *sorted(cell["set"] for cell in self.cells)])
        return [name for name in names if any(cell["set"] == name for cell in self.cells)]

    @cached_property
    def columns(self) -> list[str]:
        return [
            name for name in self.all_columns if any(cell["column"] == name for cell in self.cells)
        ]

    def of(self, name: str, column: str) -> list[dict[str, Any]]:
        return [cell for cell in self.cells if cell["set"] == name and cell["column"] == column]

    def measures(self, name: str) -> list[str]:
        return list(next(cell["scores"] for cell in self.cells if cell["set"] == name))

    def folds(self, name: str, column: str, measure: str) -> dict[int, float]:
        """Fold -> mean over the targets, and over the seeds."""
        found: dict[int, list[float]] = {}
        for cell in self.of(name, column):
            values = [value for value in cell["scores"][measure].values() if value is not None]
            found.setdefault(cell["fold"], []).append(float(np.mean(values)) if values else np.nan)
        return {fold: float(np.mean(found[fold])) for fold in sorted(found)}

    def score(self, name: str, column: str, measure: str) -> float:
        """Mean over the folds; NaN where the column has not all that another has."""
        wanted = {cell["fold"] for cell in self.cells if cell["set"] == name}
        own = self.folds(name, column, measure)
        return float(np.mean(list(own.values()))) if set(own) == wanted else np.nan

    def mean(self, name: str, column: str, what: str) -> float:
        values = [cell[what] for cell in self.of(name, column)]
        return float(np.mean(values)) if values else np.nan

    @cached_property
    def ranks(self) -> np.ndarray:
        """Return each column's rank in each set [sets, columns]; of two measures the mean rank."""
        rows = []
        for name in self.sets:
            own = [
                [better(measure) * -self.score(name, c, measure) for c in self.columns]
                for measure in self.measures(name)
            ]
            rows.append(ranks(ranks(np.array(own)).mean(0)))
        return np.array(rows)

    @cached_property
    def mean_ranks(self) -> dict[str, float]:
        return {
            c: float(np.nanmean(own))
            for c, own in zip(self.columns, self.ranks.T, strict=True)
            if not np.isnan(own).all()
        }

    @cached_property
    def duels(self) -> list[Duel]:
        pairs = [(name, measure) for name in self.sets for measure in self.measures(name)]
        return [duel for name, measure in pairs if (duel := self.duel(name, measure)) is not None]

    def duel(self, name: str, measure: str) -> Duel | None:
        values = {column: self.score(name, column, measure) for column in self.columns}
        known = {column: value for column, value in values.items() if not np.isnan(value)}
        if OURS not in known or len(known) < 2:
            return None
        others = {column: value for column, value in known.items() if column != OURS}
        best = max(others, key=lambda column: better(measure) * others[column])
        by = better(measure) * (known[OURS] - others[best])
        error, how = self.error(name, best, measure)
        return Duel(name, measure, best, known[OURS], others[best], by, error, how)

    def error(self, name: str, best: str, measure: str) -> tuple[float, str]:
        """Standard error of the difference of ours to another column, over folds or test draws."""
        folds = [
            np.array(list(self.folds(name, column, measure).values())) for column in (OURS, best)
        ]
        if len(folds[0]) > 1:
            return over_folds(*folds), f"{len(folds[0])} folds"
        drawn = [self.drawn(name, column, measure) for column in (OURS, best)]
        return float(np.std(drawn[0] - drawn[1], ddof=1)), "test rows"

    def drawn(self, name: str, column: str, measure: str) -> np.ndarray:
        """A measure on each draw of the test rows [b], the mean over the seeds."""
        files = [self.predictions / f"{label(cell)}.npz" for cell in self.of(name, column)]
        place = list(NAMES).index(measure)
        return np.mean([_drawn(file, file.stat().st_mtime_ns)[place] for file in files], 0)


def label(cell: dict[str, Any]) -> str:
    """What a cell is called, in messages and as a file."""
    return (
        "-".join(str(cell[part]) for part in ("set", "column", "fold", "seed"))
        + "-quick" * cell["quick"]
    )


def better(measure: str) -> int:
    """1 where more is better, -1 where less is."""
    return -1 if measure == "rrmse" else 1


@cache
def _drawn(path: Path, changed: int) -> np.ndarray:
    """Return every measure of `NAMES` on each draw of the test rows [3, b].

    Measures that are not of the set's kind are NaN.
    """
    with np.load(path, allow_pickle=False) as arrays:
        truth, said, centre = (
            arrays[part].astype("float64") for part in ("truth", "said", "centre")
        )
    weights = resamples(len(truth))
    if not set(np.unique(truth[np.isfinite(truth)])) <= {0, 1}:
        errors = [np.nanmean(rrmse(truth, said, centre, weight)) for weight in weights]
        return np.vstack([errors, np.full((2, len(weights)), np.nan)])
    return np.vstack([np.full(len(weights), np.nan), macro(truth, said, weights)])


# -- pages -----------------------------------------------------------------------------------------


def write(found: Found, out: Path) -> str:
    """Leave tables.md, tables.parquet and tables.svg; returns the first."""
    page = "\n\n".join([about(found), scores(found), against(found), cost(found)]) + "\n"
    (out / "tables.md").write_text(page, encoding="utf-8")
    long(found).write_parquet(out / "tables.parquet")
    figure(found, out / "tables.svg")
    return page


def about(found: Found) -> str:
    threads = sorted({str(cell["threads"] or "as each library chooses") for cell in found.cells})
    seeds = max((cell["seed"] for cell in found.cells if cell["column"] in SEEDED), default=0) + 1
    parts = [f"{library} {have}" for library in LIBRARIES if (have := _version(library))]
    quick = (
        " Quick: tiny parts, few steps; these numbers say nothing."
        if any(cell["quick"] for cell in found.cells)
        else ""
    )
    return (
        f"Python {platform.python_version()}, {', '.join(parts)}; threads: {' or '.join(threads)}; "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'} of the networks.{quick}"
    )


def scores(found: Found) -> str:
    """Sets against columns; the best in bold, and the mean ranks."""
    rows = [[f"{name} ({_measured(found, name)})", *_row(found, name)] for name in found.sets]
    places = [
        f"{found.mean_ranks[column]:.2f}" if column in found.mean_ranks else "–"
        for column in found.columns
    ]
    text = table(["set", *_headings(found)], [*rows, ["mean rank", *places]])
    full = ~np.isnan(found.ranks).any(0)
    notes = [
        f"{column} has {int((~np.isnan(own)).sum())} of {len(found.sets)} sets"
        for column, own in zip(found.columns, found.ranks.T, strict=True)
        if np.isnan(own).any()
    ]
    said = [
        (
            "Lower aRRMSE, higher AUC and mAP are better. Rank by aRRMSE, or by the mean of the "
            "ranks by AUC and by mAP."
        )
    ]
    if full.sum() > 1:
        far = critical_difference(int(full.sum()), len(found.sets))
        said.append(
            f"Mean ranks of the {full.sum()} columns with all sets are told apart from {far:.2f} "
            "on (Nemenyi, 5 %)."
        )
    if notes:
        said.append(f"Their mean rank is over the sets they have: {'; '.join(notes)}.")
    return f"{text}\n\n{' '.join(said)}"


def _measured(found: Found, name: str) -> str:
    folds = len({cell["fold"] for cell in found.cells if cell["set"] == name})
    return " / ".join(NAMES[measure] for measure in found.measures(name)) + (
        f", {folds} folds" if folds > 1 else ""
    )


def _row(found: Found, name: str) -> list[str]:
    texts = {column: [] for column in found.columns}
    for measure in found.measures(name):
        values = [found.score(name, column, measure) for column in found.columns]
        best = max(
            (better(measure) * value for value in values if not np.isnan(value)), default=np.nan
        )
        for column, value in zip(found.columns, values, strict=True):
            own = found.folds(name, column, measure)
            text = f"{value:.3f}" if not np.isnan(value) else f"({len(own)} folds)" if own else "–"
            texts[column].append(f"**{text}**" if better(measure) * value == best else text)
    return [
        " / ".join(dict.fromkeys(own)) if "–" in own else " / ".join(own) for own in texts.values()
    ]


def against(found: Found) -> str:
    """Ours against the best other column of each set, and how often it holds and wins."""
    if not found.duels:
        return f"No set has both {OURS} and another column."
    rows = [
        [
            d.set,
            NAMES[d.measure],
            f"{d.ours:.4f}",
            f"{d.other:.4f} ({HEADINGS.get(d.best, d.best)})",
            f"{d.by:+.4f}",
            d.sure,
        ]
        for d in found.duels
    ]
    text = table(
        ["set", "measure", OURS, "best other", "better by", "standard error", "verdict"], rows
    )
    return f"{text}\n\n{counts(found)}"


def counts(found: Found) -> str:
    sets = list(dict.fromkeys(duel.set for duel in found.duels))
    ways = {"first measure (aRRMSE or AUC)": [found.measures(name)[:1] for name in sets]}
    ways["every measure"] = [found.measures(name) for name in sets]
    lines = []
    for way, wanted in ways.items():
        own = [
            [d for d in found.duels if d.set == name and d.measure in some]
            for name, some in zip(sets, wanted, strict=True)
        ]
        held, won = (
            sum(all(getattr(d, what) for d in duels) for duels in own) for what in ("held", "won")
        )
        lines.append(
            f"By {way}: at least as good as the best other column within one standard error on "
            f"{held} of {len(sets)} "
            f"sets, strictly better on {won}."
        )
    return "\n".join(lines)


def cost(found: Found) -> str:
    """Seconds of training and predicting, and memory, each the mean of a cell."""
    tables = {
        "Training, seconds a fold": "fit_seconds",
        "Prediction of the test rows, seconds": "predict_seconds",
        "Peak memory of the process, MB": "peak_megabytes",
    }
    pages = []
    for title, what in tables.items():
        rows = [
            [name, *(_short(found.mean(name, column, what)) for column in found.columns)]
            for name in found.sets
        ]
        pages.append(f"{title}:\n\n{table(['set', *_headings(found)], rows)}")
    return "\n\n".join(pages)


def table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _headings(found: Found) -> list[str]:
    return [HEADINGS.get(column, column) for column in found.columns]


def _short(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def long(found: Found) -> Any:
    """A row for each score of a target, and for each cost of a cell, whose target is null."""
    import polars

    rows = []
    for cell in found.cells:
        key = {part: cell[part] for part in ("set", "column", "fold", "seed", "quick", "threads")}
        for measure, values in cell["scores"].items():
            rows += [
                key | {"measure": measure, "target": target, "value": value}
                for target, value in values.items()
            ]
        own = ("fit_seconds", "predict_seconds", "peak_megabytes", "rows", "test_rows")
        rows += [
            key | {"measure": what, "target": None, "value": float(cell[what])} for what in own
        ]
    kinds = dict.fromkeys(("set", "column", "measure", "target"), polars.String)
    return polars.DataFrame(
        rows, schema_overrides=kinds | {"value": polars.Float64, "threads": polars.Int64}
    )


def figure(found: Found, path: Path) -> None:
    """The mean ranks as bars, the best first."""
    from polycera.drawing import bars

    order = sorted(found.mean_ranks, key=found.mean_ranks.__getitem__)
    values = {HEADINGS.get(column, column): found.mean_ranks[column] for column in order}
    title = f"Mean rank over {len(found.sets)} public tables"
    path.write_text(
        bars(values, title=title, x_label="mean rank, 1 is the best", low=0).page(),
        encoding="utf-8",
    )
