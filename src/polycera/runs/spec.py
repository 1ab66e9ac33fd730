"""Define the spec: all that is needed to repeat a training, as YAML for people to read and edit."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from polycera.errors import InputError, PolyceraError, shorten
from polycera.runs import old_keys
from polycera.storage import safe_read

Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
"""A share of the rows or units: from 0 up to, but not including, 1."""
Positive = Annotated[int, msgspec.Meta(ge=1)]
"""An integer of at least 1."""
Weight = Annotated[float, msgspec.Meta(ge=0)]
"""A number of at least 0."""
Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
"""A seed that NumPy and all backends accept."""


SIZE = 2**22
"""Most bytes of a spec."""
PARTS = 100_000
"""Most nodes."""
DEEP = 32
"""Most levels of nesting."""
DIGITS = 1000
"""Most digits of a number."""

YAML_TYPES = (datetime.datetime, datetime.date)
"""Types beside those of JSON that YAML has."""

Width = Annotated[int, msgspec.Meta(ge=1, le=2**14)]
"""Units of a hidden layer."""
Depth = Annotated[int, msgspec.Meta(ge=1, le=2**8)]
"""Number of hidden layers."""


class Parts(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Holds how the rows are divided into training, validation and test.

    Attributes:
        validation, test: shares of the rows.
        column: a column that names each row's part.
        groups: a column whose groups are never divided, by parts or by folds.
        time: a column that orders the rows; the last ones are the test, those before them the
            validation. With groups, a group is as late as its latest row.
    """

    validation: Share = 0.15
    test: Share = 0.15
    column: str | None = None
    groups: str | None = None
    time: str | None = None


