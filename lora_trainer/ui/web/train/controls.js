// One field of the form: label, control, help, reset button, and what is wrong with it.
import { app } from "../base/app.js";
import { fileOption, fill, h, set } from "../base/elements.js";
import { titleOf } from "../base/files.js";
import { icon } from "../base/icons.js";
import { readNumber } from "../base/numbers.js";
import { told } from "../base/problems.js";
import { plainOf } from "./concepts/names.js";
import { t } from "./texts.js";
import { values } from "./values.js";

const OTHER = "\u0000other"; // choice "type a path"

export function describe(control, value) {
    if (value === null || value === undefined || value === "") return t("nothing");
    if (control.kind === "toggle") return t(value ? "on" : "off");
    if (control.kind === "choice") return control.choices.find((choice) => choice.value === value)?.label ?? String(value);
    return values.show(value).replaceAll("\n", " ");
}

// Each of these returns {element (focusable), show(value), around?}; `type(text)` gets what the person enters.
const makers = {
    toggle(control, id, type) {
        const box = h("input", { type: "checkbox", role: "switch", id, class: "lt-switch", onchange: () => type(box.checked) });
        return { element: box, show: (value) => (box.checked = Boolean(value)) };
    },
    choice(control, id, type) {
        const list = h("select", { id, class: "lt-input", onchange: () => type(list.value) },
            control.optional && h("option", { value: "" }, t("none_chosen")), control.choices.map((choice) => h("option", { value: String(choice.value) }, choice.label)));
        return { element: list, show: (value) => (list.value = value === null || value === undefined ? "" : String(value)) };
    },
    // Choices that one has to know something of first: each with its sentence.
    cards(control, id, type) {
        const boxes = control.choices.map((choice) => h("input", { type: "radio", name: id, value: String(choice.value), "aria-describedby": `${id}-${choice.value}`, onchange: () => type(choice.value) }));
        const cards = control.choices.map((choice, place) => h("label", { class: "lt-kind" }, boxes[place], h("span", {}, h("strong", {}, choice.label), h("span", { class: "lt-subdued", id: `${id}-${choice.value}` }, choice.help))));
        return { element: h("div", { id, class: "lt-kinds", role: "radiogroup", tabindex: "-1", "aria-label": control.label }, cards), show: (value) => boxes.forEach((box) => (box.checked = box.value === String(value))) };
    },
    // A list of the host's models with a way to type a path or a hub id; `leave` takes back that one was to be typed.
    model(control, id, type) {
        let known = [];
        const list = h("select", { id, class: "lt-input" });
        const offer = () => {
            known = (control.name === "vae" ? app.form.vaes : app.form.checkpoints) || [];
            fill(list, h("option", { value: "" }, t(control.optional ? "none_chosen" : "choose_model")),
                known.map((one) => fileOption(one.path, titleOf(one) + (one.is_current ? ` (${t("current_model")})` : ""), one.problem)),
                h("option", { value: OTHER }, t("type_path")));
        };
        offer();
        const typed = h("input", { class: "lt-input", type: "text", hidden: true, spellcheck: "false", "aria-label": `${control.label}: ${t("type_path")}`, oninput: () => type(typed.value) });
        let wantsPath = false; // chosen, also while none is typed yet
        list.addEventListener("change", () => {
            wantsPath = list.value === OTHER;
            type(wantsPath ? typed.value : list.value);
            if (!typed.hidden) typed.focus();
        });
        return {
            element: list,
            around: h("div", { class: "lt-stack" }, list, typed),
            offer,
            leave: () => (wantsPath = false),
            // What was chosen in an earlier session and is not in the folder of models any more: the host says so later, too.
            doubt: (value) => control.name !== "vae" && value && !known.some((one) => one.path === value) && (app.form.checkpoint_dirs || []).some((folder) => value.startsWith(folder)) && t("model_gone"),
            show(value) {
                if (document.activeElement === typed) return;
                const isKnown = known.some((one) => one.path === value);
                if (value && !isKnown) typed.value = value;
                if (isKnown) wantsPath = false;
                list.value = isKnown ? value : value || wantsPath ? OTHER : "";
                typed.hidden = list.value !== OTHER;
            },
        };
    },
    // A key: what is typed is not shown, and not kept by the browser.
    secret(control, id, type) {
        const input = h("input", { id, class: "lt-input", type: "password", autocomplete: "new-password", spellcheck: "false", oninput: () => type(input.value) });
        return { element: input, show: (value) => document.activeElement !== input && (input.value = values.show(value)) };
    },
    area(control, id, type) {
        const area = h("textarea", { id, class: "lt-input", rows: control.kind === "list" ? "2" : "3", spellcheck: "false", oninput: () => type(area.value) });
        return { element: area, show: (value) => document.activeElement !== area && (area.value = values.show(value)) };
    },
    text(control, id, type) {
        const isNumber = ["integer", "number"].includes(control.kind);
        const known = control.choices?.length ? `${id}-known` : null, example = `example_${plainOf(control.name)}`;
        const input = h("input", { id, class: "lt-input", type: "text", inputmode: isNumber ? "decimal" : null, autocomplete: "off", spellcheck: "false", autocapitalize: "off", list: known, placeholder: t.has(example) ? t(example) : null, oninput: () => type(input.value) });
        if (control.kind === "integer") input.addEventListener("keydown", (event) => stepped(event, control, input, type));
        const list = known && h("datalist", { id: known }, control.choices.map((choice) => h("option", { value: choice.value })));
        return { element: input, around: list && h("div", {}, input, list), show: (value) => document.activeElement !== input && (input.value = values.show(value)) };
    },
};
const makerOf = ({ kind, choices }) => (choices?.some((choice) => choice.help) ? makers.cards : null) || makers[kind] || (kind === "lines" || kind === "list" ? makers.area : makers.text);

