// Two tabs of the browser share what the form remembers: a change in another one is said here, and either of the two counts then.
import { h } from "../base/elements.js";
import { icon } from "../base/icons.js";
import { recall } from "../base/memory.js";
import { redraw } from "../base/place.js";
import { t } from "./texts.js";
import { values } from "./values.js";

const OF_THE_FORM = ["preset", "upload", "changes"];
const held = (draft) => JSON.stringify(OF_THE_FORM.map((name) => draft[name]));

export function tabNotice(signal) {
    const button = (text, action) => h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: action }, t(text));
    const element = h("div", { class: "lt-note lt-note-info lt-other-tab", role: "status", hidden: true }, icon("info"), h("div", { class: "lt-row" }, h("span", {}, t("tab_changed")),
        button("tab_take", () => {
            values.restore(recall("draft", {}));
            redraw();
        }),
        button("tab_keep", () => {
            element.hidden = true;
            values.announce(""); // remembered anew, so that the other tab is asked in its turn
        })));
    const look = () => { element.hidden = held(recall("draft", {})) === held(values.snapshot()); };
    window.addEventListener("storage", (event) => event.key?.endsWith(".draft") && event.newValue && look(), { signal });
    return element;
}
