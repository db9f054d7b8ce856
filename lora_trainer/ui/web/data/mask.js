// A mask painted over one picture, in place of the grid: what is pink is not learned. It is saved beside the picture (NAME-masklabel.png);
// an earlier mask goes to the trash folder, and either is a step of the history.
import { answerTo, busy } from "../base/dialogs.js";
import { h, set } from "../base/elements.js";
import { getPicture, urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { report } from "../base/messages.js";
import { brushed, exported, hidden } from "./painting.js";
import { t } from "./texts.js";

const MOST = 1536; // pixels a side of what is painted on; a mask is scaled to its picture
const SIZES = { least: 2, usual: 12, most: 60 }; // of the brush, in hundredths of the picture's longer side

// `close()` is called when one is done. Returns {element, focus()}.
export function maskEditor(signal, data, id, close) {
    let steps = [], base /* undefined until it is here */, stroke = null, at = { x: 0, y: 0 }, isChanged = false;
    const image = h("img", { alt: "", draggable: "false", onload: () => begin().catch((error) => signal.aborted || report(error)) });
    const board = h("canvas", { class: "lt-data-mask", tabindex: "0", role: "application", "aria-label": t("mask_board") });
    const ring = h("i", { class: "lt-data-brush", "aria-hidden": "true", hidden: true });
    const button = (text, title, action, name) => h("button", { type: "button", class: "lt-btn lt-btn-small", title, onclick: action }, name && icon(name), text);
    const learn = button(t("mask_learn"), t("mask_learn_title"), () => choose(false)), hide = button(t("mask_hide"), t("mask_hide_title"), () => choose(true));
    const size = h("input", { type: "range", min: SIZES.least, max: SIZES.most, value: SIZES.usual, "aria-label": t("mask_size"), oninput: () => showRing() });
    const undo = button(t("mask_undo"), t("mask_undo_title"), () => back(), "undo"), save = h("button", { type: "button", class: "lt-btn lt-btn-small lt-btn-primary", onclick: () => busy(save, keep) }, t("mask_save"));
    const remove = h("button", { type: "button", class: "lt-btn lt-btn-small", hidden: true, onclick: () => busy(remove, () => done(null)) }, t("mask_remove"));
    const facts = h("span", { class: "lt-data-count", role: "status" });
    const element = h("div", { class: "lt-data-crop", "aria-label": t("mask") },
        h("div", { class: "lt-data-line" }, learn, hide, h("label", { class: "lt-row" }, t("mask_size"), size), 
            button(t("mask_invert"), t("mask_invert_title"), () => add({ kind: "invert" })), button(t("mask_clear"), t("mask_clear_title"), () => add({ kind: "fill" })), undo, facts,
            h("div", { class: "lt-row lt-end" }, remove, h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: (event) => busy(event.currentTarget, leave) }, t("close")), save)),
        h("div", { class: "lt-data-crop-place" }, image, board, ring), h("p", { class: "lt-help" }, t("mask_hint")));
    let isHiding = false;
    // What was painted is saved by its button alone: whoever leaves is asked, and where the view goes it is held, as what could not be saved.
    async function leave() {
        const answer = isChanged ? await answerTo(t("mask_leave"), [["drop", t("mask_drop"), "lt-btn-danger"], ["save", t("mask_keep"), "lt-btn-primary"]]) : "drop";
        if (answer === "save") return keep();
        if (!answer) return board.focus({ preventScroll: true });
        isChanged = false;
        return close();
    }
    const held = () => isChanged && base !== undefined && data.hold({ kind: "mask", png: exported(board) }, id);
    signal.addEventListener("abort", held);
    window.addEventListener("pagehide", held, { signal });

    function choose(next) {
        isHiding = next;
        set(learn, "aria-pressed", String(!next));
        set(hide, "aria-pressed", String(next));
    }
    async function begin() {
        const scale = Math.min(1, MOST / Math.max(image.naturalWidth, image.naturalHeight));
        [board.width, board.height] = [image.naturalWidth, image.naturalHeight].map((side) => Math.max(1, Math.round(side * scale)));
        at = { x: board.width / 2, y: board.height / 2 };
        base = await getPicture(data.maskOf(id)); // the mask that the picture has already, or null
        remove.hidden = !base;
        draw();
        if (signal.aborted) held(); // one went before the mask was here
    }
    function draw() {
        const shown = hidden(board, base, stroke ? [...steps, stroke] : steps);
        undo.disabled = !steps.length;
        save.disabled = !isChanged || base === undefined; // what is there already would be lost
        facts.textContent = t("mask_share", { x: Math.round(100 * shown) });
    }
    function add(step) {
        if (!image.naturalWidth) return; // nothing is here to paint on
        steps.push(step);
        isChanged = true;
        draw();
    }
    function back() {
        steps.pop();
        isChanged = steps.length > 0;
        draw();
    }
    const radius = () => (Number(size.value) / 200) * Math.max(board.width, board.height);
    // Where the drawn picture lies in its place: as large as it can be, in the middle.
    function frame() {
        const box = board.getBoundingClientRect(), scale = Math.min(box.width / board.width, box.height / board.height);
        return { scale, left: box.left + (box.width - board.width * scale) / 2, top: box.top + (box.height - board.height * scale) / 2, box };
    }
    const pointOf = (event) => {
        const { scale, left, top } = frame();
        return { x: (event.clientX - left) / scale, y: (event.clientY - top) / scale };
    };
    function showRing() {
        const { scale, left, top, box } = frame(), side = 2 * radius() * scale;
        ring.hidden = false;
        ring.style.cssText = `width:${side}px;height:${side}px;left:${left - box.left + at.x * scale - side / 2}px;top:${top - box.top + at.y * scale - side / 2}px`;
    }
    board.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        board.setPointerCapture(event.pointerId);
        at = pointOf(event);
        stroke = brushed(isHiding !== event.altKey, radius(), at);
        draw();
    });
    board.addEventListener("pointermove", (event) => {
        at = pointOf(event);
        showRing();
        if (!stroke) return;
        stroke.points.push(at);
        draw();
    });
    board.addEventListener("pointerup", () => {
        const made = stroke;
        stroke = null;
        if (made) add(made);
    });
    board.addEventListener("pointercancel", () => { stroke = null; draw(); });
    board.addEventListener("pointerleave", () => (ring.hidden = !board.matches(":focus-visible")));
    const move = (x, y) => {
        const step = Math.max(1, radius() / 2);
        at = { x: Math.min(board.width, Math.max(0, at.x + x * step)), y: Math.min(board.height, Math.max(0, at.y + y * step)) };
        showRing();
    };
    const resize = (by) => { size.value = String(Number(size.value) + by); showRing(); };
    const KEYS = {
        ArrowLeft: () => move(-1, 0), ArrowRight: () => move(1, 0), ArrowUp: () => move(0, -1), ArrowDown: () => move(0, 1),
        " ": () => add(brushed(isHiding, radius(), at)), "[": () => resize(-2), "]": () => resize(2), x: () => choose(!isHiding),
        i: () => add({ kind: "invert" }), Delete: () => add({ kind: "fill" }), Enter: () => save.disabled || busy(save, keep), Escape: leave,
    };
    element.addEventListener("keydown", (event) => {
        const isUndo = (event.ctrlKey || event.metaKey) && event.key === "z";
        const action = isUndo ? back : event.target === board && !event.ctrlKey && !event.metaKey && KEYS[event.key];
        if (!action) return;
        action();
        event.preventDefault();
        event.stopPropagation();
    });
    const keep = () => done(exported(board));
    async function done(png) {
        isChanged = false; // not a second time, when the view goes meanwhile
        const isSaved = await data.edit({ kind: "mask", png }, [id]);
        if (isSaved && !isChanged) return close();
        isChanged = true; // it is not saved, or more was painted meanwhile
        return draw();
    }
    choose(false);
    set(image, "src", urlOf(data.imageOf(data.rows.get(id))));
    return { element, focus: () => board.focus({ preventScroll: true }) };
}