class Data(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Holds where the rows come from.

    Attributes:
        source: path or address of the table, or a list of files that are one table; None for a
            data frame, for standard input, and for SQL that names its files itself.
        sql: one SELECT statement whose rows are the table; it calls the rows of the source
            `source`.
        sheet: name of a workbook's sheet; None: the first.
        encoding: encoding of a text file; None: what the file shows.
        missing: words that stand for a missing value beside the usual ones.
        cells: column -> how its cells are written, where a reader would not choose it by itself;
            None: as version 0.1.0 read them.
        columns: role of every column that is not a target.
        sample_weight: column of the sample weights of all tasks, or task -> its column; None: all
            rows count the same.
        parts: how the rows are divided.
        memory: largest size of a table that is read into memory, such as "2 GB"; the training rows
            of a larger Parquet table are read from disk while the network trains.
        id: columns that are carried into predictions and never learned from.
        tags: column -> sign between the labels in one cell, of targets with several labels.
        where: condition in SQL for the rows of the training; None: all rows.
    """

    source: str | list[str] | None = None
    sql: str | None = None
    sheet: str | None = None
    encoding: str | None = None
    missing: list[str] = []
    cells: dict[str, dict[str, Any]] | None = None
    columns: dict[str, str] = {}
    sample_weight: str | dict[str, str] | None = None
    parts: Parts = msgspec.field(default_factory=Parts)
    memory: str = "1 GB"
    id: list[str] = []
    tags: dict[str, str] = {}
    where: str | None = None


class Network(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Holds the settings of the network that all tasks share.

    A setting that is None is chosen by the numbers of rows, columns and tasks, and then written to
    the spec.

    Attributes:
        width: units of each hidden layer of each ensemble member.
        depth: number of hidden layers.
        dropout: share of units that are dropped in training.
        members: ensemble members, multilayer perceptrons trained side by side; their mean is the
            prediction.
        folds: parts of the rows. Each part is hidden from equally many members, which gives
            out-of-fold predictions for every row, and no row is wasted. 1: the validation rows are
            hidden from all members.
        bins: bins of each number's embedding; 0: numbers are used as they are.
        numbers: how many of the first features are numbers.
        landmarks: training rows that kernel ridge, beside the members, compares with; 0: no kernel
            ridge.
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
    """Holds the settings of the training.

    Attributes:
        learning_rate, weight_decay: of AdamW.
        batch_size: rows a step; None: chosen by the number of rows.
        max_steps: most steps; at least one pass over the rows is made in any case. None: chosen by
            the number of rows.
        patience_steps: steps without a better joint score before the training stops. None: chosen
            by the number of rows.
        score_weights: task -> its weight in the joint score; empty: all tasks count the same.
        weighting: the loss weighting: a method's name, or a mapping of `name` and its
            hyperparameters; None uses the tasks' own loss weights.
        balancing: the gradient balancing in the trunk, in the same form; None adds them up.
        gradients: the gradients to balance: of `features` or of `parameters`.
        preference: task -> weight in a method of weighting or balancing that supports preferences.
        guard: what to do where a loss or gradient is NaN or infinite: stop the training, or skip
            the step.
        threshold: metric used to choose the decision threshold on validation rows: `f1`,
            `balanced_accuracy` or `accuracy`; with `none` the threshold is one half.
    """

    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 3e-3
    weight_decay: Weight = 1e-4
    batch_size: Positive | None = None
    max_steps: Positive | None = None
    patience_steps: Positive | None = None
    score_weights: dict[str, float] = {}
    weighting: str | dict[str, Any] | None = None
    balancing: str | dict[str, Any] | None = None
    gradients: Literal["features", "parameters"] = "features"
    preference: dict[str, float] = {}
    guard: Literal["stop", "skip"] = "stop"
    threshold: Literal["f1", "balanced_accuracy", "accuracy", "none"] = "f1"


class Spec(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Holds everything needed to repeat a training.

    Attributes:
        tasks: the tasks, each with its kind, name, classes, loss terms, weight and metrics.
        data, network, training: see `Data`, `Network` and `Training`.
        seed: seed of the split, the initial weights, the order of rows and dropout.
    """

    tasks: list[dict[str, Any]]
    data: Data = msgspec.field(default_factory=Data)
    network: Network = msgspec.field(default_factory=Network)
    training: Training = msgspec.field(default_factory=Training)
    seed: Seed = 0


def to_yaml(spec: Spec) -> bytes:
    """Return the spec as YAML."""
    return msgspec.yaml.encode(spec)


def read_spec(path: str | Path) -> Spec:
    """Return the spec in a YAML file, checked.

    Raises:
        InputError: where the file does not exist, is not YAML or has an unknown or wrong entry; the
            message says where.
    """
    try:
        with safe_read.opened(Path(path), linked=True) as (file, _):
            text = file.read(SIZE + 1)
    except PolyceraError as error:
        raise InputError(str(error).replace("Cannot read", "Cannot read the spec")) from None
    return spec_from(text, path)


def spec_from(text: bytes, path: str | Path) -> Spec:
    """Return the spec in a YAML text, checked.

    Args:
        text: the YAML; its size is checked before it is parsed.
        path: where the text comes from, for error messages.

    Raises:
        InputError: as `read_spec`.
    """
    try:
        _check_size(text)
        values = old_keys.renewed(msgspec.yaml.decode(text), old_keys.SPEC)
        spec = msgspec.convert(values, Spec, builtin_types=YAML_TYPES)
        _check_counts(spec)
        return spec
    except (msgspec.ValidationError, msgspec.DecodeError, ValueError, RecursionError) as error:
        reason = shorten(" ".join(str(error).split()), 200)  # PyYAML's messages have several lines
        raise InputError(f"The spec {shorten(path)!r} is not valid: {reason}.") from None


def _check_size(text: bytes) -> None:
    """Raise where a text is larger than any spec, or grows when parsed (aliases of aliases)."""
    import yaml

    if len(text) > SIZE:
        raise ValueError(f"it is longer than {SIZE} bytes")
    # Events are counted, because they take little memory: aliases are expanded only when objects
    # are built ("billion laughs").
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
                # YAML 1.1 reads 1:1:1:... to the base of 60, which takes hours if it is long
                raise ValueError(f"it has a number of more than {DIGITS} digits")
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


NUMBER = "0123456789:_.+-"
"""Characters of a number in YAML, also to the base of 60."""


def _check_counts(spec: Spec) -> None:
    """Raise where a number of classes or labels stands for a list longer than any spec."""
    for index, task in enumerate(spec.tasks):
        for name in ("classes", "labels"):
            if isinstance(task.get(name), int) and task[name] > PARTS:
                raise ValueError(
                    f"{task[name]} {name}, and {PARTS} are the most - at `$.tasks[{index}].{name}`"
                )


def checked(spec: Spec) -> Spec:
    """Return a spec that was built in Python, checked against the limits of its fields.

    A spec that is read from a file is checked in the same way.

    Raises:
        InputError: with the name of the option and what is expected there.
    """
    # Structs do not check their fields when they are built; only a conversion does.
    values = msgspec.to_builtins(spec, enc_hook=_plain)
    try:
        return msgspec.convert(values, Spec)
    except msgspec.ValidationError as error:
        where = re.search(r" - at (?:`key` in )?`\$\.([^`]*)`$", str(error))
        expected = str(error)[: where.start()] if where else str(error)
        option = where[1] if where else ""
        # Follow the path, to show the wrong value: names, and places in a list. `[...]` stands for
        # any key of a mapping, so the path ends there.
        for name in re.findall(r"[^.\[\]]+", option.partition("[...]")[0]):
            values = values[int(name) if isinstance(values, list) else name]
        raise InputError(
            f"The option {option} is {shorten(repr(values))}, which is not valid: {expected}."
        ) from None


def _plain(value: Any) -> Any:
    """Return a NumPy number as Python's, and any other value as its text."""
    return value.item() if hasattr(value, "item") else f"{value!r}"
