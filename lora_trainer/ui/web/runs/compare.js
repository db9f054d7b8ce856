// Runs side by side: their curves in one picture, the settings that differ, their samples beside each other.
import { fill, h } from "../base/elements.js";
import { ApiError, get, urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { note } from "../base/messages.js";
import { formatNumber, formatShort } from "../base/numbers.js";
import { pictureButton, showPicture } from "../base/pictures.js";
import { go } from "../base/place.js";
import { poll } from "../base/poll.js";
import { inWords } from "../base/texts.js";
import { values } from "../train/values.js";
import { lineOf, overlayChart } from "./overlay.js";
import { badge } from "./standing.js";
import { t } from "./texts.js";

const split = (name) => /^((?:\d+: )*)(.*)$/.exec(name).slice(1);
const controlOf = (plain) => values.controls.get(plain) || values.controls.get("settings")?.fields.find((one) => one.name === plain);
const labelOf = (name) => {
    const [place, plain] = split(name);
    return place + (controlOf(plain)?.label || { is_reg: t("compare_is_reg"), class_tokens: t("compare_class_tokens") }[plain] || plain);
};
const shownAs = (name, text) => controlOf(split(name)[1])?.choices?.find((one) => String(one.value) === text)?.label || inWords(text) || "–";
const headOf = (run, index) => h("th", { scope: "col" }, lineOf(index), " ", h("a", { href: `#lora-run=${encodeURIComponent(run.id)}` }, run.name));

export function compareView(signal, ids) {
    const chart = overlayChart(signal);
    const body = h("div");
    const view = h("section", { class: "lt-card lt-compare" },
        h("header", { class: "lt-runs-head" }, h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => go("runs") }, icon("back"), t("back_to_runs")), h("h2", {}, t("compare_title"))),
        body);
    let drawn = "";
    poll(signal, 5, async () => {
        try {
            const answer = await get(`compare?runs=${ids.map(encodeURIComponent).join(",")}`);
            const text = JSON.stringify(answer.runs.map((run) => [run.state, run.step, run.samples.length]));
            if (text !== drawn) {
                if (!drawn) fill(body, chart.element, h("div"));
                fill(body.lastChild, atEnd(answer.runs), differing(answer), samples(answer.runs));
                chart.update(answer.runs);
            }
            drawn = text;
            return answer.runs.some((run) => run.active) ? 5 : 60;
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            fill(body, note({ level: "error", message: error.message }));
            return 600;
        }
    });
    return view;
}

// The curves in words: where each run stands, and how well it did at its best on the images kept aside.
function atEnd(runs) {
    const bestOf = ({ curve }) => curve.validation?.best, hasBest = runs.some(bestOf);
    const best = (run) => (bestOf(run) ? t("compare_best_at", { x: formatShort(bestOf(run).loss), step: formatNumber(bestOf(run).step) }) : "–");
    return h("section", {}, h("h3", {}, t("compare_at_end")), h("div", { class: "lt-scroll", tabindex: "0", role: "group", "aria-label": t("compare_at_end") }, h("table", { class: "lt-table" },
        h("thead", {}, h("tr", {}, [t("compare_run"), t("compare_steps"), t("loss"), t("learning_rate"), ...(hasBest ? [t("compare_best")] : [])].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, runs.map((run, index) => h("tr", {}, h("th", { scope: "row" }, lineOf(index), " ", run.name, " ", badge(run)),
            h("td", {}, formatNumber(run.step)), h("td", {}, formatShort(run.smoothed_loss)), h("td", {}, formatShort(run.lr)), hasBest && h("td", {}, best(run))))))));
}

function differing({ runs, settings }) {
    const digests = new Set(runs.map((run) => run.data_digest));
    const data = digests.has("") ? null : h("p", { class: "lt-subdued" }, t(digests.size === 1 ? "compare_same_data" : "compare_other_data"));
    const table = h("div", { class: "lt-scroll", tabindex: "0", role: "group", "aria-label": t("compare_settings") }, h("table", { class: "lt-table lt-lines" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("compare_setting")), runs.map(headOf))),
        h("tbody", {}, settings.map((one) => h("tr", { class: one.counts ? null : "lt-subdued" },
            h("th", { scope: "row", title: one.name }, labelOf(one.name), !one.counts && h("small", {}, ` (${t("compare_no_effect")})`)), one.texts.map((text) => h("td", {}, shownAs(one.name, text))))))));
    return h("section", {}, h("h3", {}, t("compare_settings")), settings.length ? table : h("p", {}, t("compare_same")), data);
}

// One row for each prompt, one column for each run, at the step that is chosen (or the last one before it).
function samples(runs) {
    const steps = [...new Set(runs.flatMap((run) => run.samples.map((one) => one.step)))].sort((one, other) => one - other);
    if (!steps.length) return null;
    const prompts = [...new Set(runs.flatMap((run) => run.samples.map((one) => one.prompt || "")))];
    const title = h("h3", { "aria-live": "polite" });
    const slider = h("input", { type: "range", min: "0", max: String(steps.length - 1), value: String(steps.length - 1), "aria-labelledby": "lt-compare-step", oninput: () => draw() });
    const place = h("div", { class: "lt-scroll", tabindex: "0", role: "group", "aria-label": t("samples") });
    title.id = "lt-compare-step";
    function draw() {
        const step = steps[slider.value];
        title.textContent = t("compare_step", { x: formatNumber(step) });
        slider.setAttribute("aria-valuetext", title.textContent);
        const at = (run, prompt) => run.samples.filter((one) => (one.prompt || "") === prompt && one.step <= step).sort((one, other) => other.step - one.step)[0];
        const cells = prompts.map((prompt) => runs.map((run) => [run, at(run, prompt)]));
        const pictures = cells.flat().filter(([, one]) => one).map(([run, one]) => ({ url: urlOf(one.url), thumb: urlOf(one.thumb || one.url), name: `${run.name}: ${one.name}`, caption: `${run.name}\n${one.prompt || ""}\n${t("step")} ${formatNumber(one.step)}, ${t("seed")} ${one.seed}` }));
        let shown = 0;
        const cell = ([, one]) => {
            if (!one) return h("td", { class: "lt-subdued" }, t("compare_no_sample"));
            const index = shown++;
            return h("td", {}, pictureButton(pictures[index], () => showPicture(pictures, index)), one.step !== step && h("small", {}, t("samples_at", { x: formatNumber(one.step) })));
        };
        fill(place, h("table", { class: "lt-compare-samples" }, h("thead", {}, h("tr", {}, h("td"), runs.map(headOf))),
            h("tbody", {}, cells.map((row, index) => h("tr", {}, h("th", { scope: "row" }, prompts[index]), row.map(cell))))));
    }
    draw();
    return h("section", {}, title, steps.length > 1 && slider, place);
}
