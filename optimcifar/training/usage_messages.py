"""One-line messages for options that jsonargparse refuses."""

from __future__ import annotations

import re

from optimcifar.text import first_lines

# What to add to the option's name, by a pattern in jsonargparse's message.
_REASONS = {
    r"No module named '([^']+)'": (
        ": there is no module {!r}: install it, or run the command in the folder that contains it"
    ),
    r"(?:SequentialLR|ChainedScheduler)\b|required: schedulers": (
        ": PyTorch's class takes schedule objects, which no option can name; "
        "use optimcifar.SequentialSchedule or optimcifar.ChainedSchedule instead"
    ),
    r"arguments are required: ([\w.]+)": ".{} is missing: it has no default",
}


def usage_message(message: str) -> str:
    """Say what is wrong with an option, given jsonargparse's message.

    The message names the option in parts, outermost first, and says for each type that the option may have why the
    value does not fit.
    """
    option = "--" + ".".join(re.findall(r'Parser key "([^"]+)"', message))
    if known := _unknown_argument(message, option) or _known_reason(message, option):
        return known
    if expected := _expected_types(message):
        got = re.search(r"Given value: (.+?)(?:\. Got value.*)?$|Got value: (.+)$", message, re.MULTILINE)
        return f"{option}: expected {' or '.join(expected)}" + (f", got {(got[1] or got[2])!r}" if got else "")
    if match := re.search(r"Expected a dot import path string: (.+)", message):
        return (
            f"{option}: there is no class {match[1]!r} that fits here; "
            "name one of PyTorch's, or give the import path of your own, such as my_file.MyClass"
        )
    if "Errors:" in message:
        return f"{option}: {first_lines(innermost_reason(message))}"
    return first_lines(re.sub(r'Parser key "([^"]+)":', r"--\1:", message))


def innermost_reason(message: str) -> str:
    """Return the first reason of the innermost of jsonargparse's lists: it is about the type that the user meant."""
    _, _, reasons = message.rpartition("Errors:")
    first = reasons.strip().splitlines()[0].strip()
    return re.sub(r"^- |Type .+ expects a function or a callable class: ", "", first)


def _unknown_argument(message: str, option: str) -> str | None:
    if match := re.search(r"Option '([^']+)' is not accepted", message):
        owner = re.search(r"class_path='([^']+)'", message)
        return f"{option}.{match[1]}: {owner[1] if owner else option[2:]} has no argument {match[1]!r}"
    if match := re.search(r"Group '([^']+)' does not accept option '([^']+)'", message):
        return f"--{match[1]}.{match[2]}: {match[1]} has no argument {match[2]!r}"
    return None


def _known_reason(message: str, option: str) -> str | None:
    matches = ((re.search(pattern, message), reason) for pattern, reason in _REASONS.items())
    return next((option + reason.format(*match.groups()) for match, reason in matches if match), None)


def _expected_types(message: str) -> list[str]:
    names = re.findall(r"Expected an? (?:<class '(?:\w+\.)*(\w+)'>|typing\.Literal\[(.+?)\])", message)
    return list(dict.fromkeys(name or f"one of {choices}" for name, choices in names if name != "NoneType"))
