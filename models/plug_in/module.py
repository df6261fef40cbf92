"""The plug-in module around a backbone (PIM, arXiv 2202.03822): logits at every position, a graph over some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from torch import Tensor, nn

from models.arch_names import resolve_arch
from models.backbones import IMAGENET_MEAN, IMAGENET_STD
from models.network import ClassNetwork, Description, create_network, find_config
from models.plug_in.levels import Levels, LevelShape, as_tokens
from models.plug_in.parts import (
    Combiner,
    Fpn,
    PositionClassifier,
    SelectedPositions,
    Upsample,
    select_top,
    take_positions,
)
from models.plug_in.presets import find_preset
from runtime.errors import WeightsError

USUAL_LEVELS = 4
USUAL_SELECT = 32


@dataclass(frozen=True, kw_only=True)
class PlugInOptions:
    """Which parts there are, and their sizes.

    `fpn_size` is the pyramid's width F, `selects` the number n_l of kept positions: by name of the level (32 where none
    is given), in order from shallow to deep, or the same for all. `combiner_size` is the combiner's width where no
    pyramid gives one.
    """

    use_fpn: bool = True
    fpn_size: int = 512
    use_selection: bool = True
    selects: Mapping[str, int] | Sequence[int] | int = USUAL_SELECT
    use_combiner: bool = True
    combiner_size: int = 512
    upsample: Upsample = "bilinear"


@dataclass
class PimAnswer:
    """What a plug-in module says of B images, by level name, shallow to deep.

    `levels` logits [B, S, K] of positions, `shapes` their grids, `selections` what was kept (empty without a selector),
    `combiner` logits [B, K] or None.
    """

    levels: dict[str, Tensor]
    shapes: dict[str, LevelShape]
    selections: dict[str, SelectedPositions] = field(default_factory=dict)
    combiner: Tensor | None = None


class PlugIn(ClassNetwork):
    """Levels -> pyramid -> logits of positions -> selector -> combiner; the input is images, see `Levels`.

    `answer` names the branch that is the network's prediction: "combiner", or without one the deepest level. Raises
    WeightsError for a combiner without selector, neither pyramid nor selector, or a level that would keep all it has.
    `position_zoom` is how a transformer's position embeddings reach its image size, as in the public code.
    """

    position_zoom = "bilinear"

    def __init__(self, levels: Levels, classes: int, options: PlugInOptions = PlugInOptions()) -> None:
        super().__init__()
        self.levels, self.classes, self.options = levels, classes, options
        self.size = levels.image_size
        self.recipe: Description | None = None
        shapes = levels.shapes
        self.selects = _read_selects(options, shapes)
        _refuse_contradictions(options)
        widths = {name: shape.channels for name, shape in shapes.items()}
        width = options.fpn_size if options.use_fpn else options.combiner_size
        self.fpn = Fpn(shapes, width, options.upsample) if options.use_fpn else None
        self.classify = nn.ModuleDict({
            name: PositionClassifier(width, classes) if options.use_fpn else nn.Linear(given, classes)
            for name, given in widths.items()})
        unprojected = None if options.use_fpn else widths
        slots = sum(self.selects.values())
        self.combiner = Combiner(slots, width, classes, widths=unprojected) if options.use_combiner else None
        self.answer = "combiner" if options.use_combiner else list(shapes)[-1]

    @classmethod
    def rebuild(cls, description: Description) -> PlugIn:
        """A fresh network of what `describe` returned."""
        recipe = dict(description)
        arch, size = resolve_arch(str(recipe["arch"])), int(recipe["size"])
        levels = Levels(_create(arch, size, recipe["drop_path"]), recipe["taps"], image_size=size,
                        mean=recipe["mean"], std=recipe["std"], keep_prefix=bool(recipe.get("class_token")))
        network = cls(levels, int(recipe["classes"]), PlugInOptions(**recipe["options"]))
        network.recipe = recipe
        return network

    @property
    def backbone(self) -> nn.Module:
        """The network inside, as timm made it."""
        return self.levels.net

    def forward(self, images: Tensor) -> PimAnswer:
        """uint8 0..255 or float 0..1 [B, 3, H, W] -> logits of positions and of the combiner."""
        found = self.levels(images)
        shapes = self.levels.find_shapes(found)
        self._refuse_other_size(shapes)
        tokens = {name: as_tokens(level) for name, level in found.items()}
        if self.fpn is not None:
            tokens = self.fpn(tokens, shapes)
        answer = PimAnswer({name: self.classify[name](rows) for name, rows in tokens.items()}, shapes)
        answer.selections = {name: select_top(answer.levels[name], count) for name, count in self.selects.items()}
        if self.combiner is not None:
            chosen = answer.selections.items()
            answer.combiner = self.combiner({name: take_positions(tokens[name], one.kept) for name, one in chosen})
        return answer

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Logits for evaluation, float32 [B, K]: the mean over positions of each level, and "combiner"."""
        return self.average(self(images))

    def average(self, answer: PimAnswer) -> dict[str, Tensor]:
        """What `outputs` returns of an answer."""
        logits = {name: value.float().mean(dim=1) for name, value in answer.levels.items()}
        return logits | ({} if answer.combiner is None else {"combiner": answer.combiner.float()})

    def class_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Probabilities of classes at every position, for heat-maps: level -> float32 [B, K, h, w]."""
        answer = self(images)
        grids = {name: logits[:, answer.shapes[name].prefix :] for name, logits in answer.levels.items()}
        return {name: logits.float().softmax(-1).transpose(1, 2).unflatten(2, (shape.rows, shape.columns))
                for (name, logits), shape in zip(grids.items(), answer.shapes.values(), strict=True)}

    def describe(self) -> Description:
        """What `rebuild` needs; plain JSON types. Raises WeightsError for one around a backbone of your own."""
        if self.recipe is None:
            raise WeightsError("a plug-in module around a backbone of your own has no name to rebuild it from: save "
                               "its state_dict(), and build it again with your code")
        return self.recipe

    def _refuse_other_size(self, shapes: dict[str, LevelShape]) -> None:
        if shapes == self.levels.shapes:
            return
        if self.fpn is not None and len(self.fpn.rise):
            given = "/".join(str(shape.positions) for shape in shapes.values())
            built = "/".join(str(shape.positions) for shape in self.levels.shapes.values())
            raise WeightsError(f"the levels have {given} positions, and this pyramid's matrices over positions were "
                               f"made for {built} ({self.size} pixels): use that size, or upsample=\"bilinear\"")
        _refuse_full(self.selects, shapes)


def build_plug_in(
    name: str, classes: int, *, size: int | None = None, taps: Sequence[int | str] | None = None,
    drop_path: float | None = None, upsample: Upsample | None = None, class_token: bool = False,
    options: PlugInOptions = PlugInOptions(),
) -> PlugIn:
    """A plug-in module around a preset's backbone, or any timm network tapped at its last four levels (or `taps`).

    The network is fresh. `size` pixels, `upsample` and `drop_path` are the preset's or the network's own unless given;
    `upsample` of `options` is not looked at. With `class_token` a transformer's class token is a position like others,
    as in the public code, which can be kept, dropped and averaged. Raises WeightsError.
    """
    preset = find_preset(name)
    arch = preset.arch if preset else resolve_arch(name)
    config = find_config(arch)
    published = preset is not None and preset.imagenet_norm
    chosen = list(taps or (preset.taps if preset else range(-USUAL_LEVELS, 0)))
    upsample = upsample or (preset.upsample if preset else "bilinear")
    return PlugIn.rebuild({
        "kind": "pim", "arch": arch, "taps": chosen, "classes": classes, "drop_path": drop_path,
        "size": size or (preset.size if preset else config.input_size[-1]),
        "mean": list(IMAGENET_MEAN if published else config.mean),
        "std": list(IMAGENET_STD if published else config.std),
        "options": asdict(options) | {"upsample": upsample}} | ({"class_token": True} if class_token else {}))


def _create(arch: str, size: int, drop_path: float | None) -> nn.Module:
    options: dict[str, object] = {} if drop_path is None else {"drop_path_rate": drop_path}
    if find_config(arch).fixed_input_size:
        options["img_size"] = size
    try:
        return create_network(arch, pretrained=False, num_classes=0, **options)
    except (TypeError, AssertionError) as error:
        raise WeightsError(f"{arch} cannot be made with {options}: {error}") from error


def _read_selects(options: PlugInOptions, shapes: Mapping[str, LevelShape]) -> dict[str, int]:
    if not options.use_selection:
        return {}
    given = options.selects
    if isinstance(given, int):
        given = [given] * len(shapes)
    if not isinstance(given, Mapping):
        if len(given) != len(shapes):
            raise WeightsError(f"{len(given)} numbers of kept positions, but the levels are {', '.join(shapes)}")
        given = dict(zip(shapes, given))
    if unknown := [name for name in given if name not in shapes]:
        raise WeightsError(f"kept positions of {', '.join(unknown)}, but the levels are {', '.join(shapes)}")
    selects = {name: given.get(name, USUAL_SELECT) for name in shapes}
    _refuse_full(selects, shapes)
    return selects


def _refuse_full(selects: Mapping[str, int], shapes: Mapping[str, LevelShape]) -> None:
    """A level has to drop at least one position, else it has nothing to push to "no class"; and to keep one."""
    wrong = [f"{name} keeps {count} of {shapes[name].positions}" for name, count in selects.items()
             if not 0 < count < shapes[name].positions]
    if wrong:
        raise WeightsError(f"the selector keeps at least one position of a level and drops at least one: "
                           f"{'; '.join(wrong)}. Keep fewer, or take larger images")


def _refuse_contradictions(options: PlugInOptions) -> None:
    if options.use_combiner and not options.use_selection:
        raise WeightsError("the combiner's nodes are the selector's positions: it needs use_selection")
    if not (options.use_fpn or options.use_selection):
        raise WeightsError("without pyramid and selector this is a plain classifier; use that")
