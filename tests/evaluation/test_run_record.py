"""A run is what its args.json says: which flags were given, what a run lends to the others, and what contradicts it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from engine.flags.finetune.arguments import make_parser
from engine.flags.finetune.finished import find_finished_classifier, is_own
from engine.flags.finetune.options import FinetuneOptions
from engine.flags.finished import find_contradictions, settle_flags
from engine.flags.parser import Parser, boolean, imply
from evaluation.run_record import ARGS, find_photographs, find_run, name_method, open_finished, read_args, write_args
from runtime.errors import ConfigError
from runtime.options import list_given


@dataclass(frozen=True, kw_only=True)
class RunOptions(FinetuneOptions):
    """Options of a run that has crops too, as pre-training's."""

    crop_root: str = "auto"


def parser() -> Parser:
    made = Parser(prog="x")
    made.add_argument("photo", nargs="*")
    made.add_argument("--size", "--input-size", type=int, default=224)
    made.add_argument("--results-dir", default="out")
    made.add_argument("--root", nargs="+", required=True)
    made.add_argument("--normalize", type=boolean, nargs="?", const=True, default=True)
    made.set_defaults(size=32)
    return made


def test_flags_know_which_were_given() -> None:
    args = parser().parse_args(["--root", "a", "b", "--input_size=64", "--normalize"])
    assert list_given(args) == {"root": "--root", "size": "--input-size", "normalize": "--normalize"}
    assert args.size == 64 and args.results_dir == "out" and "given" not in vars(args)
    assert list_given(parser().parse_args(["--root", "a"])) == {"root": "--root"}
    assert parser().parse_args(["--root", "a"]).size == 32  # defaults outlive the second look


def test_what_a_run_had_stands_under_what_the_user_gave() -> None:
    args = parser().parse_args(["--root", "a", "--size", "64"])
    settings = {"size": 48, "root": ["b"], "normalize": False, "results_dir": "theirs", "unknown": 1}
    settle_flags(args, settings)
    assert (args.size, args.root, args.normalize, args.results_dir) == (64, ["a"], False, "out")
    (line,) = find_contradictions(args, settings, "runs/x", free={"root"})
    assert line.startswith("--size is 64, but runs/x was trained with 48: leave --size out")
    assert not find_contradictions(args, {**settings, "size": 64}, "runs/x", free={"root"})
    imply(args, "--arch resnet50_double", "normalize")
    assert "--normalize is false by --arch resnet50_double" in find_contradictions(
        args, {"normalize": True}, "runs/x", free=set())[0]


def test_a_file_tells_what_its_folder_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "model_last.pth"
    torch.save({"format": "x", "meta": json.dumps({"size": 48, "view": {"recipe": "warp", "size": 40}})}, file)
    assert open_finished(file, remedy="").settings["size"] == 48 and "stands in for it" in capsys.readouterr().err
    (tmp_path / "args.json").write_text(json.dumps({"size": 64}))
    assert open_finished(file, remedy="").settings == {"size": 64} and find_run(file) == tmp_path == find_run(tmp_path)
    torch.save({}, tmp_path / "other.pth")  # not one that a run leaves behind: the folder's word is not its own
    assert open_finished(tmp_path / "other.pth", remedy="").settings == {} and "the flags do" in capsys.readouterr().err
    (tmp_path / "args.json").write_text("[1]")
    with pytest.raises(ConfigError, match="a list.*not the flags of a run"):
        read_args(tmp_path)
    with pytest.raises(ConfigError, match="no network at .*; give one"):
        open_finished(tmp_path / "gone.pth", remedy="give one")


def test_methods_have_words() -> None:
    assert name_method({"method": "obdsd", "loss": "margin", "PSD": True, "OBDP": True, "diffusion_norm": "softmax"}
                       ) == "margin+PSD+OBDP(softmax)"
    assert name_method({"method": "distill", "distillation_type": "soft"}) == "soft-distill"
    assert name_method({"method": "lead"}) == "lead" and name_method({}) == ""


