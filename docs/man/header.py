# SPDX-License-Identifier: MIT
"""Reads a public header in the style of the house: what it declares, and what its comments say.

A declaration is documented by the /** */ above it or by a /**< */ on its last line; a type also by those of its
members. Constants without a comment are not part of the manual; every function and type must have one.
"""
import os
import re


class Unreadable(Exception):
    def __init__(self, findings):
        super().__init__("\n".join(findings))
        self.findings = findings


def uncomment(text):
    """The lines of a comment, without its stars; indentation beyond the comment's own is kept."""
    lines = re.sub(r"^/\*+<?|\*+/$", "", text).split("\n")
    lines = [lines[0].strip()] + [re.sub(r"^\s*\*( |$)|^\s+(?=\S)", "", line).rstrip() for line in lines[1:]]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    # What follows the first line of `/** text` on lines of their own is indented with it.
    indent = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    if indent and lines[0] and not re.search(r":$", lines[0]):
        lines = lines[:1] + [line[indent:] for line in lines[1:]]
    return "\n".join(lines)


def squeeze(code):
    code = re.sub(r"/\*.*?\*/", " ", code, flags=re.S)
    return " ".join(code.split())


class Member:
    """Of a struct or an enum; `inner` are those of a struct or union within it."""

    def __init__(self, code, doc=None):
        self.doc = doc
        self.inner = None
        self.private = False
        match = re.match(r"((?:struct|union|enum)\s*\w*\s*\{)(.*)\}([^}]*)$", code, re.S)
        if match:
            self.opening = squeeze(match[1])
            self.inner, _ = read_members(match[2], ";")
            self.code = "} " + squeeze(match[3]) if squeeze(match[3]) != ";" else "};"
            self.name = squeeze(match[3]).rstrip(";") or self.opening.rstrip(" {")
        else:
            self.code = squeeze(code)
            self.name = self._name()

    def _name(self):
        code = self.code.rstrip(";,")
        if re.match(r"^\w+( = .*)?$", code):
            return code.split(" ")[0]  # of an enum
        pointer = re.search(r"\(\*\s*(\w+)\)", code)
        if pointer:
            return pointer[1]
        return ", ".join(re.findall(r"(\w+)(?:\[[^\]]*\])?\s*(?=,|$)", code))

    def docs(self):
        return ([self.doc] if self.doc else []) + [doc for one in self.inner or [] for doc in one.docs()]


TOKEN = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|.', re.S)


def read_members(body, end):
    """The members between the braces of a type. @return them, and whether there are private ones besides"""
    members, doc, pending, depth, hidden = [], None, "", 0, False
    own_line = True

    def take(code, comment):
        nonlocal members
        if code.strip():
            members.append(Member(code.strip(), comment))

    for match in TOKEN.finditer(body):
        token = match[0]
        if token.startswith("/*") and depth == 0:
            if token.startswith("/**<"):
                if pending.strip():
                    doc = uncomment(token)  # the last of an enum: no comma behind it
                elif members:
                    members[-1].doc = "\n\n".join(filter(None, [members[-1].doc, uncomment(token)]))
            elif token.startswith("/**"):
                doc = uncomment(token)
            elif re.match(r"/\* private\b", token):
                hidden = True
                if own_line:
                    break
                if members:
                    members[-1].private = True
            continue
        if token == "\n":
            own_line = True
        elif not token.isspace():
            own_line = False
        pending += token
        depth += (token in "({[") - (token in ")}]") if len(token) == 1 else 0
        if token == end and depth == 0:
            take(pending, doc)
            pending, doc = "", None
    take(pending, doc)
    return [member for member in members if not member.private], hidden


