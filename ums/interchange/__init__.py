"""Networks out to ONNX, and weights from and to PyTorch and Keras; ums itself needs none of them."""

__all__ = ["onnx", "weights"]
