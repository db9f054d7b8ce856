// One picture large in place of the grid: turned, and cropped in the shape of the bucket that it is trained in. The original stays in
// the trash folder, and either is a step of the history.
import { busy } from "../base/dialogs.js";
import { fill, h, set } from "../base/elements.js";
import { urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { clamped, moved, resized, shaped, trained } from "./frames.js";
import { t } from "./texts.js";

const NS = "http://www.w3.org/2000/svg";
const CORNERS = [[0, 0], [1, 0], [1, 1], [0, 1]];
const shape = (name, attributes) => {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
};

// `close()` is called when one is done. Returns {element, show()}.
export function cropEditor(signal, data, id, close) {
    let size = { width: 1, height: 1 }, frame = { x: 0, y: 0, width: 1, height: 1 }, ratio = 0, held = null;
    const image = h("img", { alt: "", draggable: "false", onload: () => begin() });
    const dim = shape("path", { class: "lt-data-dim", "fill-rule": "evenodd" }), cut = shape("path", { class: "lt-data-bucket-cut", "fill-rule": "evenodd" });
    const outline = shape("rect", { class: "lt-data-frame" });
    const handles = CORNERS.map(([right, down]) => shape("circle", { class: "lt-data-handle", "data-right": right, "data-down": down }));
    const board = shape("svg", { class: "lt-data-board", tabindex: "0", role: "application", "aria-label": t("crop_board") });
    board.append(dim, cut, outline, ...handles);
    const red = h("span", { hidden: true }, t("crop_red"));
    const facts = h("span", { class: "lt-data-count", role: "status" });
    const ratios = h("select", { class: "lt-input", "aria-label": t("crop_shape"), onchange: () => { ratio = Number(ratios.value); frame = shaped(size, ratio); show(); } });
    const apply = h("button", { type: "button", class: "lt-btn lt-btn-small lt-btn-primary", onclick: () => busy(apply, keep) }, t("crop_apply"));
    const turn = (degrees, text, name) => h("button", { type: "button", class: "lt-btn lt-btn-small", title: t(text), "aria-label": t(text), onclick: (event) => busy(event.currentTarget, () => done({ kind: "rotate", degrees })) }, icon(name));
    const element = h("div", { class: "lt-data-crop", "aria-label": t("crop") },
        h("div", { class: "lt-data-line" }, ratios, turn(270, "turn_left", "undo"), turn(90, "turn_right", "redo"), facts,
            h("div", { class: "lt-row lt-end" }, h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: close }, t("close")), apply)),
        h("div", { class: "lt-data-crop-place" }, image, board), h("p", { class: "lt-help" }, red, t("crop_hint")));

    const row = () => data.rows.get(id);
    function begin() {
        size = { width: image.naturalWidth, height: image.naturalHeight };
        const [wide, high] = row()?.bucket || [1, 1];
        const offered = [[0, t("crop_free")], [wide / high, t("crop_bucket", { x: `${wide} × ${high}` })], ...(wide === high ? [] : [[high / wide, t("crop_bucket", { x: `${high} × ${wide}` })], [1, "1 : 1"]])];
        fill(ratios, offered.map(([value, text]) => h("option", { value }, text)));
        ratio = offered[1][0];
        ratios.value = String(ratio);
        frame = shaped(size, ratio);
        set(board, "viewBox", `0 0 ${size.width} ${size.height}`);
        show();
    }
    const path = ({ x, y, width, height }) => `M${x} ${y}h${width}v${height}h${-width}z`;
    function show() {
        const radius = Math.max(size.width, size.height) / 90;
        dim.setAttribute("d", path({ x: 0, y: 0, ...size }) + path(frame));
        const kept = trained(frame, row()?.bucket);
        cut.setAttribute("d", path(frame) + path(kept));
        red.hidden = frame.width - kept.width < 1 && frame.height - kept.height < 1; // less than a pixel is not seen
        for (const [key, value] of Object.entries(frame)) outline.setAttribute(key, value);
        handles.forEach((handle, index) => {
            handle.setAttribute("cx", frame.x + CORNERS[index][0] * frame.width);
            handle.setAttribute("cy", frame.y + CORNERS[index][1] * frame.height);
            handle.setAttribute("r", radius);
        });
        const whole = rounded();
        facts.textContent = `${whole.width} × ${whole.height}`;
        apply.disabled = whole.width === size.width && whole.height === size.height;
    }
    const rounded = () => {
        const [x, y] = [Math.round(frame.x), Math.round(frame.y)];
        return { x, y, width: Math.min(size.width - x, Math.max(1, Math.round(frame.width))), height: Math.min(size.height - y, Math.max(1, Math.round(frame.height))) };
    };

    function pointOf(event) {
        const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(board.getScreenCTM().inverse());
        return { x: point.x, y: point.y };
    }
    board.addEventListener("pointerdown", (event) => {
        const { right, down } = event.target.dataset;
        board.setPointerCapture(event.pointerId);
        held = { at: pointOf(event), frame, corner: right === undefined ? null : [Number(right), Number(down)] };
    });
    board.addEventListener("pointermove", (event) => {
        if (!held) return;
        const at = pointOf(event);
        frame = held.corner ? resized(held.frame, held.corner, at, ratio, size) : moved(held.frame, at.x - held.at.x, at.y - held.at.y, size);
        show();
    });
    for (const kind of ["pointerup", "pointercancel"]) board.addEventListener(kind, () => (held = null));
    board.addEventListener("keydown", (event) => {
        const step = Math.max(size.width, size.height) / 100;
        const [x, y] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] || [];
        if (event.key === "Enter" && !apply.disabled) busy(apply, keep);
        else if (x === undefined) return;
        else if (event.shiftKey) frame = resized(frame, [1, 1], { x: frame.x + frame.width + x, y: frame.y + frame.height + y }, ratio, size);
        else frame = moved(frame, x, y, size);
        event.preventDefault();
        event.stopPropagation();
        frame = clamped(frame, size);
        show();
    });
    const keep = () => done({ kind: "crop", ...rounded() });
    async function done(edit) {
        if (!(await data.edit(edit, [id]))) return;
        await data.load([id]);
        if (edit.kind === "crop") close();
        else look();
    }
    function look() {
        const now = row();
        if (!now) return close();
        set(image, "src", urlOf(data.imageOf(now)));
        return undefined;
    }
    look();
    return { element, focus: () => board.focus({ preventScroll: true }) };
}
