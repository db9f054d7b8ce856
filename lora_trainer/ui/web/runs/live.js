// The LoRA as it is while it trains, under a name that stays the same: tried in a prompt, renewed as it goes on.
import { canGenerate } from "../base/app.js";
import { h } from "../base/elements.js";
import { copyButton, say } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { tryPrompt } from "../generate/prompt.js";
import { sendButton } from "../webui.js";
import { actionOf, button } from "./actions.js";
import { t } from "./texts.js";

export function liveCard(run, id) {
    const live = run.live;
    if (!live || run.state !== "running" || !run.step) return [];
    const send = actionOf(id);
    const renew = async () => { await send("live", { now: true }); say(t(run.card?.is_free ? "live_asked_away" : "live_asked")); };
    const every = h("input", { type: "number", min: 0, step: 1, value: live.every ?? "", placeholder: t("live_never"), "aria-label": t("live_every"),
        onchange: (event) => event.target.reportValidity() && send("live", { every: Number(event.target.value || 0) }) });
    const keep = h("input", { type: "checkbox", checked: live.keep, onchange: (event) => send("live", { keep: event.target.checked }) });
    return h("section", { class: "lt-card lt-live" }, h("h2", {}, t("live")),
        live.prompt ? h("div", { class: "lt-prompt-line" }, h("code", {}, live.prompt), copyButton(live.prompt)) : h("p", { class: "lt-subdued" }, t("live_none")),
        live.prompt && h("p", { class: "lt-subdued" }, t("live_at", { step: formatNumber(live.step || 0) })),
        h("div", { class: "lt-row" },
            live.prompt && canGenerate() && h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => tryPrompt(live.prompt, live.generate) }, t("try_it")),
            live.prompt && sendButton(live.prompt, "lt-btn-primary"),
            button(t(live.prompt ? "live_renew" : "live_now"), renew, live.prompt ? "" : "lt-btn-primary"),
            h("label", { class: "lt-row" }, t("live_every"), every),
            h("label", { class: "lt-row" }, keep, t("live_keep"))));
}
