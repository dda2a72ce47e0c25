# SPDX-License-Identifier: MIT
"""Writes a page in the language of man(7)."""
import errno
import os
import re
import textwrap

ESCAPES = {"\\": "\\e", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}


def _escape(text):
    text = "".join(ESCAPES.get(char, char if ord(char) < 128 else f"\\[u{ord(char):04X}]") for char in text)
    # A minus that belongs to a name, an option or a number can be copied from the page; other hyphens are hyphens.
    return re.sub(r"(?<![A-Za-z0-9-])-{1,2}(?=[A-Za-z0-9])", lambda match: "\\-" * len(match[0]), text)


def inline(text, plain=False):
    """`plain`: as it is, every minus a minus. Else names of functions and errors are set in bold, `code` in italics."""
    if plain:
        return _escape(text).replace("\\-", "-").replace("-", "\\-")
    found = []
    for part in re.split(r"(`[^`]+`|\bweir_\w+\(\)|\bWEIR_[A-Z0-9_]+\b|(?<!\w)-E[A-Z][A-Z0-9]+\b"
                         r"|(?<![\w-])--[a-z][a-z-]*)", text):
        if part.startswith("`") and len(part) > 2:
            found.append(f"\\fI{inline(part[1:-1], plain=True)}\\fP")
        elif part.endswith("()") and part.startswith("weir_"):
            found.append(f"\\fB{part[:-2]}\\fP()")
        elif re.fullmatch(r"WEIR_\w+|-E\w+|--[a-z-]+", part):
            found.append(f"\\fB{inline(part, plain=True)}\\fP")
        else:
            found.append(_escape(part))
    return "".join(found)


def _safe(line):
    return "\\&" + line if line[:1] in (".", "'") else line


class Roff:
    def __init__(self, name, section, date, version):
        self.lines = [".\\\" Made from the headers and programs of weir by docs/man/man.py.",
                      f".TH {name} {section} {date} \"{version}\" \"weir manual\"", ".nh", ".ad l"]

    def text(self):
        """Without the breaks of paragraphs that are there already, before a heading or behind one."""
        kept = []
        for line in self.lines:
            if kept and kept[-1] == ".PP" and re.match(r"\.(PP|TP|IP|SH|SS|RS|RE)\b", line):
                kept.pop()
            if line != ".PP" or not re.match(r"\.(SH|SS)\b", kept[-1]):
                kept.append(line)
        return "\n".join(kept).removesuffix("\n.PP") + "\n"

    def line(self, text):
        self.lines.append(text)

    def section(self, title, sub=False):
        self.line(f"{'.SS' if sub else '.SH'} {inline(title, plain=True)}")

    def tag(self, text):
        self.lines += [".TP", _safe(text)]

    def nest(self, end=False):
        self.line(".RE" if end else ".RS")

    def prose(self, text, escaped=False):
        """A filled paragraph where the page stands."""
        text = " ".join((text if escaped else inline(text.replace("@return", "Returns"))).split())
        self.lines += [_safe(line) for line in textwrap.wrap(text, 78, break_long_words=False, break_on_hyphens=False)]

    def code(self, lines):
        self.lines += [".PP", ".in +4n", ".nf"]
        for line in lines:
            margin = re.match(" *", line)[0] + " " * 8
            for part in textwrap.wrap(line, 72, drop_whitespace=True, subsequent_indent=margin,
                                      break_on_hyphens=False, break_long_words=False) or [""]:
                self.line(_safe(inline(part, plain=True)))
        self.lines += [".fi", ".in", ".PP"]

    def listing(self, names):
        """Names with commas between them."""
        self.lines += [name + ("," if index < len(names) - 1 else "") for index, name in enumerate(names)]

    def doc(self, doc, nested=False):
        """The description of a comment. `nested`: under a tag."""
        for index, lines in enumerate(doc.paragraphs):
            if index or not nested:
                self._gap(nested)
            self._paragraph(lines)
        for name, text in doc.params:
            self.tag(f"\\fI{name}\\fP")
            self.prose(text)

    def _gap(self, nested):
        if not self.lines[-1].startswith((".SH", ".SS", ".PP", ".TP", ".RS", ".IP")):
            self.line(".IP" if nested else ".PP")

    def _paragraph(self, lines):
        """Prose, with the points of a list that begins with dashes."""
        pending, indent = [], None
        for line in lines:
            point = re.match(r"(\s*)- ", line)
            if point:
                self._flush(pending, indent)
                pending, indent = [line[point.end():]], len(point[1])
            elif indent is not None and len(line) - len(line.lstrip()) <= indent:
                self._flush(pending, indent)
                self.line(".PP")
                pending, indent = [line], None
            else:
                pending.append(line.strip())
        self._flush(pending, indent)

    def _flush(self, pending, indent):
        if pending and indent is not None:
            self.line(".IP \\(bu 3")
        if pending:
            self.prose(" ".join(pending))

    def errors(self, errors, meanings):
        """`meanings`: of codes about which nothing is said."""
        lead = re.sub(r"^\((.*)\)$", r"\1", errors.lead, flags=re.S)
        if lead:
            self._gap(False)
            lead = lead if lead.startswith("weir_") else lead[0].upper() + lead[1:]
            self.prose(lead + (":" if errors.items else "."))
        for codes, said in errors.items:
            self.tag(", ".join(f"\\fB{inline(code, plain=True)}\\fP" for code in codes))
            self.prose(said or "; ".join(meanings.get(code) or _system_text(code) for code in codes))
        if errors.tail:
            self.line(".PP")
            self.prose(errors.tail)


def _system_text(code):
    """Of -ENOMEM: "cannot allocate memory"."""
    text = os.strerror(getattr(errno, code[1:], 0))
    return text[0].lower() + text[1:]
