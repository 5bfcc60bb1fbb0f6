"""What a network looks at: heatmaps, feature maps, filters, and maps of its features.

`job` needs no Keras: a command imports it and leaves the rest to a process of its own.
"""
