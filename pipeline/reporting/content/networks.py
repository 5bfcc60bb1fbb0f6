"""Each network: how it came to be, its size, a drawing and its layers."""

from pipeline.reporting import statements
from pipeline.reporting.document import Block, Chart, Details, Heading, Paragraph, Row, Section, Stack, Table
from pipeline.reporting.figures.networks import network_blocks, network_figure
from pipeline.reporting.results import Candidate, Results
from pipeline.reporting.wording import candidate_title, counted, percent, quantity, shape, whole


def networks_section(results: Results) -> Section:
    blocks: list[Block] = [
        Paragraph(
            "A network is a chain of layers. Each turns numbers into other numbers by weights that "
            "training adjusts; "
            "the first layer gets the pixels, the last one gives a probability to each class."
        ),
        _size_table(results),
        Paragraph(
            "In the drawings a bar is a block of layers: the broader, the more numbers it puts out. "
            "Bold: the size of its output as height × width × channels, or as the number of values."
        ),
    ]
    for candidate in results.candidates:
        name = candidate_title(candidate.name)
        layers = counted(len(candidate.card.layers), "layer")
        description = statements.candidate_description(candidate, len(results.trials))
        blocks += [
            Heading(name),
            Row(
                (_diagram(candidate), Stack((Paragraph(description), Paragraph(statements.size(candidate)))))
            ),
            Details(f"Table: the {layers} of {name}", (_layer_table(candidate),)),
        ]
    return Section(anchor="networks", title="The networks", blocks=tuple(blocks))


def _size_table(results: Results) -> Table:
    return Table(
        caption="The networks in numbers",
        columns=("Model", "Network", "Layers", "Weights", "of which trained", "Multiplications per image"),
        rows=tuple(
            (
                candidate_title(candidate.name),
                candidate.card.network,
                whole(len(candidate.card.layers)),
                whole(candidate.card.parameters["total"]),
                whole(candidate.card.parameters["trainable"]),
                quantity(candidate.card.forward_macs),
            )
            for candidate in results.candidates
        ),
        numeric=(False, False, True, True, True, True),
    )


def _diagram(candidate: Candidate) -> Chart:
    card = candidate.card
    blocks = network_blocks(card.layers)
    outputs = card.layers[-1].output_shape[-1]
    title = f"{candidate_title(candidate.name)}: from the image to {outputs} probabilities"
    steps = ", ".join(shape(block.output_shape) for block in blocks)
    return Chart(
        name=f"network_{candidate.name}",
        figure=network_figure(card.layers, title),
        alt=f"The blocks of the network from top to bottom, with the size of their outputs: {steps}.",
        caption="",
    )


def _layer_table(candidate: Candidate) -> Table:
    card = candidate.card
    rows = [
        (
            layer.name,
            layer.kind,
            shape(layer.output_shape),
            whole(layer.parameters),
            ("yes" if layer.trainable else "no") if layer.parameters else "",
            whole(layer.macs),
            percent(layer.macs / card.forward_macs) if card.forward_macs else "",
        )
        for layer in card.layers
    ]
    total = ("All", "", "", whole(card.parameters["total"]), "", whole(card.forward_macs), "")
    return Table(
        caption=f"The layers of {candidate_title(candidate.name)}",
        columns=("Layer", "Kind", "Output", "Weights", "Trained", "Multiplications", "Share"),
        rows=(*rows, total),
        numeric=(False, False, True, True, False, True, True),
        separated=frozenset({len(rows)}),
    )
