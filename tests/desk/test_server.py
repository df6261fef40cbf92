"""The served page as another program meets it: who is answered, what is kept, what tabs do to each other."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.desk.served import QUICK, ROOT, Hosted, Served
from tools import sort


def refused(work: Callable[[], object]) -> tuple[int, str]:
    """The code and the sentence of a refusal."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        work()
    return caught.value.code, caught.value.read().decode() or caught.value.msg


def test_names_spread_and_are_kept(serve: Callable[..., Served], photographs: Path, tmp_path: Path) -> None:
    served = serve("--groups", "3")
    state = served.wait(lambda state: state.get("sorted"))
    assert state["pictures"] == 36 and len(state["sorted"]["proposal"]) == 36 and not state["names"]
    served.name({"red_00.jpg": "red", "green_00.jpg": "green", "blue_00.jpg": "blue"})
    state = served.follow()
    assert [row["given"] for row in state["sorted"]["names"]] == [1, 1, 1] and state["sorted"]["changes"] > 0
    columns, files = served.columns(), served.captions()["files"]
    told = [columns["names"][label] for label in columns["labels"]]
    right = sum(file.startswith(name) for file, name in zip(files, told))
    assert right == 36  # colour is all there is to see
    assert columns["confidence"][files.index("red_00.jpg")] == 100 and sum(columns["states"]) == 3
    reasons = json.loads(served.get(f"api/picture/{files.index('red_05.jpg')}"))
    assert reasons["name"] == "red" and files[reasons["because"][0]["index"]] == "red_00.jpg"
    assert reasons["instead"]["name"] in ("green", "blue") and len(reasons["nearest"]) == 5
    assert (reasons["width"], reasons["height"], reasons["taken"]) == (64, 48, False)
    with Image.open(io.BytesIO(served.get(f"thumbnail/{files.index('red_05.jpg')}"))) as small:
        assert small.format == "JPEG" and small.size == (64, 48)
    assert served.get("photograph/3")[:2] == b"\xff\xd8" and served.get("thumbnail/35")
    served.kill()
    again = serve("--groups", "3")
    state = again.follow()
    assert state["names"] == ["blue", "green", "red"] and state["sorted"]["given"] == 3
    assert again.columns()["labels"] == columns["labels"]
    assert again.stop() == 0 and "Traceback" not in (tmp_path / "server.log").read_text()
    assert not (tmp_path / "state" / ".lock").exists()


def test_a_kill_at_any_moment_loses_no_answer_that_was_confirmed(serve: Callable[..., Served], photographs: Path) -> None:
    confirmed: dict[str, str] = {}
    for turn in range(3):
        served = serve()
        contents = served.captions()["contents"]
        for number in range(8):
            content, name = contents[8 * turn + number], f"kind {turn}.{number}"
            served.ask("answer", do="name", pictures=[content], name=name, tab="t", seen=99)
            confirmed[content] = name
        served.kill()
    journal = (photographs.parent / "state" / "journal.jsonl").read_text().splitlines()
    assert {json.loads(line)["pictures"][0]: json.loads(line)["name"] for line in journal} == confirmed


def test_only_this_machine_with_the_token_is_answered_and_only_pictures_are_shown(
    host: Callable[..., Hosted], photographs: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    served = host()
    served.wait(lambda state: state.get("sorted"))
    root = served.address.replace(f"/{served.token}/", "/")
    for wrong in ("", "wrong/", f"{served.token[:-1]}/api/state", "api/state"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(root + wrong, timeout=20)
        assert caught.value.code == 404
    assert refused(lambda: served.get("", Host="evil.example"))[0] == 400
    for path in ("photograph/36", "thumbnail/99999", "photograph/-1", "photograph/../../secret.txt", "static/../app.py",
                 "static/%2e%2e/app.py", "result/better", "result/..%2f..%2fsecret.txt", "result/better/../../../secret.txt"):
        code, said = refused(lambda path=path: served.get(path))
        assert code in (400, 404) and "secret" not in said.replace("secret.txt", ""), path
    page = served.get("").decode()
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)
    with urllib.request.urlopen(served.address, timeout=20) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    request = urllib.request.Request(f"{served.address}api/undo", b"do=undo", {"Content-Type": "text/plain"})
    assert refused(lambda: urllib.request.urlopen(request, timeout=20)) == (400, '{"error":"questions come as JSON"}')


def test_a_second_server_is_refused(serve: Callable[..., Served], photographs: Path, tmp_path: Path) -> None:
    serve()
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "sort.py"), "photographs", "--serve", "--out", "state", *QUICK],
                          cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "is held by process" in done.stderr


