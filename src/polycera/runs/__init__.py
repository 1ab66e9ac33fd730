"""What stays on disk. Nothing after training touches a live object: all of it reads the run folder."""

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
