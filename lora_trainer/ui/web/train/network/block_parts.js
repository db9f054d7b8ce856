// What the panel of blocks (blocks.js) is drawn with: the curve, and one block's row.
import { h, set } from "../../base/elements.js";
import * as args from "./args.js";
import { t } from "./texts.js";

// --- the picture ------------------------------------------------------------------------------------------------------
export function svg(tag, properties, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
    element.append(...children.flat());
    return element;
}
const line = (points) => svg("polyline", { class: "lt-curve-line", points: points.map(([x, y]) => `${args.short(x, 1)},${args.short(y, 1)}`).join(" ") });
export const icon = (weights) => svg("svg", { viewBox: "0 0 34 16", class: "lt-curve-icon", "aria-hidden": "true" }, line(weights.map((weight, index) => [2 + (30 * index) / (weights.length - 1), 14 - 12 * weight])));

// The numbers from the first block down to the last block up; hollow points are blocks that are not trained. `level` is
// the number of a block for which none is given.
export function drawCurve(element, blocks, numbers, isOff, level, most) {
    const top = Math.min(most, Math.max(level, ...numbers)) || 1;
    const height = (value) => 86 - (76 * Math.min(value, top)) / top;
    const points = numbers.map((value, index) => [10 + 20 * index, height(value)]);
    const mid = blocks.filter((block) => block.stretch === "mid");
    set(element, "viewBox", `0 0 ${20 * blocks.length} 96`);
    element.replaceChildren(
        svg("rect", { class: "lt-curve-mid", x: 20 * blocks.indexOf(mid[0]), y: 2, width: 20 * mid.length, height: 92, rx: 4 }),
        ...[0, level].map((value) => svg("line", { class: "lt-curve-grid", x1: 0, x2: 20 * blocks.length, y1: height(value), y2: height(value) })),
        line(points),
        ...points.map(([x, y], index) => svg("circle", { class: isOff[index] ? "lt-curve-off" : "lt-curve-point", cx: x, cy: args.short(y, 1), r: 4 })));
}

// --- one block: name, slider, number ------------------------------------------------------------------------------------
// Down runs from the top, up from the bottom, so that they stand as in the U-Net. `change(index, number)` writes.
export function row(block, change) {
    const id = `lt-block-${block.name.toLowerCase()}`;
    const slider = h("input", { type: "range", class: "lt-slider", id, min: "0", oninput: () => change(block.index, Number(slider.value)) });
    const box = h("input", { type: "text", class: "lt-block-number", inputmode: "decimal", autocomplete: "off", "aria-label": block.name,
        oninput: () => type(args.number(box.value)), onblur: () => put(), onkeydown: (event) => step(event) });
    const element = h("div", { class: `lt-block lt-block-${block.stretch}` }, h("label", { for: id }, block.name), slider, box);
    let shown = {};
    function type(number) {
        const isFine = number !== null && number <= shown.most && (!shown.isWhole || Number.isInteger(number));
        set(box, "aria-invalid", isFine ? null : "true");
        if (isFine) change(block.index, number);
    }
    function step(event) {
        const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
        if (!by) return;
        event.preventDefault();
        type(Math.min(shown.most, Math.max(0, Number(args.short(shown.value + by * shown.step)))));
        put();
    }
    function put() {
        box.value = args.short(shown.value, 2);
        set(box, "aria-invalid", null);
    }
    return {
        element, block,
        // {value, top of the slider, step, most, isWhole, isOff, isEmpty, isUsual, isLocked}
        show(now) {
            shown = now;
            for (const [key, value] of [["max", now.top], ["step", now.step]]) set(slider, key, value);
            slider.value = String(now.value);
            slider.disabled = box.disabled = now.isLocked;
            slider.style.setProperty("--lt-share", `${(100 * Math.min(now.value, now.top)) / now.top}%`);
            const about = now.isEmpty ? t("blocks_empty") : now.isOff ? t("blocks_off") : "";
            set(slider, "aria-valuetext", [args.short(now.value, 3), about].filter(Boolean).join(", "));
            if (document.activeElement !== box) put();
            for (const [name, is] of [["off", now.isOff], ["empty", now.isEmpty], ["usual", now.isUsual]]) element.classList.toggle(`lt-block-${name}`, is);
            element.title = about;
        },
    };
}

