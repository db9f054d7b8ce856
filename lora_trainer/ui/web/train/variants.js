// The same training several times, each with another value of one option: chosen here, named by the host, queued with one click.
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { ApiError, post } from "../base/host.js";
import { say } from "../base/messages.js";
import { plain } from "../base/numbers.js";
import { go } from "../base/place.js";
import { debounce } from "../base/timing.js";
import { t } from "./texts.js";
import { values } from "./values.js";

const NOT_VARIED = ["output_name", "image_dir", "prompts"];
const LEAST = 2, MOST = 12;
const NUMBERS = ["integer", "number"];

// The values of a text: one a line, numbers also with commas between them. A lone "0,5" is a number with a decimal comma, as
// in the form; of other kinds of values a comma can be a part.
export function valuesOf(text, kind) {
    const isOne = (line) => !NUMBERS.includes(kind) || (kind === "number" && /^-?0,\d+$/.test(line));
    const lines = (NUMBERS.includes(kind) ? text.split("\n").map(plain) : text.split("\n").map((line) => line.trim()));
    return lines.flatMap((line) => (isOne(line) ? [line] : line.split(/[,;]/).map((value) => value.trim()))).filter(Boolean);
}
let kept = { option: "learning_rate", texts: {} }; // while one looks at another view

// Returns {element, show()}: a part that folds, beside the button of a single training.
export function variantsPanel(signal) {
    let told = null, question = 0;
    const select = h("select", { class: "lt-input", id: "lt-variants-option", onchange: () => { kept.option = select.value; drawValues(); } },
        values.sections.map((section) => h("optgroup", { label: section.title }, section.controls.filter((one) => !NOT_VARIED.includes(one.name) && one.kind !== "secret").map((one) => h("option", { value: one.name }, one.label)))));
    const place = h("div", { class: "lt-variants-values" });
    const list = h("ol", { class: "lt-variants-list", "aria-live": "polite" });
    const button = h("button", { type: "button", class: "lt-btn", onclick: () => busy(button, queue) });
    const element = h("details", { class: "lt-fold lt-variants" }, h("summary", {}, t("variants")), h("div", {}, h("p", { class: "lt-subdued" }, t("variants_hint", { x: MOST })),
        h("label", { for: "lt-variants-option" }, t("variants_option")), select, place, list, button));
    element.addEventListener("toggle", () => element.open && ask());

    const control = () => values.controls.get(kept.option);
    const isChoice = () => ["choice", "toggle"].includes(control()?.kind);
    const choices = () => (control().kind === "toggle" ? [{ value: true, label: t("on") }, { value: false, label: t("off") }] : control().choices);
    const texts = () => kept.texts[kept.option] ?? (isChoice() ? "" : values.show(values.get(kept.option)).replaceAll("\n", " "));

    function drawValues() {
        select.value = kept.option;
        if (select.value !== kept.option) kept.option = select.value = values.sections.flatMap((section) => section.controls)[0].name;
        const now = texts().split("\n");
        if (isChoice()) {
            fill(place, h("fieldset", {}, h("legend", {}, t("variants_values")), choices().map((one) => {
                const box = h("input", { type: "checkbox", value: String(one.value), checked: now.includes(String(one.value)), onchange: () => {
                    kept.texts[kept.option] = [...place.querySelectorAll("input:checked")].map((other) => other.value).join("\n");
                    changed();
                } });
                return h("label", { class: "lt-check" }, box, one.label);
            })));
        } else {
            const area = h("textarea", { class: "lt-input", id: "lt-variants-values", rows: "4", value: texts(), oninput: () => { kept.texts[kept.option] = area.value; changed(); } });
            fill(place, h("label", { for: "lt-variants-values" }, t(NUMBERS.includes(control().kind) ? "variants_numbers" : "variants_lines")), area);
        }
        changed();
    }

    // The values as they are sent: what was typed, or a value of a choice.
    function wanted() {
        const lines = valuesOf(texts(), control().kind);
        return isChoice() ? lines.map((line) => choices().find((one) => String(one.value) === line)?.value) : lines;
    }

    const askSoon = debounce(400, () => ask());
    function changed() {
        told = null;
        question += 1;
        show();
        askSoon();
    }
    async function ask() {
        if (signal.aborted || !element.open || wanted().length < LEAST) return;
        const mine = ++question;
        try {
            const answer = await post("variants", { values: values.send(), option: kept.option, list: wanted() });
            if (mine === question) told = { variants: answer.variants };
        } catch (error) {
            if (mine === question && error instanceof ApiError) told = { problem: error.problems.map((one) => one.message).join(" ") || error.message };
        }
        show();
    }

    function show() {
        const count = wanted().length;
        const isFine = told?.variants?.length === count && told.variants.every((one) => !one.problems.length);
        button.textContent = count < LEAST ? t("variants_queue_none") : t("variants_queue", { x: count });
        button.disabled = !isFine;
        if (count < LEAST) return fill(list, h("li", { class: "lt-subdued" }, t("variants_few", { x: LEAST })));
        if (told?.problem) return fill(list, h("li", { class: "lt-wrong" }, told.problem));
        return fill(list, (told?.variants || []).map((one) => h("li", {}, h("code", {}, one.name), one.problems[0] && h("span", { class: "lt-wrong" }, ` ${one.problems[0].message}`))));
    }

    async function queue() {
        const { runs } = await post("variants", { values: values.send(), option: kept.option, list: wanted(), queue: true });
        say(t("variants_queued", { x: runs.length }));
        go("runs");
    }
    values.watch(signal, () => element.open && askSoon());
    drawValues();
    return { element };
}
