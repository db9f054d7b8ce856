// The keyboard of the data set page. Keys act while the focus is within the page's own view, and what they did goes no further:
// the Web UI has keys of its own.
import { h } from "../base/elements.js";
import { t } from "./texts.js";

// The list that is shown for "?": [keys, name of a text].
const KEYS = [
    ["← → ↑ ↓", "key_move"], ["Shift + ← → ↑ ↓", "key_extend"], ["Space", "key_toggle"], ["Ctrl+A", "key_all"], ["Home End PgUp PgDn", "key_far"],
    ["Enter", "key_edit"], ["T", "key_tag"], ["Esc", "key_back"], ["1 … 5, 0", "key_stars"], ["X", "key_out"], ["Delete", "key_trash"],
    ["Ctrl+Z, Ctrl+Y", "key_undo"], ["/", "key_filter"], ["+ −", "key_size"], ["Alt + ← →", "key_chip"], ["?", "key_list"],
];
export const keyList = () => h("dl", { class: "lt-data-keys" }, KEYS.map(([keys, text]) => h("div", {}, h("dt", {}, keys.split(/(?<=,) /).map((one) => h("kbd", {}, one))), h("dd", {}, t(text)))));

const isControl = (event) => event.ctrlKey || event.metaKey;
export const isTyping = (target) => target.matches("input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable]");

// What a key does while the pictures have the focus: [name of the action, value], or null.
export function pictureKey(event, { columns, page }, count) {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -count, End: count, PageUp: -page, PageDown: page }[event.key];
    if (event.altKey) return null;
    if (by) return ["move", [by, { extend: event.shiftKey, keep: isControl(event) && !event.shiftKey }]];
    if (isControl(event)) return event.key.toLowerCase() === "a" ? ["all"] : null;
    if (/^[0-5]$/.test(event.key)) return ["stars", Number(event.key)];
    const name = { " ": "toggle", Enter: "open", Delete: "trash", "+": "larger", "=": "larger", "-": "smaller" }[event.key] || { KeyT: "tag", KeyX: "leave_out" }[event.code];
    return name ? [name] : null;
}

// What a key does anywhere in the view, but where one types.
export function viewKey(event) {
    if (isControl(event) && !event.altKey) {
        const name = { KeyZ: event.shiftKey ? "redo" : "undo", KeyY: "redo" }[event.code];
        return name && !isTyping(event.target) ? [name] : null;
    }
    if (event.key === "Escape") return ["back"];
    if (isTyping(event.target) || event.altKey) return null;
    const name = { "/": "filter", "?": "keys" }[event.key];
    return name ? [name] : null;
}
