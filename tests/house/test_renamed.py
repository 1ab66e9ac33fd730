"""Old names of public things go on working for one version, and say the new names."""

from __future__ import annotations

import importlib
import json
import pkgutil
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import folders
import msgspec
import numpy as np
import pytest
from sklearn.base import clone

import polycera
import polycera as pc
import polycera_cli
from polycera import renamed
from polycera.experiments import compare_weightings as weightings
from polycera.experiments.weighting_comparison import Point, Reached
from polycera.runs import manifest
from polycera.runs.spec import spec_from, to_yaml
from polycera_cli import old_words

pytestmark = pytest.mark.nobackend

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "tests" / "stored" / "0.1.0" / "jax" / "spec.yaml"
"""Written by version 0.1.0."""

NAMES = [(module, *names) for module, known in renamed.NAMES.items() for names in known.items()]


@pytest.mark.parametrize(("module", "old", "new"), NAMES)
def test_an_old_name_is_the_new_one_and_says_so(module: str, old: str, new: str) -> None:
    face = importlib.import_module(module)
    short = module.replace("polycera", "pc")
    with pytest.warns(FutureWarning, match=rf"^{short}\.{old} is now {short}\.{new};") as warned:
        thing = getattr(face, old)
    assert thing is getattr(face, new)
    assert [warning.filename for warning in warned] == [__file__]
    assert old not in face.__all__ and new in face.__all__


def test_an_unknown_name_is_no_old_one() -> None:
    with pytest.raises(AttributeError, match="contrast"):
        _ = pc.contrast


