"""Find out what an output of a user's own model ends in, by walking back through its layers.

An activation need not be the last layer: a slice, a Reshape, a Rescaling or a Lambda may follow it.
Target scaling is possible only if a head can predict on both sides of 0. The activation decides how
the loss is computed. What cannot be seen is reported as hidden, and never guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.layers import keras_graph
from polycera.layers.elementwise import OPERATIONS
from polycera.layers.heads import TaskLayer
from polycera.layers.without_activation import Twins, called_again

LINEAR = "linear"
"""Names an ending without activation."""
WIDE = (-math.inf, math.inf)
"""Covers all numbers: the range of an activation about which nothing is known."""

RANGES: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "cosine": (-1.0, 1.0),
    "unit_normalization": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, math.inf),
    "exponential": (0.0, math.inf),
    "log_softmax": (-math.inf, 0.0),
    "log_sigmoid": (-math.inf, 0.0),
    "absolute": (0.0, math.inf),
    "square": (0.0, math.inf),
    "sqrt": (0.0, math.inf),
}
"""Gives the lowest and highest value of an activation.

For other activations nothing is assumed.
"""

ELEMENTWISE = ("sigmoid", "exponential")
"""Lists the activations that may change order with a slice, reshape or concatenation."""

MOVES = {
    *(
        "Identity",
        "Reshape",
        "Flatten",
        "Permute",
        "Cropping1D",
        "Cropping2D",
        "Cropping3D",
        "RepeatVector",
    ),
    *(
        "GetItem",
        "Squeeze",
        "ExpandDims",
        "Ravel",
        "Transpose",
        "Swapaxes",
        "Moveaxis",
        "Cast",
        "Copy",
        "Slice",
    ),
    *("Split", "Unstack", "Take", "Flip", "Roll", "Repeat", "Tile", "BroadcastTo"),
}
"""Lists the layers and operations that move values and change none."""

KEEPS_LAST_AXIS = {"Identity", "Reshape", "Flatten", "Cast", "Copy"}
"""Lists the members of `MOVES` after which a softmax is still a softmax.

This holds where the last axis keeps its length.
"""

NOISE = {
    *(
        "Dropout",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "GaussianDropout",
        "GaussianNoise",
    ),
    *("AlphaDropout", "ActivityRegularization", "Masking", "StopGradient"),
}
"""Lists the layers that return their input when predicting, but do more while training."""

REDUCTIONS = {
    *(
        "Mean",
        "Max",
        "Min",
        "Amax",
        "Amin",
        "Median",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
    ),
    *("GlobalAveragePooling3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D"),
    *(
        "AveragePooling1D",
        "AveragePooling2D",
        "AveragePooling3D",
        "MaxPooling1D",
        "MaxPooling2D",
        "MaxPooling3D",
    ),
}
"""Lists means and extremes over an axis, which stay within the range of their input."""

AFFINE = {"Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Negative", "Rescaling"}
"""Lists what applies a fixed scale and offset, given one tensor and constants.

With several tensors, see `COMBINATIONS`.
"""

COMBINATIONS = {
    *(
        "Add",
        "Subtract",
        "Multiply",
        "Divide",
        "TrueDivide",
        "Average",
        "Maximum",
        "Minimum",
        "Dot",
        "Matmul",
    ),
    *("Einsum", "Tensordot", "Inner", "Outer", "Where"),
}
"""Lists the layers and operations that compute one value out of several."""

BESIDE = {"Concatenate", "Stack", "Hstack", "Vstack", "Append"}
"""Lists the layers and operations that put values side by side."""

ACTIVATION_LAYERS = {
    "Softmax": "softmax",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ELU": "elu",
    "UnitNormalization": "unit_normalization",
    "LayerNormalization": "layer_normalization",
    "GroupNormalization": "group_normalization",
    "RMSNormalization": "rms_normalization",
}
"""Maps layers that are an activation by themselves to the activation's name."""

WRAPPERS = ("TimeDistributed", "SpectralNormalization")
"""Lists the layers that call another layer, and end as that layer does."""

