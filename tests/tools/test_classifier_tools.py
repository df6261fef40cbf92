"""tools.evaluate, tools.infer and tools.heatmap on small classifiers, as a user calls them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.flags.command import exit_cleanly
from models.classifiers.classifier import Classifier
from models.classifiers.file import save_classifier
from models.plug_in.module import PlugInOptions, build_plug_in
from tools import evaluate, heatmap, infer

CLASSES = ("001.Red_bird", "002.Green_bird", "003.Blue_bird")
# Another order than the folders', and a class that they lack.
KNOWN = ("Blue bird", "Yellow bird", "Green bird", "Red bird")
QUICK = ("--device", "cpu", "-j", "0")
Run = Callable[..., None]


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(main: Callable[[], None], *words: object) -> None:
        monkeypatch.setattr(sys, "argv", ["tool", *map(str, words), *QUICK])
        exit_cleanly(main)

    return call


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network with two heads."""
    torch.manual_seed(0)
    network = Classifier("test_resnet", len(KNOWN), second_head=True).eval()
    path = tmp_path_factory.mktemp("net") / "model_last.pth"
    save_classifier(network, path, class_names=KNOWN, sources=[{"name": "birds", "first": 0, "classes": 4}],
                    view={"recipe": "warp", "size": 64}, meta={})
    return path


@pytest.fixture(scope="module")
def plug_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = build_plug_in("test_resnet", 3, size=64, options=PlugInOptions(fpn_size=8, selects=(40, 20, 8, 2)))
    path = tmp_path_factory.mktemp("net") / "pim.pth"
    save_classifier(network, path, class_names=CLASSES, sources=[], view={"recipe": "pim-eval", "size": 64}, meta={})
    return path


def test_inference_says_what_evaluation_says(photo_tree: Path, classifier: Path, tmp_path: Path, run: Run) -> None:
    run(evaluate.main, "--pretrained", classifier, "--root", photo_tree, "--out", tmp_path / "all")
    run(infer.main, photo_tree, "--pretrained", classifier, "--out", tmp_path / "some", "-b", 5, "--top", 9)
    row = json.loads((tmp_path / "all" / "results.jsonl").read_text())
    answers = table(tmp_path / "some" / "predictions.csv")
    assert [line["path"] for line in answers] == sorted(
        path.relative_to(photo_tree).as_posix() for path in photo_tree.glob("test/*/*.jpg"))
    assert {line["label"] for line in answers} == {"Red bird", "Green bird", "Blue bird"}
    right = [line["label"] == line["predicted"] for line in answers]
    assert [line["correct"] for line in answers] == [str(int(one)) for one in right]
    assert row["metrics"]["top1"] == pytest.approx(sum(right) / 12) and row["kind"] == "classify"
    shares = [[float(line[name]) for name in line if name.startswith("probability")] for line in answers]
    assert all(sum(line) == pytest.approx(1, abs=1e-5) and line == sorted(line, reverse=True) for line in shares)
    told = json.loads((tmp_path / "some" / "predictions.json").read_text())
    assert told["classes"] == list(KNOWN) and told["skipped"] == []
    for line, record in zip(answers, told["predictions"], strict=True):
        assert [record["path"], record["top"][0]["class"]] == [line["path"], line["predicted"]]
        assert KNOWN[record["top"][0]["index"]] == line["predicted"]
    for name in ("eval_results.txt", "infer_results.txt"):
        text = (tmp_path / ("all" if name[0] == "e" else "some") / name).read_text()
        assert f"    average-top-1 {100 * sum(right) / 12:.3f}%" in text
    files = {path.name for path in (tmp_path / "some").iterdir()}
    assert files == {"predictions.csv", "predictions.json", "predictions.png", "mistakes.png", "confusion.png",
                     "infer_results.txt"}


def test_the_page_opens_every_file(photo_tree: Path, plug_in: Path, tmp_path: Path, run: Run) -> None:
    run(evaluate.main, "--pretrained", plug_in, "--root", photo_tree, "--out", tmp_path)
    page = (tmp_path / "evaluation.html").read_text()
    others = {path.name for path in tmp_path.iterdir()} - {"evaluation.html", "results.jsonl", "net0", "photos"}
    linked = {name for name in others if f'href="{name}"' in page}
    assert {"eval_results.txt", "branches.csv", "classes.csv", "confusion.png", "reliability.png"} <= linked
    assert {name for name in others if Path(name).suffix} == linked
    names = [line["branch"] for line in table(tmp_path / "branches.csv")]
    assert names[:5] == ["layer1", "layer2", "layer3", "layer4", "combiner"] and "highest-5" in names
    classes = table(tmp_path / "classes.csv")
    assert [line["class"] for line in classes] == list(CLASSES) and {line["support"] for line in classes} == {"4"}


