// Options that a concept has for its own pictures, in a part that folds: where it has none, the training's count.
import { fill, h } from "../../base/elements.js";
import { makeField } from "../controls.js";
import { t } from "../texts.js";
import { values } from "../values.js";

// Returns {element, open(name), count()}; `fields` gets what is drawn.
export function settingsFold(scope, fields) {
    const controls = values.controls.get("settings").fields;
    const nameOf = (control) => scope.name(`settings.${control.name}`);
    const changed = h("span", { class: "lt-chip lt-chip-changed", hidden: true });
    const grid = h("div", { class: "lt-grid" });
    const element = h("details", { class: "lt-fold lt-concept-settings" }, h("summary", {}, t("concept_settings"), " ", changed),
        h("p", { class: "lt-subdued" }, t("concept_settings_hint")), grid);
    element.addEventListener("toggle", () => element.open && draw());

    function draw() {
        if (grid.childElementCount) return;
        fill(grid, controls.map((control) => {
            const field = makeField(values.control(nameOf(control)), { inline: true });
            field.follows = [control.inherits, "settings", "concepts"];
            fields.set(nameOf(control), field);
            return field.element;
        }));
    }
    return {
        element,
        open(name) {
            if (!name.startsWith(scope.name("settings."))) return;
            draw();
            element.open = true;
        },
        count() {
            const number = controls.filter((control) => values.isChanged(nameOf(control))).length;
            changed.hidden = !number;
            changed.textContent = t("changed_count", { x: number });
        },
    };
}
