// SPDX-License-Identifier: MIT
// Zoom, search and details of a flame graph. It runs at the end of its <svg>, alone in a window or inside a page.
"use strict";
(function () {
    const graph = document.currentScript.ownerSVGElement;
    const width = Number(graph.dataset.width);
    const margin = Number(graph.dataset.margin);
    const charWidth = Number(graph.dataset.char);
    const shortest = Number(graph.dataset.shortest);
    const reset = graph.querySelector(".reset");
    const field = graph.querySelector(".search");
    const matched = graph.querySelector(".matched");
    const details = graph.querySelector(".details");

    const frames = Array.from(graph.querySelectorAll(".frame"), (node) => {
        const about = node.querySelector("title").textContent;
        const start = Number(node.dataset.start);
        const count = Number(node.dataset.count);
        return {
            node,
            about,
            name: about.slice(0, about.lastIndexOf(" (")),
            text: node.querySelector("text"),
            start,
            count,
            end: start + count,
            depth: Number(node.dataset.depth),
        };
    });
    const frameOf = new Map(frames.map((frame) => [frame.node, frame]));
    let zoomed = frames[0];

    function label(name, room) {
        const chars = Math.floor((room - 6) / charWidth);
        if (chars < shortest) {
            return "";
        }
        return name.length <= chars ? name : name.slice(0, chars - 2) + "..";
    }

    function place(frame, x, room) {
        frame.node.setAttribute("x", x.toFixed(2));
        frame.node.setAttribute("width", (room > 2 ? room - 0.5 : room).toFixed(2));
        frame.text.textContent = label(frame.name, room);
    }

    // The target over the whole width, its callers below it as wide, what it called above it, the rest away.
    function zoom(target) {
        const scale = (width - 2 * margin) / target.count;
        zoomed = target;
        for (const frame of frames) {
            const above = frame.depth >= target.depth && frame.start >= target.start && frame.end <= target.end;
            const around = frame.depth < target.depth && frame.start <= target.start && frame.end >= target.end;
            frame.node.classList.toggle("hidden", !above && !around);
            frame.node.classList.toggle("around", around);
            if (above) {
                place(frame, margin + (frame.start - target.start) * scale, frame.count * scale);
            } else if (around) {
                place(frame, margin, width - 2 * margin);
            }
        }
        reset.classList.toggle("hidden", target === frames[0]);
    }

    function expression(pattern) {
        try {
            field.setCustomValidity("");
            return pattern ? new RegExp(pattern, "i") : null;
        } catch (error) {
            field.setCustomValidity(error.message);
            return null;
        }
    }

    // A sample counts once, however many of its frames match. Frames come in the order of their starts, callers first:
    // whatever begins before the end of the last match lies above it.
    function search() {
        const wanted = expression(field.value);
        let samples = 0;
        let found = 0;
        let covered = 0;
        for (const frame of frames) {
            const match = wanted !== null && frame.depth > 0 && wanted.test(frame.name);
            frame.node.classList.toggle("match", match);
            found += match;
            if (match && frame.start >= covered) {
                samples += frame.count;
                covered = frame.end;
            }
        }
        const percent = ((100 * samples) / frames[0].count).toFixed(2);
        if (!field.checkValidity()) {
            matched.textContent = "not a regular expression";
        } else {
            matched.textContent = wanted ? `matched: ${percent}% of all samples, ${found} frames` : "";
        }
    }

    function eventFrame(event) {
        const node = event.target.closest(".frame");
        return node ? frameOf.get(node) : undefined;
    }

    function showDetails(event) {
        const frame = eventFrame(event);
        details.textContent = frame ? label(frame.about, width - 2 * margin) : "";
    }

    function onKey(event) {
        if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "f" && document.activeElement !== field) {
            // Pressed once more it is the browser's own search.
            event.preventDefault();
            field.focus();
            field.select();
        } else if (event.key === "Escape" && field.value !== "") {
            field.value = "";
            search();
        } else if (event.key === "Escape") {
            zoom(frames[0]);
        } else if (event.key === "Enter" && event.target === reset) {
            zoom(frames[0]);
        }
    }

    graph.addEventListener("click", (event) => {
        const frame = eventFrame(event);
        if (frame) {
            zoom(frame === zoomed ? frames[0] : frame);
        }
    });
    graph.addEventListener("mouseover", showDetails);
    reset.addEventListener("click", () => zoom(frames[0]));
    field.addEventListener("input", search);
    // A reloaded page may come with what was typed before.
    search();
    document.addEventListener("keydown", onKey);
})();
