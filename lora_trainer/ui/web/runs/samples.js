// The sample pictures of a run: the prompts side by side step by step, or one prompt followed over the steps.
import { fill, h, keepFocus } from "../base/elements.js";
import { urlOf } from "../base/host.js";
import { recall, remember } from "../base/memory.js";
import { formatNumber } from "../base/numbers.js";
import { pictureButton, showPicture } from "../base/pictures.js";
import { t } from "./texts.js";

// A prompt keeps its seed from step to step: both together say which line of the prompts a picture belongs to.
const trackOf = (sample) => `${sample.prompt || ""}\u0000${sample.seed}`;

// [[what the group is about, its samples], ...]
function grouped(samples, keyOf) {
    const groups = new Map();
    for (const sample of samples) groups.set(keyOf(sample), [...(groups.get(keyOf(sample)) || []), sample]);
    return [...groups];
}

// Returns {element, show(samples)}; a picture that is there stays as it is when others come.
export function sampleGallery(none) {
    const made = new Map(); // name of the file and of the view -> its button with what is written under it
    let samples = [], byPrompt = recall("samples_by_prompt", false);
    const rows = h("div", { class: "lt-sample-rows" });
    const choice = ["samples_by_step", "samples_by_prompt"].map((name, index) => h("label", { class: "lt-segment" },
        h("input", { type: "radio", name: "lt-samples-by", value: name, checked: byPrompt === Boolean(index), onchange: () => choose(Boolean(index)) }), h("span", {}, t(name))));
    const segments = h("div", { class: "lt-segments", role: "radiogroup", "aria-label": t("samples"), hidden: true }, choice);
    const element = h("div", { class: "lt-samples" }, h("div", { class: "lt-samples-head" }, h("h2", {}, t("samples")), segments), rows);

    function choose(value) {
        byPrompt = value;
        remember("samples_by_prompt", value);
        draw();
    }

    // The newest first in both views; the arrow keys walk through all rows in the order that is seen.
    function draw() {
        const prompts = grouped(samples, trackOf);
        segments.hidden = prompts.length < 2;
        if (!samples.length) return fill(rows, h("p", { class: "lt-subdued" }, none()));
        const isByPrompt = byPrompt || prompts.length < 2;
        const groups = isByPrompt ? prompts.map(([key, group]) => [key, [...group].reverse()]) : grouped(samples, (sample) => sample.step).sort(([one], [other]) => other - one);
        const shown = groups.flatMap(([, group]) => group);
        const pictures = shown.map(pictureOf);
        return fill(rows, groups.map(([key, group]) => h("section", { class: "lt-sample-row" },
            h("h3", {}, isByPrompt ? group[0].prompt || "" : t("samples_at", { x: formatNumber(key) })),
            h("ul", { class: "lt-gallery" }, group.map((sample) => tile(sample, isByPrompt, pictures, shown.indexOf(sample)))))));
    }

    function pictureOf(sample) {
        const caption = `${sample.prompt || ""}\n${t("step")} ${formatNumber(sample.step)}, ${t("seed")} ${sample.seed}`;
        return { url: urlOf(sample.url), thumb: urlOf(sample.thumb || sample.url), name: sample.name, caption, track: trackOf(sample), step: sample.step };
    }

    function tile(sample, isByPrompt, pictures, index) {
        const key = `${sample.name}|${isByPrompt}`;
        if (!made.has(key)) {
            const self = { pictures, index };
            self.element = h("li", { class: "lt-sample" }, pictureButton(pictures[index], () => showPicture(self.pictures, self.index)),
                h("small", { class: "lt-sample-text" }, isByPrompt ? t("samples_at", { x: formatNumber(sample.step) }) : sample.prompt || ""));
            made.set(key, self);
        }
        return Object.assign(made.get(key), { pictures, index }).element;
    }

    return { element, show: (next) => { samples = next || []; keepFocus(rows, draw); } };
}
