// Where the form starts from: the presets that come along and those that a person keeps, which can be renamed, exported and
// deleted; which one is the default; and what the form differs by from the chosen one.
import { app } from "../base/app.js";
import { ask, busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { post, urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { say } from "../base/messages.js";
import { describe } from "./controls.js";
import { OWN } from "./fields.js";
import { t } from "./texts.js";
import { values } from "./values.js";

const ICONS = { character: "person", character_sdxl: "person", style: "brush", concept: "box", low_memory: "chip" };
const chosen = () => values.presets.find((preset) => preset.id === values.preset);
const differing = () => Object.keys(values.changes).filter((name) => !OWN.includes(name) && values.controls.get(name)?.kind !== "secret");
const idOf = (name) => `own:${name}`;

// Returns {element, show()}.
export function presetChoice() {
    const cards = h("div", { class: "lt-preset-cards" });
    const set = h("fieldset", { class: "lt-presets" }, h("legend", {}, t("start_from")), cards);
    const bar = h("div", { class: "lt-row lt-preset-bar" });
    const naming = h("div", { class: "lt-preset-naming", hidden: true });
    const changed = h("details", { class: "lt-fold lt-preset-changes" }, h("summary", {}), h("ul", {}));
    const element = h("div", { class: "lt-preset-choice" }, set, bar, naming, changed);
    let drawn = "";

    // What the host answers after a change; `wanted` is chosen then, with every value as it is, unless another was chosen meanwhile.
    async function change(path, body, wanted = values.preset) {
        const before = values.preset;
        app.form.presets = await post(path, body);
        const id = values.preset === before ? wanted : values.preset;
        values.rebase(values.supplied.some((one) => one.id === id) || app.form.presets.own.some((one) => one.id === id) ? id : values.supplied[0]?.id || "", app.form.presets);
    }

    function card(preset) {
        return h("label", { class: "lt-preset" },
            h("input", { type: "radio", name: "lt-preset", value: preset.id, checked: preset.id === values.preset, onchange: () => values.choosePreset(preset.id) }),
            icon(ICONS[preset.id] || (preset.isOwn ? "check" : "box")),
            h("span", {}, h("strong", {}, preset.title, preset.id === values.standard && h("span", { class: "lt-chip" }, t("preset_default"))), h("small", {}, preset.note)));
    }

    const action = (name, run, more = {}) => {
        const button = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => busy(button, run), ...more }, t(name));
        return button;
    };

    // A name in a line of its own, for keeping and for renaming.
    function askName(label, given, save) {
        const input = h("input", { type: "text", class: "lt-input", id: "lt-preset-name", value: given, maxlength: "100", "aria-describedby": "lt-preset-problem" });
        const problem = h("p", { class: "lt-wrong", id: "lt-preset-problem", role: "alert" });
        const close = () => { naming.hidden = true; fill(naming); bar.querySelector("button")?.focus(); };
        const done = () => busy(yes, async () => {
            try {
                await save(input.value.trim());
                close();
            } catch (error) {
                problem.textContent = error.message;
                input.focus();
            }
        });
        const yes = h("button", { type: "button", class: "lt-btn lt-btn-small lt-btn-primary", onclick: done }, t("save"));
        input.addEventListener("keydown", (event) => {
            if (!["Enter", "Escape"].includes(event.key)) return;
            event.preventDefault();
            event.stopPropagation();
            if (event.key === "Enter") done();
            else close();
        });
        naming.hidden = false;
        fill(naming, h("label", { for: "lt-preset-name" }, label), h("div", { class: "lt-row" }, input, yes, h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: close }, t("cancel"))), problem);
        input.focus();
        input.select();
    }

    function keep() {
        const now = chosen();
        askName(t("preset_name"), now?.isOwn ? now.title : "", async (name) => {
            const isThere = values.presets.some((one) => one.id.toLowerCase() === idOf(name).toLowerCase());
            if (isThere && !(await ask(t("preset_replace_ask", { x: name }), t("preset_replace")))) return;
            await change("presets", { name, values: values.send(), overwrite: isThere }, idOf(name));
            say(t("preset_kept", { x: name }));
        });
    }

    function buttons() {
        const now = chosen(), isDefault = now && now.id === values.standard;
        const own = now?.isOwn ? [
            action("preset_rename", () => askName(t("preset_name"), now.title, (to) => change("presets/rename", { name: now.title, to }, idOf(to)))),
            h("a", { class: "lt-btn lt-btn-small", href: urlOf(now.url), download: `${now.title}.json` }, icon("download"), t("preset_export")),
            action("preset_delete", async () => (await ask(t("preset_delete_ask", { x: now.title }), t("preset_delete"))) && change("presets/delete", { name: now.title })),
        ] : [];
        return [
            action("preset_keep", keep), own,
            now && action(isDefault ? "preset_not_default" : "preset_make_default", () => change("presets/default", { id: isDefault ? "" : now.id }), { "aria-pressed": String(Boolean(isDefault)) }),
        ];
    }

    function changes() {
        const names = differing(), now = chosen();
        changed.hidden = !names.length || !now;
        if (changed.hidden) return;
        changed.firstChild.textContent = t("preset_differs", { x: names.length, preset: now.title });
        fill(changed.lastChild, names.map((name) => {
            const control = values.controls.get(name), label = control?.label || name;
            return h("li", {}, h("strong", {}, label), ` ${describe(control, values.baseline(name))} → ${describe(control, values.get(name))} `,
                h("button", { type: "button", class: "lt-link", "aria-label": t("preset_back", { x: label, value: describe(control, values.baseline(name)) }), onclick: () => values.reset(name) }, icon("reset")));
        }));
    }

    function show() {
        const text = JSON.stringify([values.presets.map((preset) => [preset.id, preset.title]), values.standard, values.preset]);
        if (text !== drawn) {
            fill(cards, values.presets.map(card));
            fill(bar, buttons());
        }
        drawn = text;
        for (const radio of cards.querySelectorAll("input")) radio.checked = radio.value === values.preset;
        changes();
    }
    return { element, show };
}
