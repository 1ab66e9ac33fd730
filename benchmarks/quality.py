"""Test whether weighting or balancing helps: each method against equal weights, three problems.

The scores are those of test rows.

    python benchmarks/quality.py                              # all of it: 25 minutes or so on one
    core, with JAX python benchmarks/quality.py --quick                      # 2 seeds, 3 epochs:
    whether everything runs python benchmarks/quality.py --problems enb --methods upgrad log --seeds
    10 python benchmarks/quality.py --first 5 --seeds 10 --problems tox21 --methods log     # seeds
    that chose nothing python benchmarks/quality.py --stretch 2 --methods        # equal weights
    alone, for twice as long python benchmarks/quality.py --out quality.md             # the tables
    there, all figures in quality.json

`digits` overlays two handwritten digits in one small image and asks for both, as MultiMNIST does;
`enb` are the heating and cooling loads of buildings; `tox21` are twelve assays of which a sixth of
the labels is missing. Every contender has the same trunk, steps, batches, Adam, learning rate and
seeds; a seed decides the split of the rows, the first weights and the order of the rows. No
hyperparameter of any method is tuned: those are the defaults that a user meets first. The epoch
with the best mean skill on validation rows is kept, and the mean skill of the tasks on test rows is
reported (0 is the trivial predictor, 1 is perfect), with its difference to equal weights of the
same seed: the mean over the seeds and a 95 % interval of Student's t.

`mean` and `equal` do what equal weights do by another way: how far they are from it is what
    rounding alone can do.
"Separate networks" have the same trunk once for each task, so as many times the weights, and their
epoch is chosen for all of them together as for the others. `schedule` is left out: it does what its
user asks for.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import statistics
import sys
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

import polycera as pc
from polycera import balancing, weighting

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BASE, SEPARATE = "equal weights", "separate networks"
CONTROLS = ("mean", "equal")
COMBINED = {
    f"{name} + upgrad": {"weighting": name, "balancing": "upgrad"}
    for name in ("log", "uncertainty")
}
EXACT = {
    f"{name}, parameters": {"balancing": name, "gradients": "parameters"}
    for name in ("mgda", "upgrad")
}
METHODS: dict[str, dict[str, Any]] = {
    **{name: {"balancing": name} for name in balancing.METHODS},
    **{name: {"weighting": name} for name in weighting.METHODS if name != "schedule"},
    **COMBINED,
    **EXACT,
    SEPARATE: {},
}
"""What each contender asks of `Heads`."""


@dataclass(frozen=True)
class Problem:
    """What is learnt, and how long.

    Attributes:
        tasks: what is asked.
        x, y: all rows.
        sizes: numbers of training, validation and test rows.
        widths: of the trunk's layers.
        batch: rows a step.
        passes: passes over the training rows in an epoch, between two looks at the validation rows.
        epochs: of training.
        rate: of Adam.
        pairs: whether rows are digits of which pairs are made, after the split, so that no digit is
            on both sides.
    """

    tasks: list[Any]
    x: np.ndarray
    y: dict[str, np.ndarray]
    sizes: tuple[int, int, int]
    widths: tuple[int, ...]
    batch: int
    passes: int
    epochs: int
    rate: float
    pairs: bool = False

    def parts(self, seed: int) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Features and labels of the training, validation and test rows of a seed."""
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(self.x))
        if self.pairs:
            pools = np.split(rows, [int(0.6 * len(rows)), int(0.8 * len(rows))])
            return [
                overlaid(self, pool, count, rng)
                for pool, count in zip(pools, self.sizes, strict=True)
            ]
        edges = np.cumsum(self.sizes)
        chosen = [rows[a:b] for a, b in zip((0, *edges), edges, strict=False)]
        middle, spread = self.x[chosen[0]].mean(0), self.x[chosen[0]].std(0)
        x = ((self.x - middle) / np.where(spread > 0, spread, 1)).astype("float32")
        return [
            (x[part], {name: labels[part] for name, labels in self.y.items()}) for part in chosen
        ]


