"""Student or QONNX file -> integer dataflow graph, checked after every pass."""
