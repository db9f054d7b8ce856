// What is to be compared: saved files of a run, other LoRAs, strengths, prompts.
import { app } from "../base/app.js";
import { fill, h, set } from "../base/elements.js";
import { get } from "../base/host.js";
import { report } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { language } from "../base/texts.js";
import { LIMITS, readSetting } from "../generate/limits.js";
import { START } from "../generate/prompt.js";
import { labelOf } from "./in_use.js";
import { readStrengths } from "./strengths.js";
import { t } from "./texts.js";

const MOST = 6; // files that are chosen at first
const MOST_PICTURES = 400; // as the host takes them
const SETTINGS = ["negative_prompt", "seed", "steps", "cfg_scale", "width", "height", "sampler"];

// {element, asked(), refresh(run)}: `asked` gives the body of POST runs/ID/grids. `changed(count, isRight)` is told how many
// pictures it makes, and whether they can be drawn; what is wrong is said at its field.
export function gridForm(run, prompts, changed) {
    const drawn = { ...START, seed: 1, ...run.generate };
    const files = h("div", { class: "lt-checks" }), others = h("div", { class: "lt-checks" });
    const check = (value, label, checked) => h("label", {}, h("input", { type: "checkbox", value, checked, onchange: tell }), label);
    const strengths = h("input", { class: "lt-input", type: "text", value: "0.6, 0.8, 1", oninput: tell });
    const lines = h("textarea", { class: "lt-input", rows: 3, oninput: tell });
    lines.value = promptLines(prompts, run);
    const inputs = Object.fromEntries(SETTINGS.map((name) => [name, control(name, drawn[name], tell)]));
    const more = h("details", {}, h("summary", {}, t("grid_others")), others);
    more.addEventListener("toggle", () => more.open && !others.childElementCount && get("loras").then(({ loras }) => {
        others.replaceChildren(...loras.filter((one) => !one.problem).map((one) => check(one.name, one.name, false)));
    }).catch(report), { once: true });

    const chosen = (box) => [...box.querySelectorAll("input:checked")].map((input) => input.value);
    const texts = () => [...new Set(lines.value.split("\n").map((line) => line.trim()).filter(Boolean))];
    function asked() {
        const settings = Object.fromEntries(SETTINGS.map((name) => [name, name in LIMITS ? readSetting(name, inputs[name].value).value : inputs[name].value]));
        const base = drawn.checkpoint ? { checkpoint: drawn.checkpoint } : {};
        return { files: chosen(files), others: chosen(others), strengths: readStrengths(strengths.value).numbers, prompts: texts(), clip_skip: drawn.clip_skip, ...base, ...settings };
    }

    const fields = {
        strengths: field("grid_strengths", strengths), prompts: field("grid_prompts", lines),
        ...Object.fromEntries(SETTINGS.map((name) => [name, field(`grid_${name}`, inputs[name])])),
    };
    const noFiles = h("p", { class: "lt-wrong", role: "alert", hidden: true }, t("grid_no_files")), tooMany = h("p", { class: "lt-wrong", role: "alert", hidden: true });
    function tell() {
        const { files: own, others: foreign, strengths: values, prompts: said } = asked(), typed = readStrengths(strengths.value);
        const count = said.length * (1 + (own.length + foreign.length) * values.length);
        const wrong = {
            strengths: typed.wrong ? t(typed.isFar ? "grid_strength_far" : "grid_strength_wrong", { x: typed.wrong }) : values.length ? "" : t("grid_no_strength"),
            prompts: said.length ? "" : t("grid_no_prompt"),
            ...Object.fromEntries(SETTINGS.filter((name) => name in LIMITS).map((name) => [name, readSetting(name, inputs[name].value).wrong])),
        };
        for (const [name, text] of Object.entries(wrong)) fields[name].say(text);
        if (!wrong.strengths && typed.isGuess) fields.strengths.hint(t("grid_strengths_read", { x: values.join("; ") }));
        noFiles.hidden = own.length + foreign.length > 0;
        tooMany.hidden = count <= MOST_PICTURES;
        tooMany.textContent = t("grid_too_many", { x: formatNumber(count), most: formatNumber(MOST_PICTURES) });
        changed(count, noFiles.hidden && tooMany.hidden && !Object.values(wrong).some(Boolean));
    }
    // Which files there are changes while it trains. Until somebody chooses, some of them are, the last one among them.
    let isTouched = false;
    files.addEventListener("change", () => { isTouched = true; });
    function refresh(run) {
        const saved = run.files || [], before = chosen(files), last = saved.find((file) => file.final)?.step;
        const different = saved.filter((file) => file.final || file.step !== last); // the final file is that of its step, too
        const isOffered = (file) => different.includes(file) && (different.length - 1 - different.indexOf(file)) % Math.ceil(different.length / MOST) === 0;
        fill(files, saved.map((file) => check(file.name, labelOf(file, run), isTouched ? before.includes(file.name) : isOffered(file))));
        tell();
    }
    const element = h("div", { class: "lt-grid-form" },
        h("fieldset", {}, h("legend", {}, t("grid_files")), files, noFiles, more),
        h("div", { class: "lt-grid" }, fields.strengths.element, fields.prompts.element),
        h("details", {}, h("summary", {}, t("grid_settings")), h("div", { class: "lt-grid lt-grid-4" }, SETTINGS.map((name) => fields[name].element))),
        tooMany);
    return { element, asked, refresh, tell };
}

// {element, say(what is wrong, or ""), hint(how it was read)}
function field(name, input) {
    const place = h("p", { class: "lt-wrong", id: `lt-${name}-wrong`, role: "alert", hidden: true });
    set(input, "id", `lt-${name}`);
    set(input, "aria-describedby", place.id);
    const put = (text, isWrong) => {
        if (place.textContent !== text) place.textContent = text; // else it would be read out anew
        place.hidden = !text;
        place.classList.toggle("lt-wrong-mild", !isWrong);
        set(input, "aria-invalid", text && isWrong ? "true" : null);
        if (text && isWrong) input.closest("details")?.setAttribute("open", "");
    };
    return { element: h("div", { class: "lt-field" }, h("label", { for: `lt-${name}` }, t(name)), input, place), say: (text) => put(text, true), hint: (text) => put(text, false) };
}

function control(name, value, tell) {
    if (name === "sampler") {
        const list = h("select", { class: "lt-input" }, app.form.spec[language].samplers.map((one) => h("option", { value: one.name }, one.label)));
        list.value = value;
        return list;
    }
    return h("input", { class: "lt-input", type: "text", inputmode: name in LIMITS ? "decimal" : null, autocomplete: "off", value: String(value ?? ""), oninput: tell });
}

// The run's sample prompts without their options, or else the words that call up what was learned.
function promptLines(prompts, run) {
    const found = (prompts || "").split("\n").filter((line) => line.trim() && !line.startsWith("#")).map((line) => line.replace(/\s--[a-z].*$/, "").trim());
    return found.length ? found.slice(0, 4).join("\n") : ((run.lora || run.live)?.prompt || "").replace(/\s*<lora:[^>]*>/g, "");
}