class Item:
    """What a header declares. kind: function, call (a macro in place of a function), macro, type, typedef."""

    def __init__(self, kind, name, code, doc, line):
        self.kind, self.name, self.code, self.doc, self.line = kind, name, code, doc, line
        self.keyword = ""
        self.members, self.private, self.opaque = [], False, False
        self.also = []  # macros that the comment of this one is meant for too
        self.run, self.after_title, self.trailing, self.shadowed = 0, None, False, False

    def docs(self):
        """Every comment on it and in it."""
        return ([self.doc] if self.doc else []) + [doc for member in self.members for doc in member.docs()]

    def signature(self):
        """What stands before the parameters, and the parameters."""
        before, inside = re.match(r"(.*?\b\w+)\((.*)\);?$", self.code, re.S).groups()
        found, depth, pending = [], 0, ""
        for char in inside:
            depth += (char in "([") - (char in ")]")
            if char == "," and depth == 0:
                found.append(pending.strip())
                pending = ""
            else:
                pending += char
        return before, found + [pending.strip()]


class Header:
    def __init__(self, path):
        self.path, self.name = path, os.path.basename(path)[:-2]
        with open(path, encoding="utf-8") as file:
            self.source = file.read()
        self.items, self.findings = [], []
        self.doc = None
        self._text, self._lines = self._without_cplusplus()
        self._read()
        if self.items and not self.doc:
            self._finding(1, "no comment /** */ at its top says what the header is for")
        for item in self.items:
            if not item.docs() and item.kind in ("function", "type"):
                self._finding(item.line, f"{item.name} has no comment")

    def _finding(self, line, text):
        self.findings.append(f"{self.path}:{line}: {text}")

    def _without_cplusplus(self):
        """What a C compiler reads, and the number of each line."""
        kept, numbers, branches = [], [], []
        for number, line in enumerate(self.source.split("\n"), 1):
            directive = re.match(r"\s*#\s*(if\w*|else|endif)\b(.*)", line)
            if directive and directive[1].startswith("if"):
                branches.append([bool(re.search(r"\b__cplusplus\b", directive[2])), False])
            elif directive and directive[1] == "else" and branches:
                branches[-1][1] = True
            if not (directive and branches and branches[-1][0]) and \
                    not any(only and not other for only, other in branches):
                kept.append(line)
                numbers.append(number)
            if directive and directive[1] == "endif" and branches:
                branches.pop()
        return "\n".join(kept), numbers

    def _line(self, at):
        return self._lines[self._text.count("\n", 0, at)]

    def _read(self):
        text, at, run, title, doc, doc_at = self._text, 0, 0, None, None, 0
        while True:
            blank = re.compile(r"\s*").match(text, at)
            at = blank.end()
            if at == len(text):
                break
            if blank[0].count("\n") > 1:
                run += 1
                if doc is not None:
                    self._finding(self._line(doc_at), "a comment that nothing follows")
                    doc = None
            if text.startswith("/*", at):
                end = text.index("*/", at) + 2
                comment, ruled = text[at:end], re.match(r"/\* -{3,} (.*?) -{3,} \*/", text[at:end])
                if comment.startswith("/**<"):
                    self._trailing(comment, at)
                elif comment.startswith("/**"):
                    doc, doc_at = uncomment(comment), at
                elif ruled:
                    run, title = run + 1, ruled[1]
                at = end
                continue
            if text[at] == "#":
                end = re.compile(r"(?:[^\n\\]|\\.)*(?:\\\n(?:[^\n\\]|\\.)*)*").match(text, at).end()
                if self.doc is None and text.startswith("#ifndef", at):
                    self.doc, doc = doc, None
                item = self._macro(text[at:end], doc, self._line(at), bool(self.items) and run == self.items[-1].run)
            else:
                end = self._end_of_declaration(at)
                item = self._declaration(text[at:end], doc, self._line(at))
            if item:
                item.run, item.after_title = run, title
                self.items.append(item)
                title = None
            if item or text[at] != "#":
                doc = None
            at = end

    def _trailing(self, comment, at):
        if not self.items:
            self._finding(self._line(at), "a comment /**< behind nothing")
            return
        item = self.items[-1]
        item.trailing = not item.doc
        item.doc = "\n\n".join(filter(None, [item.doc, uncomment(comment)]))

    def _end_of_declaration(self, at):
        depth, start = 0, at
        for match in TOKEN.finditer(self._text, at):
            token = match[0]
            if len(token) > 1:
                continue
            depth += (token in "({[") - (token in ")}]")
            body = token == "}" and depth == 0 and re.match(r"static\b", self._text[start:])
            if body or (token == ";" and depth == 0):
                return match.end()
        raise Unreadable([f"{self.path}:{self._line(at)}: a declaration without an end"])

    def _macro(self, text, doc, line, joined):
        match = re.match(r"#\s*define\s+(\w+)(\([^)]*\))?[ \t]*(.*)", text, re.S)
        if not match:
            return None
        trailing = re.search(r"/\*\*<.*?\*/", text, re.S)
        doc = doc or (trailing and uncomment(trailing[0]))
        name, arguments, value = match[1], match[2] or "", squeeze(match[3])
        if arguments and name.islower():
            return Item("call", name, name + arguments, doc, line)
        code = name + (arguments if arguments else f" {value}")
        if doc:
            return Item("macro", name, code, doc, line)
        if joined and self.items and self.items[-1].kind == "macro" and value:
            self.items[-1].also.append(code)
        return None

    def _declaration(self, text, doc, line):
        code = squeeze(text)
        match = re.match(r"(struct|union|enum) (\w+);$", code)
        if match and not doc:
            return None  # what it is, its functions say
        if match:
            item = Item("type", match[2], code, doc, line)
            item.keyword, item.opaque = match[1], True
            return item
        match = re.match(r"(struct|union|enum) (\w+) \{", code)
        if match:
            item = Item("type", match[2], code, doc, line)
            item.keyword = match[1]
            body = text[text.index("{") + 1:text.rindex("}")]
            if match[1] == "enum":
                body = self._expanded(body, line)
            item.members, item.private = read_members(body, "," if match[1] == "enum" else ";")
            return item
        match = re.match(r"typedef .*?\b(\w+)(?:\(.*\))?;$", code)
        if match:
            return Item("typedef", match[1], code, doc, line)
        if re.match(r"(WEIR_API|static inline) ", code):
            code = re.sub(r"\b(WEIR_API|WEIR_MUST_USE|static inline) ", "", code)
            code = re.sub(r"\) \{.*$", ");", code)
            match = re.match(r"[\w *]*?\b(\w+)\(.*\);$", code)
            if match:
                return Item("function", match[1], code, doc, line)
        self._finding(line, f"a declaration that is not understood: {code[:60]}")
        return None

    def _expanded(self, body, line):
        """An enum that is made from a list, LIST(XX): each entry's parameter `text` is its comment."""
        template = re.search(r"#\s*define (\w+)\(([^)]*)\)\s*(.*)", body)
        if not template:
            return body
        macro, value = template[1], template[3]
        names = [name.strip() for name in template[2].split(",")]
        used = re.search(rf"^\s*(\w+)\({macro}\)", body, re.M)
        entries = used and re.search(rf"#\s*define {used[1]}\(\w+\)((?:.*\\\n)*.*)", self.source)
        if not entries:
            self._finding(line, "an enum made from a list that is not found")
            return ""
        made = ""
        for entry in re.findall(r'XX\(((?:[^()"]|"(?:\\.|[^"\\])*")*)\)', entries[1]):
            fields = dict(zip(names, [field.strip() for field in re.findall(r'(?:"(?:\\.|[^"\\])*"|[^,"])+', entry)]))
            one = re.sub(r"\s*##\s*(\w+)", lambda match: fields.get(match[1], match[1]), value)
            one = re.sub(r"\((\w+)\)", lambda match: fields.get(match[1], match[0]), one)
            made += one + (f" /**< {fields['text'][1:-1]} */" if "text" in fields else "") + "\n"
        rest = re.sub(r"^\s*#.*$", "", body, flags=re.M).replace(used[0].strip(), "")
        return made + rest
