"""List the layers and operations that multiply no matrix: they work by element or look up."""

from __future__ import annotations

import keras

from polycera.layers.embedding import SmoothClip
from polycera.layers.heads import TaskLayer
from polycera.layers.kernel_layer import Blend
from polycera.layers.named_outputs import Named
from polycera.layers.side_by_side import RowsFirst

layers = keras.layers

LAYERS = (
    *(
        layers.InputLayer,
        layers.Identity,
        layers.Masking,
        layers.Embedding,
        layers.Activation,
        layers.Softmax,
    ),
    *(
        layers.ReLU,
        layers.LeakyReLU,
        layers.PReLU,
        layers.ELU,
        layers.Dropout,
        layers.SpatialDropout1D,
    ),
    *(
        layers.SpatialDropout2D,
        layers.SpatialDropout3D,
        layers.GaussianNoise,
        layers.GaussianDropout,
    ),
    *(
        layers.AlphaDropout,
        layers.ActivityRegularization,
        layers.Flatten,
        layers.Reshape,
        layers.Permute,
    ),
    *(
        layers.RepeatVector,
        layers.Cropping1D,
        layers.Cropping2D,
        layers.Cropping3D,
        layers.ZeroPadding1D,
    ),
    *(
        layers.ZeroPadding2D,
        layers.ZeroPadding3D,
        layers.UpSampling1D,
        layers.UpSampling2D,
        layers.UpSampling3D,
    ),
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D, layers.AveragePooling1D),
    *(
        layers.AveragePooling2D,
        layers.AveragePooling3D,
        layers.GlobalMaxPooling1D,
        layers.GlobalMaxPooling2D,
    ),
    *(layers.GlobalMaxPooling3D, layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D),
    *(
        layers.GlobalAveragePooling3D,
        layers.Add,
        layers.Subtract,
        layers.Multiply,
        layers.Average,
        layers.Maximum,
    ),
    *(layers.Minimum, layers.Concatenate, layers.BatchNormalization, layers.LayerNormalization),
    *(
        layers.GroupNormalization,
        layers.RMSNormalization,
        layers.UnitNormalization,
        layers.Normalization,
    ),
    *(
        layers.Rescaling,
        layers.CategoryEncoding,
        layers.Discretization,
        layers.Hashing,
        layers.StringLookup,
    ),
    *(layers.IntegerLookup, TaskLayer, Named, SmoothClip, Blend, RowsFirst),
)
"""Lists the layers in which no matrix is multiplied.

Exactly these classes count: a class that inherits from one of them may do more.
"""

OPERATIONS = {
    *(
        "Absolute",
        "Add",
        "Amax",
        "Amin",
        "Argmax",
        "Argmin",
        "Average",
        "BroadcastTo",
        "Cast",
        "Celu",
        "Clip",
    ),
    *(
        "Concatenate",
        "Copy",
        "Cos",
        "Cumsum",
        "Divide",
        "DivideNoNan",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
    ),
    *(
        "ExpandDims",
        "Expm1",
        "Flip",
        "Gelu",
        "GetItem",
        "Glu",
        "Greater",
        "GreaterEqual",
        "HardSigmoid",
    ),
    *(
        "HardSilu",
        "HardTanh",
        "LayerNorm",
        "LeakyRelu",
        "Less",
        "LessEqual",
        "Log",
        "Log10",
        "Log1p",
        "Log2",
    ),
    *(
        "Logaddexp",
        "LogicalAnd",
        "LogicalNot",
        "LogicalOr",
        "LogSigmoid",
        "LogSoftmax",
        "Logsumexp",
        "Max",
    ),
    *(
        "MaxPool",
        "AveragePool",
        "Maximum",
        "Mean",
        "Min",
        "Minimum",
        "Mod",
        "Moveaxis",
        "Multiply",
        "Negative",
    ),
    *(
        "Normalize",
        "NotEqual",
        "OneHot",
        "OnesLike",
        "Pad",
        "Power",
        "Prod",
        "Ravel",
        "Reciprocal",
        "Relu",
    ),
    *(
        "Relu6",
        "Repeat",
        "Reshape",
        "RMSNorm",
        "Roll",
        "Round",
        "Rsqrt",
        "Selu",
        "Sigmoid",
        "Sign",
        "Silu",
    ),
    *(
        "Sin",
        "Slice",
        "Softmax",
        "Softplus",
        "Softsign",
        "Split",
        "Sqrt",
        "Square",
        "Squeeze",
        "Stack",
        "Std",
    ),
    *(
        "StopGradient",
        "Subtract",
        "Sum",
        "Swapaxes",
        "Take",
        "TakeAlongAxis",
        "Tanh",
        "Tile",
        "Transpose",
    ),
    *("TrueDivide", "Unstack", "Var", "Where", "ZerosLike"),
}
"""Lists the operations of `keras.ops` in which no matrix is multiplied."""
