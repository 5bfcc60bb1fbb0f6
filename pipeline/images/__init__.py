"""Images as bytes and arrays: sources, archives, catalogue, splitting, decoding, augmentation."""
