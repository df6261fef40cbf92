"""The pages of a desk: the one that people work on, and one for what came out of each further step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from desk.standing import DISAGREES, SURE
from desk.steps.workshop import NAMES
from desk.workplace import Workplace
from evaluation.reports.html import load_templates
from runtime.errors import DataError
from runtime.names.spelling import show_name
from runtime.side_files import read_json

TEMPLATES = Path(__file__).parent / "templates"
RESULT = {"run": str}


def render_desk(place: Workplace) -> str:
    """The page; all that changes is asked for by its scripts."""
    return load_templates(TEMPLATES).get_template("desk.html").render(
        folder=show_name(place.desk.album.images.root.resolve().name), sure=SURE, disagrees=DISAGREES)


def render_result(place: Workplace, step: str) -> str:
    """What came out of a step; raises DataError where nothing has."""
    folder = place.workshop.steps.place(step)
    path = folder / "result.json"
    if step not in NAMES or not path.is_file():
        raise DataError(f"{step} has no result yet")
    result: dict[str, Any] = read_json(path, RESULT, remedy="start the step again")
    run = folder / result["run"]
    pictures = [(title, f"{step}/{file.relative_to(folder).as_posix()}") for title, file in (
        ("Training, epoch by epoch", run / "curves.png"),
        ("Where the object is, in some of the pictures", folder / "crops" / "sorted_crop" / "boxes.png"))
        if file.is_file()]
    page = run / "evaluation" / "evaluation.html"
    return load_templates(TEMPLATES).get_template("result.html").render(
        step=step, result=result, pictures=pictures, run=show_name(str(run)),
        page=f"{step}/{page.relative_to(folder).as_posix()}" if page.is_file() else "")
