"""The spec: everything it takes to repeat a training, as a page of YAML that a person can read and edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from polycera.errors import InputError, PolyceraError, shorten
from polycera.storage import safe_read

Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Weight = Annotated[float, msgspec.Meta(ge=0)]
Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


SIZE, PARTS, DEEP, DIGITS = 2**22, 100_000, 32, 1000
"""Bytes of a spec, its parts, parts within each other and digits of a number, at most."""

Width = Annotated[int, msgspec.Meta(ge=1, le=2**14)]
Depth = Annotated[int, msgspec.Meta(ge=1, le=2**8)]


class Parts(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How the rows are divided into training, validation and test.

    Attributes:
        validation, test: shares of the rows.
        column: a column that names each row's part.
        groups: a column whose groups are never divided.
        time: a column by whose order the last rows are the test.
    """

    validation: Share = 0.15
    test: Share = 0.15
    column: str | None = None
    groups: str | None = None
    time: str | None = None


class Data(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where the rows come from.

    Attributes:
        source: path of the table; None where a frame was given.
        encoding: of a text file.
        columns: role of every column that is no target.
        parts: how the rows are divided.
    """

    source: str | None = None
    encoding: str = "utf-8"
    columns: dict[str, str] = {}
    parts: Parts = msgspec.field(default_factory=Parts)


class Network(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The network that all tasks share. What is None is chosen by rows, columns and tasks, and then written down.

    Attributes:
        width: units of each hidden layer of each member.
        depth: hidden layers.
        dropout: share of units left out in training.
        members: multilayer perceptrons side by side, whose mean answers.
        folds: parts of the rows, each held out from as many of the members as from any other: what
            the others say of them is honest, and no row is wasted; 1: the validation rows are held
            out from all.
        bins: of each number's embedding; 0: numbers go in as they are.
        numbers: how many of the first features are numbers.
        landmarks: training rows to which the path beside the members compares; 0: no such path.
    """

    width: Width | None = None
    depth: Depth = 2
    dropout: Share | None = None
    members: Annotated[int, msgspec.Meta(ge=1, le=2**10)] | None = None
    folds: Annotated[int, msgspec.Meta(ge=1, le=2**6)] | None = None
    bins: Annotated[int, msgspec.Meta(ge=0, le=2**10)] | None = None
    numbers: Annotated[int, msgspec.Meta(ge=0, le=2**20)] | None = None
    landmarks: Annotated[int, msgspec.Meta(ge=0, le=2**14)] | None = None


class Training(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How the network is trained.

    Attributes:
        learning_rate, weight_decay: of AdamW.
        batch_size: rows a step; None: by the number of rows.
        max_steps: steps at most; one pass over the rows is made in any case. None: by the number of
            rows.
        patience_steps: steps without a better joint score before the training stops. None: by the
            number of rows.
        joint: weights of the joint score; empty: every task alike.
        weighting: how whole losses are weighted while training: a method's name, or a mapping of
            `name` and its hyperparameters; None leaves the tasks' own weights.
        balancing: how the tasks' gradients meet in the trunk, in the same way; None adds them up.
        gradients: what is balanced: `features` or `parameters`.
        preference: task -> weight in a weighting or balancing that knows preferences.
        guard: what happens where a loss or gradient is NaN or infinite: the training stops, or that
            step is skipped.
        threshold: the metric by which it is chosen, on the validation rows, from which probability
            on yes is said: `f1`, `balanced_accuracy` or `accuracy`; `none` says yes above one half.
    """

    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 3e-3
    weight_decay: Weight = 1e-4
    batch_size: Positive | None = None
    max_steps: Positive | None = None
    patience_steps: Positive | None = None
    joint: dict[str, float] = {}
    weighting: str | dict[str, Any] | None = None
    balancing: str | dict[str, Any] | None = None
    gradients: Literal["features", "parameters"] = "features"
    preference: dict[str, float] = {}
    guard: Literal["stop", "skip"] = "stop"
    threshold: Literal["f1", "balanced_accuracy", "accuracy", "none"] = "f1"


class Spec(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A training, written down.

    Attributes:
        tasks: what is predicted, each as its kind, name, classes, loss terms, weight and metrics.
        data, network, training: see there.
        seed: of the split, the first weights, the order of rows and dropout.
    """

    tasks: list[dict[str, Any]]
    data: Data = msgspec.field(default_factory=Data)
    network: Network = msgspec.field(default_factory=Network)
    training: Training = msgspec.field(default_factory=Training)
    seed: Seed = 0


def to_yaml(spec: Spec) -> bytes:
    """The spec as YAML."""
    return msgspec.yaml.encode(spec)


def read_spec(path: str | Path) -> Spec:
    """The spec in a YAML file, checked.

    Raises:
        InputError: where it is not there, no YAML, or says something that is not known, with the
            place.
    """
    try:
        with safe_read.opened(Path(path), linked=True) as (file, _):
            text = file.read(SIZE + 1)
    except PolyceraError as error:
        raise InputError(str(error).replace("Cannot read", "Cannot read the spec")) from None
    return spec_from(text, path)


def spec_from(text: bytes, path: str | Path) -> Spec:
    """The spec in a text of YAML, checked.

    Args:
        text: whose parts are counted before anything is made of them.
        path: whence it comes, for the sentence of an error.

    Raises:
        InputError: as `read_spec`.
    """
    try:
        _check_size(text)
        found = msgspec.yaml.decode(text, type=Spec)
        _check_counts(found)
        return found
    except (msgspec.ValidationError, msgspec.DecodeError, ValueError, RecursionError) as error:
        what = shorten(" ".join(str(error).split()), 200)  # PyYAML says it in several lines
        raise InputError(f"The spec {shorten(path)!r} is not valid: {what}.") from None


def _check_size(text: bytes) -> None:
    """Refuse what is longer than any spec, or says much in few words: a name that stands for ten others, ten times."""
    import yaml

    if len(text) > SIZE:
        raise ValueError(f"it is longer than {SIZE} bytes")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for count, event in enumerate(yaml.parse(text, Loader=loader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
                event, yaml.CollectionEndEvent
            )
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it refers to a part of itself (*name), which no spec needs")
            if count > PARTS or depth > DEEP:
                raise ValueError(f"it has more than {PARTS} parts, or {DEEP} within each other")
            if (
                isinstance(event, yaml.ScalarEvent)
                and len(event.value) > DIGITS
                and not event.value.strip(NUMBER)
            ):
                # 1:1:1:... takes hours to read
                raise ValueError(f"it has a number of more than {DIGITS} digits")
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


NUMBER = "0123456789:_.+-"
"""What a number is made of in YAML, to the base of 60 too."""


def _check_counts(spec: Spec) -> None:
    """Refuse a number of classes or labels that stands for a list longer than any spec could hold."""
    for place, task in enumerate(spec.tasks):
        for name in ("classes", "labels"):
            if isinstance(task.get(name), int) and task[name] > PARTS:
                raise ValueError(
                    f"{task[name]} {name}, and {PARTS} are the most - at `$.tasks[{place}].{name}`"
                )


def checked(spec: Spec) -> Spec:
    """A spec that was put together in Python, held against the limits of its fields, as a file is when it is read.

    Raises:
        InputError: with the place and what is expected there.
    """
    values = msgspec.to_builtins(spec, enc_hook=_plain)
    try:
        return msgspec.convert(values, Spec)
    except msgspec.ValidationError as error:
        expected, _, place = str(error).partition(" - at `$.")
        place = place.rstrip("`")
        for name in place.split("."):
            values = values.get(name, values) if isinstance(values, dict) else values
        raise InputError(
            f"The option {place} is {shorten(repr(values))}, which is not valid: {expected}."
        ) from None


def _plain(value: Any) -> Any:
    """A NumPy number as Python's, a path as text; anything else says what it is."""
    return value.item() if hasattr(value, "item") else f"{value!r}"
