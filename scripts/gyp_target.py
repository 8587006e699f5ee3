"""Prints what binding.gyp says of its first target for one operating system, as JSON.

gyp files are Python literals, and what they hold for a system stands under conditions on OS. This reads the lists of
plain strings, so that binding.gyp stays the one place where sources and defines are listed. Anything that gyp computes
(`<!(...)`, dependencies) is left as it is written.
"""

import ast
import json
import sys


def merge(into, settings, system):
    for key, value in settings.items():
        if key == "conditions":
            continue
        if isinstance(value, list):
            into.setdefault(key, []).extend(value)
        else:
            into[key] = value
    for condition in settings.get("conditions", []):
        chosen = choose(condition, system)
        if chosen is not None:
            merge(into, chosen, system)


def choose(condition, system):
    """A condition is [test, settings, test, settings, ..., settings otherwise]."""
    rest = list(condition)
    while len(rest) >= 2:
        test, settings = rest.pop(0), rest.pop(0)
        if eval(test, {"__builtins__": {}}, {"OS": system}):
            return settings
    return rest[0] if rest else None


def main():
    path, system = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        gyp = ast.literal_eval(file.read().strip())
    target = {}
    merge(target, gyp.get("target_defaults", {}), system)
    merge(target, gyp["targets"][0], system)
    json.dump(target, sys.stdout)


main()