LEARNS_ITS_SCALE = ("BatchNormalization", "Embedding")
"""Lists layers whose weights set scale and offset freely, without an activation."""

POINTS = [[-2.0, -0.5, 0.0, 1.0, 3.0]]
"""Gives the inputs at which a user's function is compared with the known activation."""


@dataclass(frozen=True)
class Ending:
    """Describes what an output ends in.

    Attributes:
        name: the activation, such as `sigmoid`; None where it cannot be seen.
        low, high: the range of its values, as far as it is known.
        hidden: what hides the end, such as `the Lambda layer 'last'`.
        behind: the activation just before what hides the end, where it keeps values between 0 and
            1.
        changed: whether a fixed scale or offset follows, or the values are only some of a
            softmax's.
        heads: the layers whose weights set scale and offset of a linear end; where the end is
            hidden, the layers before it that have a bias.
        within: models inside the model that were entered on the way.
        logits: a function that returns the tensor that enters the activation, in the output's
            shape; None where there is none.
    """

    name: str | None
    low: float = -math.inf
    high: float = math.inf
    hidden: str = ""
    behind: str | None = None
    changed: bool = False
    heads: tuple[Any, ...] = ()
    within: tuple[Any, ...] = ()
    logits: Callable[[], Any] | None = None

    @property
    def linear(self) -> bool:
        """Return whether the ending is linear for certain."""
        return self.name == LINEAR

    @property
    def text(self) -> str:
        """Return the ending as it is written in a sentence."""
        if self.name is None:
            return self.hidden
        return f"{self.name!r}, scaled or cut" if self.changed else repr(self.name)


