// One data set: the line of the filter, the pictures, the tags on one side of them and the caption on the other.
import { app } from "../base/app.js";
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { icon } from "../base/icons.js";
import { recall, remember } from "../base/memory.js";
import { note, report } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { go } from "../base/place.js";
import { bulkPanel } from "./bulk.js";
import { cropEditor } from "./crop.js";
import { dataset } from "./dataset.js";
import { filterLine } from "./filter.js";
import { findingsPanel } from "./findings.js";
import { SIZES, pictureGrid } from "./grid.js";
import { groupsPanel } from "./groups.js";
import { heldNotes } from "./held.js";
import { historyPanel } from "./history.js";
import { maskEditor } from "./mask.js";
import { keyList, pictureKey, viewKey } from "./keys.js";
import { nameOf, rememberOpened, trainChanged, trainWith } from "./open.js";
import { captionPanel } from "./panel.js";
import { segments } from "./parts.js";
import { places } from "./places.js";
import { tagTable } from "./tagtable.js";
import { t } from "./texts.js";

// What is done to one picture: name -> (signal, data, id, close) => {element, focus}.
const TOOLS = { crop: cropEditor, mask: maskEditor };

export function dataPage(signal, opened) {
    const paths = opened.folders.map((folder) => folder.path);
    const was = places.get(opened.id) || {};
    const data = dataset(signal, opened, { ...recall("data.sort", {}), filter: was.filter, held: was.held });
    let size = SIZES.includes(recall("data.size")) ? recall("data.size") : 148;

    const grid = pictureGrid(signal, data, size, () => open("caption"));
    const filter = filterLine(signal, data, { size, zoom });
    const caption = captionPanel(signal, data, (name, id) => openTool(name, id));
    const bulk = bulkPanel(signal, data);
    const tags = tagTable(signal, data, filter);
    const history = historyPanel(signal, data);
    const left = pane("side", t("about_set"), [["tags", t("tags"), tags], ["quick", t("quick"), groupsPanel(signal, data)], ["findings", t("findings"), findingsPanel(signal, data, filter)], ["history", t("history"), history]], was.panes?.[0]);
    const right = pane("edit", t("edit"), [["caption", t("caption"), caption], ["bulk", t("bulk"), bulk]], was.panes?.[1]);
    const none = h("div", { class: "lt-data-none", hidden: true }, icon("search"), h("strong", {}, t("none_found")), h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => filter.put("") }, t("show_all")));
    const saved = h("span", { class: "lt-data-saved", role: "status" });
    const keys = h("div", { id: "lt-data-keys", hidden: true }, keyList());
    const tool = (name, label, action) => h("button", { type: "button", class: "lt-btn lt-btn-small lt-btn-icon", "aria-label": label, title: label, onclick: action }, icon(name));
    const undo = tool("undo", t("undo"), () => acts.undo()), redo = tool("redo", t("redo"), () => acts.redo());
    const help = h("button", { type: "button", class: "lt-btn lt-btn-small", "aria-expanded": "false", "aria-controls": keys.id, title: t("key_list"), onclick: () => acts.keys() }, t("keys"));
    const title = h("h2", { title: paths.join("\n") }, nameOf(paths));
    const toolPlace = h("div", { class: "lt-data-tool" });
    const around = h("div", { class: "lt-data-middle" }, grid.element, none, toolPlace);
    const element = h("div", { class: "lt-data-page" },
        h("header", { class: "lt-data-head" }, h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => { rememberOpened(""); go("data"); } }, icon("folder"), t("other_set")), title,
            h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => trainWith(opened) }, t("train_with")),
            opened.learned && h("button", { type: "button", class: "lt-btn lt-btn-small", title: t("train_changed_hint"), onclick: (event) => busy(event.currentTarget, () => trainChanged(opened.id)) }, t("train_changed")),
            h("div", { class: "lt-row lt-end" }, saved, undo, redo, help)),
        keys, opened.folders.filter((folder) => folder.problem || folder.read_only).map((folder) => note({ level: "warning", where: folder.path, message: folder.problem || t("read_only") })), filter.element, heldNotes(signal, data), h("div", { class: "lt-data-body" }, left.element, around, right.element));

    function zoom(next) {
        size = next;
        remember("data.size", size);
        filter.showSize(size);
        grid.zoom(size);
    }
    function open(name, kind) {
        right.open(name);
        right.current().focus?.(kind);
    }
    // What is done to one picture takes the place of the grid until it is closed.
    function openTool(name, id) {
        const tool = TOOLS[name](signal, data, id, closeTool);
        around.classList.add("lt-data-tooled");
        fill(toolPlace, tool.element);
        tool.focus?.();
    }
    function closeTool() {
        fill(toolPlace);
        around.classList.remove("lt-data-tooled");
        grid.element.focus({ preventScroll: true });
    }
    // What a key, or a button that stands for it, does.
    const acts = {
        move: ([by, how]) => { data.selection.move(by, how); grid.reveal(data.selection.cursor); },
        all: () => data.selection.all(),
        toggle: () => data.selection.cursor !== null && data.selection.toggle(data.selection.cursor),
        open: () => open("caption"),
        tag: () => open("caption", "tag"),
        stars: (stars) => data.edit({ kind: "stars", count: stars }),
        leave_out: () => data.edit({ kind: "leave_out", on: !data.selection.ids.every((id) => data.rows.get(id)?.left_out) }),
        trash: () => data.edit({ kind: "delete" }),
        larger: () => zoom(SIZES[Math.min(SIZES.length - 1, SIZES.indexOf(size) + 1)]),
        smaller: () => zoom(SIZES[Math.max(0, SIZES.indexOf(size) - 1)]),
        undo: () => { caption.flush(); return data.back(); },
        redo: () => data.forth(),
        filter: () => filter.focus(),
        back: () => (toolPlace.childElementCount ? closeTool() : grid.element.focus({ preventScroll: true })),
        keys: () => {
            keys.hidden = !keys.hidden;
            help.setAttribute("aria-expanded", String(!keys.hidden));
        },
    };
    element.addEventListener("keydown", (event) => {
        if (event.isComposing || event.defaultPrevented) return;
        const isGrid = event.target === grid.element;
        const found = viewKey(event) || (isGrid && pictureKey(event, grid.steps(), data.ids.length));
        if (!found) return;
        event.preventDefault();
        event.stopPropagation(); // the Web UI has keys of its own
        const [name, value] = found;
        acts[name](value);
    });

    function show() {
        none.hidden = data.ids.length > 0;
        saved.textContent = data.saving ? savingText(data) : data.scan ? t("scanning", { done: formatNumber(data.scan.done), total: formatNumber(data.scan.total) }) : data.unread ? t("not_looked_at", { x: formatNumber(data.unread) }) : "";
        for (const [button, step, text] of [[undo, data.undo, t("undo")], [redo, data.redo, t("redo")]]) {
            button.disabled = !step;
            button.title = step ? `${text}: ${step.title}` : text;
        }
        grid.show();
    }
    data.watch(signal, show);
    signal.addEventListener("abort", () => places.set(data.movedTo || data.id, { first: grid.first(), filter: data.filter, chosen: data.selection.ids, held: data.held, panes: [left.shown, right.shown], isWriting: right.element.contains(document.activeElement) }));
    data.query().then(() => {
        if (signal.aborted) return;
        if (was.chosen) data.selection.put(was.chosen);
        grid.scrollTo(was.first || 0);
        show();
        const focused = document.activeElement;
        if (was.isWriting && data.selection.ids.length) right.current().focus?.();
        else if (focused === document.body || app.mount.contains(focused)) grid.element.focus({ preventScroll: true });
    });
    data.writeUnsaved().catch(report);
    data.follow();
    return element;
}

// What becomes, or became, of the last change.
function savingText({ saving, lastTitle, scan }) {
    if (saving === "waiting") return scan ? t("scanning_first", { done: formatNumber(scan.done), total: formatNumber(scan.total) }) : t("saving");
    const said = { saving: t("saving"), unsaved: t("unsaved"), saved: t("saved"), undone: t("undone"), redone: t("redone") }[saving];
    return ["saving", "unsaved"].includes(saving) || !lastTitle ? said : `${said} · ${lastTitle}`;
}

// Parts of which one is shown, `first` at the start.
function pane(name, label, parts, first = parts[0][0]) {
    const body = h("div", { class: "lt-data-pane-body" });
    const choice = segments(`lt-data-${name}`, label, parts.map(([part, text]) => [part, text]), open);
    let shown = "";
    function open(part) {
        if (shown === part) return;
        shown = part;
        choice.show(part);
        const { element, show } = current();
        fill(body, element);
        show?.();
    }
    const current = () => parts.find(([part]) => part === shown)[2];
    open(first);
    return { element: h("section", { class: `lt-data-pane lt-data-${name}`, "aria-label": label }, h("div", { class: "lt-data-pane-head" }, choice.element), body), open, current, get shown() { return shown; } };
}
