"""The times of stages are read from what a reproduction prints."""

from benchmarks.overhead import StageTimes, stage_times

PRINTED = """
0 Running stage 'split':
0 > python -m pipeline.split
1 split: started
1 train: 8 images
3 split: finished in 2.0 s
3 Updating lock file 'dvc.lock'
4
4 Running stage 'train_baseline':
14 train_baseline: started
20   epoch 1:  50%  accuracy 0.500
24   train epoch 1/2: loss 1.0000  accuracy 0.5000  validation loss 1.0000  accuracy 0.5000  (10 images/s)
30   train epoch 2/2: loss 0.5000  accuracy 0.7500  validation loss 0.9000  accuracy 0.6000  (20 images/s)
31   baseline: fast_cnn, 10 parameters, validation accuracy 0.6000
32 train_baseline: finished in 18.0 s
33 Updating lock file 'dvc.lock'
34 Use `dvc push` to send your updates to remote storage.
40  model     validation accuracy
"""


def test_each_stage_has_its_parts() -> None:
    lines = [line.partition(" ") for line in PRINTED.strip().splitlines()]
    found = stage_times([(float(seconds), text) for seconds, _, text in lines], ended=41)
    assert found == {
        "split": StageTimes(start_up=1, fitting=0, work=2, end=1),
        "train_baseline": StageTimes(start_up=10, fitting=16, work=2, end=2),
    }
    assert found["train_baseline"].total == 30


def test_without_a_last_word_of_dvc_the_last_stage_ends_with_the_command() -> None:
    lines = [(0.0, "Running stage 'split':"), (1.0, "split: started"), (2.0, "split: finished in 1.0 s")]
    assert stage_times(lines, ended=5.0)["split"].end == 3