class Walk:
    """Walk back from the outputs of one model.

    A layer that is called again, to get its logits, is called once for each of its calls.

    Attributes:
        twins: layers without their activation, on the same weights.
    """

    def __init__(self) -> None:
        self.twins = Twins()

    def ending(self, tensor: Any, outer: tuple[tuple[Any, Any], ...] = ()) -> Ending:
        """Return what a tensor ends in.

        Args:
            tensor: a tensor of Keras's graph.
            outer: the calls of the models that contain it, the innermost first, each as (model,
                its call).
        """
        node = keras_graph.node_of(tensor)
        operation = node.operation
        if isinstance(operation, keras.layers.InputLayer):
            return self._entered(tensor, outer)
        kind = kind_of(operation)
        if kind is None:
            return self._hidden(operation, node, outer)
        if isinstance(operation, keras.Model):
            if not getattr(operation, "outputs", None):
                return self._hidden(operation, node, outer)
            inner = self.ending(
                operation.outputs[keras_graph.place_of(tensor)], ((operation, node), *outer)
            )
            # No logits: they would need a second model around the inner layers.
            return replace(inner, within=(operation, *inner.within), logits=None)
        if kind in WRAPPERS:
            return self._layer(operation.layer, kind_of(operation.layer), node, outer, fused=False)
        if kind in MOVES or kind in NOISE or kind in REDUCTIONS:
            return self._moved(kind, keras_graph.place_of(tensor), node, outer)
        if kind == "Activation" and name_of(operation.activation) == LINEAR:
            return self.ending(node.input_tensors[0], outer)
        # A sum of linear values is linear. The range of another sum is not known; see
        # `_layer`.
        if kind == "Sum" and (summed := self.ending(node.input_tensors[0], outer)).name in (
            LINEAR,
            None,
        ):
            return replace(summed, logits=None)
        if kind == "Normalization":
            normalised = self.ending(node.input_tensors[0], outer)
            return replace(normalised, low=-math.inf, high=math.inf, changed=True, logits=None)
        if kind in AFFINE and len(node.input_tensors) == 1:
            return self._scaled(operation, kind, node, outer)
        if kind in BESIDE:
            return self._beside(kind, keras_graph.place_of(tensor), node, outer)
        # With `normalize` a Dot layer gives a cosine, which is between -1 and 1.
        if kind == "Dot" and getattr(operation, "normalize", False):
            return bent("cosine")
        if kind in COMBINATIONS and len(node.input_tensors) > 1:
            return combined(kind, [self.ending(part, outer) for part in node.input_tensors])
        return self._layer(operation, kind, node, outer)

    def _entered(self, tensor: Any, outer: tuple[tuple[Any, Any], ...]) -> Ending:
        """Continue outside of an inner model, at the tensor that enters it."""
        if not outer:
            return Ending(None, hidden="an input of the model")
        (model, node), *rest = outer
        position = next(i for i, entry in enumerate(model.inputs) if entry is tensor)
        return self.ending(node.input_tensors[position], tuple(rest))

    def _hidden(self, operation: Any, node: Any, outer: tuple[tuple[Any, Any], ...]) -> Ending:
        """Return the ending of an operation whose computation is not shown.

        Its heads are the layers with a bias within it or else before it.
        """
        heads, bounded = biased(operation), None
        if not heads:
            endings_before = [self.ending(part, outer) for part in node.input_tensors]
            heads = tuple(head for end in endings_before for head in end.heads)
            names = {end.name for end in endings_before}
            bounded = names.pop() if len(names) == 1 and names <= {"sigmoid", "softmax"} else None
        return Ending(None, hidden=described(operation), behind=bounded, heads=heads)

    def _moved(
        self, kind: str, index: int, node: Any, outer: tuple[tuple[Any, Any], ...]
    ) -> Ending:
        """Return the ending of an operation that only moves values, or takes means of them."""
        moved_tensor = node.input_tensors[0]
        inner = self.ending(moved_tensor, outer)
        if inner.name == "softmax":
            length_kept = (
                tuple(moved_tensor.shape)[-1:] == tuple(node.output_tensors[index].shape)[-1:]
            )
            # Some of a softmax's values, or means of them, do not add up to 1: no logits.
            if kind in NOISE or not (kind in KEEPS_LAST_AXIS and length_kept):
                return replace(inner, logits=None, changed=inner.changed or kind not in NOISE)
        elif kind not in MOVES or inner.name not in ELEMENTWISE:
            return replace(inner, logits=None)
        return self._again(inner, index, node, [inner])

    def _scaled(
        self, operation: Any, kind: str, node: Any, outer: tuple[tuple[Any, Any], ...]
    ) -> Ending:
        """Return the ending of a fixed scale and offset.

        The range is scaled with it.
        """
        inner = self.ending(node.input_tensors[0], outer)
        if inner.name is None:
            return inner
        # The images of 0 and 1 show whether scale and offset are 1 and 0.
        if (affine(operation, kind, node, [0.0, 1.0]) == [[0.0], [1.0]]).all():
            return replace(inner, logits=None)
        ends = affine(operation, kind, node, [inner.low, inner.high])
        low, high = WIDE if np.isnan(ends).any() else (float(ends.min()), float(ends.max()))
        return replace(inner, low=low, high=high, changed=True, logits=None)

    def _beside(
        self, kind: str, index: int, node: Any, outer: tuple[tuple[Any, Any], ...]
    ) -> Ending:
        """Return the ending of values side by side.

        It is the ending of the parts, where all parts have the same one.
        """
        parts = [self.ending(part, outer) for part in node.input_tensors]
        first = next((part for part in parts if part.name is None), parts[0])
        names = {part.name for part in parts}
        if first.name is None or len(parts) == 1:
            return replace(
                first, logits=None, heads=tuple(head for part in parts for head in part.heads)
            )
        if len(names) > 1:
            return bent(f"{kind} of {' and '.join(sorted(map(str, names)))}")
        together = replace(
            first,
            low=min(part.low for part in parts),
            high=max(part.high for part in parts),
            changed=first.name == "softmax" or any(part.changed for part in parts),
            heads=tuple(head for part in parts for head in part.heads),
            within=tuple(model for part in parts for model in part.within),
            logits=None,
        )
        return self._again(together, index, node, parts) if first.name in ELEMENTWISE else together

    def _again(self, ending: Ending, index: int, node: Any, parts: Sequence[Ending]) -> Ending:
        """Return the ending with logits on which the same operation was called as on the values."""
        getters = [part.logits for part in parts]
        if any(logits is None for logits in getters):
            return replace(ending, logits=None)

        def logits() -> Any:
            return called_again(node, [get() for get in getters if get is not None])[index]

        return replace(ending, logits=logits)

    def _layer(
        self,
        layer: Any,
        kind: str | None,
        node: Any,
        outer: tuple[tuple[Any, Any], ...],
        fused: bool = True,
    ) -> Ending:
        """Return the ending of a layer or operation that computes values of its own."""
        if kind is None or isinstance(layer, TaskLayer):
            return self._hidden(layer, node, outer)
        if kind in ACTIVATION_LAYERS:
            return self._activated(ACTIVATION_LAYERS[kind], layer, node, kind)
        if kind in LEARNS_ITS_SCALE:
            return Ending(LINEAR, heads=(layer,))
        if kind == "Bidirectional":
            # Both directions have the same activation.
            layer = layer.forward_layer
        activation = getattr(layer, "activation", None)
        if activation is not None or (kind == "Dense" and hasattr(layer, "activation")):
            name = name_of(activation)
            # A recurrent layer uses its activation in every step, so no linear copy of it gives its
            # logits. It is no head either, because its bias begins at 1; see `biased`.
            recurrent = hasattr(layer, "recurrent_activation") or hasattr(
                layer, "recurrent_initializer"
            )
            if name == LINEAR:
                return Ending(LINEAR, heads=() if recurrent else (layer,))
            return self._activated(name, layer, node, kind if fused and not recurrent else "")
        if isinstance(layer, keras.layers.Layer) or kind not in OPERATIONS:
            return self._hidden(layer, node, outer)
        return self._activated(operation_name(kind), layer, node, kind)

    def _activated(self, name: str, layer: Any, node: Any, kind: str) -> Ending:
        """Return the ending of an activation, with a way to get its input."""
        low, high = RANGES.get(name, WIDE)
        if kind == "ReLU":
            if layer.negative_slope:
                return bent("leaky_relu")
            high = math.inf if layer.max_value is None else float(layer.max_value)
        changed, logits = False, None
        if name == "softmax":
            axis = getattr(layer, "axis", -1)  # operations and layers both call it `axis`
            changed = axis not in (-1, len(node.output_tensors[0].shape) - 1)
        if name in ("sigmoid", "softmax", "exponential") and not changed:
            if (
                kind == "Activation"
                or kind in ACTIVATION_LAYERS
                or not isinstance(layer, keras.layers.Layer)
            ):
                logits = lambda: node.input_tensors[0]  # noqa: E731
            elif kind and self.twins.possible(layer):
                logits = lambda: self.twins.called(layer, node)  # noqa: E731
        return Ending(name, low, high, changed=changed, logits=logits)


