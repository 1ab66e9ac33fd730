"""Write run folders that no training made: of any size, with any names, complete or not."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from polycera import reports
from polycera.reports import markup
from polycera.runs import Spec, folder, kept_epochs, manifest, results, timing, to_yaml
from polycera.storage import arrays, atomic, table_files

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "]]><svg onload=alert(3)>",
    """quotes " ' & &amp; `""",
    "x" * 150 + " " + "y" * 149,
    "emoji 🙂👩‍👩‍👧 ﷽",
    "שלום עולם (abc) 123",
    "a/b\\c\u202eevil\u2028line\x07bell",
]
"""Names that a table may bring along."""

KINDS = ("regression", "binary", "multiclass", "quantile")
METRICS = {
    "regression": ("rmse", "min", 0.0, 2.0),
    "binary": ("auc", "max", 1.0, 0.5),
    "multiclass": ("accuracy", "max", 1.0, 0.4),
    "quantile": ("pinball", "min", 0.0, 3.0),
}
"""Kind -> headline metric, direction, ideal, trivial value."""


def make(
    path: Path,
    names: Sequence[str] = ("mass", "sex", "species"),
    *,
    epochs: int = 12,
    validation: bool = True,
    rich: bool = True,
    hole: bool = False,
    keep: int = 4,
    seed: int = 0,
    skills: np.ndarray | None = None,
) -> Path:
    """A run that has ended.

    Args:
        path: of the folder.
        names: of the tasks, whose kinds go round.
        epochs: of its history.
        validation: whether there were validation rows.
        rich: whether it has what is found out once a training has ended.
        hole: whether cells of the history are empty.
        keep: epochs that were kept.
        seed: of all numbers.
        skills: on the validation rows, [epochs, tasks]; NaN where undefined. Then all epochs are
            kept.
    """
    rng = np.random.default_rng(seed)
    kinds = [KINDS[i % 4] for i in range(len(names))]
    begin(path, names, kinds)
    keep = keep if skills is None else epochs
    skills = (
        skills
        if skills is not None
        else 1
        - np.exp(-np.linspace(0.3, 2.5, epochs))[:, None]
        * rng.uniform(0.7, 1.3, (epochs, len(names)))
    )
    _history(path, names, kinds, skills, validation, hole, rng)
    if validation:
        _kept(path, names, kinds, skills, keep)
    _metrics(path, names, kinds, skills[-1], validation)
    identity = manifest.identity(path)
    facts = timing.read(path, identity)
    facts.seconds = 3.2
    timing.write(path, facts)
    atomic.write(path / folder.MODEL, b"weights of no network")
    written = [folder.MODEL, folder.METRICS, folder.HISTORY]
    if rich:
        written += _gradients(path, names, epochs, rng) + _findings(path, names, kinds, rng)
    written += [f"{folder.EPOCHS}/{one.name}" for one in kept_epochs.files(path / folder.EPOCHS)]
    manifest.add(path, written)
    return path


def begin(path: Path, names: Sequence[str], kinds: Sequence[str]) -> None:
    """What a run has before its first step."""
    path.mkdir(parents=True)
    tasks = [
        {
            "kind": kind,
            "name": name,
            "loss": [{"loss": "a_loss", "weight": 1.0}],
            "classes": ["no", "yes"],
        }
        for name, kind in zip(names, kinds, strict=True)
    ]
    atomic.write(path / folder.SPEC, to_yaml(Spec(tasks=tasks)))
    role = {"role": "number", "kind": "number", "reason": "numbers from 0 to 9", "notable": False}
    numbers: dict[str, Any] = {"columns": [], "mean": [], "deviation": [], "gaps": []}
    booleans = {"columns": [], "share": [], "gaps": []}
    encoder = {
        "numbers": numbers,
        "booleans": booleans,
        "categories": [],
        "dates": numbers,
        "left_out": [],
    }
    own = [{"name": name, **role} for name in (*HOSTILE, "age")]
    own[0] |= {"role": "ignore", "notable": True, "reason": "it is 'an' <id>"}
    schema = {
        "columns": own,
        "encoder": encoder,
        "rows": "0" * 64,
        "warnings": [f"Column {HOSTILE[0]!r} is an id."],
    }
    atomic.write(path / folder.SCHEMA, manifest.page(schema))
    manifest.add(path, [folder.SPEC, folder.SCHEMA])
    versions = {"python": "3.11", "backend": "<b>none</b>"}
    timing.write(path, timing.Timing(versions, manifest.identity(path)))


def values_of(kind: str, skills: np.ndarray) -> np.ndarray:
    """What the headline metric of a kind is where the skill is this."""
    _, _, ideal, trivial = METRICS[kind]
    return ideal + (trivial - ideal) * (1 - skills)


