# SPDX-License-Identifier: MIT
"""Takes a doc comment apart: what goes under DESCRIPTION, RETURN VALUE and ERRORS of a manual page."""
import re

CODE = r"(?:-E[A-Z][A-Z0-9]+|WEIR_E_[A-Z_0-9]+)"
GROUP = re.compile(rf"{CODE}(?:(?:, or | or |, ){CODE})*")
LABEL = re.compile(r"[A-Z][a-z]+: ")


class Errors:
    """Codes with what each means; `lead` and `tail` are what is said before and after them."""

    def __init__(self, text):
        starts = list(_starts(text))
        self.lead, self.items, self.tail = _trim(text[:starts[0].start()] if starts else text), [], ""
        ends = [match.start() for match in starts[1:]] + [len(text)]
        for match, end in zip(starts, ends):
            said = text[match.end():end]
            cut = re.search(r"^\.\s+|\.\s+(?=On error\b)", said)
            if cut:
                said, self.tail = said[:cut.start()], said[cut.end():]
            self.items.append((re.findall(CODE, match[0]), _trim(said)))

    def __bool__(self):
        return bool(self.items or self.lead)


def _trim(text):
    text = re.sub(r"^[\s:,;]+", "", text).rstrip()
    return re.sub(r"([,;:]|,? or|\.)$", "", text).strip()


def _starts(text):
    """Where a list of errors names the next ones: behind a separator, on a line of a table, in no parentheses."""
    depth, last = 0, None
    for match in re.finditer(rf"[()]|{GROUP.pattern}", text):
        if match[0] in "()":
            depth += 1 if match[0] == "(" else -1
            continue
        before = text[:match.start()]
        separated = re.search(r"(?:^|[:;]|, or|\bor|,)\s*$", before)
        table = re.search(r"\n\s{2,}$", before) or re.match(r"\s{3,}", text[match.end():])
        if depth == 0 and (separated or table) and re.match(r"$|\W", text[match.end():]):
            if last is None or match.start() >= last.end():
                last = match
                yield match


class Doc:
    def __init__(self):
        self.paragraphs = []  # each a list of lines
        self.returned = ""
        self.errors = []
        self.params = []  # (name, text)


def _pieces(block):
    """(tag, text) of the pieces of a paragraph; the tag is "", "return", "param NAME" or "errors"."""
    mark = re.compile(r"(?:^|(?<=\s))@(return|param\s+\w+)\s+"
                      r"|(?:^|(?<=[.] )|(?<=\n)|(?<=[.]\n))(?=Errors(?: as | \(|:))", re.M)
    tag, at = "", 0
    for match in mark.finditer(block):
        if match.start() > at:
            yield tag, block[at:match.start()]
        tag, at = match[1] or "errors", match.end()
    yield tag, block[at:]


def split_doc(text, whole=False):
    """`whole`: of a type or a header, which have no results of their own."""
    doc = Doc()
    for block in re.split(r"\n\s*\n", text):
        for tag, piece in [("", block)] if whole else _pieces(block):
            lines = [line for line in piece.split("\n") if line.strip()]
            if not lines:
                continue
            if tag == "errors":
                shorter = re.sub(r"^Errors(?=\s*:)\s*:|^Errors\s+(?=\()|^Errors\s+(?=as\b)", "", piece)
                doc.errors.append(Errors(shorter.rstrip()))
            elif tag == "return":
                errors = Errors(" " + piece.rstrip())
                if errors.items:
                    doc.returned, errors.lead = errors.lead, ""
                    doc.errors.append(errors)
                else:
                    doc.returned = piece.strip()
            elif tag:
                doc.params.append((tag.split()[1], " ".join(piece.split())))
            else:
                doc.paragraphs += _labelled(lines)
    return doc


def _labelled(lines):
    """Begins a paragraph where a line begins with a label, as `Ownership: `."""
    found = [[]]
    for line in lines:
        if LABEL.match(line) and found[-1]:
            found.append([])
        found[-1].append(line)
    return found


def sentence(text):
    """The first one, or what stands before its first colon or semicolon."""
    text = " ".join(text.split())
    match = re.search(r"(?<!\.)[.](?= |$)|(?<=[a-z)\]`])[:;] ", text)
    return text[:match.start()] if match else text
