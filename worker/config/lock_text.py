"""Edits single entries of the shapes file's text and leaves every other byte of it as it is, comments above all.

A YAML library that keeps comments ties each to the token before it, so that an entry takes the next one's comment with
it. So lines are spliced where the parser says that keys stand; the outcome is parsed and compared before anybody gets
it: either it says exactly what was asked for, or nothing is changed.
"""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import yaml

from worker.config.events import unreadable_yaml
from worker.config.lock_check import holds, says
from worker.config.lock_lines import HEADER, OURS, Fields, entry_lines, field_lines, namespace_lines

#: Namespace and plugin.
Key = tuple[str, str]

# The C parser is ten times as fast; it is missing only where PyYAML was built without libyaml.
_Composer: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OTHER_BREAKS = re.compile("\r(?!\n)|[\x85\u2028\u2029]")


class NotEditableError(ValueError):
    """The file's form is beyond us; nothing was changed. The message names the line and the remedy."""


def with_entries(text: str, entries: Mapping[Key, Fields]) -> str:
    """The text with these entries set: those that are there in place, new ones among their siblings, sorted."""
    if not entries:
        return text
    document = _Document(text)
    wanted: dict[str, dict[str, Fields]] = {}
    for (namespace, plugin), fields in sorted(entries.items()):
        wanted.setdefault(namespace, {})[plugin] = fields
    document.set_all(wanted)
    return _checked(document, entries, ())


def without_entries(text: str, keys: Iterable[Key]) -> str:
    """The text without these entries; a namespace that is left without any goes too. KeyError where one is missing."""
    unwanted = set(keys)
    if not unwanted:
        return text
    document = _Document(text)
    document.drop_all(unwanted)
    return _checked(document, {}, unwanted)


def _checked(document: "_Document", entries: Mapping[Key, Fields], gone: Collection[Key]) -> str:
    text = document.edited()
    if not says(text, document.text, entries, gone):
        raise NotEditableError("written in a form that can't be edited here; write one key a line, without anchors")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    """A key of a block mapping: where it stands, and the line after its block."""

    name: str
    line: int
    column: int
    after_key: int
    end: int
    value: Any


