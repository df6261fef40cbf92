"""What a page may ask for besides looking: answers, undoing, groups, folders, names of a table, further steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from desk.journal import Deed
from desk.web.guards import read_at_most
from desk.web.payloads import describe_piles
from desk.workplace import Workplace
from runtime.errors import DataError
from runtime.side_files import check_shape

MOST = 8_000_000  # bytes of a question: the contents of 50,000 pictures take half of it
ANSWER = {"do": str, "pictures?": [str], "name?": str, "old?": str, "tab": str, "seen": int}
UNDO = {"do": str, "of": int, "tab": str}
SCALE, FINISH = {"groups": int}, {"how": str, "threshold": float}
TABLE, STEP = {"text": str}, {"step": str, "do": str}
REMEDY = "reload the page"

Question = dict[str, Any]
Ask = Callable[[Workplace, Question], object]


async def read_question(request: Request) -> Question:
    """The JSON that a page sent; raises DataError for anything else, so that no other site's form is taken for it."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise DataError("questions come as JSON")
    try:
        question = json.loads(await read_at_most(request, MOST))
    except ValueError as error:
        raise DataError(f"no JSON: {error}") from error
    check_shape(question, dict, source="the question", remedy=REMEDY)
    return question


def take_answer(place: Workplace, question: Question) -> object:
    """Write an answer down; the line's number, `version`, says that it is on the disk."""
    check_shape(question, ANSWER, source="the answer", remedy=REMEDY)
    deed = Deed(question["do"], tuple(question.get("pictures", ())), question.get("name", ""), question.get("old", ""),
                question["tab"])
    return tell_taken(place, place.desk.answer(deed, question["seen"]))


def take_undo(place: Workplace, question: Question) -> object:
    """Take the last deed back, or bring it back."""
    check_shape(question, UNDO, source="the question", remedy=REMEDY)
    return tell_taken(place, place.desk.undo(Deed(question["do"], tab=question["tab"]), question["of"]))


def tell_taken(place: Workplace, deed: Deed) -> Question:
    """The line that a deed became, and what can be taken back and brought back after it."""
    return {"version": deed.number, **describe_piles(place.desk.journal)}


def take_scale(place: Workplace, question: Question) -> object:
    """Show another number of groups."""
    check_shape(question, SCALE, source="the question", remedy=REMEDY)
    place.choose_scale(question["groups"])
    return {}


def take_finish(place: Workplace, question: Question) -> object:
    """Fill folders; says where they are and how many pictures are in each."""
    check_shape(question, FINISH, source="the question", remedy=REMEDY)
    return place.finish(question["how"], question["threshold"])


def take_table(place: Workplace, question: Question) -> object:
    """Take over the names of a table with the columns path,label."""
    check_shape(question, TABLE, source="the table", remedy=REMEDY)
    return {"named": place.import_text(question["text"])}


def take_step(place: Workplace, question: Question) -> object:
    """Start a step, stop it, or use what it made."""
    check_shape(question, STEP, source="the question", remedy=REMEDY)
    place.workshop.take(question["step"], question["do"])
    return {}


ASKS: dict[str, Ask] = {"answer": take_answer, "undo": take_undo, "scale": take_scale, "finish": take_finish,
                        "table": take_table, "step": take_step}
