"""Turn rows into arrays: read, infer roles and tasks, encode, split; this room knows no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polycera import lazy_names
from polycera.data.encode import Encoder
from polycera.data.infer_task import infer_task
from polycera.data.leaks import leaks
from polycera.data.read import read
from polycera.data.schema import Column, Schema, infer
from polycera.data.segments import ColumnSegments, segments
from polycera.data.split import Split, copies, from_column, split, strata, stretches
from polycera.data.standardise import outlying
from polycera.data.table import Table, by_name, joined_name
from polycera.data.tags import with_tag_targets
from polycera.data.target_columns import columns_of, labels, target_columns_of, tasks_for
from polycera.data.target_names import named_targets
from polycera.data.where import rows_where

if TYPE_CHECKING:
    from polycera.data.batches import Batches as Batches

__all__ = [
    "Batches",
    "Column",
    "ColumnSegments",
    "Encoder",
    "Schema",
    "Split",
    "Table",
    "by_name",
    "columns_of",
    "copies",
    "from_column",
    "infer",
    "infer_task",
    "joined_name",
    "labels",
    "leaks",
    "named_targets",
    "outlying",
    "read",
    "rows_where",
    "segments",
    "split",
    "strata",
    "stretches",
    "target_columns_of",
    "tasks_for",
    "with_tag_targets",
]

# Imported when first used, because it is the only class here that needs Keras.
__getattr__ = lazy_names.attach(__name__, {"Batches": "polycera.data.batches"})