@dataclass(slots=True)
class _Document:
    """A text, where its keys are, and what is to become of its lines."""

    text: str
    lines: list[str] = field(init=False)
    root: Any = field(init=False)
    _edits: list[tuple[int, bool, int, int, list[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if odd := _OTHER_BREAKS.search(self.text):
            line = self.text.count("\n", 0, odd.start()) + 1
            raise NotEditableError(f"line {line}: holds a line break of another kind than the rest; write it as \\n")
        try:
            self.root = yaml.compose(self.text, _Composer)
        except yaml.YAMLError as error:
            told = unreadable_yaml(error, self.text)
            raise NotEditableError(f"line {told.position.line}: {told.message}") from None
        self.lines = self.text.split("\n")

    # What is there ----------------------------------------------------------------------------------------------------

    def children(self, node: Any) -> list[_Child]:
        """Of a block mapping, in the order of the file; of nothing, or an empty one, none."""
        if _is_empty(node):
            return []
        if not isinstance(node, yaml.MappingNode) or node.flow_style:
            raise NotEditableError(f"line {node.start_mark.line + 1}: not written with one key a line; write it so")
        children: list[_Child] = []
        names: set[str] = set()
        for key, value in node.value:
            line, column = key.start_mark.line, key.start_mark.column
            if value.start_mark.index < key.start_mark.index or self.lines[line][:column].strip():
                raise NotEditableError(f"line {line + 1}: an alias, or two keys on one line; write it out")
            if not isinstance(key, yaml.ScalarNode) or key.value in names:
                raise NotEditableError(f"line {line + 1}: no plain key, or one that is there already; remove it")
            names.add(key.value)
            end = self._end(line, column)
            after = key.end_mark.column + 1
            children.append(_Child(name=key.value, line=line, column=column, after_key=after, end=end, value=value))
        return children

    def _end(self, line: int, column: int) -> int:
        """Where a key's block ends: with the last deeper line, or a list's dashes below it, and the deeper remarks that
        follow. Remarks end no block: they may stand anywhere.
        """
        end, remarked = line + 1, False
        for number in range(line + 1, len(self.lines)):
            stripped = self.lines[number].strip()
            if not stripped:
                continue
            indent = _indent(self.lines[number])
            if stripped.startswith("#"):
                remarked = remarked or indent <= column
                end = end if remarked else number + 1
            elif indent > column or (indent == column and (stripped + " ").startswith("- ")):
                end, remarked = number + 1, False
            else:
                break
        return end

    def _above_comments(self, line: int, column: int) -> int:
        """The first of the comment lines right above a key and as deep as it, which are the key's own."""
        while line > 0:
            above = self.lines[line - 1]
            if not above.lstrip().startswith("#") or _indent(above) != column:
                break
            line -= 1
        return line

    # What is to become of it ------------------------------------------------------------------------------------------

    def set_all(self, wanted: Mapping[str, Mapping[str, Fields]]) -> None:
        top = {child.name: child for child in self.children(self.root)}
        shapes = top.get("shapes")
        if shapes is None:
            lines = ["shapes:", *(line for item in wanted.items() for line in namespace_lines(*item, 2, 2))]
            self._append(lines if self.text.strip() else [HEADER, *lines])
            return
        namespaces = self.children(shapes.value)
        known = {child.name: child for child in namespaces}
        column, step = (namespaces[0].column, namespaces[0].column - shapes.column) if namespaces else (2, 2)
        new = {
            name: list(namespace_lines(name, plugins, column, step))
            for name, plugins in wanted.items()
            if name not in known
        }
        self._insert(shapes, namespaces, new)
        for name, plugins in wanted.items():
            if name in known:
                self._set_plugins(known[name], plugins, step)

    def _set_plugins(self, namespace: _Child, plugins: Mapping[str, Fields], step: int) -> None:
        siblings = self.children(namespace.value)
        known = {child.name: child for child in siblings}
        column = siblings[0].column if siblings else namespace.column + step
        new = {}
        for name, fields in plugins.items():
            entry = known.get(name)
            if entry is None:
                new[name] = list(entry_lines(name, fields, column, step))
            elif _is_empty(entry.value) or (isinstance(entry.value, yaml.MappingNode) and entry.value.flow_style):
                self._write_out(entry, list(entry_lines(name, fields, column, step))[1:])
            else:
                self._set_fields(entry, fields)
        self._insert(namespace, siblings, new)

    def _write_out(self, entry: _Child, lines: list[str]) -> None:
        """An empty entry, or one in braces, gets these lines. Remarks go above them, where no text swallows them."""
        last = entry.value.end_mark
        remark = self.lines[last.line][last.column :].strip() if last.line < entry.end else ""
        key = self.lines[entry.line][: entry.after_key] + (f"  {remark}" if remark.startswith("#") else "")
        end = self._without_remarks(entry)
        self._replace(entry.line, entry.end, [key, *self.lines[end : entry.end], *lines], entry.column)

    def _set_fields(self, entry: _Child, fields: Fields) -> None:
        children = self.children(entry.value)
        there, column = {child.name: child for child in children}, children[0].column
        after = self._above_comments(children[0].line, column) if there.keys() & set(OURS) else entry.end
        for name in OURS:
            child = there.get(name)
            lines = list(field_lines(name, fields[name], column)) if name in fields else []
            if child is None:
                self._replace(after, after, lines, column)
                continue
            after = child.end
            if name not in fields or not holds(child.value, fields[name]):
                end = self._without_remarks(child)
                above = [] if isinstance(child.value, yaml.ScalarNode) else self._remarks(child.line, end)
                if len(lines) != 1:  # below a text of several lines, deeper remarks would become part of it
                    above, end = above + self._remarks(end, child.end), child.end
                self._replace(child.line, end, [" " * column + line.strip() for line in above] + lines, column)

    def _remarks(self, start: int, end: int) -> list[str]:
        return [line for line in self.lines[start:end] if line.lstrip().startswith("#")]

    def _without_remarks(self, child: _Child) -> int:
        """Where its value ends: remarks below it stay, but not what is deep enough to be part of a text in lines."""
        end = child.end
        if getattr(child.value, "style", None) in ("|", ">"):
            inside = [number for number in range(child.line + 1, end) if self.lines[number].strip()]
            depth = _indent(self.lines[inside[0]]) if inside else 0
            return next((number for number in inside if _indent(self.lines[number]) < depth), end)
        while end > child.line + 1 and self.lines[end - 1].lstrip()[:1] in ("#", ""):
            end -= 1
        return end

    def drop_all(self, keys: set[Key]) -> None:
        missing = set(keys)
        shapes = next((child for child in self.children(self.root) if child.name == "shapes"), None)
        namespaces = self.children(shapes.value) if shapes else []
        emptied = 0
        for namespace in namespaces:
            plugins = self.children(namespace.value)
            gone = [plugin for plugin in plugins if (namespace.name, plugin.name) in keys]
            missing -= {(namespace.name, plugin.name) for plugin in gone}
            for plugin in gone:
                others = [line for line in self._remarks(plugin.line, plugin.end) if _indent(line) <= plugin.column]
                self._replace(plugin.line, plugin.end, others, plugin.column)
            if gone and len(gone) == len(plugins):
                self._replace(namespace.line, namespace.line + 1, [], namespace.column)
                emptied += 1
        if missing:
            raise KeyError(sorted(missing)[0])
        if shapes and emptied == len(namespaces):
            line = self.lines[shapes.line]
            self._replace(
                shapes.line, shapes.line + 1, [f"{line[: shapes.after_key]} {{}}{line[shapes.after_key :]}"], 0
            )

    def _insert(self, parent: _Child, siblings: Sequence[_Child], new: Mapping[str, list[str]]) -> None:
        """Each above the first sibling that is greater, and that one's comments; else below the last one."""
        if not new:
            return
        if not siblings:
            self._open(parent)
        greatest = list(accumulate((child.name for child in siblings), max))
        for name, lines in new.items():
            index = bisect_right(greatest, name)
            if index < len(siblings):
                at = self._above_comments(siblings[index].line, siblings[index].column)
            else:
                at = siblings[-1].end if siblings else parent.line + 1
            self._replace(at, at, lines, parent.column + 1)

    def _open(self, parent: _Child) -> None:
        """`shapes: {}` becomes `shapes:`."""
        line = self.lines[parent.line]
        rest = line[parent.after_key :].lstrip()
        if rest.startswith("{}"):
            remark = rest[2:].rstrip()
            self._replace(parent.line, parent.line + 1, [line[: parent.after_key] + remark], parent.column)

    def _append(self, lines: list[str]) -> None:
        end = len(self.lines)
        while end and not self.lines[end - 1].strip():
            end -= 1
        self._replace(end, end, lines, 0)

    def _replace(self, start: int, end: int, lines: list[str], depth: int) -> None:
        if end > start or lines:
            self._edits.append((start, end > start, -depth, end, lines))

    def edited(self) -> str:
        """The text after all edits. New lines end as most of the old ones do."""
        carriage = "\r" if 2 * self.text.count("\r\n") > self.text.count("\n") else ""
        out: list[str] = []
        at = 0
        for start, _, _, end, lines in sorted(self._edits, key=lambda edit: edit[:3]):
            out += self.lines[at:start]
            if lines and out and start == len(self.lines):
                out[-1] = out[-1].rstrip("\r") + carriage  # the last line had no end
            out += [line.rstrip("\r") + carriage for line in lines]
            at = end
        rest = self.lines[at:]
        if not any(line.strip() for line in rest) and rest[-1:] != [""]:
            rest = [*rest, ""]  # the last line had no end, or is a new one
        return "\n".join([*out, *rest])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_empty(node: Any) -> bool:
    return node is None or not node.value
