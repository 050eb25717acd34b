#!/usr/bin/python3
"""Lists the crates that programs are made of, with the licences and their texts; fails where one isn't allowed.

    licences.py [--metadata FILE] PACKAGE...     writes the list to stdout; FILE: what cargo metadata says, else it is asked

Crates that only tests or builds need are in no program and aren't listed. A text that several crates share is there once.
"""

import hashlib
import json
import pathlib
import re
import subprocess
import sys

# Licences that let anybody hand on programs as long as their texts come along. The MPL asks for the source of its own
# files, too: it is at crates.io under the name and version that the list gives.
ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "MPL-2.0+", "Unicode-3.0", "Unlicense", "Zlib",
}  # fmt: skip
TEXTS = re.compile(r"(?i)^(licen[cs]e|copying|copyright|notice|unlicense)")
TARGET = "x86_64-unknown-linux-gnu"


class Refused(Exception):
    """Why there is no list, in words for people."""


def allowed(expression):
    """Tells whether the allowed licences are enough; the expression is SPDX's, or the older one with a slash for OR."""
    words = re.findall(r"[()]|[^\s()/]+|/", expression)

    def either():
        found = both()
        while words and words[0] in ("OR", "/"):
            words.pop(0)
            other = both()
            found = found or other
        return found

    def both():
        found = one()
        while words and words[0] == "AND":
            words.pop(0)
            other = one()
            found = found and other
        return found

    def one():
        if not words:
            raise ValueError("it ends too early")
        word = words.pop(0)
        if word == "(":
            found = either()
            if not words or words.pop(0) != ")":
                raise ValueError("a ) is missing")
            return found
        if words[:1] == ["WITH"]:
            words.pop(0)
            word += " WITH " + (words.pop(0) if words else "")
        return word in ALLOWED

    found = either()
    if words:
        raise ValueError("it goes on after its end")
    return found


def linked(metadata, roots):
    """Finds the packages of others that these are made of, by name and version."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    ours = set(metadata["workspace_members"])
    waiting = [id for id in ours if packages[id]["name"] in roots]
    if len(waiting) != len(roots):
        raise Refused(f"not all of {', '.join(roots)} are packages of this workspace")
    seen = set(waiting)
    while waiting:
        for dep in nodes[waiting.pop()]["deps"]:
            if dep["pkg"] not in seen and any(kind["kind"] is None for kind in dep["dep_kinds"]):
                seen.add(dep["pkg"])
                waiting.append(dep["pkg"])
    return sorted((packages[id] for id in seen - ours), key=lambda each: (each["name"], each["version"]))


def texts(package):
    """Reads the texts that lie in a crate's sources, in the order of their names."""
    folder = pathlib.Path(package["manifest_path"]).parent
    named = [folder / package["license_file"]] if package.get("license_file") else []
    found = [path for path in sorted(folder.iterdir()) if TEXTS.match(path.name) and path.suffix != ".rs"]
    found += [inner for path in found if path.is_dir() for inner in sorted(path.iterdir())]
    paths = dict.fromkeys(path for path in found + named if path.is_file())
    contents = (path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip("\n") for path in paths)
    return [text.expandtabs() for text in contents if text.strip()]


def refusals(packages):
    """Says of each crate that can't be handed on why not."""
    for package in packages:
        name = f"{package['name']} {package['version']}"
        said = package.get("license")
        if not said:
            yield f"crate {name} names no licence; look at it, and use another crate"
            continue
        try:
            fits = allowed(said)
        except ValueError as error:
            yield f"crate {name} has the licence \"{said}\", which can't be read: {error}"
            continue
        if not fits:
            yield f"crate {name} has the licence \"{said}\", which isn't allowed; use another crate, or allow it in {sys.argv[0]}"


def write(packages, out):
    """Writes the list: crates first, then each text with the crates that it came with."""
    out.write("These programs are made of the following crates, which crates.io has with their sources.\n\n")
    users = {}
    for package in packages:
        name = f"{package['name']} {package['version']}"
        out.write(f"{name}: {package['license']}\n")
        for text in texts(package):
            # Texts that differ in white space alone are the same.
            key = hashlib.sha256(" ".join(text.split()).encode()).digest()
            users.setdefault(key, (text, []))[1].append(name)
    for text, names in users.values():
        out.write(f"\n{'-' * 100}\n{', '.join(dict.fromkeys(names))}:\n\n{text}\n")


def main(args):
    if args[:1] == ["--metadata"]:
        metadata, roots = json.loads(pathlib.Path(args[1]).read_text(encoding="utf-8")), args[2:]
    else:
        asked = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={TARGET}"]
        metadata, roots = json.loads(subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout), args
    packages = linked(metadata, roots)
    refused = list(refusals(packages))
    if refused:
        raise Refused("\n".join(refused))
    write(packages, sys.stdout)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    try:
        main(sys.argv[1:])
    except Refused as refused:
        sys.exit("\n".join(f"licences: {line}" for line in str(refused).splitlines()))
