#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the manual pages of weir. Nothing in them is said twice: what the public headers and --help say is the source.

    docs/man/man.py [--gzip] OUT HEADERS_DIRECTORY [PROGRAM...]

OUT/man3: a page for each paragraph of declarations in a header (what stands together without an empty line, and what
refers to the declaration above it), under the name of its first function; links (.so) for its other names. A type is
described on the page of the first function that takes it.
OUT/man7: weir, with the conventions and what is in base.h; weir-HEADER for each other header.
OUT/man1: each PROGRAM, from what it prints for --help.

Exit status 1, with one line per finding and nothing written, when a declaration has no comment or is not understood.
SOURCE_DATE_EPOCH is the date of the pages, if set.
"""
import argparse
import gzip
import os
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # nothing is left in the tree
from doc import sentence, split_doc  # pylint: disable=wrong-import-position
from header import Header, Unreadable  # pylint: disable=wrong-import-position
from program import program_page  # pylint: disable=wrong-import-position
from roff import Roff, inline  # pylint: disable=wrong-import-position

COLUMNS = 72


class Page:
    """The declarations of one paragraph."""

    def __init__(self, header, items):
        self.header = header
        self.functions = [item for item in items if item.kind in ("function", "call")]
        # What a program calls is the macro, so that is the name one looks for.
        self.functions.sort(key=lambda item: item.kind != "call")
        self.types = [item for item in items if item.kind in ("type", "typedef")]
        self.macros = [item for item in items if item.kind == "macro" and item.doc]
        self.name = self.functions[0].name if self.functions else None

    def names(self):
        """Those it is found under. A type with the name of a function has none: weir_engine_stats() is the function."""
        return [item.name for item in self.functions] + [item.name for item in self.types if not item.shadowed]

    def items(self):
        return self.functions + self.types + self.macros

    def text(self):
        """All that is said and declared here: where the names of other declarations are looked for."""
        return "\n".join([item.code for item in self.items()] + [doc for item in self.items() for doc in item.docs()])

    def summary(self):
        """The line of NAME."""
        documented = [item for item in self.functions if item.doc]
        if len(documented) > 2:
            # What they have in common, if something says so.
            opaque = [item.doc for item in self.types if item.opaque]
            if opaque or self.functions[0].after_title:
                return short(sentence(opaque[0]) if opaque else self.functions[0].after_title)
        for item in [item for item in documented if not item.trailing] + documented:
            found = split_doc(item.doc)
            if found.paragraphs and (len(documented) == 1 or found.paragraphs[0][0][0] != '"'):
                return short(sentence(" ".join(found.paragraphs[0])))
            if found.paragraphs:
                break
        return short(sentence(self.header.doc))


def short(text):
    text = " ".join(text.replace("`", "").split()).rstrip(".;:,")
    if len(text) > 90:
        text = re.split(r"(?: \(|[:;] |, )", text)[0]
    if len(text) > 1 and text[1].islower():
        text = text[0].lower() + text[1:]
    return text


def paragraphs_of(header):
    """Lists of items that belong on one page."""
    pages = []
    for item in header.items:
        last = pages[-1] if pages else None
        refers = item.doc and re.search(r"\bas above\b|^The same\b|^Errors as above", item.doc)
        together = last and item.run == last[-1].run
        if last and not together and refers and item.kind == "function":
            # Back to the paragraph of the last function: what lies between goes there too.
            while len(pages) > 1 and not any(one.kind == "function" for one in pages[-1]):
                between = pages.pop()
                pages[-1] += between
            pages[-1].append(item)
        elif together:
            last.append(item)
        else:
            pages.append([item])
    return pages


def plan(header):
    """The pages of a header, and what is left for its page in section 7."""
    pages, left = [], []
    for items in paragraphs_of(header):
        page = Page(header, items)
        if page.functions:
            pages.append(page)
        else:
            left += page.types + page.macros

    def home(item):
        word = re.compile(rf"\b{item.name}\b")
        for look in (lambda one: one.code, lambda one: "\n".join(one.docs())):
            for kinds in (("function",), ("type",)):
                for page in pages:
                    if any(one.kind in kinds and word.search(look(one)) for one in page.items() if one is not item):
                        return page
        return None

    while True:  # a type may be mentioned only by another one that has just found its place
        found = [(item, home(item)) for item in left]
        if not any(page for _, page in found):
            return pages, left
        for item, page in found:
            if page:
                (page.macros if item.kind == "macro" else page.types).append(item)
        left = [item for item, page in found if not page]


# ---- Declarations ----------------------------------------------------------------------------------------------------

def parameter(text):
    """A parameter with its name in italics."""
    match = re.search(r"\(\*(\w+)\)|(\w+)(?:\[[^\]]*\])*$", text)
    name = match and (match[1] or match[2])
    if not name or text in ("void", "..."):
        return f"\\fB{inline(text, plain=True)}\\fP"
    at = match.start(1) if match[1] else match.start(2)
    before, after = inline(text[:at], plain=True), inline(text[at + len(name):], plain=True)
    return f"\\fB{before}\\fP\\fI{name}\\fP" + (f"\\fB{after}\\fP" if after else "")


def declaration(item):
    """The lines of a function's declaration, as a manual shows it."""
    before, arguments = item.signature()
    lines, indent = [f"\\fB{inline(before, plain=True)}(\\fP"], len(before) + 1
    if indent + max(len(text) for text in arguments) > COLUMNS:
        indent = 8
    width = len(before) + 1
    for index, text in enumerate(arguments):
        text_bytes = len(text) + 2
        if width > indent and width + text_bytes > COLUMNS:
            lines.append(" " * indent)
            width = indent
        elif index:
            lines[-1] += " "
        end = "," if index < len(arguments) - 1 else ");" if item.kind == "function" else ")"
        lines[-1] += parameter(text) + f"\\fB{end}\\fP"
        width += text_bytes
    return lines