def bent(name: str) -> Ending:
    """Return the ending of an activation whose logits are not needed."""
    return Ending(name, *RANGES.get(name, WIDE))


def combined(kind: str, parts: list[Ending]) -> Ending:
    """Return the ending of one value computed out of several.

    It is linear if one of them is.
    """
    hidden = next((part for part in parts if part.name is None), None)
    if hidden is not None:
        return replace(hidden, heads=tuple(head for part in parts for head in part.heads))
    linear = [part for part in parts if part.linear]
    if linear:
        heads = tuple(head for part in linear for head in part.heads)
        within = tuple(model for part in linear for model in part.within)
        return Ending(
            LINEAR, changed=any(part.changed for part in linear), heads=heads, within=within
        )
    names = {str(part.name) for part in parts}
    if kind in ("Average", "Maximum", "Minimum") and len(names) == 1:
        changed = any(part.changed for part in parts)
        return Ending(
            names.pop(),
            min(part.low for part in parts),
            max(part.high for part in parts),
            changed=changed,
        )
    return bent(f"{kind} of {' and '.join(sorted(names))}")


def kind_of(operation: Any) -> str | None:
    """Return the name of Keras's class that does the computation; None where user code does it.

    A user's class counts as the Keras class that it inherits from, unless it has a `call` of its
    own.
    """
    for cls in type(operation).__mro__:
        if cls.__module__.split(".")[0] == "keras":
            return (
                None
                if cls in (keras.layers.Layer, keras.Model, keras.layers.Lambda)
                else cls.__name__
            )
        if "call" in vars(cls) or "__call__" in vars(cls):
            return None
    return None


