// What could not be done as it was asked for: a caption was changed on the disk by somebody else meanwhile, or could not be saved.
// Nothing is overwritten before one has chosen, and what one wrote is kept here until it is saved or put away.
import { fill, h } from "../base/elements.js";
import { icon } from "../base/icons.js";
import { say } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { sentence } from "../base/problems.js";
import { places } from "./places.js";
import { t } from "./texts.js";

const SHOWN = 5;

// One that is held: {path, body, done: the request; conflicts, of: how many pictures it is about; problem: why it could not be saved;
// name: of the picture, whose row may not be here yet when the view is drawn anew; isLeft: a mask whose view was left before it was saved; isAside: the file's own caption was taken}. Whether its request is a text that one wrote:
export const isWritten = (body) => body.edit?.kind === "caption" && Boolean(body.edit.text?.trim());

// ... or a mask that one painted.
export const isMade = (body) => isWritten(body) || body.edit?.kind === "mask";

// The list with one more. A text takes the place of the one that it was written in place of (`from`).
export const holding = (held, one, from) => [...held.filter((other) => !(isWritten(other.body) && isWritten(one.body) && other.body.ids[0] === one.body.ids[0] && other.body.edit.text === from)), one];

// The data set's view has gone meanwhile: it shows them when it is there again.
export function keepHeld(id, held) {
    places.set(id, { ...places.get(id), held });
    say(t("held_elsewhere"), "error");
}

export function heldNotes(signal, data) {
    const element = h("div", { role: "alert" });
    const button = (text, action) => h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: action }, t(text));
    const line = (one) => h("li", {}, h("strong", {}, one.name), " ", one.caption === null || one.caption === undefined ? one.message : h("q", {}, one.caption));
    const nameOf = (one) => one.name || one.conflicts[0]?.name || data.rows.get(one.body.ids[0])?.name || "";

    // What there is to say of one, and the ways out of it.
    function told(one) {
        const mine = isWritten(one.body) && h("p", {}, t("held_yours"), " ", h("q", {}, one.body.edit.text));
        if (one.isAside) return [h("span", {}, t("held_aside", { x: nameOf(one) })), mine, [button("held_put_back", () => data.again(one, { force: true })), button("held_drop", () => data.putAway(one))]];
        if (one.isLeft) return [h("span", {}, t("held_mask", { x: nameOf(one) })), null, [button("mask_save", () => data.again(one)), button("held_drop", () => data.putAway(one))]];
        if (one.problem) return [h("span", {}, t(isWritten(one.body) ? "held_failed" : "held_failed_mask", { x: nameOf(one) }), " ", sentence(one.problem)), mine, [button("held_again", () => data.again(one)), button("held_drop", () => data.putAway(one))]];
        const { conflicts } = one, hasOthers = one.of > conflicts.length;
        return [h("span", {}, t("conflict", { x: formatNumber(conflicts.length) })), [h("ul", {}, conflicts.slice(0, SHOWN).map(line)), mine],
            [button("conflict_mine", () => data.again(one, { force: true })), hasOthers && button("conflict_skip", () => data.again(one, { skip: true })), button("conflict_theirs", () => data.takeTheirs(one))]];
    }
    function show() {
        fill(element, data.held.map((one) => {
            const [what, more, ways] = told(one);
            return h("div", { class: "lt-note lt-note-warning lt-data-held" }, icon("warning"), h("div", { class: "lt-stack" }, what, more, h("div", { class: "lt-row" }, ways)));
        }));
    }
    let count = data.held.length;
    data.watch(signal, (what) => {
        if (what !== "held") return;
        show();
        if (data.held.length > count) element.scrollIntoView({ block: "nearest" }); // on a phone it is far from where one writes
        count = data.held.length;
    });
    show();
    return element;
}
