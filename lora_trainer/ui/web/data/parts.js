// Small pieces that several parts of the page draw.
import { h } from "../base/elements.js";

// One of a few, side by side: [[name, label]]. Returns {element, show(name)}.
export function segments(group, label, choices, choose) {
    const radios = choices.map(([name]) => h("input", { type: "radio", name: group, value: name, onchange: () => choose(name) }));
    const element = h("div", { class: "lt-segments", role: "radiogroup", "aria-label": label }, choices.map(([, text], index) => h("label", { class: "lt-segment" }, radios[index], h("span", {}, text))));
    return { element, show: (name) => radios.forEach((radio) => (radio.checked = radio.value === name)) };
}

// Five stars, of which so many are set; pressing the last one set takes them all away.
export function starButtons(label, set) {
    const buttons = [1, 2, 3, 4, 5].map((stars) => h("button", { type: "button", "aria-label": `${label} ${stars}`, onclick: () => set(stars === now ? 0 : stars) }, "★"));
    let now = 0;
    return {
        element: h("span", { class: "lt-data-rate", role: "group", "aria-label": label }, buttons),
        show(stars) {
            now = stars || 0;
            buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(index < now)));
        },
    };
}
