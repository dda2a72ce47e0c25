#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# No ring concerns this.
# Runs beside others.
"""What `make install` gives to others: the symbols of the library, the tree, pkg-config, programs built with it in
every way, the manual; and `make uninstall` takes all of it away and nothing else."""
import gzip
import os
import re
import shutil
import struct
import subprocess
import sys

import lib
from lib import check, equal, skip, test

HEADERS = os.path.join(lib.ROOT, "include", "weir")
LIBRARY = os.path.join(lib.BUILD, "libweir.so.0")
MAN = os.path.join(lib.ROOT, "docs", "man", "man.py")
# What a make around this test would tell the one in it.
ENVIRONMENT = ["env", "-u", "MAKEFLAGS", "-u", "MFLAGS", "-u", "MAKELEVEL", "-u", "LIBDIR", "-u", "MANDIR",
               "-u", "DESTDIR"]
PROGRAM = r"""
#include <stdio.h>
#include <weir/weir.h>

int main(void)
{
    struct weir_engine_config cfg;
    struct weir_engine *engine;
    struct weir_url url;
    weir_engine_config_init(&cfg);
    if (weir_url_parse(&url, WEIR_TEXT("http://h/x")) < 0 || weir_engine_open(&engine, &cfg) < 0 ||
        weir_engine_run_once(engine, 0) < 0 || weir_engine_close(engine) < 0) {
        fprintf(stderr, "%s\n", weir_error_text());
        return 1;
    }
    printf("%s\n", weir_version());
    return 0;
}
"""


def done(argv, **how):
    """Standard output of a program that must succeed without a word of complaint."""
    program = lib.run(argv, **how)
    equal((program.process.returncode, program.stderr), (0, ""), " ".join(argv))
    return program.stdout


def make(target, *variables):
    """Of what is built: this test must not build anything, and least of all with other flags."""
    return done([*ENVIRONMENT, "make", "-C", lib.ROOT, "--no-print-directory", f"B={lib.BUILD}", "AS_BUILT=1", target,
                 *variables])


def tree(directory):
    """Every file and link below it."""
    return {os.path.relpath(os.path.join(path, name), directory)
            for path, _, names in os.walk(directory) for name in names}


def header_names():
    return sorted(name for name in os.listdir(HEADERS) if name.endswith(".h"))


def compilers():
    """The build's own compiler, for C and for C++, and the flags of its sanitizers."""
    with open(os.path.join(lib.BUILD, ".flags"), encoding="utf-8") as file:
        flags = file.read()
    compiler = flags.split()[0]
    plus = re.sub(r"gcc(?=[^/]*$)", "g++", re.sub(r"clang(?=[^/]*$)", "clang++", compiler))
    return compiler, plus, re.findall(r"-fsanitize=\S+", flags)


def declared():
    """The functions that a C compiler sees marked with WEIR_API."""
    compiler, _, _ = compilers()
    names = set()
    for name in header_names():
        seen = done([compiler, "-E", "-P", f"-I{os.path.join(lib.ROOT, 'include')}", os.path.join(HEADERS, name)])
        for declaration in re.findall(r'__attribute__\(\(visibility\("default"\)\)\)([^;]*);', seen):
            names.add(re.search(r"(\w+)\s*\(", declaration.replace("__attribute__((warn_unused_result))", ""))[1])
    return names


@test
def symbols_are_those_of_the_headers():
    exported = {}
    for line in done([lib.need("nm"), "-D", "--defined-only", "--with-symbol-versions", LIBRARY]).splitlines():
        _, kind, name = line.split()
        if kind != "A":  # the version itself
            exported[name.split("@")[0]] = (kind, name.partition("@")[2].strip("@"))
    functions = declared()
    check(len(functions) > 100, f"declarations found: {len(functions)}")
    equal(sorted(set(exported) - functions), [], "exported, but in no public header")
    equal(sorted(functions - set(exported)), [], "in a public header, but not exported")
    equal({how for how in exported.values()}, {("T", "WEIR_0.1")}, "kinds and versions of the symbols")


@test
def soname():
    shown = done([lib.need("readelf"), "-dW", LIBRARY])
    equal(re.findall(r"soname: \[(.*?)\]", shown), ["libweir.so.0"], "soname")
    equal(re.findall(r"\((?:RPATH|RUNPATH)\).*", shown), [], "paths in the library")


