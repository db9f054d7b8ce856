// The pictures as tiles, of which those in sight alone are in the page: twenty thousand scroll like twenty.
import { h, set } from "../base/elements.js";
import { urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { keyed } from "../base/keyed.js";
import { t } from "./texts.js";

const GAP = 10, TEXT = 46; // pixels between tiles, and of the words below a picture
export const SIZES = [84, 112, 148, 196, 260, 340]; // widths of a tile, at least

// Returns {element, show(), reveal(id), zoom(size), top()}. `act(name, id)` hears of a double click ("open").
export function pictureGrid(signal, data, size, act) {
    const { selection } = data;
    const canvas = h("div", { class: "lt-data-canvas", role: "presentation" });
    const element = h("div", { class: "lt-data-grid", role: "listbox", tabindex: "0", "aria-multiselectable": "true", "aria-label": t("pictures") }, canvas);
    const draw = keyed(canvas, (item) => item.id, tile);
    let columns = 1, wide = size, high = size + TEXT;

    function measure() {
        const room = element.clientWidth - 2 * GAP;
        if (room <= 0) return false; // not seen
        columns = Math.max(1, Math.floor((room + GAP) / (size + GAP)));
        wide = Math.floor((room - GAP * (columns - 1)) / columns);
        high = wide + TEXT;
        return true;
    }
    const rowOf = (index) => Math.floor(index / columns);
    const topOf = (index) => GAP + rowOf(index) * (high + GAP);
    const inSight = () => Math.max(1, Math.floor(element.clientHeight / (high + GAP)));

    function show() {
        if (signal.aborted || !measure()) return;
        const { ids } = data;
        element.classList.toggle("lt-data-found-before", data.isFoundBefore);
        canvas.style.height = `${Math.ceil(ids.length / columns) * (high + GAP) + GAP}px`;
        const first = Math.max(0, Math.floor((element.scrollTop - GAP) / (high + GAP)) - 1) * columns;
        const last = Math.min(ids.length, (Math.ceil((element.scrollTop + element.clientHeight) / (high + GAP)) + 1) * columns);
        const shown = ids.slice(first, last);
        data.want(shown);
        draw(shown.map((id) => data.rows.get(id) || { id, isComing: true }));
        [...canvas.children].forEach((child, index) => settle(child, first + index, ids.length));
        set(element, "aria-activedescendant", selection.cursor === null ? null : `lt-data-${selection.cursor}`);
    }

    // Where a tile stands, and whether it is chosen: what changes without its picture being drawn anew.
    function settle(child, index, count) {
        const id = data.ids[index];
        child.style.cssText = `left:${GAP + (index % columns) * (wide + GAP)}px;top:${topOf(index)}px;width:${wide}px;height:${high}px`;
        set(child, "aria-selected", String(selection.has(id)));
        set(child, "aria-posinset", index + 1);
        set(child, "aria-setsize", count);
        child.classList.toggle("lt-data-cursor", selection.cursor === id);
    }

    // Scrolls as little as shows the picture whole.
    function reveal(id) {
        const index = selection.indexOf(id);
        if (index < 0 || !measure()) return;
        const top = topOf(index), height = element.clientHeight;
        if (top - GAP < element.scrollTop) element.scrollTop = top - GAP;
        else if (top + high + GAP > element.scrollTop + height) element.scrollTop = top + high + GAP - height;
    }

    function tileAt(event) {
        const child = event.target.closest(".lt-data-tile");
        return child ? Number(child.dataset.id) : null;
    }
    element.addEventListener("click", (event) => {
        const id = tileAt(event);
        element.focus({ preventScroll: true });
        if (id === null) return;
        if (event.shiftKey) selection.extend(id, event.ctrlKey || event.metaKey);
        else if (event.ctrlKey || event.metaKey) selection.toggle(id);
        else selection.only(id);
    });
    element.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault()); // no text is marked
    element.addEventListener("dblclick", (event) => tileAt(event) !== null && act("open"));
    element.addEventListener("scroll", show, { passive: true });
    const watcher = new ResizeObserver(() => { // the pictures stay about where they were
        const index = firstIndex();
        if (!measure()) return;
        element.scrollTop = index ? topOf(index) - GAP : 0;
        show();
    });
    watcher.observe(element);
    signal.addEventListener("abort", () => watcher.disconnect());
    const firstIndex = () => Math.max(0, Math.floor((element.scrollTop + GAP) / (high + GAP))) * columns;

    return {
        element,
        show,
        reveal,
        // How far the arrow keys go: {columns, page} in tiles.
        steps: () => ({ columns, page: columns * inSight() }),
        zoom(next) {
            const kept = selection.cursor !== null && isInSight(selection.cursor) ? selection.cursor : data.ids[firstIndex()];
            size = next;
            show();
            if (kept !== undefined) reveal(kept);
            show();
        },
        first: firstIndex,
        scrollTo(index) {
            if (measure()) element.scrollTop = index ? topOf(index) - GAP : 0;
        },
    };

    function isInSight(id) {
        const top = topOf(selection.indexOf(id));
        return top + high > element.scrollTop && top < element.scrollTop + element.clientHeight;
    }
}

const isRead = (row) => row.width !== null || Boolean(row.problem); // by the host, which reads thousands in the background

function tile(row) {
    const common = { class: "lt-data-tile", role: "option", id: `lt-data-${row.id}`, "data-id": row.id };
    if (row.isComing) return h("div", { ...common, "aria-label": t("loading") }, h("span", { class: "lt-data-thumb" }));
    const element = h("div", { ...common, "aria-label": spoken(row), title: `${row.name}\n${row.caption ?? ""}` },
        h("span", { class: "lt-data-thumb" }, h("img", { src: urlOf(row.thumb), alt: "", decoding: "async", draggable: "false" }),
            h("span", { class: "lt-data-marks" },
                row.left_out && h("span", { class: "lt-data-mark" }, t("left_out")),
                (row.problem || row.caption_problem) && h("span", { class: "lt-data-mark lt-data-mark-warn", title: row.problem || row.caption_problem }, icon("warning")),
                row.findings?.length > 0 && h("span", { class: "lt-data-mark lt-data-mark-warn lt-data-mark-found", title: t("findings_count", { x: row.findings.length }) }, icon("warning"), String(row.findings.length)),
                Number.isFinite(row.loss) && h("span", { class: "lt-data-mark", title: t("loss_title", { x: row.loss.toFixed(2) }) }, t("loss_times", { x: row.loss.toFixed(2) }))),
            row.stars > 0 && h("span", { class: "lt-data-stars", "aria-hidden": "true" }, "★".repeat(row.stars))),
        h("span", { class: `lt-data-words${row.caption || !isRead(row) ? "" : " lt-missing"}` }, row.caption || (isRead(row) ? t("no_caption") : "…")));
    element.classList.toggle("lt-data-out", Boolean(row.left_out));
    return element;
}

const spoken = (row) => [row.name, row.caption || t("no_caption"), row.stars > 0 && t("stars_count", { x: row.stars }), row.left_out && t("left_out")].filter(Boolean).join(", ");
