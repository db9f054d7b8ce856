// What was done to this data set, the newest first, and the way back to each of these points.
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { formatDate, formatNumber } from "../base/numbers.js";
import { t } from "./texts.js";

export function historyPanel(signal, data) {
    let question = 0;
    const element = h("ol", { class: "lt-data-history" });

    async function show() {
        const mine = ++question;
        const answer = await data.get("history?limit=100").catch(() => null);
        if (!answer || mine !== question || signal.aborted) return;
        fill(element, answer.steps.length ? answer.steps.map(step) : h("li", { class: "lt-subdued" }, t("no_history")));
    }
    function step(one) {
        const isDone = one.state === "done", action = t(isDone ? "back_before" : "forth_to");
        return h("li", { class: `lt-data-step lt-data-step-${one.state}` }, h("span", {}, h("strong", {}, one.title), h("small", {}, `${t("images_count", { x: formatNumber(one.changed) })} · ${formatDate(one.time)}`)),
            one.state !== "dropped" && h("button", { type: "button", class: "lt-btn lt-btn-small", "aria-label": `${action}: ${one.title}`, onclick: (event) => busy(event.currentTarget, () => walk(one, isDone)) }, action));
    }
    // One step after the other, until this one is undone (or done again); what is in the way stops it.
    async function walk(one, isBack) {
        for (;;) {
            const next = isBack ? data.undo : data.redo;
            if (!next || (isBack ? next.step < one.step : next.step > one.step)) break;
            if (!(await (isBack ? data.back() : data.forth()))) break;
        }
        await show();
    }
    data.watch(signal, (what) => what === "tags" && element.isConnected && show());
    return { element, show };
}
