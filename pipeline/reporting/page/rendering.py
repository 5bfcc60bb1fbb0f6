"""The document as HTML. A content security policy in the page forbids every request and every other script.

HTML stands here in templates of `markupsafe.Markup`, whose `format` escapes whatever is filled in.
"""

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np
from markupsafe import Markup
from PIL import Image

from pipeline.foundation.array_types import UInt8
from pipeline.reporting.document import (
    Block,
    Chart,
    Commands,
    Definitions,
    Details,
    Document,
    Example,
    Facts,
    Finding,
    Gallery,
    Heading,
    Paragraph,
    Row,
    Slide,
    Stack,
    Strip,
    Strips,
    Table,
)
from pipeline.reporting.wording import percent, whole

_SCREEN_DOTS_PER_INCH = 96
_WIDEST_WITHOUT_SCROLLING = 520
"""Pixels: a wider chart does not shrink with the window, it scrolls."""

_LARGEST_THUMBNAIL = 96
"""Pixels; larger images are made smaller, so that the page stays light."""

_COARSE = 64
"""Images below this side, pixels, are enlarged with sharp pixels: blurring would show what is not there."""

_EFFORT, _QUALITY = 20, 80
"""What WebP's `quality` means: effort where no pixel may differ, faithfulness elsewhere."""

