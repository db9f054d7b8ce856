// A caption was changed on the disk by somebody else meanwhile: nothing is overwritten before one has chosen.
import { fill, h } from "../base/elements.js";
import { icon } from "../base/icons.js";
import { formatNumber } from "../base/numbers.js";
import { t } from "./texts.js";

const SHOWN = 5;

export function conflictNote(signal, data) {
    const element = h("div", { role: "alert" });
    const button = (text, action) => h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: action }, t(text));
    const line = (one) => h("li", {}, h("strong", {}, one.name), " ", one.caption === null || one.caption === undefined ? one.message : h("q", {}, one.caption));
    function show() {
        const { conflict } = data;
        if (!conflict) return void fill(element);
        const { conflicts, again } = conflict;
        fill(element, h("div", { class: "lt-note lt-note-warning" }, icon("warning"), h("div", { class: "lt-stack" },
            h("span", {}, t("conflict", { x: formatNumber(conflicts.length) })), h("ul", {}, conflicts.slice(0, SHOWN).map(line)),
            h("div", { class: "lt-row" }, button("conflict_mine", () => again({ force: true })), button("conflict_skip", () => again({ skip: true })), button("conflict_theirs", () => data.takeTheirs())))));
        return undefined;
    }
    data.watch(signal, (what) => ["conflict", "saving"].includes(what) && show());
    return element;
}
