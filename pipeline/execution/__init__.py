"""Turns a stage's `run` function into a process: params, tracker, threads, messages, exit code."""
