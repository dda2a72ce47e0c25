# SPDX-License-Identifier: MIT
"""A flame graph as one SVG that needs nothing else: the callers below, what they called above, width is samples.

The same stacks always give the same bytes. Each frame is an <svg> of its own, which clips what stands in it; graph.js,
which is put inside, zooms by moving these, and needs of each only where its samples begin and how many they are.
"""
import colorsys
import os
import textwrap
import xml.sax.saxutils
import zlib

from stacks import KERNEL, USER

WIDTH = 1200
MARGIN = 10
ROW = 16           # from one frame to the one above
BOX = 15           # of a frame, which leaves a line between two
CHAR = 7.3         # of a frame's text: 12 px, and no monospaced font is wider than 0.61 of that
SHORTEST = 3       # characters of a label; less says nothing
NARROWEST = 0.1    # px of a frame: what is less could not be seen, and would make up most of the file
NOTE_CHARS = 160   # of a line above the graph
THREAD = "thread"  # what stands below the functions: all samples, and each thread

# Light enough for dark text: hues, saturation and lightness, from and to.
SHADES = {
    USER: ((14, 48), (0.85, 0.95), (0.62, 0.72)),
    KERNEL: ((196, 226), (0.55, 0.75), (0.70, 0.80)),
    THREAD: ((0, 0), (0, 0), (0.82, 0.82)),
}
LEGEND = ((USER, "user"), (KERNEL, "kernel"), (THREAD, "thread"))
MATCH = "#ff5edb"

STYLE = f"""
.flame {{ background: #fff; }}
.flame text {{ font: 12px sans-serif; fill: #111; }}
.flame .heading {{ font: bold 17px sans-serif; }}
.flame .warning {{ font-weight: bold; fill: #b00020; }}
.flame .frame {{ cursor: pointer; }}
.flame .frame text, .flame .details {{ font: 12px monospace; white-space: pre; pointer-events: none; }}
.flame .frame:hover rect {{ stroke: #111; stroke-width: 2; }}
.flame .match rect {{ fill: {MATCH}; }}
.flame .around rect {{ opacity: 0.4; }}
.flame .hidden {{ display: none; }}
.flame .reset {{ cursor: pointer; }}
.flame .reset rect {{ fill: #eee; stroke: #888; }}
.flame input {{ box-sizing: border-box; width: 100%; height: 24px; margin: 0; padding: 0 6px; font: 12px monospace;
    color: #111; background: #fff; border: 1px solid #888; border-radius: 3px; }}
.flame input:invalid {{ border-color: #b00020; background: #fff0f0; }}
"""


class Frame:
    def __init__(self, name, side, depth, start):
        self.name, self.side, self.depth, self.start = name, side, depth, start
        self.count = 0
        self.key = (name, side)


# ---- Frames -----------------------------------------------------------------------------------------------------


def frames_of(counted):
    """All frames, callers before what they called, and from left to right in the order of the names."""
    frames = [Frame("all", USER, 0, 0)]
    path, end = frames[:], 0  # the stack that was placed last, and where its samples end
    for stack, count in sorted(counted.counts.items()):
        common = 0
        while common < min(len(path) - 1, len(stack)) and path[common + 1].key == stack[common]:
            common += 1
        del path[common + 1:]
        for name, side in stack[common:]:
            path.append(Frame(name, side, len(path), end))
            frames.append(path[-1])
        for frame in path:
            frame.count += count
        end += count
    return frames


def shade(side, mixed):
    """Of the shades of the side the one that three bytes choose."""
    hue, saturation, lightness = (
        low + (high - low) * (mixed >> shift & 255) / 255 for (low, high), shift in zip(SHADES[side], (0, 8, 16)))
    channels = colorsys.hls_to_rgb(hue / 360, lightness, saturation)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in channels)


def shade_of(name, side):
    """One colour for one name, in this graph and in all others."""
    return shade(side, zlib.crc32(name.encode("utf-8", "replace")))


# ---- SVG --------------------------------------------------------------------------------------------------------


def _is_xml(char):
    return char in "\t\n\r" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff"


def escape(text):
    """For text and for attributes in double quotes; what XML knows no way to write becomes a question mark."""
    text = "".join(char if _is_xml(char) else "\ufffd" for char in text)
    return xml.sax.saxutils.escape(text, {'"': "&quot;"})


def number(value):
    return f"{value:.2f}".rstrip("0").rstrip(".")


