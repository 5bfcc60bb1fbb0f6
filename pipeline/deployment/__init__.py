"""Trained models for other runtimes: SavedModel, LiteRT, ONNX; pruned ones; and the proof that they agree.

All of it runs in a process of its own (`exporting`), as TensorFlow takes nine seconds to import.
"""
