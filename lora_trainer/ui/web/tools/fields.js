// One field of a tool: its control, and around it label, help and what is wrong with it.
import { fileOption, h, set } from "../base/elements.js";
import { sentence } from "../base/problems.js";
import { t } from "./texts.js";

export function select(id, choices, value, put, empty, more = {}) {
    const element = h("select", { id, class: "lt-input", title: value || null, onchange: () => { element.title = element.value; put(element.value); }, ...more }, empty && h("option", { value: "" }, empty), choices.map((one) => fileOption(one.value, one.label, one.problem)));
    element.value = value ?? "";
    return element;
}

// The control of a field that is not chosen from a list of files; null for the others.
export function plainControl(id, field, value, put) {
    const line = (more) => h("input", { type: "text", autocomplete: "off", spellcheck: "false", id, class: "lt-input", value: value ?? "", oninput: (event) => put(event.target.value), ...more });
    if (field.kind === "toggle") return h("input", { type: "checkbox", role: "switch", id, class: "lt-switch", checked: Boolean(value), onchange: (event) => put(event.target.checked) });
    if (field.kind === "number") return line({ inputmode: "decimal" });
    if (field.kind === "choice") return select(id, field.choices, value, put, field.value === null ? t("tool_default") : "");
    return ["text", "folder", "path", "written", "hub"].includes(field.kind) ? line({}) : null;
}

// `made` is {element, around, below}. Returns {element, say(what is wrong, or "")}.
export function labeled(id, field, made) {
    const place = h("p", { class: "lt-wrong", id: `${id}-wrong`, role: "alert", hidden: true });
    const isToggle = field.kind === "toggle";
    set(made.element, "aria-describedby", `${id}-help ${place.id}`);
    const label = isToggle || made.element.id ? h("label", { for: id }, field.label) : h("strong", { id: `${id}-label` }, field.label);
    const isOptional = !field.required && !isToggle && !field.more && field.value === null;
    const head = h("div", { class: "lt-field-head" }, isToggle && made.element, label, isOptional && h("small", { class: "lt-subdued" }, t("optional")));
    return {
        element: h("div", { class: `lt-field${isToggle ? " lt-field-toggle" : ""}`, "data-name": field.name }, head, !isToggle && (made.around || made.element), field.help && h("p", { class: "lt-help", id: `${id}-help` }, field.help), place, made.below),
        say(text) {
            place.textContent = sentence(text);
            place.hidden = !text;
            set(made.element, "aria-invalid", text ? "true" : null);
        },
    };
}
