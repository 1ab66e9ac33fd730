"""Keep the files of a run and read them; whatever happens after training works from these files."""

from polycera.runs.folder import Folder, next_name
from polycera.runs.spec import Data, Network, Parts, Spec, Training, checked, read_spec, to_yaml

__all__ = [
    "Data",
    "Folder",
    "Network",
    "Parts",
    "Spec",
    "Training",
    "checked",
    "next_name",
    "read_spec",
    "to_yaml",
]
