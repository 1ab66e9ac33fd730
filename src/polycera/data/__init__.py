"""Rows in, arrays out: reading, roles, tasks, encoding, splitting. Nothing here knows a network."""

from polycera.data.batches import Batches
from polycera.data.encode import Encoder
from polycera.data.guess import infer_task
from polycera.data.leaks import leaks
from polycera.data.read import read
from polycera.data.schema import Column, Schema, infer
from polycera.data.split import Split, copies, from_column, split, strata
from polycera.data.standardise import outlying
from polycera.data.table import Table
from polycera.data.targets import columns_asked_for, columns_of, labels, tasks_for

__all__ = [
    "Batches",
    "Column",
    "Encoder",
    "Schema",
    "Split",
    "Table",
    "columns_asked_for",
    "columns_of",
    "copies",
    "from_column",
    "infer",
    "infer_task",
    "labels",
    "leaks",
    "outlying",
    "read",
    "split",
    "strata",
    "tasks_for",
]