// Arrow up and down count whole numbers, as number inputs do (which cannot hold "1e-4" as it was typed).
function stepped(event, control, input, type) {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    input.value = String(Math.max(control.minimum ?? -Infinity, Math.min(control.maximum ?? Infinity, (readNumber(input.value, true) || 0) + by)));
    type(input.value);
}

// control -> {element, name, show(), problems(list), focus()}. `inline` shows the help at once, else behind a "?";
// `plain` fields are the person's own words, which have no default to go back to.
export function makeField(control, { inline = false, plain = false } = {}) {
    const id = `lt-${control.name}`;
    let isTouched = false;
    const made = makerOf(control)(control, id, (text) => { isTouched = true; values.type(control.name, text); });
    const help = h("p", { class: "lt-help", id: `${id}-help`, hidden: !inline }, control.help);
    const wrong = h("p", { class: "lt-wrong", id: `${id}-wrong`, role: "alert", hidden: true });
    const ask = h("button", { type: "button", class: "lt-tool", title: control.help, "aria-label": t("more_help", { x: control.label }), "aria-expanded": "false", "aria-controls": help.id,
        onclick: () => { help.hidden = !help.hidden; set(ask, "aria-expanded", String(!help.hidden)); } }, "?");
    const reset = h("button", { type: "button", class: "lt-tool lt-reset", hidden: true, onclick: () => { isTouched = false; made.leave?.(); values.reset(control.name); made.element.focus(); } }, icon("reset"));
    const isToggle = control.kind === "toggle";
    const head = h("div", { class: "lt-field-head" }, isToggle && made.element, h("label", { for: id }, control.label),
        inline && control.label !== plainOf(control.name) && h("code", { class: "lt-name", title: plainOf(control.name) }, plainOf(control.name)), reset, !inline && ask);
    const element = h("div", { class: `lt-field${isToggle ? " lt-field-toggle" : ""}`, "data-name": control.name, "data-only": control.only?.join(" ") || null }, head, !isToggle && (made.around || made.element), help, wrong);
    set(made.element, "aria-describedby", `${help.id} ${wrong.id}`);

    const self = {
        element, control, name: control.name,
        isTouched: () => isTouched || values.isChanged(control.name),
        focus: () => made.element.focus(),
        // The files to choose from are others now.
        offer() {
            made.offer?.();
            self.show();
        },
        show() {
            made.show(values.get(control.name));
            const isChanged = !plain && (values.isChanged(control.name) || control.name in values.wrong);
            element.classList.toggle("lt-changed", isChanged);
            reset.hidden = !isChanged;
            set(reset, "aria-label", t("reset_one", { x: control.label, value: describe(control, values.baseline(control.name)) }));
            reset.title = t("default_is", { x: describe(control, values.baseline(control.name)) });
        },
        // [{level, message, advice}], empty when all is well, null while the host has not answered; what cannot even be read comes first
        problems(found) {
            const unread = values.wrong[control.name], doubt = !found && made.doubt?.(values.get(control.name));
            const own = unread ? [{ level: "error", message: t(unread.error, unread) }] : doubt ? [{ level: "error", message: doubt }] : found || [];
            const text = own.map((problem) => [told(problem), problem.advice].filter(Boolean).join(" ")).join("\n");
            if (wrong.textContent !== text) wrong.textContent = text;
            wrong.hidden = !text;
            const isError = own.some((problem) => (problem.level || "error") === "error");
            wrong.classList.toggle("lt-wrong-mild", !isError);
            element.classList.toggle("lt-has-error", isError);
            set(made.element, "aria-invalid", isError ? "true" : null);
        },
    };
    self.show();
    return self;
}
