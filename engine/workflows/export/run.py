"""An export from its options to its files: opened, written in memory, checked, and only then laid down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets.places import list_overlaps
from engine.flags.evaluate.export import ExportOptions
from engine.workflows.export.card import write_card
from engine.workflows.export.check import Agreement, compare_with_torch
from engine.workflows.export.int8 import Price, measure_price
from engine.workflows.export.onnx import make_onnx
from engine.workflows.export.package import CARD, Package
from engine.workflows.export.photographs import CheckPictures, gather_photographs
from engine.workflows.export.safetensors import make_safetensors
from engine.workflows.export.subject import Exportable, open_exportable
from engine.workflows.export.timm import make_timm
from engine.workflows.export.torchscript import make_torchscript
from evaluation.features.sources import find_source, name_results_folder
from evaluation.options import ClassifierOptions
from evaluation.run_record import CHECKPOINTS
from runtime.errors import ConfigError, refuse
from runtime.files import write_bytes, write_text


@dataclass(frozen=True)
class Exported:
    """A checked package, and all that is told of it."""

    exportable: Exportable
    package: Package
    photographs: CheckPictures
    agreement: Agreement
    price: Price | None


def choose_export_folder(options: ExportOptions) -> Path:
    """--out, else export/ and the kind of file in the folder of the run; ConfigError for one in the photographs."""
    if options.out:
        refuse(list_overlaps(options, (CARD,)))
        return Path(options.out)
    told = ClassifierOptions(pretrained=options.pretrained)
    home = find_source(options.pretrained)[1] or CHECKPOINTS / name_results_folder(told)
    return home / "export" / (options.to if options.quantise == "none" else f"{options.to}-{options.quantise}")


def prepare_export(options: ExportOptions) -> Exported:
    """Everything but the writing; raises ConfigError, WeightsError or DataError."""
    exportable = open_exportable(options)
    photographs = gather_photographs(options, exportable)
    package = make_package(options, exportable)
    agreement = compare_with_torch(exportable, package, photographs)
    return Exported(exportable, package, photographs, agreement,
                    measure_price(options, exportable, package, photographs))


def make_package(options: ExportOptions, exportable: Exportable) -> Package:
    """The files in memory."""
    if options.to == "onnx":
        return make_onnx(exportable, options)
    if options.to == "torchscript":
        return make_torchscript(exportable, options)
    return make_timm(exportable) if options.to == "timm" else make_safetensors(exportable)


def publish_export(exported: Exported, folder: Path) -> None:
    """The files, each whole or not at all, and last the card, which speaks of them.

    Raises ConfigError rather than write over what is not of this command.
    """
    card = write_card(exported.exportable, exported.package, exported.agreement, exported.photographs, exported.price,
                      folder)
    strangers = [name for name in exported.package.files if (folder / name).exists()]
    if strangers and not (folder / CARD).is_file():
        raise ConfigError(f"{folder} holds {', '.join(strangers)} of something else; choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in exported.package.files.items():
        write_bytes(folder / name, content)
    write_text(folder / CARD, card)


def tell_export(exported: Exported, folder: Path) -> None:
    """What was written, how near it is, how it is loaded."""
    package = exported.package
    print(f"{exported.exportable.describe()}\n  {package.remark}; on {exported.photographs.source}: "
          f"{exported.agreement.describe()}")
    if package.full is not None:
        print(f"  int8: {exported.price.describe() if exported.price else 'not measured; --root gives photographs'}")
    print(f"  written to {folder}: {package.describe_sizes()}, {CARD}")
    print("\n".join(f"    {line}" for line in package.lines))
