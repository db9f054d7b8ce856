// Who has the card while a run is at work: the training, the pictures it was lent to, or nobody because of a pause.
import { h } from "../base/elements.js";
import { icon } from "../base/icons.js";
import { formatDuration, formatNumber } from "../base/numbers.js";
import { actionOf, button } from "./actions.js";
import { isOnCpu, phaseText } from "./standing.js";
import { t } from "./texts.js";

// A note with what can be done about it; nothing while the training has the card and keeps it.
export function cardNote(run, id) {
    const card = run.card;
    if (!card || !(card.is_asked || card.refusal)) return [];
    const send = actionOf(id), at = { step: formatNumber(run.step || 0) };
    const isLent = !card.paused;
    const said = card.refusal || (!card.is_free ? asked(run)
        : card.shares ? t(isOnCpu(run) ? "card_shared_cpu" : "card_shared", at)
        : card.paused ? t(isOnCpu(run) ? "card_paused_cpu" : "card_paused", at)
        : card.seconds_left === null ? t("card_lent", at) : t("card_lent_until", { ...at, x: formatDuration(card.seconds_left) }));
    return h("div", { class: "lt-note lt-note-info lt-card-note", role: "status" }, icon("info"),
        h("div", {}, h("span", {}, said),
            isLent && card.is_free && !card.shares && h("div", { class: "lt-row" },
                card.seconds_left !== null && button(t("go_on_now"), () => send("pause", { paused: false }), "lt-btn-small"),
                button(t("keep_paused"), () => send("pause", { paused: true }), "lt-btn-small"))));
}

const LATE = 10; // seconds, after which is told what it is doing

// What is said until the training has answered.
function asked(run) {
    const said = t(isOnCpu(run) ? "card_asked_cpu" : "card_asked");
    if (!(run.card.waited > LATE)) return said;
    const doing = run.phase && run.phase.name !== "training" ? phaseText(run.phase) : t("card_in_step", { step: formatNumber((run.step || 0) + 1) });
    return `${said} ${t("card_late", { x: formatDuration(run.card.waited), doing })}`;
}
