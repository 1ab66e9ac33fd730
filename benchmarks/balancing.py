"""Measure the cost of balancing: a step with each method against a step with plain sums.

    python benchmarks/balancing.py                                    # three backends, a process
    each; table and figure python benchmarks/balancing.py --backends jax --tasks 2 8         # less
    of it python benchmarks/balancing.py --methods upgrad nash_mtl --exact  # no method with
    gradients at the parameters

Two networks: an MLP (256 inputs, two hidden layers of 512, batch 256) with 2, 8, 40 and 200
regression tasks, and a LeNet on 36x36 images (batch 64) with two tasks of ten classes; Adam, one
cheap metric a task. Ours runs in stock `fit`, with gradients at the features and, where `Heads`
knows them, at the parameters. In the process of PyTorch a plain loop and TorchJD's `mtl_backward`
train the same network. A figure is the time of a step, from the wall time of a whole epoch, warm;
contenders take turns, so that a busy machine slows all of them; medians over the rounds, with the
lowest and highest ratio to our unbalanced step of the same round. LibMTL is not among them: it is
not on PyPI and brings a training loop, data sets and networks of its own.

How long a method takes depends on how much gradients conflict, and those of the MLP hardly do: so
the methods are also timed alone, on gradients whose mean is nearly taken out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _clock import Epochs

BACKENDS = ("jax", "tensorflow", "torch")
# XLA takes a second for the convolutions of a batch of 256 on two CPU cores
BATCH = {"mlp": 256, "lenet": 64}
STEPS = {"mlp": 16, "lenet": 4}
INPUTS, WIDTH, SIDE, CLASSES = 256, 512, 36, 10
METHODS = ("mean", "mgda", "pcgrad", "cagrad", "imtl_g", "nash_mtl", "aligned_mtl", "upgrad")
EXACT = ("mean", "mgda", "nash_mtl", "upgrad")
TASKS = (2, 8, 40, 200)
MOST_EXACT = 40  # tasks: beyond, a backward pass for each is no longer a question of percents
BASE, ALONE = "unbalanced", "methods alone"


def data(net, m):
    """Inputs and labels: [n, m] numbers, or two columns of classes."""
    import numpy as np

    rng = np.random.default_rng(0)
    rows = BATCH[net] * STEPS[net]
    if net == "lenet":
        x = rng.normal(size=(rows, SIDE, SIDE, 1)).astype("float32")
        return x, rng.integers(0, CLASSES, (rows, m))
    x = rng.normal(size=(rows, INPUTS)).astype("float32")
    y = x @ rng.normal(size=(INPUTS, m)) / 16 + rng.normal(size=(rows, m))
    return x, y.astype("float32")


# -- ours ------------------------------------------------------------------------------------------


def trunk(net):
    import keras
    from keras import layers

    if net == "lenet":
        x = inputs = keras.Input((SIDE, SIDE, 1))
        for filters in (10, 20):
            x = layers.MaxPooling2D(2)(layers.Conv2D(filters, 5, activation="relu")(x))
        return inputs, layers.Dense(50, activation="relu")(layers.Flatten()(x))
    x = inputs = keras.Input((INPUTS,))
    for _ in range(2):
        x = layers.Dense(WIDTH, activation="relu")(x)
    return inputs, x


def ours(net, m, x, y, **options):
    """Our model; a call trains one epoch and gives the seconds of a step."""
    import polycera as pc

    classes = list(range(CLASSES))
    names = [f"t{i}" for i in range(m)]
    if net == "lenet":
        tasks = [pc.Multiclass(name, classes, metrics=["accuracy"]) for name in names]
    else:
        tasks = [pc.Regression(name, metrics=["rmse"]) for name in names]
    inputs, features = trunk(net)
    model = pc.Model(inputs, pc.layers.Heads(tasks, **options)(features))
    model.compile("adam")
    labels = {name: y[:, i] for i, name in enumerate(names)}
    clock = Epochs()

    def run():
        # The first epoch starts the machinery of `fit` and is left out.
        clock.times.clear()
        model.fit(
            x, labels, batch_size=BATCH[net], verbose=0, shuffle=False, epochs=2, callbacks=[clock]
        )
        return clock.times[1] / STEPS[net]

    return run


def alone(method, m):
    """A method alone, compiled like a training step; a call returns the seconds of an update."""
    import keras
    import numpy as np

    from polycera.balancing import StepGradients, get

    rng = np.random.default_rng(m)
    gradients = rng.normal(size=(m, 3 * m + 5))
    gradients -= 0.9 * gradients.mean(axis=0)
    ones = np.ones(m)
    parts = [gradients @ gradients.T, ones, ones, ones, rng.random(m)]
    seen = StepGradients(*(keras.ops.convert_to_tensor(part.astype("float32")) for part in parts))
    update, state = (
        get(method).update,
        {k: keras.ops.convert_to_tensor(v) for k, v in get(method).init(m).items()},
    )
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(update)
        update = lambda *given: jax.block_until_ready(compiled(*given))  # noqa: E731
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        update = tf.function(update)
    else:
        import torch

        update = torch.no_grad()(update)

    def run():
        start, number = time.perf_counter(), 0
        while number == 0 or time.perf_counter() - start < 0.02:
            update(state, seen)
            number += 1
        return (time.perf_counter() - start) / number

    return run


# -- PyTorch ---------------------------------------------------------------------------------------


def plain(net, m, x, y, aggregator=None):
    """The same network in a PyTorch loop; with an aggregator, as in TorchJD's documentation."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    if net == "lenet":
        body = [
            nn.Conv2d(1, 10, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(10, 20, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        shared = nn.Sequential(*body, nn.Flatten(), nn.Linear(20 * 6 * 6, 50), nn.ReLU())
        heads, x = nn.ModuleList(nn.Linear(50, CLASSES) for _ in range(m)), x.transpose(0, 3, 1, 2)
        loss = nn.CrossEntropyLoss()
    else:
        shared = nn.Sequential(
            nn.Linear(INPUTS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()
        )
        heads, loss = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(m)), nn.MSELoss()
    optimizer = torch.optim.Adam([*shared.parameters(), *heads.parameters()], lr=1e-3)
    x, y = torch.tensor(x), torch.tensor(y)

    def step(rows):
        features = shared(x[rows])
        columns = y[rows].unbind(1)
        if net == "lenet":
            losses = [
                loss(head(features), column) for head, column in zip(heads, columns, strict=True)
            ]
        else:
            losses = [
                loss(head(features)[:, 0], column)
                for head, column in zip(heads, columns, strict=True)
            ]
        if aggregator is None:
            sum(losses).backward()
        else:
            from torchjd.autojac import jac_to_grad, mtl_backward

            mtl_backward(losses, features=features)
            jac_to_grad(list(shared.parameters()), aggregator)
        optimizer.step()
        optimizer.zero_grad()

    def run():
        start = time.perf_counter()
        for i in range(STEPS[net]):
            step(slice(i * BATCH[net], (i + 1) * BATCH[net]))
        return (time.perf_counter() - start) / STEPS[net]

    return run


def peers(m):
    """Label -> arguments of `plain` for what can run here."""
    found = {"PyTorch, plain loop": {}}
    try:
        import torchjd.aggregation as theirs

        made = {
            "upgrad": theirs.UPGrad,
            "mgda": theirs.MGDA,
            "nash_mtl": lambda: theirs.NashMTL(n_tasks=m),
        }
    except ImportError as error:
        note(f"TorchJD is left out: {error}")
        return found
    for name, make in made.items():
        try:
            found[f"TorchJD {name}"] = {"aggregator": make()}
        except ImportError as error:
            note(f"TorchJD's {name} is left out: {error}")
    return found


# -- a process a backend ---------------------------------------------------------------------------


def note(text):
    print(f"note: {text}", file=sys.stderr, flush=True)


def contenders(backend, net, m, methods, exact):
    """Label -> a function that trains for one round and gives the seconds of a step."""
    if net == ALONE:
        return {name: alone(name, m) for name in methods}
    values = data(net, m)
    wanted = {BASE: {}} | {name: {"balancing": name} for name in methods}
    if m <= MOST_EXACT:
        wanted |= {
            f"{name}, parameters": {"balancing": name, "gradients": "parameters"} for name in exact
        }
    found = {}
    for label, options in wanted.items():
        try:
            found[label] = ours(net, m, *values, **options)
        except (TypeError, ValueError) as error:
            if "gradients" not in options:
                raise
            note(f"{backend}: {label!r} is left out: {error}")
    if backend == "torch" and m <= MOST_EXACT:
        found |= {label: plain(net, m, *values, **options) for label, options in peers(m).items()}
    return found


def measure(backend, net, m, options):
    """Rows of the table: {backend, net, tasks, label, seconds of each round}."""
    running = contenders(backend, net, m, options.methods, options.exact)
    times = {}
    for label, run in list(running.items()):
        try:
            run()  # compiles
            times[label] = []
        except Exception as error:  # a peer's solver may give up; the others go on
            if label == BASE:
                raise
            note(
                f"{backend}, {net}, {m} tasks: {label!r} failed: {type(error).__name__}: {error}"[
                    :300
                ]
            )
    for _ in range(options.rounds):
        for label in list(times):
            times[label].append(running[label]())
    return [
        {"backend": backend, "net": net, "tasks": m, "label": k, "seconds": v}
        for k, v in times.items()
    ]


def work(options):
    """One backend: its rows go to a file as JSON."""
    backend = os.environ["KERAS_BACKEND"]
    nets = [(ALONE, m) for m in options.tasks] + [("mlp", m) for m in options.tasks]
    nets += [("lenet", 2)] if options.lenet else []
    rows = []
    for net, m in nets:
        note(f"{backend}: {net}, {m} tasks")
        rows += measure(backend, net, m, options)
        Path(options.into).write_text(json.dumps(rows), encoding="utf-8")


# -- all of them -----------------------------------------------------------------------------------


def gather(options):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for backend in options.backends:
            into = Path(folder) / f"{backend}.json"
            environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
            if backend == "torch":
                environment.setdefault("OMP_NUM_THREADS", "1")
            ended = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--into", str(into)], env=environment
            )
            if ended.returncode:
                note(f"{backend} ended early, with status {ended.returncode}")
            if into.exists():
                rows += json.loads(into.read_text(encoding="utf-8"))
    return rows


def table(rows):
    """Markdown: a section a backend and network; a row a contender, a column a number of tasks."""
    lines = []
    for backend, net in dict.fromkeys((row["backend"], row["net"]) for row in rows):
        part = [row for row in rows if (row["backend"], row["net"]) == (backend, net)]
        tasks = sorted({row["tasks"] for row in part})
        at = {(row["label"], row["tasks"]): row["seconds"] for row in part}
        what = "" if net == ALONE else f" a step, and ratio to `{BASE}` (lowest-highest)"
        lines += [f"\n### {backend}: {net}, milliseconds{what}\n"]
        lines += [
            "| | " + " | ".join(f"{m} tasks" for m in tasks) + " |",
            "|---" * (len(tasks) + 1) + "|",
        ]
        for label in dict.fromkeys(row["label"] for row in part):
            cells = [cell(at.get((label, m)), at.get((BASE, m))) for m in tasks]
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(seconds, base):
    if not seconds:
        return ""
    middle = f"{1000 * statistics.median(seconds):.3g}"
    if base is None or seconds is base:
        return middle
    ratios = [a / b for a, b in zip(seconds, base, strict=True)]
    return f"{middle}, {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def figure(rows, path):
    """Step time against the number of tasks, a panel a backend."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return note("no figure: matplotlib is not installed (pip install 'polycera[bench]')")
    rows = [row for row in rows if row["net"] == "mlp"]
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    if not backends:
        return note("no figure: the MLP was not measured")
    drawn, panels = pyplot.subplots(
        1, len(backends), figsize=(5 * len(backends), 4.5), squeeze=False, sharey=True
    )
    labels = list(dict.fromkeys(row["label"] for row in rows))
    colors = {BASE: "black"}  # a method has the same in all panels, whoever computes it
    for panel, backend in zip(panels[0], backends, strict=True):
        for label in labels:
            part = sorted(
                (r["tasks"], r["seconds"])
                for r in rows
                if (r["backend"], r["label"]) == (backend, label)
            )
            if not part:
                continue
            style = (
                ":" if label.startswith(("PyTorch", "TorchJD")) else "--" if "," in label else "-"
            )
            middle = [1000 * statistics.median(seconds) for _, seconds in part]
            method = label.removeprefix("TorchJD ").partition(",")[0]
            color = colors.setdefault(method, f"C{(len(colors) - 1) % 10}")
            panel.plot([m for m, _ in part], middle, style, marker=".", label=label, color=color)
        panel.set(xscale="log", yscale="log", xlabel="tasks", title=backend)
        panel.set_xticks(ticks := sorted({row["tasks"] for row in rows}), [str(m) for m in ticks])
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("milliseconds a step")
    handles = {
        label: h for p in panels[0] for h, label in zip(*p.get_legend_handles_labels(), strict=True)
    }
    drawn.legend(
        handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8
    )
    drawn.tight_layout()
    drawn.savefig(path, dpi=120, bbox_inches="tight")
    print(f"\nFigure: {path}")


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument(
        "--tasks", type=int, nargs="*", default=list(TASKS), help="numbers of tasks of the MLP"
    )
    options.add_argument(
        "--methods", nargs="*", default=list(METHODS), help="with gradients at the features"
    )
    options.add_argument(
        "--exact", nargs="*", default=list(EXACT), help="with gradients at the parameters"
    )
    options.add_argument("--no-lenet", dest="lenet", action="store_false")
    options.add_argument("--quick", action="store_true", help="3 rounds, at most 8 tasks")
    options.add_argument("--figure", default="balancing.png", help="where the figure goes")
    options.add_argument("--json", help="where the figures of each round go, if anywhere")
    options.add_argument("--into", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.tasks = 3, [m for m in chosen.tasks if m <= 8]
    if chosen.into:
        return work(chosen)
    rows = gather(chosen)
    if not rows:
        raise SystemExit("Nothing was measured.")
    print(table(rows))
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(rows), encoding="utf-8")
    figure(rows, chosen.figure)


if __name__ == "__main__":
    main()
