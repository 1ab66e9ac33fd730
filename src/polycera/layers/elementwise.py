"""List the operations of `keras.ops` that multiply no matrix: by element, or a look-up."""

from __future__ import annotations

NAMES = (
    "Absolute Add Amax Amin Argmax Argmin Average AveragePool BroadcastTo Cast Celu Clip "
    "Concatenate Copy Cos Cumsum Divide DivideNoNan Elu Equal Erf Exp ExpandDims Expm1 Flip Gelu "
    "GetItem Glu Greater GreaterEqual HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu Less "
    "LessEqual Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp LogicalAnd LogicalNot "
    "LogicalOr Logsumexp Max MaxPool Maximum Mean Min Minimum Mod Moveaxis Multiply Negative "
    "Normalize NotEqual OneHot OnesLike Pad Power Prod RMSNorm Ravel Reciprocal Relu Relu6 Repeat "
    "Reshape Roll Round Rsqrt Selu Sigmoid Sign Silu Sin Slice Softmax Softplus Softsign Split "
    "Sqrt Square Squeeze Stack Std StopGradient Subtract Sum Swapaxes Take TakeAlongAxis Tanh "
    "Tile Transpose TrueDivide Unstack Var Where ZerosLike "
)
OPERATIONS = frozenset(NAMES.split())
"""Holds the class names of these operations."""
