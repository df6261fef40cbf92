"""`pip install` of the package, used from an empty folder elsewhere, beside packages of others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from models.classifiers.classifier import Classifier
from models.classifiers.file import save_classifier
from plumage import __version__
from plumage.finder import ROOMS

ROOT = Path(__file__).resolve().parents[2]
GENERIC = (f"import sys; ours = {sorted(ROOMS)}; here = [n for n in sys.modules if n.partition('.')[0] in ours]; "
           "assert not here, here")


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the package is built of, in a place that may be written to."""
    copy = tmp_path_factory.mktemp("tree")
    for name in ("setup.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for room in (*ROOMS, "plumage"):
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__", "crop_dataset"))
    return copy


@pytest.fixture(scope="session")
def installed(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed into."""
    pytest.importorskip("setuptools", reason="it builds the package")
    target = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
                    "--disable-pip-version-check", "--target", str(target), str(tree)], check=True)
    return target


@pytest.fixture
def call(installed: Path, tmp_path: Path) -> object:
    """call(code, *folders): a program in an empty folder, with the package and these folders on its path."""
    place = tmp_path / "elsewhere"
    place.mkdir()

    def run(code: str, *folders: Path, first: bool = False, **more: str) -> str:
        (place / "program.py").write_text(code, encoding="utf-8")
        order = [*folders, installed] if first else [installed, *folders]
        kept = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if "loopback" in one]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, order), *kept]), "OMP_NUM_THREADS": "1", **more}
        done = subprocess.run([sys.executable, "program.py"], cwd=place, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert {path.name for path in place.iterdir()} <= {"program.py", "photos", "checkpoints"}
        return done.stdout

    return run


@pytest.mark.shared
def test_the_lines_of_readme_run_as_they_stand_there(call: object, shared_data: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"## In your own program.*?```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "elsewhere" / "photos").mkdir()
    for path in sorted((shared_data / "cub10").rglob("*.jpg"))[:12]:
        shutil.copy(path, tmp_path / "elsewhere" / "photos")
    run = tmp_path / "elsewhere" / "checkpoints" / "my_birds"
    run.mkdir(parents=True)
    save_classifier(Classifier("test_resnet", 2).eval(), run / "model_last.pth", class_names=["wren", "robin"], sources=[],
                    view={"recipe": "short", "size": 64}, meta={})
    said = call(code + "print(embeddings.shape, embeddings.dtype, len(names), set(names) <= {'wren', 'robin'}, len(boxes))\n"
                "assert all(x1 < x2 and y1 < y2 for x1, y1, x2, y2 in boxes)\n" + GENERIC)
    assert said == "(12, 1280) float32 12 True 12\n"


def test_importing_it_alone_is_light_and_tells_the_version(call: object) -> None:
    said = call("import sys, plumage\nprint(plumage.__version__, 'torch' in sys.modules)\n"
                "import importlib.metadata as m; print(m.version('plumage-lookalikes'))\n"
                "print(m.requires('plumage-lookalikes'))\n" + GENERIC)
    version, recorded, needs = said.splitlines()
    assert version == f"{__version__} False" and recorded == __version__
    asked = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert [one.replace(" ", "") for one in eval(needs)] == [line for line in asked if line]


def test_everything_of_the_rooms_came_along(installed: Path) -> None:
    assert sorted(path.name for path in installed.iterdir() if not path.name.endswith("info")) == ["plumage"]
    tracked = subprocess.run(["git", "ls-files", *sorted(ROOMS), "plumage"], cwd=ROOT, capture_output=True, text=True)
    files = tracked.stdout.split()
    if not files:
        pytest.skip("no git checkout")
    for name in files:
        assert (installed / ("" if name.startswith("plumage/") else "plumage") / name).is_file(), name
    assert len(files) > 350 and not (installed / "plumage" / "tools").exists()


def test_every_file_of_the_rooms_can_be_imported_under_its_new_name(call: object, installed: Path) -> None:
    said = call(f"""
import importlib, pathlib, plumage, sys
root = pathlib.Path(plumage.__file__).parent
for path in sorted(root.rglob("*.py")):
    name = ".".join(("plumage", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
    if path.stem != "__main__":
        module = importlib.import_module(name)
        assert module.__file__ == str(path) and module.__name__ == name
        for one in vars(module).values():
            assert not str(getattr(one, "__module__", "")).partition(".")[0] in {sorted(ROOMS)}, (name, one)
print(len(sys.modules))
{GENERIC}""")
    assert int(said) > 400


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("order", ["from plumage.datasets import files as ours\nimport datasets, models",
                                   "import datasets, models\nfrom plumage.datasets import files as ours"])
def test_packages_of_others_keep_their_names(call: object, tmp_path: Path, order: str, first: bool) -> None:
    """Such as Hugging Face's datasets, whichever is imported first and wherever each lies on the path."""
    for name in ("datasets", "models"):
        (tmp_path / "others" / name).mkdir(parents=True)
        (tmp_path / "others" / name / "__init__.py").write_text(f"theirs = '{name}'\n")
    said = call(f"{order}\nprint(datasets.theirs, models.theirs, ours.__name__, hasattr(ours, 'decode'))",
                tmp_path / "others", first=first)
    assert said == "datasets models plumage.datasets.files True\n"


def test_source_tracebacks_and_pickles_speak_of_the_true_file(call: object, installed: Path) -> None:
    said = call("""
import inspect, pickle, traceback
from plumage import ConfigError, DataError, load_encoder
from plumage.datasets.crops import Box
from plumage.models.encoder import Encoder
import plumage.runtime.errors
print(inspect.getsourcefile(Encoder), inspect.getsource(Encoder).splitlines()[0])
assert pickle.loads(pickle.dumps(Box(1, 2, 3, 4))) == Box(1, 2, 3, 4) and Box.__module__ == "plumage.datasets.crops"
assert DataError is plumage.runtime.errors.DataError
try:
    load_encoder("package:efficientnet-lite0", view="nose")
except ConfigError:
    last = traceback.extract_tb(__import__("sys").exc_info()[2])[-1]
    print(last.filename, last.line)
""")
    source, where = said.splitlines()
    package = installed / "plumage"
    assert source == f"{package / 'models' / 'encoder.py'} class Encoder(OutputNetwork):"
    assert where.startswith(f"{package / 'evaluation' / 'library' / 'weights.py'} raise ConfigError(f\"view ")


def test_workers_that_are_spawned_find_it(call: object, photo_tree: Path) -> None:
    said = call(f"""
import torch
from plumage.datasets.images import scan
from plumage.datasets.loader import collate
from plumage.datasets.sampling.batches import Draw
from plumage.datasets.view_set import ViewSet
from plumage.datasets.views.recipes import View
if __name__ == "__main__":
    images = scan({str(photo_tree)!r}, "test")
    loader = torch.utils.data.DataLoader(
        ViewSet(images, {{"view": View("full", "eval", 32)}}), batch_sampler=[[Draw(0, 0), Draw(1, 0)]], num_workers=1,
        multiprocessing_context="spawn", collate_fn=collate)
    for batch in loader:
        print(batch.views["view"].shape, type(batch).__module__)
""")
    assert said == "torch.Size([2, 3, 32, 32]) plumage.datasets.loader\n"


def test_kept_code_is_its_own_and_follows_the_source(call: object, installed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(installed, copy)
    words = copy / "plumage" / "runtime" / "words.py"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

    def run(path: Path, code: str) -> str:
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True,
                              env=environment | {"PYTHONPATH": str(path)}).stdout

    plain = "import runtime.words as w; print(w.__cached__, w.boolean.__code__.co_consts, w.__name__)"
    ours = plain.replace("import runtime.words", "import plumage.runtime.words")
    before = run(copy / "plumage", plain)
    first = run(copy, ours)
    kept = sorted(path.name for path in (words.parent / "__pycache__").glob("words.*"))
    assert len(kept) == 2 and sum("opt-plumage" in name for name in kept) == 1
    assert run(copy / "plumage", plain) == before and run(copy, ours) == first
    words.write_text(words.read_text() + "\n\nadded = 1\n")
    assert run(copy, "import plumage.runtime.words as w; print(w.added)") == "1\n"
    for path in (words.parent / "__pycache__").glob("*opt-plumage*"):
        path.write_bytes(path.read_bytes()[:20])  # cut off by a full disk
    assert run(copy, "import plumage.runtime.words as w; print(w.added)") == "1\n"


def test_an_editable_install_reads_the_checkout(tree: Path, tmp_path: Path) -> None:
    """PEP 660, as `pip install -e .` does it."""
    pytest.importorskip("setuptools", reason="it builds the package")
    build = "import sys; from setuptools.build_meta import build_editable; build_editable(sys.argv[1])"
    (tmp_path / "site").mkdir()
    subprocess.run([sys.executable, "-c", build, str(tmp_path / "site")], cwd=tree, check=True, capture_output=True)
    (wheel,) = (tmp_path / "site").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (f"import site; site.addsitedir({str(tmp_path / 'site')!r})\n"
            "from plumage.models.encoder import Encoder; import plumage, inspect; print(inspect.getfile(Encoder))\n"
            f"{GENERIC}\n"
            "try:\n    import models\nexcept ImportError:\n    print('no models')")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines() == [str(tree / "models" / "encoder.py"), "no models"], done.stderr
