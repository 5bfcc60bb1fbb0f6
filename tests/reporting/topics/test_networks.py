"""How networks are described and drawn."""

from dataclasses import replace

from pipeline.inference.model_card import LayerSummary
from pipeline.reporting.topics.networks.figures import network_blocks, network_figure
from pipeline.reporting.topics.networks.section import description
from tests.reporting.fake_project import FakeProject
from tests.reporting.reading import Load, panels, plain, texts


def layer(kind: str, shape: tuple[int, ...], parameters: int = 0, trainable: bool = True) -> LayerSummary:
    return LayerSummary(kind.lower(), kind, shape, parameters, 0, trainable)


def test_layers_of_one_size_are_one_block() -> None:
    blocks = network_blocks(
        [
            layer("InputLayer", (8, 8, 3)),
            layer("ReLU", (8, 8, 4)),
            layer("Conv2D", (8, 8, 4), 100),
            layer("Conv2D", (8, 8, 4), 10, trainable=False),
            layer("Dense", (2,), 5, trainable=False),
        ]
    )
    assert [block.output_shape for block in blocks] == [(8, 8, 3), (8, 8, 4), (2,)]
    assert blocks[1].kinds == (("Conv2D", 2), ("ReLU", 1))
    assert [block.parameters for block in blocks] == [0, 110, 5]
    assert [block.trainable for block in blocks] == [False, True, False]


def test_a_deep_network_is_gathered_by_resolution() -> None:
    deep = [layer("Conv2D", (side, side, channels), 1) for side in (32, 16, 8) for channels in range(1, 20)]
    blocks = network_blocks([*deep, layer("Dense", (10,), 1)])
    assert [block.output_shape for block in blocks] == [(32, 32, 19), (16, 16, 19), (8, 8, 19), (10,)]
    assert [block.parameters for block in blocks] == [19, 19, 19, 1]


def test_the_drawing_names_every_block() -> None:
    axes = panels(network_figure([layer("InputLayer", (8, 8, 3)), layer("Dense", (2,), 386)], "Title"))[0]
    assert texts(axes) == ["8×8×3", "InputLayer", "2", "386 weights", "Dense"]
    bars = [patch.get_width() for patch in axes.patches if hasattr(patch, "get_width")]
    assert bars[0] > bars[1]


def test_how_each_candidate_came_to_be(results: Load) -> None:
    found = results(FakeProject())
    baseline, transfer, tuned = (plain(description(each, found)) for each in found.candidates)
    assert "trained from scratch" in baseline
    assert transfer.endswith("First only the head was trained, then the backbone was fine-tuned with it.")
    assert "trained from scratch" in tuned
    assert tuned.endswith("Its setting is the one that a search of 4 trials ended with.")


def test_what_was_taken_back_is_not_said_to_be_there(results: Load) -> None:
    found = results(FakeProject())
    transfer = found.candidate("transfer")
    card = replace(transfer.card, training=replace(transfer.card.training, best_epoch=2))
    assert "fine-tuning the backbone with it did no better" in description(
        replace(transfer, card=card), found
    )


def test_a_tuned_backbone_is_a_backbone(results: Load) -> None:
    found = results(FakeProject())
    transfer, tuned = found.candidate("transfer"), found.candidate("tuned")
    card = replace(tuned.card, hyperparameters=transfer.card.hyperparameters)
    told = plain(description(replace(tuned, card=card, history=transfer.history), found))
    assert told.startswith("The backbone ")
    assert told.endswith("Its setting is the one that a search of 4 trials ended with.")


def test_a_search_that_kept_the_given_setting(results: Load) -> None:
    found = results(FakeProject())
    digest = found.candidate("baseline").card.model_digest
    tuned = found.candidate("tuned")
    tuned = replace(tuned, card=replace(tuned.card, model_digest=digest))
    found = replace(found, candidates=(*found.candidates[:2], tuned))
    assert "ended with: that of Baseline, so that it is the same network." in plain(description(tuned, found))
    assert found.equal_to(found.candidate("transfer")) == ()


def test_how_often_a_frozen_backbone_has_seen_an_image(results: Load) -> None:
    found = results(FakeProject())
    transfer = found.candidate("transfer")
    section = {**transfer.card.hyperparameters["train_transfer"], "head_views": 2}
    card = replace(transfer.card, hyperparameters={"train_transfer": section})
    told = description(replace(transfer, card=card), found)
    assert "only the head was trained on 2 fixed views of each image, then the backbone was" in plain(told)
