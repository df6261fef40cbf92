"""What is wrong with a folder of photographs: copies, leaks between splits, doubtful labels, broken and odd files.

python -m tools.audit photos --out audit
python -m tools.audit photos --out audit --split train --score     how well wrong labels would be found here
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if __package__ in (None, ""):  # started as a file: the root is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.flags.command import exit_cleanly
from engine.flags.evaluate.arguments import make_parser, read_evaluation, refuse_or_note
from engine.flags.evaluate.options import AuditOptions
from runtime.errors import Problems
from runtime.files import DRAFT
from runtime.folders.locks import NAME as LOCK


def parse(argv: Sequence[str] | None = None) -> AuditOptions:
    """The options, automatic values resolved; raises ConfigError with every problem."""
    parser = make_parser("python -m tools.audit", "Tell what is wrong with a folder of photographs.", AuditOptions)
    parser.epilog = "Nothing of the folder is changed."
    options, problems, _ = read_evaluation(parser, AuditOptions, argv)
    options = replace(options, out=options.out or options.results_dir or "audit")
    problems.lines += check_audit_place(options)
    refuse_or_note(options, problems)
    return options


def check_audit_place(options: AuditOptions) -> list[str]:
    """What is wrong with the output folder."""
    from evaluation.audit.page import is_audit

    out, folder = options.place, Path(options.folder)
    if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
        return [f"{out} lies in {folder}, whose files stay as they are; give --out another place"]
    strangers = out.is_dir() and any(path.name != LOCK and not DRAFT.fullmatch(path.name) for path in out.iterdir())
    if out.exists() and (not out.is_dir() or (strangers and not is_audit(out))):
        return [f"{out} exists and is no earlier audit; give --out another place"]
    return []


def main() -> None:
    """The command."""
    options = parse()
    import torch

    from engine.results_folder import hold_results
    from engine.workflows.audit import audit_shelf, read_shelf, record_audit, tell_limits, write_audit
    from evaluation.audit.page import tell_audit
    from evaluation.features.subject import check_classes, open_subject

    subject = open_subject(options, torch.device(options.device), options.batch_size)
    shelf = read_shelf(subject.root, options.split)
    problems = Problems()
    problems.attempt(lambda: check_classes(shelf.images, options.num_classes) if options.score else None)
    problems.refuse()
    with hold_results(options.place):
        found, seen, sound = audit_shelf(subject, shelf)
        remarks = tell_limits(found, seen)
        write_audit(found, subject, seen, sound, options.place, remarks)
        print(tell_audit(found, [*remarks, f"look at {options.place / 'audit.html'}"]))
        if options.score and seen is not None:
            record_audit(subject, found, seen, sound, options.place)


if __name__ == "__main__":
    exit_cleanly(main)
