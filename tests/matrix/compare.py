"""Two sides of a table, key by key and file by file."""
import difflib
import fnmatch
from dataclasses import dataclass, field
from pathlib import Path

import mask
from lab import manifest

ABSENT = "∅"
IGNORE = (*manifest.IGNORE, *mask.FILES)
POOL = "198.18.0"  # what stands for the beginning of each side's addresses


@dataclass
class Verdict:
    """What became of a table: per module its cases, and what is wrong in the eyes of the table."""

    counts: dict = field(default_factory=dict)  # module -> [cases, different]
    files: list = field(default_factory=list)  # [how many, different]
    wrong: list = field(default_factory=list)
    listed: list = field(default_factory=list)


def judge(table, reference, rplay) -> Verdict:
    """Compare what two sides said and left."""
    verdict = Verdict(files=[0, 0])
    for side in (reference, rplay):
        if side.results is None:
            verdict.wrong.append(f"{side.tool} did not get to the end:\n{side.output[-3000:]}")
    if not verdict.wrong:
        for case in table.cases:
            _judge_case(table, case, reference, rplay, verdict)
        for known in table.known:
            if not known.used:
                verdict.wrong.append(f"nothing differs in {', '.join(known.keys)}, though the table says: {known.why}")
    used = judge_files(table.files, reference, rplay, verdict)
    for pattern in table.files.keys() - used:
        verdict.wrong.append(f"files {pattern} are the same, though the table says: {table.files[pattern]}")
    return verdict


def _judge_case(table, case, reference, rplay, verdict: Verdict) -> None:
    count = verdict.counts.setdefault(case.module, [0, 0])
    count[0] += 1
    left, right = (mask.result(side.results[f"r{case.number}"], str(side.project)) for side in (reference, rplay))
    found, unexplained = differences(left, right), []
    for path, line in found:
        known = next((k for k in table.known if k.covers(case, path)), None)
        if known:
            known.used = True
        else:
            unexplained.append(line)
    count[1] += bool(found)
    if case.differs and not unexplained:
        verdict.wrong.append(f"{case.label}\n    is the same, though the table says: {case.differs}")
    elif unexplained and not case.differs:
        said = [f"    {side.tool} says: {side.results[f'r{case.number}'].get('msg')!r:.300}" for side in (reference, rplay)
                if side.results[f"r{case.number}"].get("failed")]
        _say_once(verdict.wrong, case, [*unexplained, *said])
    elif found:
        verdict.listed.append(f"{case.label}: {case.differs or 'as the table says of all'}")


def _say_once(wrong: list, case, lines: list) -> None:
    """Add what is wrong with a case; runs of it that are wrong in the same way share an entry."""
    entry, before = "\n".join([case.label, *lines]), wrong[-1] if wrong else ""
    first, _, rest = before.partition("\n")
    if rest == "\n".join(lines) and first.rsplit(" [", 1)[0] == case.label.rsplit(" [", 1)[0]:
        wrong[-1] = f"{first[:-1]}, {case.step}]\n{rest}"
    else:
        wrong.append(entry)


def differences(left, right, path: str = "") -> list[tuple[str, str]]:
    """The keys in which two results differ, each with a line that says how."""
    if isinstance(left, dict) and isinstance(right, dict) and (left or right):
        found = []
        for key in sorted(left.keys() | right.keys(), key=str):
            found += differences(left.get(key, ABSENT), right.get(key, ABSENT), f"{path}.{key}" if path else str(key))
        return found
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [each for n, (a, b) in enumerate(zip(left, right)) for each in differences(a, b, f"{path}[{n}]")]
    if left == right and type(left) is type(right):
        return []
    return [(path, f"    {path}: reference {left!r:.300} | rplay {right!r:.300}")]


def judge_files(known: dict, reference, rplay, verdict: Verdict) -> set:
    """Compare what two sides left on their hosts and in their projects; `known` says why which pattern of paths differs,
    and the patterns that did are returned."""
    used = set()
    pools = tuple(side.host.network.pool for side in (reference, rplay))
    places = [("", reference.files, rplay.files, reference.host.upper, rplay.host.upper),
              ("project:", reference.local, rplay.local, reference.project, rplay.project)]
    for prefix, left, right, left_root, right_root in places:
        left, right = _named(left), _named(right)
        for path in sorted(left.keys() | right.keys()):
            verdict.files[0] += 1
            a, b = left.get(path), right.get(path)
            if _same(path, a, b, left_root, right_root, pools):
                continue
            verdict.files[1] += 1
            why = next((p for p in known if fnmatch.fnmatchcase(prefix + path, p)), None)
            if why:
                used.add(why)
                verdict.listed.append(f"{prefix}{path}: {known[why]}")
            else:
                verdict.wrong.append("\n".join([f"file {prefix}{path}", f"    reference {_say(a)}", f"    rplay     {_say(b)}",
                                                *_content(a, b, left_root, right_root)]))
    return used


def _named(files: dict) -> dict:
    """Files by their names without what is made up in these; several of one name are numbered by their content."""
    found = {}
    for path in sorted(files, key=lambda p: (mask.text(p), files[p].get("sha256", ""), p)):
        if manifest.ignored(path, IGNORE):
            continue
        name, number = mask.text(path), 2
        while name in found:
            name, number = f"{mask.text(path)}#{number}", number + 1
        found[name] = files[path] | {"path": path}
    return found


def _same(path: str, a, b, left_root: Path, right_root: Path, pools: tuple) -> bool:
    if a is None or b is None:
        return False
    skip = {"path"}
    if a.get("sha256") != b.get("sha256"):
        texts = [_text(root, entry).replace(pool, POOL) for root, entry, pool in zip((left_root, right_root), (a, b), pools)]
        if texts[0] and texts[0] == texts[1]:
            skip |= {"size", "sha256"}
    for pattern, volatile in mask.CONTENT:
        if fnmatch.fnmatchcase(path, pattern) and a.get("type") == b.get("type") == "file" and volatile:
            if volatile.sub("", _text(left_root, a)) == volatile.sub("", _text(right_root, b)):
                skip |= {"size", "sha256"}
    return all(a.get(k) == b.get(k) for k in (a.keys() | b.keys()) - skip)


def _text(root: Path, entry: dict) -> str:
    try:
        return (root / entry["path"].lstrip("/")).read_text(errors="backslashreplace")
    except OSError:
        return ""


def _say(entry) -> str:
    return manifest.describe(entry) if entry else "has none"


def _content(a, b, left_root: Path, right_root: Path) -> list[str]:
    if not a or not b or a.get("sha256") == b.get("sha256"):
        return []
    lines = difflib.unified_diff(_text(left_root, a).splitlines(), _text(right_root, b).splitlines(), "reference", "rplay", n=0, lineterm="")
    return [f"    {line[:200]}" for line in list(lines)[:30]]