def _defined(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _history(
    path: Path, names: Any, kinds: Any, skills: np.ndarray, validation: bool, hole: bool, rng: Any
) -> None:
    epochs = len(skills)
    found: dict[str, Any] = {
        "epoch": list(range(epochs)),
        "loss": (1 - skills.mean(axis=1)).tolist(),
    }
    parts = ("", "val_") if validation else ("",)
    found |= {"val_loss": (1.1 - skills.mean(axis=1)).tolist()} if validation else {}
    for part in parts:
        for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
            found[f"{part}{name}/a_loss"] = (
                1 - skills[:, i] + 0.05 * rng.normal(size=epochs)
            ).tolist()
            found[f"{part}{name}/{METRICS[kind][0]}"] = values_of(kind, skills[:, i]).tolist()
    for i, name in enumerate(names):
        found[f"{name}/trunk_weight"], found[f"{name}/gradient_norm"] = (
            [1.0 + i] * epochs,
            [0.5] * epochs,
        )
        found[f"{name}/weight"] = (1 + 0.3 * np.sin(np.arange(epochs) / 4 + i)).tolist()
    if validation:
        found |= {f"val_{name}_skill": skills[:, i].tolist() for i, name in enumerate(names)}
        found["val_joint"] = skills.mean(axis=1).tolist()
    found["learning_rate"] = np.linspace(1e-3, 1e-4, epochs).tolist()
    if hole:
        found |= {
            name: [None if i % 3 == 1 else v for i, v in enumerate(c)]
            for name, c in found.items()
            if name != "epoch"
        }
    table_files.write(path / folder.HISTORY, found)


def _kept(path: Path, names: Any, kinds: Any, skills: np.ndarray, keep: int) -> None:
    atomic.make_folder(path / folder.EPOCHS)
    for epoch in np.unique(np.linspace(0, len(skills) - 1, keep).astype(int)):
        scores = {}
        for name, kind, skill in zip(names, kinds, skills[epoch], strict=True):
            metric, direction, ideal, trivial = METRICS[kind]
            one = SimpleNamespace(
                value=float(values_of(kind, skill)),
                trivial=trivial,
                ideal=ideal,
                direction=direction,
                skill=float(skill),
            )
            scores[name] = {metric: one}
        watched = [(name, METRICS[kind][0]) for name, kind in zip(names, kinds, strict=True)]
        kept_epochs.write(
            path / folder.EPOCHS, int(epoch), {"w": np.zeros(2, "float32")}, scores, watched
        )


def _metrics(path: Path, names: Any, kinds: Any, skills: np.ndarray, validation: bool) -> None:
    table = {}
    for name, kind, skill in zip(names, kinds, skills, strict=True):
        metric, direction, ideal, trivial = METRICS[kind]
        value = _defined(values_of(kind, skill))
        table[name] = {
            metric: {
                "value": value,
                "trivial": trivial,
                "ideal": ideal,
                "direction": direction,
                "skill": _defined(skill),
            }
        }
    held = "test" if validation else "train"
    more = {"validation": table} if validation else {}
    facts = {
        "rows": {"train": 70, "validation": 15 * validation, "test": 15 * validation},
        "parameters": 2690,
        "epochs": 1,
    }
    atomic.write(path / folder.METRICS, manifest.page({"part": held, held: table, **more, **facts}))


def _gradients(path: Path, names: Sequence[str], epochs: int, rng: Any) -> list[str]:
    m, looks = len(names), min(epochs, 4)
    weights, norms = 1 + 0.2 * rng.normal(size=(epochs, 2, m)), rng.uniform(0.1, 1, (epochs, 2, m))
    cosines = np.clip(rng.normal(0.1, 0.4, (looks, 2, m, m)), -1, 1)
    cosines = (cosines + cosines.swapaxes(-1, -2)) / 2
    cosines[..., np.arange(m), np.arange(m)] = 1.0
    notes = {
        "tasks": list(names),
        "source": "probe",
        "places": ["trunk", HOSTILE[0]],
        "epochs": list(range(epochs)),
        "looks": list(range(looks)),
    }
    own = {"weights": weights, "norms": norms, "cosines": cosines, "conflicts": (1 - cosines) / 2}
    arrays.write(path / folder.GRADIENTS, own, notes)
    return [folder.GRADIENTS]


def _findings(path: Path, names: Sequence[str], kinds: Sequence[str], rng: Any) -> list[str]:
    quality = results.Quality(
        "test", {name: _quality(kind, rng) for name, kind in zip(names, kinds, strict=True)}
    )
    fitted = {
        n: {"yes": results.Threshold(0.31, "f1", "validation", 0.8, 0.7)}
        for n, k in zip(names, kinds, strict=True)
        if k == "binary"
    }
    drops = {
        name: results.Drops("skill", rng.uniform(0, 0.3, 5).tolist(), [0.02] * 5) for name in names
    }
    found: dict[str, Any] = {
        results.SHARING: sharing(names),
        results.QUALITY: quality,
        results.IMPORTANCE: results.Importance("test", 15, 5, [*HOSTILE[:4], "age"], 3, drops),
        results.THRESHOLDS: results.Thresholds(fitted),
    }
    if len(names) > 1:
        found[results.COMPARISON] = comparison(names, kinds, rng)
    for name, value in found.items():
        atomic.write(path / name, manifest.page(value))
    return list(found)


def sharing(names: Sequence[str]) -> results.Sharing:
    """A trunk of two layers, and a head for each task."""
    every = list(range(len(names)))
    layers = [
        results.Layer("input", "InputLayer", every, 0, [10], []),
        results.Layer("trunk", "Dense", every, 704, [64], ["input"]),
        results.Layer(HOSTILE[0], "Dense", every, 4160, [64], ["trunk"]),
        *(
            results.Layer(f"head of {name}"[:80], "Dense", [i], 65, [1], [HOSTILE[0]])
            for i, name in enumerate(names)
        ),
    ]
    own = 65 * len(names)
    amount = results.Amount(4864, 0, own)
    joint, separate = (
        results.Cost(4864 + own, 0.0012, 1e-6),
        results.Cost(4929 * len(names)),
    )
    verdict = f"This is one network: 4,864 of {4864 + own:,} weights serve all {len(names)} tasks."
    return results.Sharing(list(names), layers, amount, joint, separate, verdict)


def comparison(names: Sequence[str], kinds: Sequence[str], rng: Any) -> results.SeparateComparison:
    """Three seeds; the joint network wins on every other task."""
    tasks = {}
    for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        metric, direction, _, trivial = METRICS[kind]
        separate = (trivial * 0.8 + 0.01 * rng.normal(size=3)).tolist()
        gain = 0.02 * (1 if i % 2 else -1)
        tasks[name] = results.Gain(
            metric,
            direction,
            [v + gain for v in separate],
            separate,
            gain,
            gain - 0.01,
            gain + 0.01,
            "joint" if i % 2 else "separate",
        )
    m = len(names)
    affinity = [
        [None if i == j else float(rng.normal(0, 0.02)) for j in range(m)] for i in range(m)
    ]
    groups = [[i for i in range(m) if i % 2 == part] for part in (0, 1)]
    return results.SeparateComparison(
        [0, 1, 2], "test", 0.95, tasks, [0.01, 0.02, 0.03], 0.02, 0.005, 0.035,
        results.Cost(2690), results.Cost(6000), [3.0, 3.1, 3.2], [8.0, 8.1, 8.2],
        "One network is better by 2 % on average.", results.Affinity(affinity, groups),
    )  # fmt: skip


def _quality(kind: str, rng: Any) -> results.TaskQuality:
    reliability = results.Reliability(
        [0.1, 0.3, 0.5, 0.7, 0.9], [0.12, 0.25, 0.55, 0.66, 0.94], [5, 3, 4, 6, 9], 0.037
    )
    confusion = results.Confusion(["no", "yes", HOSTILE[0]], [[8, 2, 0], [1, 9, 0], [1, 1, 5]])
    true = rng.normal(10, 3, 60)
    residual = rng.normal(0, 1, 60)
    counts, edges = np.histogram(residual, 12)
    residuals = results.Residuals(
        edges.tolist(),
        counts.tolist(),
        float(residual.mean()),
        float(residual.std()),
        true.tolist(),
        (true - residual).tolist(),
    )
    if kind == "regression":
        return results.TaskQuality(kind, 60, residuals=residuals)
    if kind == "quantile":
        return results.TaskQuality(
            kind,
            60,
            residuals=residuals,
            coverage=results.Coverage([0.1, 0.5, 0.9], [0.13, 0.48, 0.88]),
        )
    if kind == "multiclass":
        return results.TaskQuality(kind, 60, reliability=reliability, confusion=confusion)
    steps = np.linspace(0, 1, 21)
    curve = results.Curve(steps.tolist(), (0.4 + 0.6 * steps).tolist(), (1 - steps**2).tolist())
    fitted, half = (
        results.ThresholdQuality(0.31, 0.7, 0.9, 0.79, 0.8),
        results.ThresholdQuality(0.5, 0.8, 0.7, 0.75, 0.82),
    )
    return results.TaskQuality(
        kind, 60, [results.Label("yes", 60, 25, reliability, curve, fitted, half)]
    )


class Outline(HTMLParser):
    """The elements of a page with their text, and whether each one opened is closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.elements: list[str] = []
        self.text = ""
        self.wrong: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        if tag == "section":
            self.sections.append(str(dict(attrs)["id"]))
        if tag not in markup.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def page(path: Path) -> Outline:
    """The report of a run."""
    found = Outline(reports.report(path).read_text(encoding="utf-8"))
    assert (found.wrong, found.open) == ([], [])
    return found
