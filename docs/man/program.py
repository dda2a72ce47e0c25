# SPDX-License-Identifier: MIT
"""Makes the page of a program from what it prints for --help.

Understood: a line `NAME: what it is` or `Usage: NAME ...`; headings, alone at the margin with options below; options,
which begin with a dash and have their text behind two blanks or on the next lines, and a default in a third column;
text at the margin, which is the description above the options and NOTES below, kept line by line where it has columns.
"""
import re

from doc import sentence
from header import Unreadable
from roff import Roff, inline

ALWAYS = {"--help": "print the options and end", "--version": "print the version and end"}


class Help:
    def __init__(self, name, text):
        self.name = name
        self.title, self.usage = "", []
        self.before, self.groups, self.after = [], [], []
        for block in re.split(r"\n\s*\n", text.expandtabs().strip("\n")):
            self._block(block.split("\n"))
        if not self.usage or not self.groups:
            raise Unreadable([f"{name} --help: no usage or no options"])
        if not self.title and self.before:
            self.title = sentence(" ".join(self.before[0]))
        if not self.title:
            raise Unreadable([f"{name} --help: does not say what the program is for"])

    def _block(self, lines):
        usage = re.match(r"[Uu]sage: +(.*)", lines[0])
        if usage:
            self.usage = [usage[1]] + [line.strip() for line in lines[1:]]
        elif lines[0].startswith(f"{self.name}: ") and not self.usage:
            self.title = lines[0].split(": ", 1)[1]
        elif re.match(r" +-", lines[0]):
            self.groups.append((None, self._options(lines)))
        elif len(lines) > 1 and re.match(r" +-", lines[1]):
            self.groups.append((lines[0].rstrip(":"), self._options(lines[1:])))
        else:
            (self.after if self.groups else self.before).append(lines)

    def _options(self, lines):
        """[option, lines of text], the columns apart."""
        found = []
        for line in lines:
            option = re.match(r" {1,8}(-.*?)(?:  +(\S.*))?$", line)
            if option:
                found.append((option[1], [option[2]] if option[2] else []))
            else:
                found[-1][1].append(line.strip())
        return [(option, self._said(option, text)) for option, text in found]

    def _said(self, option, text):
        if not text:
            known = [ALWAYS[name] for name in re.findall(r"--\w+", option) if name in ALWAYS]
            if not known:
                raise Unreadable([f"{self.name} --help: nothing is said about {option}"])
            return "; ".join(known)
        words, default = [], None
        for line in text:
            column = re.match(r"(.*\S) {2,}(\S.*)$", line)
            words.append(column[1] if column else line)
            default = default or (column and column[2])
        return " ".join(words) + (f" (default: {default})" if default else "")


def columns_of(lines):
    """The cells of a table of numbers with their meanings, by their number."""
    cells = [cell for line in lines for cell in re.split(r" {2,}|, (?=\d+ )", line.strip())]
    return sorted(cells, key=lambda cell: int(re.match(r"\d*", cell)[0] or 0))


def write_text(roff, blocks):
    for lines in blocks:
        if any(re.search(r"\S {2,}\S", line) for line in lines):
            roff.code([cell for line in lines for cell in re.split(r" {2,}", line.strip())])
        else:
            roff.line(".PP")
            roff.prose(" ".join(line.strip() for line in lines))


def split_status(blocks):
    """The text at the end without, and the lines of, what begins with `Exit status`."""
    notes, status = [], []
    for lines in blocks:
        joined = " ".join(line.strip() for line in lines)
        sentence_of_it = re.search(r"(?:^|(?<=\. ))Exit status: (.*?\.)(?: |$)", joined)
        if lines[0].startswith("Exit status") and len(lines) > 1 and lines[1].startswith(" "):
            status = [re.sub(r"^Exit status[,:]? *", "", lines[0])] + columns_of(lines[1:])
        elif sentence_of_it:
            status = [sentence_of_it[1]]
            rest = (joined[:sentence_of_it.start()] + joined[sentence_of_it.end():]).strip()
            notes += [[rest]] if rest else []
        else:
            notes.append(lines)
    return notes, status


def write_status(roff, status):
    for text in status:
        code = re.match(r"(\d+) (.*)", text) if len(status) > 1 else None
        if code:
            roff.tag(f"\\fB{code[1]}\\fP")
        if text:
            roff.prose(code[2] if code else text[0].upper() + text[1:])


def program_page(name, text, heading, others):
    """The page, and SEE ALSO to the others."""
    shown = Help(name, text)
    roff = Roff(name, 1, *heading)
    roff.section("NAME")
    title = shown.title[0].lower() + shown.title[1:] if shown.title[1:2].islower() else shown.title
    roff.line(f"{inline(name, plain=True)} \\- {inline(title.rstrip('.'), plain=True)}")
    roff.section("SYNOPSIS")
    for usage in shown.usage:
        words = usage.split(" ", 1)
        roff.line(f"\\fB{inline(words[0], plain=True)}\\fP " + inline(words[1] if len(words) > 1 else "", plain=True))
    roff.section("DESCRIPTION")
    write_text(roff, shown.before or [[f"{name} is {title}."]])
    roff.section("OPTIONS")
    for title, options in shown.groups:
        if title:
            roff.section(title, sub=True)
        for option, said in options:
            roff.tag(f"\\fB{inline(option, plain=True)}\\fP")
            roff.prose(said)
    notes, status = split_status(shown.after)
    if notes:
        roff.section("NOTES")
        write_text(roff, notes)
    if status:
        roff.section("EXIT STATUS")
        write_status(roff, status)
    roff.section("SEE ALSO")
    roff.listing([f"\\fB{inline(other, plain=True)}\\fP(1)" for other in others] + ["\\fBweir\\fP(7)"])
    return roff.text()
