"""What is said of directions: numbers for ddt.json, lines for people."""

from __future__ import annotations

from DDT.directions.grouped import Group, GroupedDirections
from DDT.directions.principal import Direction


def list_numbers(direction: Direction) -> dict[str, float]:
    """What a direction is judged by; `count` is of descriptors."""
    return {"sign": direction.sign, "share": direction.share, "correlation": direction.correlation,
            "count": direction.count}


def tabulate_groups(directions: GroupedDirections) -> list[dict[str, float]]:
    """The same of each group, and how many training images it has."""
    return [{"images": group.images, **list_numbers(group.direction)} for group in directions.groups]


def describe_directions(directions: GroupedDirections) -> str:
    """One line for each direction, and a warning where its sign is not sure."""
    groups = directions.groups
    if len(groups) == 1:
        return f"direction: {describe_direction(groups[0])}"
    lines = [f"  group {number}, {group.images} training images: {describe_direction(group)}"
             for number, group in enumerate(groups, start=1)]
    return "\n".join([f"{len(groups)} groups of images, each with its own direction", *lines])


def describe_direction(group: Group) -> str:
    """Share of the variance, correlation and sign of a group's direction."""
    found = group.direction
    doubt = "" if group.sign_is_sure else ", unsure: look at boxes.png whether object and background are swapped"
    return (f"{found.share:.1%} of the variance, correlation with the norm {found.correlation:.2f} "
            f"(sign {found.sign:+.0f}{doubt})")