def test_two_tabs_do_not_fight(host: Callable[..., Hosted], photographs: Path) -> None:
    served = host()
    first, second = served.captions()["contents"][:2]
    seen = served.state()["version"]
    served.ask("answer", do="name", pictures=[first], name="crow", tab="one", seen=seen)
    code, said = refused(lambda: served.ask("answer", do="name", pictures=[first, second], name="owl", tab="two", seen=seen))
    assert code == 409 and "crow" in said
    served.ask("answer", do="name", pictures=[second], name="CROW ", tab="two", seen=seen)
    assert served.state()["names"] == ["crow"]  # the same kind, spelled otherwise
    state = served.state()
    served.ask("answer", do="name", pictures=[first], name="owl", tab="two", seen=state["version"])  # it has seen it now
    code, said = refused(lambda: served.ask("undo", do="undo", of=state["undo"]["number"], tab="one"))
    assert code == 409 and "owl" in said
    for _ in range(3):
        served.ask("undo", do="undo", of=served.state()["undo"]["number"], tab="one")
    assert served.state()["names"] == [] and served.state()["undo"] is None
    assert refused(lambda: served.ask("undo", do="undo", of=0, tab="one"))[0] == 400
    for _ in range(3):
        served.ask("undo", do="redo", of=served.state()["redo"]["number"], tab="one")
    assert served.state()["names"] == ["crow", "owl"]


def test_what_makes_no_sense_is_told_and_not_written(host: Callable[..., Hosted], photographs: Path, tmp_path: Path) -> None:
    served = host()
    content = served.captions()["contents"][0]
    wrong = [{"do": "name", "pictures": [content], "name": "  "}, {"do": "name", "pictures": [content], "name": "x" * 201},
             {"do": "name", "pictures": ["strange"], "name": "crow"}, {"do": "name", "pictures": [], "name": "crow"},
             {"do": "dance", "pictures": [content]}, {"do": "rename", "old": "nobody", "name": "crow"}, {"do": "undo"}]
    for question in wrong:
        code, said = refused(lambda question=question: served.ask("answer", **question, tab="one", seen=0))
        assert code in (400, 409) and "error" in said, question
    assert not (tmp_path / "state" / "journal.jsonl").read_text() and served.state()["version"] == 0


def test_unknown_kinds_and_useless_pictures(host: Callable[..., Hosted], photographs: Path) -> None:
    served = host()
    served.name({"red_00.jpg": "red", "green_00.jpg": "green"})
    files, contents = served.captions().values()
    at = files.index
    say = {"tab": "one", "seen": 99}
    served.ask("answer", do="unknown", pictures=[contents[at("blue_00.jpg")]], **say)
    served.ask("answer", do="unusable", pictures=[contents[at("red_11.jpg")]], **say)
    state, columns = served.follow(), served.columns()
    assert columns["labels"][at("red_11.jpg")] == -1 and columns["states"][at("red_11.jpg")] == 3
    assert columns["states"][at("blue_00.jpg")] == 2
    unlike = [columns["unlike"][at(f"blue_{number:02d}.jpg")] for number in range(1, 12)]
    assert min(unlike) >= 50 and max(columns["unlike"][at(f"red_{number:02d}.jpg")] for number in range(1, 11)) < 50
    assert not {at("red_00.jpg"), at("blue_00.jpg"), at("red_11.jpg")} & set(state["sorted"]["proposal"])