def test_a_joint_set_is_scored_by_source(photo_tree: Path, tmp_path: Path, run: Run) -> None:
    other = tmp_path / "other"
    (photo_tree / "test" / "003.Blue_bird").rename(tmp_path / "blue")
    for split in ("train", "test"):
        (other / split).mkdir(parents=True)
    (tmp_path / "blue").rename(other / "test" / "003.Blue_bird")
    (photo_tree / "train" / "003.Blue_bird").rename(other / "train" / "003.Blue_bird")
    torch.manual_seed(0)
    save_classifier(Classifier("test_resnet", 3).eval(), tmp_path / "joint.pth", class_names=CLASSES,
                    sources=[{"name": "A", "first": 0, "classes": 2}, {"name": "B", "first": 2, "classes": 1}],
                    view={"recipe": "warp", "size": 64}, meta={})
    run(evaluate.main, "--pretrained", tmp_path / "joint.pth", "--data-set", "CUB", "FOLDER", "--data-path",
        f"{photo_tree} {other}", "--out", tmp_path / "out", "--mistakes", 0)
    sources = table(tmp_path / "out" / "sources.csv")
    assert [(line["source"], line["images"]) for line in sources] == [("A", "8"), ("B", "4")]
    assert all(int(line["taken for A"]) + int(line["taken for B"]) == int(line["images"]) for line in sources)
    row = json.loads((tmp_path / "out" / "results.jsonl").read_text())
    assert set(row["details"]["sources"]) == {"A", "B"} and not (tmp_path / "out" / "mistakes.png").exists()


def test_pictures_without_labels_in_the_order_given(photo_tree: Path, classifier: Path, tmp_path: Path, run: Run) -> None:
    files = sorted(map(str, photo_tree.glob("test/*/*.jpg")), reverse=True)[:3]
    run(infer.main, *files, "--pretrained", classifier, "--out", tmp_path / "out", "--top", 2)
    answers = table(tmp_path / "out" / "predictions.csv")
    assert [line["path"] for line in answers] == files and {line["label"] for line in answers} == {""}
    assert "class_2" in answers[0] and "class_3" not in answers[0]
    assert not (tmp_path / "out" / "confusion.png").exists() and not (tmp_path / "out" / "infer_results.txt").exists()


