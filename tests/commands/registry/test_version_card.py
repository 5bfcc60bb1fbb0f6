"""What the card of a model version says, and that MLflow has room for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.commands.addresses.evaluated import EvaluatedModel
from pipeline.commands.registry.version_card import LONGEST, CardFacts, version_card, within_limit
from pipeline.foundation.workspace import Workspace
from pipeline.tracking import tags
from tests.commands.made_workspace import make_workspace, outputs_of


def facts_of(workspace: Workspace) -> CardFacts:
    model = EvaluatedModel(outputs_of(workspace), "baseline", "the working tree")
    lineage = {tags.GIT_COMMIT: "c" * 40, tags.GIT_DIRTY: "false", tags.DVC_EXPERIMENT: "quiet-lark"}
    return CardFacts("animals", 3, model, 0.95, lineage, 4.25)


@pytest.fixture
def facts(tmp_path: Path, project: Path) -> CardFacts:
    """60 test images of three classes in turn; rows 0, 3 and 6 are cats, taken for dog, dog and bird."""
    return facts_of(make_workspace(tmp_path, project, errors={0: 1, 3: 1, 6: 2}))


def words(card: str) -> str:
    return " ".join(card.split())


def test_scores_stand_beside_those_of_the_references(facts: CardFacts) -> None:
    card = version_card(facts)
    rows = {line.split("|")[1].strip(): words(line) for line in card.splitlines() if line.startswith("| ")}
    assert "| 95.0 % [" in rows["this model"]
    assert "| 33.3 % [" in rows["majority class"]
    assert "| 0.0 % [" in rows["logistic regression"]
    assert "4.25 ms" in words(card)


def test_weaknesses_by_class(facts: CardFacts) -> None:
    card = words(version_card(facts))
    # 17 of 20 cats are recognized; of 22 images that are called dogs 20 are, of 21 birds 20.
    assert "lowest recall: “cat”: 85.0 % (17 of 20) -" in card
    assert "lowest precision: “dog”: 90.9 % (20 of 22); “a, bird”: 95.2 % (20 of 21) -" in card
    assert "“cat” taken for “dog” (2 of 20); “cat” taken for “a, bird” (1 of 20)" in card
    assert "3 classes have fewer than 30 test images" in card


def test_calibration_is_said_in_its_direction(facts: CardFacts) -> None:
    # 90 % sure of everything and right in 95 %.
    assert "too cautious by 5.0 points" in words(version_card(facts))


def test_data_training_and_lineage(facts: CardFacts) -> None:
    card = words(version_card(facts))
    assert "Drawn by hand (dataset folder, 180 images)" in card
    assert "| train | 60 | “cat” 33.3 % | “cat” 33.3 % |" in card
    assert "fast_cnn, 1,234 parameters" in card
    assert "5 epochs on 60 images, weights of epoch 4" in card
    assert "lr 0.1; shift 0.1." in card, "augmentation that is turned off is left out"
    assert f"code: `{'c' * 40}`" in card
    assert "experiment: `quiet-lark`" in card
    assert facts.evaluated.test_digest in card
    assert "python -m pipeline lineage models:/animals/3" in card


def test_code_that_no_commit_holds_is_a_limit(facts: CardFacts) -> None:
    limit = "Code or params differed from the commit"
    assert limit not in version_card(facts)
    dirty = {**facts.lineage, tags.GIT_DIRTY: "true"}
    assert limit in version_card(replace(facts, lineage=dirty))
    # The commit of an experiment holds what was changed.
    experiment = {**dirty, tags.DVC_COMMIT: "e" * 40}
    card = version_card(replace(facts, lineage=experiment))
    assert limit not in card
    assert "e" * 40 in card


def test_how_to_load_it_is_code_that_runs(facts: CardFacts) -> None:
    code = version_card(facts).partition("```python\n")[2].partition("```")[0]
    compile(code, "card", "exec")
    assert 'load_model("models:/animals/3")' in code


def test_a_model_without_errors_has_no_weakness(tmp_path: Path, project: Path) -> None:
    card = words(version_card(facts_of(make_workspace(tmp_path, project))))
    assert "lowest recall: none below 100 %" in card
    assert "confused most: no pair of classes" in card


def test_a_hundred_classes_with_long_names_have_room(tmp_path: Path, project: Path) -> None:
    classes = tuple(f"{'|very long name ' * 10}{number:03d}" for number in range(100))
    errors = {row: (row + 1) % 100 for row in range(0, 200, 3)}
    workspace = make_workspace(tmp_path, project, classes, images=200, errors=errors)
    card = version_card(facts_of(workspace))
    assert len(card) <= LONGEST
    assert within_limit(card) == card
    table = card.partition("| subset |")[2].splitlines()[2]
    assert table.replace(r"\|", "").count("|") == 5, "a bar in a name ends no cell"


def test_what_has_no_room_is_cut_and_says_so() -> None:
    cut = within_limit("x" * 6000)
    assert len(cut) == LONGEST
    assert "the whole card is among the artifacts" in cut
