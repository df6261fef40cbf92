"""Rows in a page: every number beside the protocol under which it stands."""

from __future__ import annotations

from evaluation.ledger import Result
from evaluation.reports.run.results import list_result_grids


def row(kind: str, metrics: dict[str, float], **more: object) -> dict[str, object]:
    told = {"task": "t", "dataset_sha256": "d", "split": "test", "images": 8, "weights": "w", "weights_sha256": "0123456789",
            "arch": "resnet18", "feature": "backbone", "input": "full", "view": "eval", "size": 64, "centred": False, "seed": 0,
            "precision": "fp32", "images_per_second": 5.0, "date": "2026-01-02T03:04:05"} | more
    return Result(kind=kind, metrics=metrics, **told).to_dict()


def test_each_kind_has_a_table_with_its_protocol() -> None:
    search = row("retrieval", {"rank1": 0.5, "rank5": 0.75, "map": 0.4, "map_low": 0.35, "map_high": 0.45, "knn": 0.6}, centred=True,
                 details={"protocol": "leave-one-out, full ranking", "queries": 7, "skipped": 1, "knn_protocol": "train to test", "knn_k": 20})
    last = row("linear", {"top1": 0.8, "top5": 1.0}, epoch="last", selection="none",
               details={"protocol": "cached", "lr": 10.0, "lr_selection": "6 held-out training images", "epochs": 100, "epoch_number": 100,
                        "classes": 3, "train_images": 24})
    best = row("linear", {"top1": 0.9}, epoch="best", selection="6 held-out training images", details={"epoch_number": 3, "epochs": 100})
    retrieval, linear = list_result_grids([search, last, row("sort", {}), best])
    assert list(retrieval.head) == ["feature", "rank-1", "rank-5", "mAP", "mAP@R", "kNN", "protocol"]
    (cells,) = retrieval.cells
    assert cells[:6] == ["resnet18, backbone, centred", "50.0%", "75.0%", "40.0% [35.0, 45.0]", "–", "60.0%"]
    for word in ("leave-one-out", "7 queries, 1 skipped", "kNN train to test, k 20", "eval 64 px", "weights 01234567", "2026-01-02 03:04"):
        assert word in cells[-1]
    assert [line[0] for line in linear.cells] == ["resnet18, backbone, last epoch", "resnet18, backbone, best epoch"]
    assert linear.cells[1][1:3] == ["90.0%", "–"] and "epoch 3 of 100, chosen on: 6 held-out training images" in linear.cells[1][-1]
    assert "rate 10.0 (chosen on: 6 held-out training images)" in linear.cells[0][-1]


def test_a_classifier_says_what_chose_its_epoch_and_how_sure_the_number_is() -> None:
    (grid,) = list_result_grids([row("classify", {"top1": 0.5, "top1_low": 0.4, "top1_high": 0.6, "top5": 0.9, "f1": 0.45, "ece": 0.1},
                                     feature="cls", selection="epoch 2, the best by val_top1 (0.6)")])
    assert grid.cells[0][1] == "50.0% [40.0, 60.0]" and "network of epoch 2, the best by val_top1" in grid.cells[0][-1]
