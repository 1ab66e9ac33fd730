"""Open any source of rows: files, folders, databases, SQL, standard input; one file a kind."""

from __future__ import annotations

from polycera.data.sources.open_source import is_list, is_source, stored
from polycera.data.sources.open_source import open_source as open
from polycera.data.sources.queries import names_source
from polycera.data.sources.rows import SourceRows

__all__ = ["SourceRows", "is_list", "is_source", "names_source", "open", "stored"]
