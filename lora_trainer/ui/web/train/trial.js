// "Try it now": standing alone, one button that trains on a drawn data set.
import { app } from "../base/app.js";
import { busy } from "../base/dialogs.js";
import { h } from "../base/elements.js";
import { post, urlOf } from "../base/host.js";
import { remember } from "../base/memory.js";
import { go } from "../base/place.js";
import { t } from "./texts.js";

// The panel, or nothing where the host does not offer the trial; folded to one line unless `isOpen`.
export function trialPanel(isOpen) {
    if (!app.state.trial) return null;
    if (isOpen) return panel();
    const fold = h("details", { class: "lt-fold lt-trial-fold", ontoggle: () => fold.childElementCount < 2 && fold.append(panel()) }, h("summary", {}, t("trial_again")));
    return fold;
}

function panel() {
    const button = h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => busy(button, start) }, t("trial_button"));
    return h("section", { class: "lt-card lt-trial", "aria-labelledby": "lt-trial-title" },
        h("div", { class: "lt-trial-text" }, h("h2", { id: "lt-trial-title" }, t("trial_title")), h("p", {}, t("trial_text")), button),
        h("figure", { class: "lt-trial-figure" }, h("img", { src: urlOf("trial/picture"), alt: t("trial_picture") }), h("figcaption", {}, t("trial_caption"))));

    async function start() {
        button.textContent = t("starting");
        try {
            const { id } = await post("trial");
            remember("tried", true);
            go("runs", id);
        } finally {
            button.textContent = t("trial_button");
        }
    }
}
