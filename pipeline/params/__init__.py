"""params.yaml as typed, frozen values: one file per section, so that a change reruns only its stage."""
