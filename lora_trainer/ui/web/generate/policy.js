// What becomes of pictures that are wanted while a training has the card: chosen here standing alone, kept by the host.
import { app } from "../base/app.js";
import { h } from "../base/elements.js";
import { post } from "../base/host.js";
import { report } from "../base/messages.js";
import { t } from "./texts.js";

const POLICIES = ["automatic", "share", "hand_over", "refuse"];

// The choice with a line on what it means. It counts at once; one that cannot be kept is taken back.
export function policyChoice() {
    const help = h("p", { class: "lt-help" });
    const choice = h("select", { class: "lt-input", id: "lt-g-policy", onchange: choose }, POLICIES.map((name) => h("option", { value: name }, t(`policy_${name}`))));
    function show() {
        choice.value = app.state.pictures_policy;
        help.textContent = t(`policy_${choice.value}_help`);
    }
    let asked = 0; // of several choices the answer to the last one counts
    async function choose() {
        const mine = ++asked;
        try {
            const { pictures_policy } = await post("settings", { pictures_policy: choice.value });
            app.state = { ...app.state, pictures_policy };
        } catch (error) {
            report(error);
        }
        if (mine === asked) show();
    }
    show();
    return h("section", { class: "lt-card" }, h("div", { class: "lt-field" }, h("div", { class: "lt-field-head" }, h("label", { for: "lt-g-policy" }, t("policy"))), choice, help));
}
