"""Params, paths, atomic files, digests, errors and the tracker's interface: what every floor stands on."""
