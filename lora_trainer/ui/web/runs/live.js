// The LoRA as it is while it trains, under a name that stays the same: tried in a prompt, renewed as it goes on.
import { canGenerate } from "../base/app.js";
import { fill, h } from "../base/elements.js";
import { copyButton, say } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { tryPrompt } from "../generate/prompt.js";
import { sendButton } from "../webui.js";
import { actionOf, button } from "./actions.js";
import { t } from "./texts.js";

// {element, show(run)}. What is typed and ticked stays while the file is renewed, which may be every step.
export function liveCard(id) {
    const send = actionOf(id), said = h("div", { class: "lt-stack" }), buttons = h("span", { class: "lt-row" });
    let isFree = false, sent = 0;
    const renew = async () => { await send("live", { now: true }); say(t(isFree ? "live_asked_away" : "live_asked")); };
    // Until the host has heard of a choice, what it tells is older.
    const choose = async (body) => {
        sent += 1;
        try {
            await send("live", body);
        } finally {
            sent -= 1;
        }
    };
    const every = h("input", { type: "number", min: 0, step: 1, placeholder: t("live_never"), "aria-label": t("live_every"),
        onchange: () => every.reportValidity() && choose({ every: Number(every.value || 0) }) });
    const keep = h("input", { type: "checkbox", onchange: () => choose({ keep: keep.checked }) });
    const element = h("section", { class: "lt-card lt-live", hidden: true }, h("h2", {}, t("live")), said,
        h("div", { class: "lt-row" }, buttons, h("label", { class: "lt-row" }, t("live_every"), every), h("label", { class: "lt-row" }, keep, t("live_keep"))));

    function show(run) {
        const { live } = run;
        element.hidden = !live || run.state !== "running" || !run.step;
        if (element.hidden) return;
        isFree = Boolean(run.card?.is_free);
        if (!sent && document.activeElement !== every) every.value = live.every ?? "";
        if (!sent) keep.checked = live.keep;
        const { prompt } = live;
        fill(said, prompt ? [h("div", { class: "lt-prompt-line" }, h("code", {}, prompt), copyButton(prompt)), h("p", { class: "lt-subdued" }, t("live_at", { step: formatNumber(live.step || 0) }))]
            : h("p", { class: "lt-subdued" }, t("live_none")));
        fill(buttons, prompt && canGenerate() && h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => tryPrompt(prompt, live.generate) }, t("try_it")),
            prompt && sendButton(prompt, "lt-btn-primary"), button(t(prompt ? "live_renew" : "live_now"), renew, prompt ? "" : "lt-btn-primary"));
    }
    return { element, show };
}
