"""The settings that a name stands for, from the rows of the methods: of a method, a data set, a recipe."""

from __future__ import annotations

from engine.flags.presets import Presets
from engine.flags.pretrain.methods import METHODS

PRESETS = Presets(
    methods={name: row.settings for name, row in METHODS.items()},
    named={word: {name: row.named[word] for name, row in METHODS.items() if word in row.named}
           for word in dict.fromkeys(word for row in METHODS.values() for word in row.named)})