@test
def install_and_uninstall():
    root = lib.temp_dir()
    paths = [f"DESTDIR={root}", "PREFIX=/opt/w", "LIBDIR=/opt/w/lib64", "MANDIR=/opt/man"]
    # What others have there stays.
    foreign = {"opt/w/bin/weir-other", "opt/w/lib64/libweirdo.so", "opt/w/lib64/pkgconfig/weird.pc",
               "opt/w/include/weird.h", "opt/man/man1/weir-other.1.gz", "opt/man/man3/weird.3.gz",
               "opt/man/man7/weird.7.gz"}
    for path in foreign:
        os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8"):
            pass
    make("install", *paths)
    made = tree(root) - foreign
    make("install", *paths)
    equal(tree(root) - foreign, made, "installed once more")
    expected = {f"opt/w/include/weir/{name}" for name in header_names()} | \
        {"opt/w/bin/weir-mock", "opt/w/bin/weir-bench", "opt/w/lib64/libweir.a", "opt/w/lib64/libweir.so",
         "opt/w/lib64/libweir.so.0", "opt/w/lib64/pkgconfig/weir.pc"}
    equal(sorted(expected - made), [], "missing")
    others = {path for path in made - expected
              if not re.fullmatch(r"opt/man/man(1/weir-\w+|3/weir_\w+|7/weir([-_]\w+)?)\.[137]\.gz", path)}
    equal({path for path in others if not re.fullmatch(r"opt/w/bin/weir-\w+", path)}, set(), "not expected")
    equal(os.readlink(os.path.join(root, "opt/w/lib64/libweir.so")), "libweir.so.0", "the link")
    make("uninstall", *paths)
    equal(tree(root), foreign, "what is left")
    check(not os.path.exists(os.path.join(root, "opt/w/include/weir")), "the directory of the headers is left")
    make("uninstall", *paths)


@test
def no_manual():
    root = lib.temp_dir()
    make("install", f"DESTDIR={root}", "PREFIX=/usr", "MAN=no")
    check(not os.path.exists(os.path.join(root, "usr/share")), "there is one")
    make("uninstall", f"DESTDIR={root}", "PREFIX=/usr")
    equal(tree(root), set(), "what is left")


def build_all_ways(prefix):
    """[(name, argv)] of the ways to build the program with what pkg-config says of the tree."""
    compiler, plus, sanitizers = compilers()

    def pkg_config(*arguments):
        return done([lib.need("pkg-config"), *arguments, "weir"],
                    env={"PKG_CONFIG_PATH": os.path.join(prefix, "lib", "pkgconfig")}).split()

    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", *sanitizers]
    for language, command in (("c", [compiler, "-std=c11"]), ("c++", [plus, "-std=c++17"])):
        if not shutil.which(command[0]):
            print(f"no {command[0]}: not built as {language}")
            continue
        begin = [*command, *strict, "-x", language, "program.c", "-x", "none"]
        yield f"{language} shared", begin + pkg_config("--cflags", "--libs")
        # The same words, with no shared library beside the archive.
        archive = pkg_config("--static", "--cflags", "--libs")
        yield f"{language} archive", begin + [word.replace(f"-L{prefix}/lib", f"-L{prefix}/only") for word in archive]
        if not sanitizers:
            yield f"{language} static", begin + ["-static"] + archive


@test
def programs_build_and_run():
    prefix = os.path.join(lib.temp_dir(), "usr")
    make("install", f"PREFIX={prefix}", "MAN=no")
    os.mkdir(os.path.join(prefix, "only"))
    shutil.copy(os.path.join(prefix, "lib", "libweir.a"), os.path.join(prefix, "only"))
    with open(os.path.join(prefix, "program.c"), "w", encoding="utf-8") as file:
        file.write(PROGRAM)
    version = done([lib.need("pkg-config"), "--modversion", "weir"],
                   env={"PKG_CONFIG_PATH": os.path.join(prefix, "lib", "pkgconfig")})
    for name, argv in build_all_ways(prefix):
        built = lib.run([*argv, "-o", name.replace(" ", "-")], cwd=prefix)
        equal(built.process.returncode, 0, f"{name}: {' '.join(argv)}: {built.stderr}")
        # A static program may be told of what else glibc needs at run time; nothing else may be said.
        said = [line for line in built.stderr.splitlines() if "warning: " in line or "error: " in line]
        equal([line for line in said if "statically linked applications requires" not in line], [], name)
        program = os.path.join(prefix, name.replace(" ", "-"))
        needed = re.findall(r"NEEDED.*\[(.*?)\]", done([lib.need("readelf"), "-dW", program]))
        equal("libweir.so.0" in needed, name.endswith("shared"), f"{name} needs {needed}")
        equal(done([program], env={"LD_LIBRARY_PATH": os.path.join(prefix, "lib")}), version, f"weir_version(), {name}")
    for name in ("weir-mock", "weir-bench"):
        equal(done([os.path.join(prefix, "bin", name), "--version"]), f"{name} {version}", name)