def test_pictures_that_do_not_decode(
    photo_tree: Path, classifier: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = photo_tree / "test" / CLASSES[1] / "broken.jpg"
    bad.write_bytes(b"no picture")
    with pytest.raises(SystemExit):
        run(infer.main, photo_tree, "--pretrained", classifier, "--out", tmp_path / "out")
    assert "broken.jpg" in capsys.readouterr().err and not (tmp_path / "out").exists()
    run(infer.main, photo_tree, "--pretrained", classifier, "--out", tmp_path / "out", "--skip-bad", "--shown", 0)
    assert [line["path"] for line in table(tmp_path / "out" / "skipped.csv")] == [f"test/{CLASSES[1]}/broken.jpg"]
    answers = [line["path"] for line in table(tmp_path / "out" / "predictions.csv")]
    assert len(answers) == 12 and answers == sorted(answers) and "1 were skipped" in capsys.readouterr().out


def test_folders_that_are_no_classes(
    photo_tree: Path, plug_in: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        (photo_tree / split / CLASSES[0]).rename(photo_tree / split / "holiday")
    words = (photo_tree, "--pretrained", plug_in, "--out", tmp_path / "out", "--shown", 0)
    with pytest.raises(SystemExit):
        run(infer.main, *words)
    message = capsys.readouterr().err
    assert "1 of its 3 classes are unknown" in message and "(holiday)" in message and "--labels none" in message
    run(infer.main, *words, "--labels", "none", "--split", "test")
    assert len(table(tmp_path / "out" / "predictions.csv")) == 36  # all below the folder, whatever the folders mean
    for split in ("train", "test"):
        (photo_tree / split / CLASSES[1]).rename(photo_tree / split / "monday")
        (photo_tree / split / CLASSES[2]).rename(photo_tree / split / "tuesday")
    run(infer.main, *words)
    assert "count as unlabelled" in capsys.readouterr().err and len(table(tmp_path / "out" / "predictions.csv")) == 12
    with pytest.raises(SystemExit):
        run(evaluate.main, "--pretrained", plug_in, "--root", photo_tree)
    assert "(holiday, monday, tuesday)" in capsys.readouterr().err


def test_a_run_says_where_its_pictures_are(
    photo_tree: Path, classifier: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model_last.pth").write_bytes(classifier.read_bytes())
    with pytest.raises(SystemExit):
        run(evaluate.main, "--pretrained", folder)
    assert "--root is missing" in capsys.readouterr().err
    (folder / "args.json").write_text(json.dumps({"root": ["elsewhere"], "test_root": [str(photo_tree)], "data_set": []}))
    run(evaluate.main, "--pretrained", folder)
    assert f"--root is that of the run, {photo_tree}" in capsys.readouterr().err
    row = json.loads((folder / "evaluation" / "results.jsonl").read_text().splitlines()[-1])
    assert row["images"] == len(list(photo_tree.glob("test/*/*.jpg")))


@pytest.mark.parametrize(("words", "message"), [
    (["nowhere.jpg"], "no such picture or folder: nowhere.jpg"),
    (["{root}", "{root}"], "give pictures, or a single folder"),
    (["{root}/boxes.txt"], "no pictures by their names"),
    (["{root}", "--top", "0"], "--top is 0, but it must be a whole number, at least 1"),
])
def test_messages(photo_tree: Path, classifier: Path, run: Run, capsys: pytest.CaptureFixture[str], words: list[str],
                  message: str) -> None:
    (photo_tree / "boxes.txt").write_text("")
    with pytest.raises(SystemExit):
        run(infer.main, *(word.format(root=photo_tree) for word in words), "--pretrained", classifier)
    assert message in capsys.readouterr().err


def test_files_that_are_no_classifiers(photo_tree: Path, tmp_path: Path, run: Run,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"format": "plumage-encoder"}, tmp_path / "encoder.pth")
    torch.save({"identity": {}}, tmp_path / "state.pt")
    for source, message in ((tmp_path / "encoder.pth", "encoder without classes"), ("none", "name no classes"),
                            (tmp_path / "state.pt", "a state to continue from")):
        with pytest.raises(SystemExit):
            run(infer.main, photo_tree, "--pretrained", source)
        assert message in capsys.readouterr().err


def test_a_public_file_takes_its_names_from_a_list(
    photo_tree: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    torch.save({"model": Classifier("test_resnet", 3).net.state_dict()}, tmp_path / "public.pth")
    words = (photo_tree, "--pretrained", tmp_path / "public.pth", "--model", "test_resnet", "--size", 64, "--out",
             tmp_path / "out", "--shown", 0)
    with pytest.raises(SystemExit):
        run(infer.main, *words)
    assert "give --class-names FILE" in capsys.readouterr().err
    (tmp_path / "names.txt").write_text("\n".join(CLASSES))
    run(infer.main, *words, "--class-names", tmp_path / "names.txt")
    answers = [line["correct"] for line in table(tmp_path / "out" / "predictions.csv")]
    run(evaluate.main, "--pretrained", tmp_path / "public.pth", "--model", "test_resnet", "--size", 64, "--root",
        photo_tree, "--out", tmp_path / "all", "--mistakes", 0)
    row = json.loads((tmp_path / "all" / "results.jsonl").read_text())
    assert "does not name its classes" in capsys.readouterr().out
    assert row["metrics"]["top1"] == pytest.approx(answers.count("1") / 12)


def test_heat_maps_of_a_plug_in_module(
    photo_tree: Path, plug_in: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = sorted(path.relative_to(photo_tree).as_posix() for path in photo_tree.glob("test/*/*.jpg"))
    (photo_tree / "boxes.csv").write_text("path,x1,y1,x2,y2\n" + "".join(f"{key},16,12,48,36\n" for key in keys))
    run(heatmap.main, "--pretrained", plug_in, "--root", photo_tree, "--out", tmp_path / "heat", "--class", "true",
        "--shown", 2, "--level-weights", 1, 0, 0, 0)
    rows = table(tmp_path / "heat" / "heatmap.csv")
    assert [row["path"] for row in rows] == [*keys, "MEAN"] and "the true class" in capsys.readouterr().out
    assert rows[0]["label"] == CLASSES[0] and 0 < float(rows[0]["selected_layer2_energy"]) < 1
    assert float(rows[0]["fused_energy"]) == pytest.approx(float(rows[0]["layer1_energy"]), abs=2e-4)
    assert "selected_layer1_pointing" not in rows[0]
    assert Image.open(tmp_path / "heat" / "heatmap.png").size[1] > 900
    for words, message in ((["--class", "Owl"], "knows no such class"), (["--level-weights", "1"], "has 4 levels")):
        with pytest.raises(SystemExit):
            run(heatmap.main, "--pretrained", plug_in, "--root", photo_tree, "--out", tmp_path / "no", *words)
        assert message in capsys.readouterr().err


def test_heat_maps_of_a_class_and_of_single_pictures(photo_tree: Path, classifier: Path, tmp_path: Path, run: Run) -> None:
    photo = next(photo_tree.glob("test/*/*.jpg"))
    found = {}
    for wanted in ("Yellow bird", "2"):
        run(heatmap.main, "--pretrained", classifier, "--image", photo, "--class", wanted, "--out", tmp_path / wanted)
        found[wanted] = (tmp_path / wanted / "heatmap.png").read_bytes()
        (row,) = table(tmp_path / wanted / "heatmap.csv")[:-1]
        assert row["path"] == str(photo) and row["predicted"] in KNOWN and row["label"] == ""
    assert found["Yellow bird"] != found["2"]
