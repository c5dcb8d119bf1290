"""Decide whether a word is another word with one typing error.

Pure. Stricter than the nearest word of a list: the nearest word to "minutely" is "monthly".
"""

from __future__ import annotations

__all__ = ["one_slip"]


def one_slip(written: str, right: str) -> bool:
    """Whether the words differ only by one letter too many, too few or wrong, or by two swapped letters."""
    if len(written) > len(right):
        return one_slip(right, written)
    same = next((index for index, (a, b) in enumerate(zip(written, right, strict=False)) if a != b), len(written))
    rest, rest_right = written[same:], right[same:]
    if len(written) < len(right):
        return rest == rest_right[1:]
    swapped = rest[:2] == rest_right[1::-1] and rest[2:] == rest_right[2:]
    return bool(rest) and (swapped or rest[1:] == rest_right[1:])