def described(operation: Any) -> str:
    """Return how a sentence names a layer or operation."""
    what = "layer" if isinstance(operation, keras.layers.Layer) else "operation"
    kind = type(operation).__name__
    if isinstance(operation, keras.Model):
        return f"the subclassed model {operation.name!r} ({kind})"
    return f"the {kind} {what} {operation.name!r}"


def biased(operation: Any) -> tuple[Any, ...]:
    """Return the layers within a layer that have a bias, without recurrent ones.

    Recurrent layers are left out because their bias begins at 1.
    """
    layers, waiting = [], [operation]
    while waiting:
        layer = waiting.pop()
        if not isinstance(layer, keras.layers.Layer):
            continue
        if getattr(layer, "bias", None) is not None and not hasattr(layer, "recurrent_initializer"):
            layers.append(layer)
        waiting += [inner for inner in keras_graph.inner_layers(layer) if inner is not layer]
    return tuple(layers)


def affine(operation: Any, kind: str, node: Any, points: list[float]) -> Any:
    """Return the results of a fixed scale and offset for some numbers, [points, columns].

    NaN where 0 is multiplied by infinity.
    """
    numbers = np.asarray(points, float)
    with np.errstate(invalid="ignore"):
        if kind == "Rescaling":
            scale, offset = (
                np.asarray(value, float) for value in (operation.scale, operation.offset)
            )
            images = np.multiply.outer(numbers, scale) + offset
        elif kind == "Negative":
            images = -numbers
        else:
            first, second = (*node.arguments.args, *node.arguments.kwargs.values())[:2]
            function = {"Add": np.add, "Subtract": np.subtract, "Multiply": np.multiply}.get(
                kind, np.divide
            )
            if first is node.input_tensors[0]:
                images = function.outer(numbers, _constant(second))
            else:
                images = np.moveaxis(function.outer(_constant(first), numbers), -1, 0)
    return np.reshape(images, (len(numbers), -1))


def _constant(value: Any) -> Any:
    """Return a constant of an operation as an array."""
    return np.asarray(
        value if isinstance(value, int | float) else ops.convert_to_numpy(value), float
    )


def name_of(activation: Any) -> str:
    """Return the name of an activation function.

    A user's function that only has the name of a known one is reported as a function.
    """
    if activation is None:
        return LINEAR
    name = getattr(activation, "__name__", None)
    if name is None:
        kind = type(activation).__name__
        return ACTIVATION_LAYERS.get(kind, kind)
    module = str(getattr(activation, "__module__", ""))
    if module.split(".")[0] == "keras":
        return "exponential" if name == "exp" else str(name)
    return str(name) if _behaves(activation, str(name)) else f"a function {name!r}"


def _behaves(function: Any, name: str) -> bool:
    """Return whether a function gives the values of Keras's activation of that name."""
    known = getattr(keras.activations, name, None)
    if known is None:
        return False
    points = ops.convert_to_tensor(POINTS, "float32")
    try:
        expected, actual = (
            ops.convert_to_numpy(activation(points)) for activation in (known, function)
        )
    except Exception:
        # A user's function may raise anything on a tensor; the known activation raises nothing.
        return False
    return expected.shape == actual.shape and bool(np.allclose(expected, actual, atol=1e-5))


def operation_name(kind: str) -> str:
    """Return the activation's name for the name of an operation's class.

    For `LeakyRelu` it is `leaky_relu`.
    """
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    return {"exp": "exponential"}.get(name, name)
