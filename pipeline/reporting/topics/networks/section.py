"""Each network: how it came to be, its size, a drawing and its layers."""

from collections.abc import Iterator

from pipeline.reporting.document import (
    Block,
    Chart,
    Definitions,
    Details,
    Heading,
    Paragraph,
    Row,
    Slide,
    Table,
)
from pipeline.reporting.results import Candidate, ReportSettings, RunResults
from pipeline.reporting.topics.networks.figures import network_blocks, network_figure
from pipeline.reporting.wording import counted, listed, percent, quantity, shape, whole


def networks(results: RunResults, _settings: ReportSettings) -> Iterator[Block]:
    descriptions = tuple((each.title, description(each, results)) for each in results.candidates)
    sizes = " ".join(f"{each.title}: {size(each)}" for each in results.candidates)
    introduction = (
        "A network is a chain of layers. Each turns numbers into other numbers by weights that training "
        "adjusts; the first layer gets the pixels, and the last one gives each class a probability."
    )
    yield Slide(
        name="networks",
        title=f"{counted(len(results.candidates), 'network')} for the same task",
        blocks=(Paragraph(introduction, spoken=True), Definitions(descriptions), _size_table(results)),
        notes=f"Multiplications are the work that one image takes. {cost(results)} {sizes}",
    )
    yield Paragraph(
        "In the drawings a bar is a block of layers: the broader, the more numbers it puts out. "
        "Bold: the size of its output as height × width × channels, or as the number of values."
    )
    for candidate in results.candidates:
        layers = counted(len(candidate.card.layers), "layer")
        yield Heading(candidate.title)
        yield Row((_diagram(candidate), Paragraph(size(candidate))))
        yield Details(f"Table: the {layers} of {candidate.title}", (_layer_table(candidate),))


def description(candidate: Candidate, results: RunResults) -> str:
    """How a candidate came to be, in one or two sentences."""
    if candidate.is_transferred:
        text = _transfer_description(candidate)
    else:
        network = candidate.card.network
        text = f"The network {network}, trained from scratch: it has never seen any images but these."
    if candidate.name == "tuned":
        trials = counted(len(results.trials), "trial")
        text += f" Its setting is the one that a search of {trials} ended with"
        same = listed([each.title for each in results.equal_to(candidate)])
        text += f": that of {same}, so that it is the same network." if same else "."
    return text


def _transfer_description(candidate: Candidate) -> str:
    section = candidate.card.hyperparameters.get("train_transfer", {})
    start = f"The backbone {candidate.card.network}, which learned from other images before, with a new head."
    if section.get("weights") == "none" and section.get("backbone") != "bundled":
        start = f"The backbone {candidate.card.network}, started from random weights, with a new head."
    views = section.get("head_views", 1)
    head = "the head was trained" + (f" on {views} fixed views of each image" if views > 1 else "")
    phases = [phase for _, phase in candidate.history.phase_starts()]
    match phases:
        case ["head", "fine_tune"] if candidate.kept_phase == "head":
            return (
                f"{start} Only {head}: fine-tuning the backbone with it did no better on the validation "
                "images and was taken back."
            )
        case ["head", "fine_tune"]:
            return f"{start} First only {head}, then the backbone was fine-tuned with it."
        case ["head"]:
            return f"{start} Only {head}."
        case _:
            return start


def size(candidate: Candidate) -> str:
    """Weights, multiplications, and where most of each are."""
    card = candidate.card
    weights, macs = card.parameters.total, card.forward_macs
    text = f"{quantity(weights)} weights, {quantity(macs)} multiplications for one image."
    largest = max(card.layers, key=lambda layer: layer.parameters)
    busiest = max(card.layers, key=lambda layer: layer.macs)
    if not largest.parameters or not busiest.macs:
        return text
    return (
        f"{text} The layer with the most weights is {largest.name} "
        f"({percent(largest.parameters / weights, 0)} of them), the one with the most work is "
        f"{busiest.name} ({percent(busiest.macs / macs, 0)})."
    )


def cost(results: RunResults) -> str:
    """What the chosen candidate needs, beside the smallest one."""
    winner = results.winner
    text = (
        f"{winner.title} has {quantity(winner.card.parameters.total)} weights and takes "
        f"{quantity(winner.card.forward_macs)} multiplications for one image"
    )
    lightest = min(results.candidates, key=lambda candidate: candidate.card.forward_macs)
    ratio = times_lighter(lightest, winner)
    if ratio <= 1.0:
        return f"{text}; none of the networks takes fewer." if results.others else f"{text}."
    if ratio < 1.05:
        return f"{text}, about as many as {lightest.title}."
    return f"{text}, {ratio:.1f} times as many as {lightest.title}."


def times_lighter(light: Candidate, heavy: Candidate) -> float:
    """How many times fewer multiplications `light` takes for an image."""
    return heavy.card.forward_macs / max(1, light.card.forward_macs)


def _size_table(results: RunResults) -> Table:
    cards = [candidate.card for candidate in results.candidates]
    return Table(
        caption="The networks in numbers (bold: the one that was chosen)",
        columns=("Model", "Network", "Layers", "Weights", "of which trained", "Multiplications per image"),
        rows=tuple(
            (
                candidate.title,
                card.network,
                whole(len(card.layers)),
                whole(card.parameters.total),
                whole(card.parameters.trainable),
                quantity(card.forward_macs),
            )
            for candidate, card in zip(results.candidates, cards, strict=True)
        ),
        text_columns=frozenset({0, 1}),
        strong=frozenset({results.winner_place}),
    )


def _diagram(candidate: Candidate) -> Chart:
    layers = candidate.card.layers
    steps = ", ".join(shape(block.output_shape) for block in network_blocks(layers))
    title = f"{candidate.title}: from the image to {layers[-1].output_shape[-1]} probabilities"
    return Chart(
        name=f"network_{candidate.name}",
        figure=network_figure(layers, title),
        alt=f"The blocks of the network from top to bottom, with the size of their outputs: {steps}.",
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
    total = ("All", "", "", whole(card.parameters.total), "", whole(card.forward_macs), "")
    return Table(
        caption=f"The layers of {candidate.title}",
        columns=("Layer", "Kind", "Output", "Weights", "Trained", "Multiplications", "Share"),
        rows=(*rows, total),
        text_columns=frozenset({0, 1, 4}),
        separated=frozenset({len(rows)}),
    )