def type_lines(members, depth=1):
    lines = []
    for member in members:
        if member.inner is not None:
            lines += ["    " * depth + member.opening] + type_lines(member.inner, depth + 1)
            lines += ["    " * depth + member.code]
        else:
            lines.append("    " * depth + member.code)
    return lines


def write_members(roff, members):
    for member in members:
        if member.doc:
            roff.tag(f"\\fI{inline(member.name, plain=True)}\\fP")
            roff.prose(member.doc)
        if member.inner is not None:
            write_members(roff, member.inner)


def write_type(roff, item):
    roff.section(f"{item.keyword} {item.name}".strip(), sub=True)
    if item.doc:
        roff.doc(split_doc(item.doc, whole=True))
    if item.opaque:
        return
    if item.kind == "typedef":
        roff.code([item.code])
        return
    lines = type_lines(item.members)
    if item.private:
        lines.append("    /* private members */")
    # Constants that nothing is said about but their names are told by the code alone.
    roff.code([f"{item.keyword} {item.name} {{", *lines, "};"])
    write_members(roff, item.members)


def write_constants(roff, macros):
    if macros:
        roff.section("CONSTANTS AND MACROS")
    for item in macros:
        roff.tag(", ".join("\\fB" + inline(code, plain=True) + "\\fP" for code in [item.code] + item.also))
        roff.doc(split_doc(item.doc, whole=True), nested=True)


# ---- Section 3 -------------------------------------------------------------------------------------------------------

def results(page):
    """(function, what it returns, its errors) for each that says something about them."""
    for item in page.functions:
        doc = split_doc(item.doc or "")
        text = doc.returned
        if text == "0" or (doc.errors and not text and item.code.startswith("int ")):
            text = "0 on success"
        if text or doc.errors:
            yield item, text[:1].upper() + text[1:] if text[1:2].islower() else text, doc.errors