def label(name, width):
    """What of the name fits in; graph.js does the same after a zoom."""
    chars = int((width - 6) / CHAR)
    if chars < SHORTEST:
        return ""
    return name if len(name) <= chars else name[:chars - 2] + ".."


def gapped(width):
    """Less a line between two neighbours, where there is room for one."""
    return width - 0.5 if width > 2 else width


def frame_lines(frame, total, bottom):
    scale = (WIDTH - 2 * MARGIN) / total
    width = frame.count * scale
    kind = THREAD if frame.depth < 2 else frame.side
    side = f"{kind}, " if frame.depth > 0 else ""
    samples = f"{frame.count:,} sample{'' if frame.count == 1 else 's'}"
    about = f"{frame.name} ({side}{samples}, {100 * frame.count / total:.2f}%)"
    yield (f'<svg class="frame {kind}" x="{number(MARGIN + frame.start * scale)}" y="{bottom - frame.depth * ROW}" '
           f'width="{number(gapped(width))}" height="{BOX}" data-start="{frame.start}" data-count="{frame.count}" '
           f'data-depth="{frame.depth}"><title>{escape(about)}</title>'
           f'<rect width="100%" height="100%" fill="{shade_of(frame.name, kind)}"/>'
           f'<text x="3" y="11.5">{escape(label(frame.name, width))}</text></svg>')


def heading_lines(title, notes, warnings):
    """The lines above the graph and how high they are."""
    lines, y = [f'<text class="heading" x="{MARGIN}" y="26">{escape(title)}</text>'], 28
    for texts, kind in ((notes, "note"), (warnings, "warning")):
        for text in texts:
            for part in textwrap.wrap(text, NOTE_CHARS):
                y += 17
                lines.append(f'<text class="{kind}" x="{MARGIN}" y="{y}">{escape(part)}</text>')
    return lines, y


def control_lines(y):
    """What stands in the row between the lines and the graph: the legend, the reset, the search."""
    x = MARGIN
    for side, text in (*LEGEND, ("match", "found")):
        fill = MATCH if side == "match" else shade(side, 0x808080)
        yield f'<rect class="legend" x="{x}" y="{y + 5}" width="14" height="14" fill="{fill}"/>'
        yield f'<text x="{x + 20}" y="{y + 17}">{text}</text>'
        x += 80
    yield ('<g class="reset hidden" role="button" tabindex="0">'
           f'<rect x="{x + 10}" y="{y}" width="96" height="24" rx="3"/>'
           f'<text x="{x + 58}" y="{y + 17}" text-anchor="middle">Reset zoom</text></g>')
    field = 300
    left = WIDTH - MARGIN - field
    yield f'<text class="matched" x="{left - 10}" y="{y + 17}" text-anchor="end"></text>'
    yield (f'<foreignObject x="{left}" y="{y}" width="{field}" height="24"><input xmlns="http://www.w3.org/1999/xhtml" '
           'class="search" type="text" spellcheck="false" autocomplete="off" aria-label="Search" '
           'placeholder="Search: regular expression (Ctrl-F)"/></foreignObject>')


def script():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "graph.js"), encoding="utf-8") as source:
        return source.read()


def draw(counted, title, notes, warnings):
    """The SVG. @counted: stacks.Stacks with at least one sample; notes and warnings are lines below the title."""
    frames = frames_of(counted)
    total = frames[0].count
    shown = [frame for frame in frames if frame.count * (WIDTH - 2 * MARGIN) / total >= NARROWEST]
    if len(shown) < len(frames):
        notes = [*notes, f"{len(frames) - len(shown):,} of {len(frames):,} frames are left out: narrower than "
                 f"{NARROWEST} px."]
    heading, y = heading_lines(title, notes, warnings)
    controls = y + 12
    top = controls + 34
    bottom = top + max(frame.depth for frame in shown) * ROW
    height = bottom + BOX + 26
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" class="flame" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" data-width="{WIDTH}" data-margin="{MARGIN}" data-char="{CHAR}" '
        f'data-shortest="{SHORTEST}">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        *heading,
        *control_lines(controls),
    ]
    for frame in shown:
        lines.extend(frame_lines(frame, total, bottom))
    lines.append(f'<text class="details" x="{MARGIN}" y="{height - 9}"></text>')
    lines.append(f"<script><![CDATA[\n{script()}]]></script>")
    lines.append("</svg>\n")
    return "\n".join(lines)