# -- the problems ----------------------------------------------------------------------------------


def digits() -> Problem:
    from sklearn.datasets import load_digits

    x, digit = load_digits(return_X_y=True)
    tasks = [
        pc.Multiclass(name, list(range(10)), metrics=["accuracy"]) for name in ("left", "right")
    ]
    images = x.reshape(-1, 8, 8).astype("float32") / 16
    return Problem(
        tasks, images, {"digit": digit}, (4096, 1024, 2048), (24, 12), 128, 1, 60, 5e-3, pairs=True
    )


def overlaid(problem: Problem, pool: np.ndarray, count: int, rng: np.random.Generator) -> Any:
    """Pairs of digits, 8x8 each, in the corners of 12x12 images: a quarter of each is covered."""
    left, right = rng.choice(pool, (2, count))
    images = np.zeros((count, 12, 12), "float32")
    images[:, :8, :8] = problem.x[left]
    images[:, 4:, 4:] = np.maximum(images[:, 4:, 4:], problem.x[right])
    return images.reshape(count, -1), {
        "left": problem.y["digit"][left],
        "right": problem.y["digit"][right],
    }


def table_of(name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Features and labels by name, missing ones NaN."""
    import polars

    frame = polars.read_parquet(DATA / name / "data.parquet")
    meta = json.loads((DATA / name / "meta.json").read_text(encoding="utf-8"))
    aside = [*meta["targets"], *meta.get("ignore", ()), "__split__"]
    x = frame.drop(aside, strict=False).to_numpy().astype("float32")
    return x, {target: frame[target].to_numpy().astype("float64") for target in meta["targets"]}


def enb() -> Problem:
    x, y = table_of("enb")
    tasks = [pc.Regression(name, metrics=["rmse"]) for name in y]
    return Problem(tasks, x, y, (512, 128, 128), (32, 32), 32, 8, 40, 1e-2)


def tox21() -> Problem:
    x, y = table_of("tox21")
    tasks = [pc.Binary(name, metrics=["auc"]) for name in y]
    return Problem(tasks, x, y, (4096, 1536, 1536), (64, 32), 128, 1, 20, 1e-3)


PROBLEMS = {"digits": digits, "enb": enb, "tox21": tox21}


# -- one contender ---------------------------------------------------------------------------------


def network(problem: Problem, label: str, options: dict[str, Any], seed: int) -> pc.Model:
    """The compiled model of a contender; its first weights depend on the seed alone."""

    def trunk(number: int) -> Any:
        hidden = inputs
        for depth, width in enumerate(problem.widths):
            first = keras.initializers.HeNormal(seed=1000 * seed + 10 * number + depth)
            hidden = keras.layers.Dense(width, activation="relu", kernel_initializer=first)(hidden)
        return hidden

    def heads(tasks: list[Any], number: int) -> Any:
        first = keras.initializers.GlorotUniform(seed=1000 * seed + 10 * number + 9)
        return pc.layers.Heads(tasks, kernel_initializer=first, seed=seed, **options)(trunk(number))

    inputs = keras.Input((144 if problem.pairs else problem.x.shape[1],))
    groups = [[task] for task in problem.tasks] if label == SEPARATE else [problem.tasks]
    model = pc.Model(inputs, [heads(tasks, number) for number, tasks in enumerate(groups)])
    model.compile(keras.optimizers.Adam(problem.rate))
    model.optimizer.build(model.trainable_variables)
    return model


def contend(problem: Problem, label: str, seeds: range) -> list[dict[str, Any]]:
    """Train a contender on each seed; return its test skills, best epoch and seconds of `fit`.

    The step is compiled once: for each seed, all that a fresh model starts from is copied into the
    first one. Only the strides by which methods with randomness move on are then the first seed's
    in all.
    """
    options = METHODS.get(label, {})
    model = network(problem, label, options, seeds[0])
    optimizer = [keras.ops.convert_to_numpy(variable) for variable in model.optimizer.variables]
    found = []
    for seed in seeds:
        if seed != seeds[0]:
            model.set_weights(network(problem, label, options, seed).get_weights())
            for variable, value in zip(model.optimizer.variables, optimizer, strict=True):
                variable.assign(value)
        found.append(train(model, problem, seed))
    return found


def train(model: pc.Model, problem: Problem, seed: int) -> dict[str, Any]:
    (x, y), validation, test = problem.parts(seed)
    again = np.tile(np.arange(len(x)), problem.passes)
    best = keras.callbacks.EarlyStopping(
        "val_joint", mode="max", patience=problem.epochs, restore_best_weights=True
    )
    keras.utils.set_random_seed(seed)  # the order of the rows
    start = time.perf_counter()
    model.fit(
        x[again],
        {name: labels[again] for name, labels in y.items()},
        batch_size=problem.batch,
        epochs=problem.epochs,
        validation_data=validation,
        validation_batch_size=len(validation[0]),
        callbacks=[pc.callbacks.JointScore(), best],
        verbose=0,
    )
    seconds = time.perf_counter() - start
    model.evaluate(*test, batch_size=len(test[0]), verbose=0)
    skills = {name: next(iter(own.values())).skill for name, own in model.scores.items()}
    mean = float(np.nanmean(list(skills.values())))
    return {
        "seed": seed,
        "skill": mean,
        "skills": skills,
        "epoch": best.best_epoch + 1,
        "seconds": seconds,
    }


# -- all of them -----------------------------------------------------------------------------------


def compared(runs: list[dict[str, Any]], base: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean skill, the paired difference to the base with its 95 % interval and p-value, seconds."""
    from scipy import stats

    skills, differences = (
        np.array(
            [run["skill"] - minus * other["skill"] for run, other in zip(runs, base, strict=True)]
        )
        for minus in (0, 1)
    )
    n = len(differences)
    middle, error = (
        float(differences.mean()),
        float(differences.std(ddof=1) / n**0.5) if n > 1 else float("nan"),
    )
    half = float(stats.t.ppf(0.975, n - 1)) * error if n > 1 else float("nan")
    return {
        "skill": float(skills.mean()),
        "difference": middle,
        "low": middle - half,
        "high": middle + half,
        "p": float(2 * stats.t.sf(abs(middle) / error, n - 1)) if error > 0 else 1.0,
        "epoch": statistics.mean(run["epoch"] for run in runs),
        # the first training compiles
        "seconds": statistics.median([run["seconds"] for run in runs][1 if n > 1 else 0 :]),
    }


def study(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A problem with all contenders: figures of each, and of each of its trainings."""
    problem = PROBLEMS[name]()
    problem = replace(
        problem, epochs=3 if options.quick else max(1, round(problem.epochs * options.stretch))
    )
    runs: dict[str, list[dict[str, Any]]] = {}
    for label in [BASE, *(label for label in METHODS if label in options.methods)]:
        start = time.perf_counter()
        runs[label] = contend(problem, label, range(options.first, options.first + options.seeds))
        keras.utils.clear_session()
        middle = statistics.mean(run["skill"] for run in runs[label])
        note(f"{name}: {label}: {middle:.4f}, {time.perf_counter() - start:.1f} s")
    setting = {
        key: getattr(problem, key)
        for key in ("sizes", "widths", "batch", "passes", "epochs", "rate")
    }
    setting |= {
        "tasks": len(problem.tasks),
        "steps": problem.epochs * problem.passes * problem.sizes[0] // problem.batch,
    }
    return {
        "setting": setting,
        "figures": {k: compared(own, runs[BASE]) for k, own in runs.items()},
        "runs": runs,
    }


def verdict(figures: dict[str, Any]) -> str:
    """What the interval says, "" where it holds 0."""
    return "better" if figures["low"] > 0 else "worse" if figures["high"] < 0 else ""


def markdown(name: str, result: dict[str, Any]) -> str:
    setting, figures = result["setting"], result["figures"]
    seeds = len(result["runs"][BASE])
    lines = [
        (
            f"#### {name}: {setting['tasks']} tasks, {setting['steps']} steps of "
            f"{setting['batch']} rows, {seeds} seeds"
        ),
        "",
        "| method | mean skill | difference to equal weights (95 %) | | best epoch | s |",
        "|---|---|---|---|---|---|",
    ]
    for label, own in figures.items():
        cells = ["", ""]
        if label != BASE:
            cells = [
                f"{own['difference']:+.4f} ({own['low']:+.4f} to {own['high']:+.4f})",
                verdict(own),
            ]
        cells = [
            kind(label),
            f"{own['skill']:.4f}",
            *cells,
            f"{own['epoch']:.1f} of {setting['epochs']}",
        ]
        lines.append(f"| {' | '.join(cells)} | {own['seconds']:.1f} |")
    return "\n".join([*lines, "", summary(name, figures)])


def kind(label: str) -> str:
    return f"{label} (control)" if label in CONTROLS else label


def summary(name: str, figures: dict[str, Any]) -> str:
    """What the numbers say together, chance included."""
    methods = {
        label: own for label, own in figures.items() if label not in (BASE, SEPARATE, *CONTROLS)
    }
    said = [verdict(own) for own in methods.values()]
    n, better, worse = len(said), said.count("better"), said.count("worse")
    text = ""
    if n:
        sure = [verdict(own) for own in holm(methods).values()]
        text = (
            f"{name}: of {n} methods {better} did better than equal weights at 95 %, {worse} "
            "worse, and "
            f"{n - better - worse} could not be told from them; of {n} comparisons about "
            f"{0.05 * n:.1f} would fall "
            "outside by chance alone, and after Holm's correction for their number "
            f"{sure.count('better')} better and "
            f"{sure.count('worse')} worse remain."
        )
    if SEPARATE in figures:
        own = figures[SEPARATE]
        found = verdict(own) or "not told apart"
        text += f" Separate networks: {own['difference']:+.4f} to equal weights, {found}."
    return text.strip()


def holm(methods: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those that differ when the chance of even one false difference among all is to be 5 %."""
    kept = {}
    for rank, (label, own) in enumerate(sorted(methods.items(), key=lambda pair: pair[1]["p"])):
        if not own["p"] * (len(methods) - rank) < 0.05:
            break
        kept[label] = own
    return kept


def missing(name: str) -> str | None:
    """Why a problem cannot be had here, or None."""
    if name == "digits":
        return None if importlib.util.find_spec("sklearn") else "scikit-learn is not installed"
    return None if (DATA / name).is_dir() else f"there is no folder {DATA / name}"


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument(
        "--first", type=int, default=0, help="the first seed: others confirm what some have shown"
    )
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument(
        "--methods", nargs="*", choices=METHODS, default=list(METHODS), metavar="METHOD"
    )
    parser.add_argument("--stretch", type=float, default=1.0, help="so many times the epochs")
    parser.add_argument(
        "--quick", action="store_true", help="2 seeds, 3 epochs: whether everything runs"
    )
    parser.add_argument(
        "--out", type=Path, help="where the tables go; all figures go beside them, as .json"
    )
    options = parser.parse_args()
    options.seeds = 2 if options.quick else options.seeds
    warnings.filterwarnings("ignore", message=".*is undefined on the validation rows")
    results, tables = {}, []
    backend = keras.backend.backend()
    print(f"Keras {keras.__version__} on {backend} {importlib.metadata.version(backend)}")
    for name in options.problems:
        if why := missing(name):
            note(f"{name} is left out: {why}")
            continue
        results[name] = study(name, options)
        tables.append(markdown(name, results[name]))
        print(f"\n{tables[-1]}", flush=True)
        if options.out:  # after each problem: a study that is cut off leaves what it has
            options.out.write_text("\n\n".join(tables) + "\n", encoding="utf-8")
            options.out.with_suffix(".json").write_text(
                json.dumps(results, indent=1), encoding="utf-8"
            )


if __name__ == "__main__":
    main()