def test_finish(host: Callable[..., Hosted], photographs: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in photographs.iterdir()}
    served = host()
    served.name({f"{kind}_{number:02d}.jpg": kind for kind in ("red", "green") for number in range(4)})
    files, contents = served.captions().values()
    say = {"tab": "one", "seen": 99}
    served.ask("answer", do="unknown", pictures=[contents[files.index("blue_00.jpg")]], **say)
    served.ask("answer", do="unusable", pictures=[contents[files.index("red_11.jpg")]], **say)
    served.follow()
    done = served.ask("finish", how="copy", threshold=0.0)
    filed = {path.name: path.parent.name for path in Path(done["folder"]).glob("*/*")}
    assert filed.keys() == before.keys() and Path(done["folder"]) == tmp_path / "state" / "sorted"
    assert filed["blue_00.jpg"] == "unknown" and filed["red_11.jpg"] == "no_object" and filed["red_02.jpg"] == "red"
    assert {path.name: path.read_bytes() for path in photographs.iterdir()} == before
    strict = served.ask("finish", how="link", threshold=1.0)
    assert Path(strict["folder"]).name == "sorted_2"
    filed = {path.name: path.parent.name for path in Path(strict["folder"]).glob("*/*")}
    assert sum(place in ("red", "green") for place in filed.values()) == 8  # those that were named
    assert {place for file, place in filed.items() if file.startswith("red") and file > "red_04"} <= {"unsure", "unknown", "no_object"}
    assert sum(strict["counts"].values()) == 36
    with open(tmp_path / "state" / "labels.csv", newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert rows["red_02.jpg"]["how"] == "named" and rows["red_02.jpg"]["label"] == "red" and len(rows) == 36
    assert rows["red_06.jpg"]["how"] == "spread" and 0 < float(rows["red_06.jpg"]["confidence"]) < 1
    served.name({"blue_03.jpg": "Unsure"})
    assert refused(lambda: served.ask("finish", how="none", threshold=0.5))[0] == 400


def test_photographs_that_come_move_and_go(host: Callable[..., Hosted], photographs: Path, tmp_path: Path) -> None:
    served = host()
    served.name({"red_00.jpg": "red", "green_00.jpg": "green", "blue_00.jpg": "blue"})
    served.follow()
    served.stop()
    (photographs / "2024").mkdir()
    (photographs / "red_00.jpg").rename(photographs / "2024" / "IMG_1.jpg")  # moved and renamed
    shutil.copy(photographs / "green_00.jpg", photographs / "copy of green.jpg")
    (photographs / "blue_05.jpg").unlink()
    Image.new("RGB", (64, 48), (200, 40, 40)).save(photographs / "new.png")
    again = host()
    again.follow()
    files, states = again.captions()["files"], again.columns()["states"]
    assert len(files) == 37 and "new.png" in files and "blue_05.jpg" not in files
    named = {file for file, state in zip(files, states) if state == 1}
    assert named == {"2024/IMG_1.jpg", "green_00.jpg", "copy of green.jpg", "blue_00.jpg"}


def test_the_state_is_one_folder_that_can_be_opened_elsewhere(
    host: Callable[..., Hosted], photographs: Path, tmp_path: Path
) -> None:
    served = host()
    served.name({"red_00.jpg": "red", "green_00.jpg": "green"})
    labels = (served.follow(), served.columns())[1]["labels"]
    served.stop()
    elsewhere = tmp_path / "elsewhere"
    shutil.make_archive(str(tmp_path / "carried"), "zip", tmp_path / "state")
    with zipfile.ZipFile(tmp_path / "carried.zip") as carried:
        carried.extractall(elsewhere / "state")
    photographs.rename(elsewhere / "photographs")
    other = host(here=elsewhere)
    other.follow()
    assert other.columns()["labels"] == labels


@pytest.mark.parametrize("way", ["flag", "left", "page"])
def test_an_old_table_of_names_is_taken_over(
    way: str, host: Callable[..., Hosted], photographs: Path, tmp_path: Path
) -> None:
    table = "path,label\nred_03.jpg,red\ngreen_01.jpg,green\nblue_02.jpg,\n"
    if way == "left":
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "name_these.csv").write_text(table)
        (tmp_path / "state" / "sort.csv").write_text(
            "path,group,typicality,outlier_score,name_first,label,confidence\n")
    elif way == "flag":
        (tmp_path / "old.csv").write_text(table)
    served = host(*(["--labels", "old.csv"] if way == "flag" else []))
    if way == "page":
        assert served.ask("table", text=table) == {"named": 2}
        assert "line 2: nowhere.jpg" in refused(lambda: served.ask("table", text="path,label\nnowhere.jpg,red\n"))[1]
    state = served.follow()
    assert state["names"] == ["green", "red"] and state["sorted"]["given"] == 2