def write_results(roff, page, meanings):
    """RETURN VALUE and ERRORS."""
    told = list(results(page))
    several = len([item for item in page.functions if item.kind == "function"]) > 1
    answering = [item for item in page.functions if item.kind == "function" and not item.code.startswith("void ")]
    if told:
        roff.section("RETURN VALUE")
    alike = len({(text, bool(errors)) for _, text, errors in told}) == 1 and len(told) == len(answering)
    for item, text, errors in told[:1] if alike else told:
        if several and not alike:
            roff.tag(f"\\fB{item.name}\\fP()")
        if text:
            roff.prose(text.rstrip(".") + ".")
        if errors:
            roff.prose("On failure a negative number: see \\fBERRORS\\fP.", escaped=True)
    told = [(item, errors) for item, _, errors in told if errors]
    if told:
        roff.section("ERRORS")
    for item, found in told:
        if several:
            roff.tag(f"\\fB{item.name}\\fP()")
            roff.nest()
        for errors in found:
            roff.errors(errors, meanings)
        if several:
            roff.nest(end=True)


def reference(name, section):
    return f"\\fB{inline(name, plain=True)}\\fP({section})"


def see_also(page, index):
    """Functions and types that the page mentions but does not describe."""
    own = set(page.names())
    found = sorted({name for name in re.findall(r"\bweir_\w+", page.text())
                    if name in index and name not in own and index[name].endswith("(3)")})
    return [reference(name, 3) for name in found]


def function_page(page, index, heading, meanings):
    roff = Roff(page.name, 3, *heading)
    roff.section("NAME")
    roff.line(", ".join(page.names()) + " \\- " + inline(page.summary(), plain=True))
    roff.section("LIBRARY")
    roff.line("The weir library (\\fIlibweir\\fP, \\fB\\-lweir\\fP)")
    roff.section("SYNOPSIS")
    roff.line(".nf")
    roff.line(f".B #include <weir/{page.header.name}.h>")
    for item in page.functions:
        roff.line(".PP")
        roff.lines += declaration(item)
    roff.line(".fi")
    roff.section("DESCRIPTION")
    several = len([item for item in page.functions if item.doc]) > 1
    for item in page.functions:
        if not item.doc or not (split_doc(item.doc).paragraphs or split_doc(item.doc).params):
            continue
        if several:
            roff.section(f"{item.name}()", sub=True)
        roff.doc(split_doc(item.doc))
    if page.types:
        roff.section("TYPES")
    for item in page.types:
        write_type(roff, item)
    write_constants(roff, page.macros)
    write_results(roff, page, meanings)
    roff.section("SEE ALSO")
    more = [reference(overview_name(page.header), 7)] + ([reference("weir", 7)] if page.header.name != "base" else [])
    roff.listing(see_also(page, index) + more)
    return roff.text()


# ---- Section 7 -------------------------------------------------------------------------------------------------------

def overview_name(header):
    return "weir" if header.name == "base" else f"weir-{header.name}"


def write_overview(roff, header, pages, left):
    if pages:
        roff.section("FUNCTIONS")
    for page in pages:
        roff.tag(", ".join(reference(item.name, 3) for item in page.functions))
        roff.line(inline(page.summary()))
    types = [item for item in left if item.kind != "macro"]
    if types:
        roff.section("TYPES")
    for item in types:
        write_type(roff, item)
    write_constants(roff, [item for item in left if item.kind == "macro"])


def overview_page(header, planned, others, heading, programs):
    """weir-HEADER(7), or weir(7) when there are `others` to be listed."""
    pages, left = planned
    roff = Roff(overview_name(header), 7, *heading)
    roff.section("NAME")
    title = "io_uring-native HTTP transport" if header.name == "base" else short(sentence(header.doc))
    names = [overview_name(header)] + [item.name for item in left if item.kind != "macro" and not item.shadowed]
    roff.line(f"{inline(', '.join(names), plain=True)} \\- {inline(title, plain=True)}")
    roff.section("SYNOPSIS")
    roff.line(".nf")
    roff.line(f".B #include <weir/{'weir' if header.name == 'base' else header.name}.h>")
    if header.name == "base":
        roff.line(".PP")
        roff.line("\\fBcc\\fP \\fIprogram.c\\fP $(\\fBpkg\\-config \\-\\-cflags \\-\\-libs weir\\fP)")
    roff.line(".fi")
    roff.section("DESCRIPTION")
    roff.doc(split_doc(header.doc, whole=True))
    if others:
        roff.section("HEADERS")
    for other in others:
        roff.tag(f"\\fI<weir/{other.name}.h>\\fP, {reference(overview_name(other), 7)}")
        roff.prose(sentence(other.doc))
    write_overview(roff, header, pages, left)
    roff.section("SEE ALSO")
    roff.listing([reference(name, 1) for name in programs] +
                 ([] if header.name == "base" else [reference("weir", 7)]) +
                 [reference(overview_name(other), 7) for other in others])
    return roff.text()