# ---- The manual ------------------------------------------------------------------------------------------------------

def manual():
    """A tree with the pages, as they are installed."""
    root = lib.temp_dir()
    programs = [path for path in (os.path.join(lib.BUILD, name) for name in ("weir-mock", "weir-bench", "weir-get"))
                if os.path.exists(path)]
    said = done([sys.executable, MAN, "--gzip", root, HEADERS, *programs], env={"SOURCE_DATE_EPOCH": "86400"})
    equal(said, "", "standard output of man.py")
    check(not os.path.exists(os.path.join(os.path.dirname(MAN), "__pycache__")), "man.py leaves something in the tree")
    return root


def page(root, path):
    """Its text; of a link, the text of the page it leads to."""
    with gzip.open(os.path.join(root, path + ".gz"), "rt", encoding="ascii") as file:
        text = file.read()
    link = re.fullmatch(r"\.so (\S+)\n", text)
    return page(root, link[1]) if link else text


def listed(text):
    """The names in NAME."""
    return re.search(r"^\.SH NAME\n(.*?) \\- ", text, re.M)[1].replace("\\-", "-").split(", ")


@test
def every_function_has_a_page():
    root = manual()
    for name in sorted(declared()):
        text = page(root, f"man3/{name}.3")
        check(name in listed(text), f"{name} is not in NAME of its page")
        for section in ("LIBRARY", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"):
            check(f"\n.SH {section}\n" in text, f"{name}(3) has no {section}")
        check(re.search(rf"\b{name}\(", text.split(".SH DESCRIPTION")[0]), f"{name}(3) does not declare it")
    for path in tree(root):
        text = page(root, path[:-3])
        check(os.path.basename(path).split(".")[0] in listed(text), f"{path} is not listed in its own page")
        for reference, section in re.findall(r"\\fB([\w\\-]+)\\fP\(([137])\)", text):
            target = reference.replace("\\-", "-")
            check(os.path.exists(os.path.join(root, f"man{section}", f"{target}.{section}.gz")),
                  f"{path} refers to {target}({section})")


@test
def configurations_are_described():
    root = manual()
    engine = page(root, "man3/weir_engine_config_init.3")
    check(re.search(r"^struct weir_engine_config \{$", engine, re.M), "no struct")
    check(".TP\n\\fIconns_max\\fP\nsockets, listeners included: 1 ... 1048576. Default 16384\n" in engine, engine)
    send = page(root, "man3/weir_engine_open.3")
    check("\n.SH RETURN VALUE\n" in send and "\n.SH ERRORS\n" in send, send)
    check(".TP\n\\fB\\-EINVAL\\fP\na field of cfg\n" in send, send)
    check("WEIR_E_CLOSED = \\-5000," in page(root, "man7/weir.7"), "no errors in weir(7)")
    options = page(root, "man1/weir-bench.1")
    check(re.search(r"^\.TP\n\\fB\\-c, \\-\\-connections N\\fP\n", options, re.M), options)


def words(text):
    return re.findall(r"[a-z0-9_]+", text.lower())


@test
def nothing_is_lost():
    """Every clause of every comment stands in the manual, word by word."""
    root = manual()
    lines = [line for path in sorted(tree(root)) for line in page(root, path[:-3]).split("\n")
             if not line.startswith(".")]
    text = re.sub(r"\\f[BIPR]|\\&", "", "\n".join(lines)).replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\")
    text = " " + " ".join(words(re.sub(r"\\\(..", " ", text))) + " "
    clauses = 0
    for name in header_names():
        if name == "weir.h":
            continue
        with open(os.path.join(HEADERS, name), encoding="utf-8") as file:
            comments = re.findall(r"/\*\*.*?\*/", file.read(), re.S)
        for comment in comments:
            comment = re.sub(r"\n\s*\*", "\n", comment)
            comment = re.sub(r"@param\s+\w+|@return|\bErrors\b|-E[A-Z]\w+|WEIR_E_\w+|\b(or|and)\s+(?=-E|WEIR_E_)", ".",
                             comment)
            for clause in re.split(r"[.,:;()@`^~]|\n\s*(?:-|\n)", comment):
                clause = " ".join(words(clause))
                clauses += 1
                check(f" {clause} " in text or clause in ("", "or"), f"{name}: not in the manual: {clause}")
    check(clauses > 1000, f"clauses found: {clauses}")


def pages_unpacked():
    """Paths of the pages that are no links."""
    root, packed, paths = lib.temp_dir(), manual(), []
    for path in sorted(tree(packed)):
        with gzip.open(os.path.join(packed, path), "rt", encoding="ascii") as file:
            text = file.read()
        if not text.startswith(".so "):
            paths.append(os.path.join(root, os.path.basename(path)[:-3]))
            with open(paths[-1], "w", encoding="ascii") as file:
                file.write(text)
    return paths


@test
def groff_finds_nothing():
    done([lib.need("groff"), "-man", "-Tutf8", "-ww", "-z", *pages_unpacked()])


@test
def mandoc_finds_nothing():
    found = lib.run([lib.need("mandoc"), "-T", "lint", "-W", "warning", *pages_unpacked()])
    equal((found.process.returncode, found.stdout + found.stderr), (0, ""), "mandoc -T lint")


@test
def man_shows_them():
    man, root = lib.need("man"), manual()
    environment = {"MANPATH": root, "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": "", "PAGER": "cat"}
    found = lib.run([man, "-w", "weir_client_send"], env=environment)
    if "minimized" in found.stdout + found.stderr:
        skip("man is a placeholder here")
    equal(found.stdout, os.path.join(root, "man3/weir_client_send.3.gz") + "\n", f"man -w: {found.stderr}")
    for name in ("weir_client_send", "weir_engine_config", "weir_slice_release", "weir", "weir-mock", "weir-bench"):
        shown = done([man, "--warnings", name], env=environment)
        check("weir manual" in shown and len(shown.splitlines()) > 15, f"{name}: {shown}")
        check(max(len(line) for line in shown.splitlines()) <= 96, f"{name}: too wide")


@test
def pages_are_reproducible():
    first, second = manual(), manual()
    for path in tree(first):
        with open(os.path.join(first, path), "rb") as one, open(os.path.join(second, path), "rb") as other:
            data = one.read()
            equal(data, other.read(), path)
            equal(struct.unpack("<I", data[4:8]), (0,), f"time inside {path}")


@test
def undocumented_is_refused():
    """Loudly: with the place, for each finding, and with nothing written."""
    root = lib.temp_dir()
    begin = "/* SPDX-License-Identifier: MIT */\n/** A header. */\n#ifndef X_H\n#define X_H\n"
    with open(os.path.join(HEADERS, "base.h"), encoding="utf-8") as file:
        base = file.read()
    for number, (declarations, findings) in enumerate((
            ("/** Known. */\nWEIR_API int weir_known(void);\n", []),
            ("WEIR_API int weir_bare(void);\n", ["x.h:5: weir_bare has no comment"]),
            ("struct weir_bare {\n    int a;\n};\n", ["x.h:5: weir_bare has no comment"]),
            ("struct weir_members {\n    int a; /**< known */\n};\n", []),
            ("static inline int weir_in(int a)\n{\n    return a;\n}\n", ["x.h:5: weir_in has no comment"]),
            ("/** Lost. */\n\n/** Known. */\nWEIR_API int weir_known(void);\n",
             ["x.h:5: a comment that nothing follows"]),
            ("int weir_hidden(void);\nint weir_global;\n",
             ["x.h:5: a declaration that is not understood: int weir_hidden(void);",
              "x.h:6: a declaration that is not understood: int weir_global;"]),
    )):
        headers = os.path.join(root, str(number))
        os.mkdir(headers)
        for name, text in (("base.h", base), ("x.h", f"{begin}{declarations}#endif\n")):
            with open(os.path.join(headers, name), "w", encoding="utf-8") as file:
                file.write(text)
        out = os.path.join(root, f"out{number}")
        made = subprocess.run([sys.executable, MAN, out, headers], capture_output=True, text=True,
                              timeout=lib.DEADLINE_S, check=False)
        equal([line.replace(headers + "/", "") for line in made.stderr.splitlines()], findings, declarations)
        equal(made.returncode, 1 if findings else 0, f"exit status for {declarations}")
        equal(os.path.exists(out), not findings, f"pages for {declarations}")


if __name__ == "__main__":
    lib.main()