_METHOD = 1
"""WebP's search for shorter code: slower ones gain next to nothing on figures."""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'sha256-{digest}'">
<meta name="color-scheme" content="light dark">
<title>{document.title}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#report">Skip to the report</a>
<header>
<h1>{document.title}</h1>
<p class="subtitle">{document.subtitle}</p>
{forms}</header>
<div class="columns">
<nav aria-label="Contents">
<ul>
{contents}
</ul>
</nav>
<main id="report" tabindex="-1">
{sections}
</main>
</div>
<p class="unseen" id="announcements" role="status"></p>
<script>{script}</script>
</body>
</html>
"""
_SECTION = """\
<section id="{0.anchor}" aria-labelledby="{0.anchor}-title">
<h2 id="{0.anchor}-title">{0.title}</h2>
{1}
</section>"""
_FACT = '<div><dt>{0.label}</dt><dd class="value">{0.value}</dd><dd class="note">{0.note}</dd></div>'
_SCROLLED = '<div class="{}" role="region" tabindex="0" aria-label="{}">\n{}\n</div>'
_TABLE = """\
<table aria-label="{}">
<thead>
<tr>{}</tr>
</thead>
<tbody>
{}
</tbody>
</table>"""
_STRIP = """\
<div class="strip">
<div class="label"><strong>{0.label}</strong>{1}</div>
<div class="images" role="img" aria-label="Images of {0.label}">{2}</div>
</div>"""
_EXAMPLE = """\
<li class="{kind}"{data}>
<div class="image">{images}</div>
<p class="verdict"><span aria-hidden="true">{mark}</span> {example.predicted}{actual}</p>
<ol class="bars">{bars}</ol>
<p class="file">{example.name}</p>
</li>"""
_BAR = '<li{} style="--share: {:.1f}%"><span class="name">{}</span> <span class="share">{}</span></li>'
_ORDER = Markup(
    '<label>Order <select data-order><option value="falling">most confident first</option>'
    '<option value="rising">least confident first</option></select></label>'
)


def render_page(document: Document, pictures: Mapping[str, bytes], other_forms: Mapping[str, str]) -> str:
    """The page as text; the same document and pictures give the same text.

    Args:
      document: the report.
      pictures: PNG bytes of every chart by its name.
      other_forms: files beside the page that hold the same, by what they are for.
    """
    blocks = _Blocks(pictures)
    style, script = (Path(__file__).with_name(name).read_text("utf-8") for name in ("style.css", "page.js"))
    links = _each('{0}: <a href="{1}">{1}</a>', other_forms.items(), "; ")
    return _html(
        _PAGE,
        document=document,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(style),  # nosec: a file of ours
        script=Markup(script),  # nosec: a file of ours
        forms=_html('<p class="forms">The same {}</p>\n', links) if links else "",
        contents=_each('<li><a href="#{0.anchor}">{0.title}</a></li>', document.sections),
        sections=_each(_SECTION, ((section, blocks.render(section.blocks)) for section in document.sections)),
    )


@dataclass(frozen=True)
class _Blocks:
    """Makes HTML of blocks; `pictures` holds the PNG bytes of every chart."""

    pictures: Mapping[str, bytes]

    def render(self, blocks: Iterable[Block]) -> Markup:
        return Markup("\n").join(map(self._block, blocks))

    def _block(self, block: Block) -> Markup:
        match block:
            case Paragraph():
                return _html("<p>{}</p>", block.text)
            case Finding():
                return _html('<p class="finding">{}</p>', block.text)
            case Heading():
                return _html("<h3>{}</h3>", block.text)
            case Facts():
                return _html('<dl class="facts">\n{}\n</dl>', _each(_FACT, block.facts))
            case Definitions():
                items = _each("<div><dt>{}</dt><dd>{}</dd></div>", block.items)
                return _html('<dl class="definitions">\n{}\n</dl>', items)
            case Commands():
                items = _each("<div><dt><code>{}</code></dt><dd>{}</dd></div>", block.items)
                return _html('<dl class="commands">\n{}\n</dl>', items)
            case Table():
                return _table(block)
            case Chart():
                return self._chart(block)
            case Row():
                return _html('<div class="row">\n{}\n</div>', self.render(block.blocks))
            case Stack() | Slide():
                return _html('<div class="stack">\n{}\n</div>', self.render(block.blocks))
            case Strips():
                most = max(len(strip.images) for strip in block.strips)
                strips = Markup("\n").join(map(_strip, block.strips))
                body = _html('<div class="list" style="--images: {}">\n{}\n</div>', most, strips)
                return _figure("strips", block.caption, body)
            case Gallery():
                return _gallery(block)
            case Details():
                content = self.render(block.blocks)
                return _html("<details>\n<summary>{}</summary>\n{}\n</details>", block.summary, content)
        assert_never(block)

    def _chart(self, chart: Chart) -> Markup:
        width, height = (round(inches * _SCREEN_DOTS_PER_INCH) for inches in chart.inches)
        wide = width > _WIDEST_WITHOUT_SCROLLING
        least = 900 if width >= 1000 else min(width, 720 if chart.pictorial else 480)
        with Image.open(io.BytesIO(self.pictures[chart.name])) as picture:
            # WebP, which every browser has read since 2020, is half the size of PNG.
            source = _data_uri(picture.convert("RGB"), lossless=True)
        style = _html(' style="min-width: {}px"', least) if wide else ""
        image = _html(
            '<img src="{}"{} width="{}" height="{}" alt="{}">', source, style, width, height, chart.alt
        )
        body = _html(_SCROLLED, "scroll wide", chart.alt, image)
        if not wide:
            body = _html('<div class="paper">\n{}\n</div>', image)
        kind = "chart pictorial" if chart.pictorial else "chart"
        return _figure(kind, chart.caption, body, caption_first=False)


def _table(table: Table) -> Markup:
    numbers = [_class("number") if numeric else "" for numeric in table.numeric]
    rows = []
    for place, cells in enumerate(table.rows):
        first, *others = zip(numbers, cells, strict=True)
        marks = (("strong", table.strong), ("separated", table.separated))
        kind = _class(*(name for name, rows_of in marks if place in rows_of))
        name, values = _html('<th scope="row"{}>{}</th>', *first), _each("<td{}>{}</td>", others, "")
        rows.append(_html("<tr{}>{}{}</tr>", kind, name, values))
    head = _each('<th scope="col"{}>{}</th>', zip(numbers, table.columns, strict=True), "")
    body = _html(_TABLE, table.caption, head, Markup("\n").join(rows))
    return _figure("table", table.caption, _html(_SCROLLED, "scroll", table.caption, body))


def _strip(strip: Strip) -> Markup:
    note = _html(" <span>{}</span>", strip.note) if strip.note else ""
    return _html(_STRIP, strip, note, Markup("").join(_image(image, "") for image in strip.images))


def _gallery(gallery: Gallery) -> Markup:
    examples = (_example(example, gallery.filterable) for example in gallery.examples)
    body = _html("<ul>\n{}\n</ul>", Markup("\n").join(examples))
    if not gallery.filterable:
        return _figure("gallery", gallery.caption, _tools(gallery) + body, name=gallery.name)
    count = Markup('<p class="count" role="status"></p>\n')
    more = Markup('\n<p class="more" hidden><button type="button">Show more</button></p>')
    body = _tools(gallery) + count + _html(_SCROLLED, "list", gallery.caption, body) + more
    return _figure("gallery filterable", gallery.caption, body, name=gallery.name)


def _tools(gallery: Gallery) -> Markup:
    """Choosers of classes and order, which only the script can serve, and the switch of the heatmaps."""
    tools = Markup("")
    if gallery.filterable:
        actual = _chooser("actual", "Actual class", {each.actual for each in gallery.examples})
        predicted = _chooser("predicted", "Predicted class", {each.predicted for each in gallery.examples})
        tools += _html('<span class="scripted" hidden>\n{}\n{}\n{}\n</span>\n', actual, predicted, _ORDER)
    if heatmaps := sum(example.overlay is not None for example in gallery.examples):
        some = f" (of {whole(heatmaps)} of these images)" if heatmaps < len(gallery.examples) else ""
        box = Markup('<input type="checkbox" class="heat" autocomplete="off">')
        tools += _html('<label class="switch">{} Heatmaps{}</label>\n', box, some)
    return _html('<div class="tools">\n{}</div>\n', tools) if tools else tools


def _chooser(key: str, label: str, names: Iterable[str]) -> Markup:
    options = _each('<option value="{0}">{0}</option>', ((name,) for name in sorted(names)), "")
    start = '<label>{} <select data-filter="{}"><option value="">all</option>{}</select></label>'
    return _html(start, label, key, options)


def _example(example: Example, filterable: bool) -> Markup:
    data = ' data-actual="{0.actual}" data-predicted="{0.predicted}" data-confidence="{0.confidence:.4f}"'
    images = _image(example.image, example.name)
    if example.overlay is not None:
        images += _image(example.overlay, "the same image with its heatmap", "overlay")
    bars = (
        (_class("actual") if name == example.actual else "", 100 * share, name, percent(share))
        for name, share in example.shown_probabilities
    )
    return _html(
        _EXAMPLE,
        example=example,
        kind="right" if example.right else "wrong",
        data=_html(data, example) if filterable else "",
        images=images,
        mark="✓" if example.right else "✗",
        actual="" if example.right else _html('<br><span class="actual">actually {}</span>', example.actual),
        bars=_each(_BAR, bars, ""),
    )


# --- templates and images ---------------------------------------------------------------------------


def _html(template: str, *values: object, **named: object) -> Markup:
    return Markup(template).format(*values, **named)  # nosec: templates are ours, values are escaped


def _each(template: str, items: Iterable[object], between: str = "\n") -> Markup:
    """The template once for each item; the elements of a tuple fill it one by one."""
    return Markup(between).join(  # nosec: as above
        _html(template, *(item if isinstance(item, tuple) else (item,))) for item in items
    )


def _figure(kind: str, caption: str, body: Markup, name: str = "", caption_first: bool = True) -> Markup:
    caption = _html("<figcaption>{}</figcaption>", caption) if caption else Markup("")
    parts = [part for part in ((caption, body) if caption_first else (body, caption)) if part]
    identity = _html(' id="{}"', name) if name else ""
    return _html('<figure class="{}"{}>\n{}\n</figure>', kind, identity, Markup("\n").join(parts))


def _class(*names: str) -> Markup:
    """The attribute with its space; nothing without a name."""
    names = tuple(filter(None, names))
    return _html(' class="{}"', " ".join(names)) if names else Markup("")


def _image(image: UInt8[np.ndarray, "h w c"], alt: str, kind: str = "") -> Markup:
    kinds = _class(kind, "coarse" if _is_coarse(image) else "")
    return _html('<img src="{}" alt="{}"{}>', thumbnail(image), alt, kinds)


def thumbnail(image: UInt8[np.ndarray, "h w c"]) -> str:
    """An image of 1 or 3 channels as a data URI of at most 96 pixels a side.

    Coarse images are kept pixel by pixel as the network saw them; larger ones lose what nobody sees.
    """
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.thumbnail((_LARGEST_THUMBNAIL, _LARGEST_THUMBNAIL), Image.Resampling.BILINEAR)
    return _data_uri(picture, lossless=_is_coarse(image))


def _is_coarse(image: UInt8[np.ndarray, "h w c"]) -> bool:
    return bool(max(image.shape[:2]) < _COARSE)


def _data_uri(picture: Image.Image, lossless: bool) -> str:
    buffer = io.BytesIO()
    quality = _EFFORT if lossless else _QUALITY
    picture.save(buffer, format="WEBP", lossless=lossless, quality=quality, method=_METHOD)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
