"""Which characters the PDF can print."""

from pipeline.reporting.pdf.fonts import breakable, bundled_fonts, printable, unprintable


def test_texts_of_many_languages_stay_as_they_are() -> None:
    for text in ("Straße, café, Łódź", "Привет", "Ελλάδα", "العربية", "שלום", "a\u00a0b\n→ ✓ × −"):
        assert printable(text) == text
        assert not unprintable(text)


def test_what_no_font_has_becomes_its_number() -> None:
    assert printable("cat 猫") == "cat <U+732B>"
    assert printable("ก\u0000\U0001f980") == "<U+0E01><U+0000><U+1F980>"
    assert unprintable("猫")


def test_no_font_of_this_machine_is_used() -> None:
    families = bundled_fonts().families()
    assert {"DejaVu Sans", "Libertinus Serif"} <= set(families)
    assert "Liberation Sans" not in families
    paths = [font.path for font in bundled_fonts().fonts() if font.path]
    assert all("matplotlib" in path for path in paths)


def test_only_very_long_words_may_be_broken() -> None:
    usual = "a word of twenty-four letters: abcdefghijklmnopqrstuvwx"
    assert breakable(usual) == usual
    assert breakable("b" * 25) == "bbbbbbbb\u200b" * 3 + "b"
    assert breakable("<U+732B>" * 4) == "<U+732B>\u200b" * 4