@pytest.mark.parametrize(("old", "new"), old_words.COMMANDS.items())
def test_an_old_command_is_the_new_one_and_says_so(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = {}
    for command in (old, new):
        with pytest.raises(SystemExit) as ended:
            polycera_cli.main(["--quiet", command, "--help"])
        assert not ended.value.code
        pages[command] = capsys.readouterr()
    assert pages[old].out == pages[new].out and f"polycera {new}" in pages[new].out
    assert pages[old].err.startswith(f"polycera: {old} is now {new};")
    assert pages[new].err == ""


def test_what_is_no_command_or_option_is_left_alone() -> None:
    for words in ([], ["--help"], ["report", "compare"], ["fit", "--", "--weight"]):
        assert old_words.renamed(words) == (words, [])


def run_of(path: Path) -> pc.Run:
    """Return an opened run without kept epochs."""
    return pc.Run(folders.make(path))


def compare_weightings(place: Path, **options: Any) -> None:
    if "weights" not in options:
        options["loss_weights"] = []
    with pytest.raises(pc.InputError, match="No weights to try"):
        pc.compare_weightings({"a": [1.0]}, ["a", "b"], out=place, **options)


def fit(**options: Any) -> None:
    with pytest.raises(pc.InputError, match="'strange'"):
        pc.fit({"a": [1.0, 2.0] * 20, "b": [1.0, 2.0] * 20}, ["b"], progress=False, **options)


def pick(place: Path, **options: Any) -> None:
    with pytest.raises(pc.InputError, match="'strange'"):
        run_of(place / "run").pick(**options)


def best(place: Path, **options: Any) -> None:
    comparison = pc.diagnostics.WeightingComparison(place, "validation", [POINT])
    with pytest.raises(pc.InputError, match="'strange'"):
        comparison.best(**options)


def restore(place: Path, **options: Any) -> None:
    with pytest.raises(pc.InputError, match="There is no kept epoch"):
        pc.callbacks.ParetoCheckpoint(place).pick(**options)


STRANGE = {"strange": 1.0}
ARGUMENTS: dict[str, tuple[dict[str, Any], Callable[..., Any]]] = {
    "polycera.tabular.fit.fit": (
        {"weights": STRANGE, "joint": STRANGE},
        lambda place, **options: fit(**options),
    ),
    "polycera.experiments.compare_weightings.compare_weightings": (
        {"weights": [], "joint": {}},
        compare_weightings,
    ),
    "polycera.tabular.run.Run.pick": ({"weights": STRANGE}, pick),
    "polycera.experiments.weighting_comparison.WeightingComparison.best": (
        {"weights": STRANGE},
        best,
    ),
    "polycera.callbacks.pareto_checkpoint.ParetoCheckpoint.pick": ({"weights": STRANGE}, restore),
    "polycera.estimators.base.Learner.__init__": (
        {"weights": STRANGE},
        lambda place, **options: pc.PolyceraRegressor(**options).loss_weights,
    ),
    "polycera.estimators.classifier.PolyceraClassifier.__init__": (
        {"weights": STRANGE},
        lambda place, **options: pc.PolyceraClassifier(**options).loss_weights,
    ),
    "polycera.estimators.mixed.PolyceraEstimator.__init__": (
        {"weights": STRANGE, "joint": STRANGE},
        lambda place, **options: pc.PolyceraEstimator(**options).loss_weights,
    ),
    "polycera.callbacks.joint_score.JointScore.__init__": (
        {"weights": STRANGE},
        lambda place, **options: pc.callbacks.JointScore(**options).score_weights,
    ),
    "polycera.callbacks.early_stopping.JointEarlyStopping.__init__": (
        {"weights": STRANGE},
        lambda place, **options: pc.callbacks.JointEarlyStopping(**options).score_weights,
    ),
    "polycera.callbacks.joint_checkpoint.JointCheckpoint.__init__": (
        {"weights": STRANGE},
        lambda place, **options: (
            pc.callbacks.JointCheckpoint(place / "m.keras", **options).score_weights
        ),
    ),
    "polycera.callbacks.pareto_checkpoint.ParetoCheckpoint.__init__": (
        {"weights": STRANGE},
        lambda place, **options: pc.callbacks.ParetoCheckpoint(place, **options).score_weights,
    ),
}
"""Each function with old arguments: their values, and a call that uses them."""


def import_all() -> None:
    """Import every module, so that all old names are known."""
    for module in pkgutil.walk_packages(polycera.__path__, "polycera."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def of_the_package(names: Iterable[str]) -> set[str]:
    """Return the names that are not those of a test or of an example in a docstring."""
    return {n for n in names if n.startswith("polycera.") and not n.startswith("polycera.renamed.")}


def test_every_function_with_old_arguments_is_here() -> None:
    import_all()
    assert of_the_package(renamed.ARGUMENTS) == set(ARGUMENTS)


@pytest.mark.parametrize("function", ARGUMENTS)
def test_an_old_argument_is_the_new_one_and_says_so(function: str, tmp_path: Path) -> None:
    values, call = ARGUMENTS[function]
    for old, value in values.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = call(tmp_path, **{old: value})
        said = [str(one.message) for one in caught if one.category is FutureWarning]
        assert len(said) == 1 and f": {old}= is now " in said[0], said
        assert result in (None, value)
        places = [one.filename for one in caught if one.category is FutureWarning]
        assert places == [__file__]


def test_an_option_under_both_names_is_refused() -> None:
    with pytest.raises(pc.InputError, match=r"weights= and loss_weights=.*pass loss_weights="):
        pc.fit({"a": [1.0]}, weights={}, loss_weights={})  # type: ignore[call-arg]
    with pytest.raises(pc.InputError, match="Pass score_weights once"):
        pc.fit({"a": [1.0]}, ["a"], score_weights={"a": 1}, training={"score_weights": {"a": 1}})


def test_an_option_of_the_training_has_an_old_name_too() -> None:
    with pytest.warns(FutureWarning, match="training: joint= is now score_weights=") as warned:
        fit(training={"joint": STRANGE})
    assert [one.filename for one in warned if one.category is FutureWarning] == [__file__]


def test_parameters_of_estimators_are_set_by_old_names_too() -> None:
    estimator = pc.PolyceraEstimator()
    with pytest.warns(FutureWarning, match="PolyceraEstimator: joint= is now") as warned:
        estimator.set_params(joint={"a": 1.0})
    assert warned[0].filename == __file__
    assert estimator.get_params()["score_weights"] == {"a": 1.0}
    assert not {"joint", "weights"} & set(estimator.get_params())
    assert clone(estimator).score_weights == {"a": 1.0}


REACHED = {"a": Reached("r2", 0.5, 0.5)}
POINT = Point({"a": 2.0}, ["r"], REACHED, REACHED, True)
ATTRIBUTES: dict[str, Callable[[], Any]] = {
    "polycera.experiments.weighting_comparison.Point.weights": lambda: POINT,
    "polycera.experiments.weighting_comparison.Point.held_out": lambda: POINT,
    "polycera.experiments.weighting_comparison.Point.front": lambda: POINT,
    "polycera.experiments.weighting_comparison.WeightingComparison.front": lambda: (
        pc.diagnostics.WeightingComparison(Path("x"), "validation", [POINT])
    ),
    "polycera.callbacks.joint_score.JointScore.weights": lambda: pc.callbacks.JointEarlyStopping(
        STRANGE
    ),
    "polycera.callbacks.pareto_checkpoint.ParetoCheckpoint.weights": lambda: (
        pc.callbacks.ParetoCheckpoint("x", STRANGE)
    ),
    "polycera.estimators.base.Learner.weights": lambda: pc.PolyceraRegressor(loss_weights=STRANGE),
    "polycera.estimators.mixed.PolyceraEstimator.joint": lambda: pc.PolyceraEstimator(
        score_weights=STRANGE
    ),
}
"""Each old attribute, and what makes an object that has it."""


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_old_attribute_is_the_new_one_and_says_so(attribute: str) -> None:
    thing, old = ATTRIBUTES[attribute](), attribute.rpartition(".")[2]
    new, name = renamed.MEMBERS[attribute], type(thing).__name__
    with pytest.warns(FutureWarning, match=rf"^{name}\.{old} is now {name}\.{new};") as warned:
        value = getattr(thing, old)
    assert value == getattr(thing, new) and value
    assert warned[0].filename == __file__


def test_an_old_attribute_is_set_as_the_new_one() -> None:
    watch = pc.callbacks.JointScore()
    with pytest.warns(FutureWarning, match=r"JointScore\.weights is now JointScore\.score_weights"):
        watch.weights = STRANGE
    assert watch.score_weights == STRANGE and "weights" not in vars(watch)


def test_an_old_method_is_the_new_one_and_says_so() -> None:
    import keras

    x = keras.Input((2,))
    model = pc.Model(x, pc.layers.Heads([pc.Binary("sold", ["no", "yes"])])(x))
    rows = np.zeros((3, 2), "float32")
    with pytest.warns(FutureWarning, match=r"Model\.answer is now Model\.predict_labels") as warned:
        labels = model.answer(rows, verbose=0)
    assert warned[0].filename == __file__
    assert list(labels["sold"]) == list(model.predict_labels(rows, verbose=0)["sold"])


def test_every_old_method_and_attribute_is_tried_here() -> None:
    import_all()
    assert of_the_package(renamed.MEMBERS) == {
        *ATTRIBUTES,
        "polycera.model.model.Model.answer",
    }


OPTIONS = [
    (command, *names) for command, known in old_words.OPTIONS.items() for names in known.items()
]


@pytest.mark.parametrize(("command", "old", "new"), OPTIONS)
def test_an_old_option_is_the_new_one_and_says_so(
    command: str, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        polycera_cli.main([command, "--help"])
    page = capsys.readouterr().out
    assert new in page and f"{old} " not in page.replace(new, "")
    required = {
        "fit": ["a.csv", "-t", "a"],
        "pick": ["r"],
        "compare-weightings": ["a.csv", "-o", "x"],
    }
    for words in ([old, "churn=much"], [f"{old}=churn=much"]):
        with pytest.raises(SystemExit) as ended:
            polycera_cli.main([command, *required[command], *words])
        said = capsys.readouterr().err.splitlines()
        assert ended.value.code == 2 and said[0].startswith(f"polycera: {old} is now {new};")
        assert said[1].startswith(f"polycera: {new} takes NAME=NUMBER, got")


@pytest.mark.parametrize("written", ["held_out", "part"])
def test_metrics_with_the_old_key_are_read(written: str, tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run")
    text = (path / "metrics.json").read_bytes()
    assert text.count(b'"part"') == 1
    (path / "metrics.json").write_bytes(text.replace(b'"part"', f'"{written}"'.encode()))
    manifest.add(path, ["metrics.json"])
    metrics = pc.Run(path).metrics
    assert metrics["part"] == "test" and "held_out" not in metrics
    with pytest.warns(
        FutureWarning, match=r"metrics\['held_out'\] is now metrics\['part'\]"
    ) as said:
        assert metrics["held_out"] == "test"
    assert said[0].filename == __file__
    with pytest.raises(KeyError, match="strange"):
        _ = metrics["strange"]
    assert msgspec.json.decode(msgspec.json.encode(metrics)) == metrics


def test_a_spec_with_old_keys_is_read(tmp_path: Path) -> None:
    stored = STORED.read_bytes()
    text = stored.replace(b"joint: {}", b"joint: {price: 2.0}")
    assert text != stored
    spec = spec_from(text, "spec.yaml")
    assert spec.training.score_weights == {"price": 2.0}
    again = spec_from(to_yaml(spec), "spec.yaml")
    assert again == spec and b"joint" not in to_yaml(spec)
    with pytest.raises(pc.InputError, match="joint and score_weights, which are one key"):
        spec_from(text.replace(b"joint:", b"score_weights: {}\n  joint:"), "spec.yaml")


@pytest.mark.parametrize(
    ("targets", "options", "checksum"),
    [
        (
            ["a", "b"],
            {"score_weights": {"a": 1.0}},
            "db5dfb94c9837876870f3679fcbb09525cddf672a2550295d18849b13a468a9e",
        ),
        (
            None,
            {"spec": STORED},
            "644f1a298ef651d1c5c23f0f90f48e2d63fd14a9181fe7be2ba55fbd0e48af9d",
        ),
    ],
)
def test_a_folder_of_weightings_of_version_0_1_goes_on(
    targets: Any, options: dict[str, Any], checksum: str, tmp_path: Path
) -> None:
    """The checksums are those that version 0.1.0 wrote for `joint={"a": 1.0}` and for the spec."""
    asked = weightings._settings("a.csv", targets, dict(options), tmp_path)
    content = json.dumps({"asked": checksum})
    (tmp_path / weightings.OLD_NAME).write_text(content)
    weightings._begin(asked)
    assert (tmp_path / weightings.OLD_NAME).read_text() == content
    assert not (tmp_path / weightings.NAME).exists()
    with pytest.raises(pc.InputError, match="another table, other targets or other options"):
        weightings._begin(weightings._settings("b.csv", targets, dict(options), tmp_path))
