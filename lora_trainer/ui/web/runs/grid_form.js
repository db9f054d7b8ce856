// What is to be compared: saved files of a run, other LoRAs, strengths, prompts.
import { app } from "../base/app.js";
import { h } from "../base/elements.js";
import { get } from "../base/host.js";
import { formatNumber } from "../base/numbers.js";
import { START } from "../generate/prompt.js";
import { language } from "../base/texts.js";
import { report } from "../base/messages.js";
import { t } from "./texts.js";

const MOST = 6; // files that are chosen at first
const SETTINGS = ["negative_prompt", "seed", "steps", "cfg_scale", "width", "height", "sampler"];

// {element, asked(), refresh(run)}: `asked` gives the body of POST runs/ID/grids. `changed(count)` is told how many pictures it makes.
export function gridForm(run, prompts, changed) {
    const drawn = { ...START, seed: 1, ...(run.lora || run.live)?.generate };
    const files = h("div", { class: "lt-checks" }), others = h("div", { class: "lt-checks" });
    const check = (value, label, checked) => h("label", {}, h("input", { type: "checkbox", value, checked, onchange: tell }), label);
    const strengths = h("input", { class: "lt-input", type: "text", value: "0.6, 0.8, 1", "aria-label": t("grid_strengths"), oninput: tell });
    const lines = h("textarea", { class: "lt-input", rows: 3, "aria-label": t("grid_prompts"), oninput: tell });
    lines.value = promptLines(prompts, run);
    const inputs = Object.fromEntries(SETTINGS.map((name) => [name, control(name, drawn[name])]));
    const more = h("details", {}, h("summary", {}, t("grid_others")), others);
    more.addEventListener("toggle", () => more.open && !others.childElementCount && get("loras").then(({ loras }) => {
        others.replaceChildren(...loras.filter((one) => !one.problem).map((one) => check(one.name, one.name, false)));
    }).catch(report), { once: true });

    const chosen = (box) => [...box.querySelectorAll("input:checked")].map((input) => input.value);
    const numbers = () => [...new Set(strengths.value.split(/[\s,;]+/).filter(Boolean).map(Number))];
    const texts = () => lines.value.split("\n").map((line) => line.trim()).filter(Boolean);
    function asked() {
        const settings = Object.fromEntries(SETTINGS.map((name) => [name, typeof START[name] === "number" ? Number(inputs[name].value) : inputs[name].value]));
        const base = drawn.checkpoint ? { checkpoint: drawn.checkpoint } : {};
        return { files: chosen(files), others: chosen(others), strengths: numbers(), prompts: texts(), clip_skip: drawn.clip_skip, ...base, ...settings };
    }
    function tell() {
        const { files: own, others: foreign, strengths: values, prompts: said } = asked();
        changed(said.length * (1 + (own.length + foreign.length) * values.length), own.length + foreign.length > 0 && values.length > 0 && !values.some(Number.isNaN) && said.length > 0);
    }
    // Which files there are changes while it trains. Until somebody chooses, some of them are, the last one among them.
    let isTouched = false;
    files.addEventListener("change", () => { isTouched = true; });
    function refresh({ files: saved = [] }) {
        const before = chosen(files), step = Math.ceil(saved.length / MOST);
        files.replaceChildren(...saved.map((file, index) => {
            const label = file.final ? t("grid_final", { x: file.name }) : file.step ? t("samples_at", { x: formatNumber(file.step) }) : file.name;
            return check(file.name, label, isTouched ? before.includes(file.name) : (saved.length - 1 - index) % step === 0);
        }));
        tell();
    }
    const field = (label, element) => h("label", { class: "lt-field" }, h("span", {}, label), element);
    const element = h("div", { class: "lt-grid-form" },
        h("fieldset", {}, h("legend", {}, t("grid_files")), files, more),
        h("div", { class: "lt-grid" }, field(t("grid_strengths"), strengths), field(t("grid_prompts"), lines)),
        h("details", {}, h("summary", {}, t("grid_settings")), h("div", { class: "lt-grid lt-grid-4" }, SETTINGS.map((name) => field(t(`grid_${name}`), inputs[name])))));
    return { element, asked, refresh, tell };
}

function control(name, value) {
    if (name === "sampler") {
        const list = h("select", { class: "lt-input" }, app.form.spec[language].samplers.map((one) => h("option", { value: one.name }, one.label)));
        list.value = value;
        return list;
    }
    return h("input", { class: "lt-input", type: "text", value: String(value ?? "") });
}

// The run's sample prompts without their options, or else the words that call up what was learned.
function promptLines(prompts, run) {
    const found = (prompts || "").split("\n").filter((line) => line.trim() && !line.startsWith("#")).map((line) => line.replace(/\s--[a-z].*$/, "").trim());
    return found.length ? found.slice(0, 4).join("\n") : ((run.lora || run.live)?.prompt || "").replace(/\s*<lora:[^>]*>/g, "");
}