@pytest.mark.parametrize("name, value, said", [
    ("size", -4, "'size' is -4, but it must be"), ("num_selects", 4, "'num_selects' is 4, not a list"),
    ("seed", 2 ** 70, "but it must be a whole number"), ("model", 5, "'model' is 5"), ("method", "nosuch", "is nosuch"),
    ("ensemble_order", "sideways", "is sideways"), ("data_set", "CUB", "not a list"), ("val_share", 3.0, "below 1")])
def test_settings_that_no_flag_could_have_had_are_refused(name: str, value: object, said: str) -> None:
    args = make_parser().parse_args(["--root", "a", "--eval"])
    with pytest.raises(ConfigError, match="args.json.*" + said):
        settle_flags(args, {"size": 32, name: value})


def test_settings_of_a_run_pass_as_they_were_written() -> None:
    args = make_parser().parse_args(["--root", "a", "--eval"])
    settle_flags(args, {"size": 32, "num_selects": {"layer1": 3}, "taps": ["stages.0", "stages.1"], "recipe": "seed",
                        "data_set": ["CUB"], "crop_bottom": 0, "eval_view": "warp", "seed": 2 ** 32 - 1, "nb_classes": 3})
    assert args.size == 32 and args.data_set == ["CUB"]


def test_a_word_that_decides_several_flags_is_told_once() -> None:
    args = parser().parse_args(["--root", "a"])
    args.one, args.two = True, True
    imply(args, "--both", "one", "two")
    assert len(find_contradictions(args, {"one": False, "two": False}, "runs/x", free=set())) == 1


def test_the_folders_of_a_run_are_its_own_in_any_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for root, own in (("birds", True), (str(tmp_path / "birds"), True), ("./x/../birds", True), ("cars", False)):
        args = make_parser().parse_args(["--root", root, "--eval"])
        assert is_own(args, {"root": ["birds"], "test_root": []}) is own
    assert is_own(make_parser().parse_args(["--eval"]), {"root": ["birds"]})
    assert not is_own(make_parser().parse_args(["--eval", "--test-root", "birds"]), {"root": ["birds"]})


def test_folders_of_a_run_are_meant_from_where_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("project/birds", "project/run", "other/birds", "third"):
        (tmp_path / place).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    args = make_parser().parse_args(["--root", "birds", "--eval"])
    args.test_root, args.crop_root, args.crop_bottom = ["birds", str(tmp_path)], "auto", 0
    write_args(Path("run"), RunOptions.read(vars(args)))
    monkeypatch.chdir(tmp_path / "other")  # a folder of that name is here too
    found = read_args(tmp_path / "project/run")
    meant = str(tmp_path / "project/birds")
    assert (found["root"], found["test_root"], found["crop_root"]) == (meant, [meant, str(tmp_path)], "auto")
    assert find_photographs([meant], Path("run", ARGS)) == [meant] and not capsys.readouterr().err
    (tmp_path / "project/birds").rename(tmp_path / "project/gone")
    assert read_args(tmp_path / "project/run")["root"] == "birds"  # the only one of that name, and that is told
    find_photographs(["birds"], Path("run", ARGS))
    assert f"{tmp_path / 'other/birds'} is taken, --root names another" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "third")
    told = read_args(tmp_path / "project/run")["root"]
    with pytest.raises(ConfigError, match=f"^{meant}: no such folder or list; run/args.json names it .*--root"):
        find_photographs([str(told)], Path("run", ARGS))
    with pytest.raises(ConfigError, match=f"birds: no such folder or list in {tmp_path / 'third'}; "):
        find_photographs(["birds"], Path("run", ARGS))  # of an earlier release


def test_other_photographs_take_the_place_of_all_that_a_run_read(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "model_last.pth")
    (tmp_path / "a").mkdir()
    (tmp_path / ARGS).write_text(json.dumps({"root": [str(tmp_path / "a")], "test_root": [str(tmp_path / "gone")]}))
    for words, root, test in ((["--root", "new"], "new", None), (["--test-root", "new"], None, ["new"])):
        args = make_parser().parse_args(["--eval", str(tmp_path), *words])
        find_finished_classifier(args)
        assert (args.root, args.test_root) == (root, test)
    with pytest.raises(ConfigError, match="gone: no such folder or list; .*args.json names it"):
        find_finished_classifier(make_parser().parse_args(["--eval", str(tmp_path)]))
