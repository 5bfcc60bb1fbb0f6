"""The server: a web page, a REST API and TensorFlow Serving's protocol over an exported model.

The process that speaks HTTP (`server`, `application`) never decodes an image and never predicts. It hands
every image to a worker (`workers`), a process that it can end when an image takes too long, takes too much
memory, or brings the decoder down. Neither of them imports TensorFlow or MLflow.
"""