def test_a_file_that_cannot_be_read_is_left_out_and_said(host: Callable[..., Hosted], photographs: Path) -> None:
    (photographs / "broken.jpg").write_bytes((photographs / "red_00.jpg").read_bytes()[:300])
    state = host().wait(lambda state: state.get("sorted"))
    assert state["pictures"] == 36 and len(state["unreadable"]) == 1 and "broken.jpg" in state["unreadable"][0]


@pytest.mark.parametrize(("words", "said"), [
    (("--apply", "copy"), "--apply: read only with no --serve"), (("--out", "photographs/state"), "lies in photographs"),
    (("--groups", "99"), "needs at least 99")])
def test_what_cannot_be_is_refused_before_anything_is_served(
    words: tuple[str, ...], said: str, photographs: Path, call_main: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = call_main(sort.main, "photographs", "--serve", *words, *QUICK)
    assert done.returncode == 2 and said in done.stderr and "http" not in done.stdout


def test_links_out_of_the_folder_are_refused(
    photographs: Path, tmp_path: Path, call_main: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (photographs / "red_00.jpg").rename(tmp_path / "outside.jpg")
    (photographs / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    done = call_main(sort.main, "photographs", "--serve", *QUICK)
    assert done.returncode == 2 and "link.jpg" in done.stderr and "lead out of" in done.stderr


def test_an_empty_folder_is_told(tmp_path: Path, call_main: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    (tmp_path / "photographs").mkdir()
    done = call_main(sort.main, "photographs", "--serve", *QUICK)
    assert done.returncode == 2 and done.stderr.startswith("error:")


def test_a_table_is_taken_over_once(host: Callable[..., Hosted], photographs: Path, tmp_path: Path) -> None:
    """The same command, started again, leaves what was corrected on the page."""
    (tmp_path / "old.csv").write_text("path,label\nred_03.jpg,red\ngreen_01.jpg,green\n")
    served = host("--labels", "old.csv")
    served.name({"red_03.jpg": "scarlet"})
    served.stop()
    again = host("--labels", "old.csv")
    assert again.follow()["names"] == ["green", "scarlet"]
    again.stop()
    (tmp_path / "old.csv").write_text("path,label\nblue_03.jpg,blue\n")
    assert host("--labels", "old.csv").follow()["names"] == ["blue", "green", "scarlet"]


def test_a_photograph_that_was_removed_meanwhile_is_told(host: Callable[..., Hosted], photographs: Path) -> None:
    served = host()
    served.wait(lambda state: state.get("sorted"))
    (photographs / "blue_00.jpg").unlink()
    for look in ("api/picture/0", "photograph/0"):
        code, said = refused(lambda look=look: served.get(look))
        assert code == 404 and "blue_00.jpg" in said


def test_numbers_of_groups_that_cannot_be_are_refused(host: Callable[..., Hosted], photographs: Path) -> None:
    served = host()
    served.wait(lambda state: state.get("landscape", {}).get("twins"))
    for groups in (0, -1, 37):
        code, said = refused(lambda groups=groups: served.ask("scale", groups=groups))
        assert code == 400 and str(groups) in said
    assert served.ask("scale", groups=3) == {} and served.state()["landscape"]["scale"] == 3


def test_a_folder_whose_name_is_no_utf8_has_a_page(host: Callable[..., Hosted], photographs: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / os.fsdecode(b"M\xe9sanges")
    elsewhere.mkdir()
    photographs.rename(elsewhere / "photographs")
    (elsewhere / "photographs" / "red_00.jpg").rename(elsewhere / "photographs" / os.fsdecode(b"\xe9.jpg"))
    served = host(here=elsewhere)
    served.name({"red_01.jpg": "red", "blue_00.jpg": "blue"})
    served.follow()
    assert "xE9" in served.ask("finish", how="copy", threshold=0.5)["folder"] and "\\xE9.jpg" in served.captions()["files"]
    assert b"photographs" in served.get("")
