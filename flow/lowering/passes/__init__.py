"""Passes of our own over ONNX graphs, in qonnx' form: `apply(model) -> (model, changed again)`."""
