"""Classes of pictures in a program: the numbers of tools.infer."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.library.recogniser import Recogniser, open_recogniser
from models.classifiers.classifier import Classifier
from models.classifiers.file import save_classifier
from models.plug_in.module import PlugInOptions, build_plug_in
from runtime.errors import ConfigError, WeightsError
from tools import infer

NAMES = ("Blue bird", "Yellow bird", "Green bird", "Red bird")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("net") / "two_heads.pth"
    save_classifier(Classifier("test_resnet", 4, second_head=True).eval(), path, class_names=NAMES, sources=[],
                    view={"recipe": "warp", "size": 64}, meta={"crop_bottom": 3})
    return path


@pytest.fixture(scope="module")
def plug_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = build_plug_in("test_resnet", 4, size=64, options=PlugInOptions(fpn_size=8, selects=(40, 20, 8, 2)))
    path = tmp_path_factory.mktemp("net") / "pim.pth"
    save_classifier(network, path, class_names=NAMES, sources=[], view={"recipe": "pim-eval", "size": 64}, meta={})
    return path


@pytest.fixture
def paths(photo_tree: Path) -> list[Path]:
    return sorted(photo_tree.rglob("*.jpg"))


@pytest.mark.parametrize("kind", ["classifier", "plug_in"])
def test_the_numbers_are_those_of_the_command(
    kind: str, request: pytest.FixtureRequest, paths: list[Path], tmp_path: Path
) -> None:
    file = request.getfixturevalue(kind)
    infer.main([*map(str, paths), "--pretrained", str(file), "--device", "cpu", "-j", "0", "-b", "7", "--top", "3", "--out",
                str(tmp_path / "out"), "--shown", "0"])
    wanted = json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]
    found = open_recogniser(file, device="cpu").predict(paths, top=3, batch_size=7)
    assert len(found) == len(wanted) == 36
    for one, other in zip(found, wanted):
        assert [place["class"] for place in other["top"]] == list(one.names) and len(one.names) == 3
        assert [place["index"] for place in other["top"]] == list(one.classes)
        assert [place["probability"] for place in other["top"]] == [round(share, 6) for share in one.probabilities]
        assert (one.name, one.probability) == (one.names[0], max(one.probabilities))


def test_the_logits_are_the_same_to_the_last_bit(classifier: Path, paths: list[Path]) -> None:
    from datasets.images import ImageSet
    from datasets.layouts.listing import Sample
    from evaluation.classifier.trained import open_classifier
    from evaluation.options import ClassifierOptions

    trained = open_classifier(ClassifierOptions(pretrained=str(classifier), device="cpu", num_workers=0), 64)
    images = ImageSet(Path(), "pictures", tuple(Sample(path, str(path), None) for path in paths), ())
    recogniser = open_recogniser(classifier, device="cpu")
    found = recogniser.probabilities(paths)
    assert recogniser.look.crop_bottom == trained.crop_bottom == 3
    assert found.dtype == np.float32 and np.array_equal(found, trained.classify(images).probabilities.numpy())
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_one_picture_or_none(classifier: Path, paths: list[Path]) -> None:
    recogniser = open_recogniser(classifier, device="cpu")
    (one,) = recogniser.predict(paths[0], top=99)
    assert sorted(one.names) == sorted(NAMES) and one.probabilities == tuple(sorted(one.probabilities, reverse=True))
    with pytest.raises(ConfigError, match="top 0: give 1 or more"):
        recogniser.predict(paths, top=0)
    assert recogniser.predict([]) == [] and recogniser.probabilities([]).shape == (0, 4)


def test_threads_share_one_whose_layers_are_listened_to(plug_in: Path, paths: list[Path]) -> None:
    recogniser = open_recogniser(plug_in, device="cpu")
    wanted = [recogniser.probabilities(paths[start : start + 4]) for start in range(0, 36, 4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda start: recogniser.probabilities(paths[start : start + 4]), range(0, 36, 4)))
    assert all(np.array_equal(one, other) for one, other in zip(found, wanted))


def test_it_travels_to_another_process(classifier: Path, paths: list[Path]) -> None:
    recogniser = open_recogniser(classifier, device="cpu")
    copy: Recogniser = pickle.loads(pickle.dumps(recogniser))
    assert np.array_equal(copy.probabilities(paths), recogniser.probabilities(paths))


def test_names_may_be_given_and_must_be_as_many(classifier: Path, paths: list[Path]) -> None:
    assert open_recogniser(classifier, device="cpu", class_names="abcd").names == tuple("abcd")
    with pytest.raises(ConfigError, match="tells 4 classes apart, and 2 names are known"):
        open_recogniser(classifier, device="cpu", class_names=["a", "b"])


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name no classes of yours"):
        open_recogniser("package:efficientnet-lite0")
    with pytest.raises(WeightsError, match="no such file"):
        open_recogniser(tmp_path / "absent.pth")


def test_a_view_of_the_callers_own(classifier: Path) -> None:
    look = open_recogniser(classifier, device="cpu", size=96, view="squash", crop_bottom=0).look
    assert (look.view.size, look.view.recipe, look.crop_bottom) == (96, "squash", 0)