# ---- All of them -----------------------------------------------------------------------------------------------------

def date():
    return time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())))


def version(headers):
    found = {}
    for header in headers:
        found.update(re.findall(r"#\s*define WEIR_VERSION_(MAJOR|MINOR|PATCH) (\d+)", header.source))
    if len(found) != 3:
        raise Unreadable(["no header defines WEIR_VERSION_MAJOR, _MINOR and _PATCH"])
    return ".".join(found[part] for part in ("MAJOR", "MINOR", "PATCH"))


def library_pages(headers, heading, programs):
    """{path: text} of sections 3 and 7."""
    planned = {header: plan(header) for header in headers}
    # What a code of weir means where a function says no more about it.
    meanings = {member.name: member.doc for header in headers for item in header.items for member in item.members
                if member.name.startswith("WEIR_E_") and member.doc}
    functions = {item.name for header in headers for item in header.items if item.kind in ("function", "call")}
    index = {}
    for header, (pages, left) in planned.items():
        for item in [item for page in pages for item in page.types] + left:
            item.shadowed = item.name in functions
        for page in pages:
            for name in page.names():
                if index.setdefault(name, f"{page.name}(3)") != f"{page.name}(3)":
                    raise Unreadable([f"{header.path}:1: {name} is described in {index[name]} and {page.name}(3)"])
    made = {}
    for header, (pages, left) in planned.items():
        for page in pages:
            path = f"man3/{page.name}.3"
            if not made.get(path, ".so").startswith(".so"):
                raise Unreadable([f"{header.path}:1: {page.name} begins two paragraphs"])
            made[path] = function_page(page, index, heading, meanings)
            for name in page.names():
                made.setdefault(f"man3/{name}.3", f".so man3/{page.name}.3\n")
        others = [other for other in headers if other is not header] if header.name == "base" else []
        name = overview_name(header)
        made[f"man7/{name}.7"] = overview_page(header, planned[header], others, heading,
                                               programs if header.name == "base" else [])
        for item in left:
            if item.kind != "macro" and not item.shadowed:
                made[f"man7/{item.name}.7"] = f".so man7/{name}.7\n"
    return made


def main():
    arguments = argparse.ArgumentParser(description="Writes the manual pages of weir.")
    arguments.add_argument("--gzip", action="store_true", help="compress them, without a time inside")
    arguments.add_argument("out")
    arguments.add_argument("headers")
    arguments.add_argument("programs", nargs="*")
    options = arguments.parse_args()
    try:
        # A header of nothing but #include has nothing to describe.
        paths = [os.path.join(options.headers, name) for name in sorted(os.listdir(options.headers))
                 if name.endswith(".h")]
        headers = [header for header in map(Header, paths) if header.items or header.findings]
        findings = [finding for header in headers for finding in header.findings]
        if findings:
            raise Unreadable(findings)
        heading = (date(), f"weir {version(headers)}")
        programs = [os.path.basename(path) for path in options.programs]
        made = library_pages(headers, heading, programs)
        for path, name in zip(options.programs, programs):
            shown = subprocess.run([path, "--help"], capture_output=True, text=True, check=True).stdout
            made[f"man1/{name}.1"] = program_page(name, shown, heading, [one for one in programs if one != name])
    except Unreadable as unreadable:
        print("\n".join(unreadable.findings), file=sys.stderr)
        return 1
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"man.py: {error}", file=sys.stderr)
        return 1
    os.umask(0o022)
    for path, text in made.items():
        path = os.path.join(options.out, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        data = text.encode("ascii")
        with open(path + (".gz" if options.gzip else ""), "wb") as file:
            file.write(gzip.compress(data, mtime=0) if options.gzip else data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
