// How strongly a LoRA acts in a prompt: its strength on the image and on the text, and of a DyLoRA how many ranks count.
import { fill, h } from "../base/elements.js";
import { t } from "./texts.js";

// <lora:NAME:text encoder:UNet:ranks>, as short as it can be said.
export function tagOf(name, { te, unet, dyn }) {
    const said = [te, ...(dyn || unet !== te ? [unet] : []), ...(dyn ? [dyn] : [])];
    return `<lora:${[name, ...said].join(":")}>`;
}

// Sliders that write the tag of `name` into a prompt; `shown(prompt)` is told. `config` is the run's configuration file.
export function tagSliders(name, prompt, config, shown) {
    const found = prompt.match(tagPattern(name));
    if (!found) return [];
    const strength = Number(found[1]) || 0.8, ranks = ranksOf(config);
    const at = { te: strength, unet: strength, dyn: null };
    const row = (label, attributes, say, change) => {
        const value = h("output", {}, say(attributes.value));
        const filled = (at) => input.style.setProperty("--lt-share", `${(100 * (at - attributes.min)) / (attributes.max - attributes.min)}%`);
        const input = h("input", { type: "range", class: "lt-slider", ...attributes, "aria-label": label, oninput: () => {
            change(Number(input.value));
            filled(input.value);
            fill(value, say(input.value));
            shown(prompt.replace(tagPattern(name), tagOf(name, at)));
        } });
        filled(attributes.value);
        return h("label", {}, h("span", {}, label), input, value);
    };
    const scale = { min: 0, max: 1.5, step: 0.05, value: strength };
    return h("div", { class: "lt-sliders" },
        row(t("strength_unet"), scale, String, (value) => { at.unet = value; }),
        row(t("strength_te"), scale, String, (value) => { at.te = value; }),
        ranks && row(t("ranks"), { min: ranks.unit, max: ranks.all, step: ranks.unit, value: ranks.all }, (value) => t("ranks_of", { x: value, all: ranks.all }), (value) => {
            at.dyn = value < ranks.all ? value : null;
        }));
}

const tagPattern = (name) => new RegExp(`<lora:${name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}:([^:>]*)[^>]*>`);

// {all, unit} of a DyLoRA, whose first ranks are a LoRA by themselves; null for the other kinds.
function ranksOf(config) {
    if (!/^\s*network_module\s*=\s*"networks\.dylora"/m.test(config || "")) return null;
    const all = Number(config.match(/^\s*network_dim\s*=\s*(\d+)/m)?.[1] || 4);
    return { all, unit: Number(config.match(/["']unit=(\d+)["']/)?.[1] || 1) };
}
