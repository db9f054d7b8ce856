// How a run stands, in a word, a line and a bar.
import { activeRun } from "../base/app.js";
import { h } from "../base/elements.js";
import { formatDuration, formatNumber, formatShort } from "../base/numbers.js";
import { t } from "./texts.js";

// The state in a word; a running one that has left its place says that instead (not one that shares the card and goes on).
const isAway = (run) => run.state === "running" && Boolean(run.card?.is_asked && run.card.is_free && !run.card.shares);
export const stateText = (run) => (isAway(run) ? t(run.card.paused ? "state_paused" : "state_waiting") : t("state_" + run.state));
export const badge = (run) => h("span", { class: `lt-badge lt-badge-${isAway(run) ? "stopped" : run.state}` }, stateText(run));

// Whether it trains without a graphics card, whose coming and going needs not be spoken of then.
export const isOnCpu = (run) => /^cpu\b/i.test(run.device || "");

// How far the steps are; before the first one, how far all that comes before it is.
export function progressBar(run) {
    const isPreparing = run.active && !run.step;
    const isOpen = isPreparing && !run.prepared;
    const share = isPreparing ? run.prepared || 0 : run.total_steps ? Math.min(1, (run.step || 0) / run.total_steps) : 0;
    return h("div", { class: `lt-bar lt-bar-${run.state}${isPreparing ? " lt-bar-preparing" : ""}${isOpen ? " lt-bar-waiting" : ""}`, role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": isOpen ? null : Math.round(share * 100), "aria-label": run.name },
        h("div", { class: "lt-bar-fill", style: isOpen ? null : `width:${(share * 100).toFixed(2)}%` }));
}

export const isOver = (run) => ["finished", "stopped", "failed"].includes(run.state);

// A run that ended before its end, and left a state to go on from.
export const isInterrupted = (run) => Boolean(run.resumable) && ["failed", "stopped"].includes(run.state);

// How long a run that has ended was trained, with what it had been before it went on.
export const secondsOf = (run) => run.ended - run.started + (run.seconds_before || 0);

// What a run does besides making its steps: "loading the model", "drawing samples 2 of 4"; "" while it makes them.
export function doing(run) {
    if (!run.active) return "";
    if (isAway(run)) return t(run.card.paused ? "doing_paused" : "doing_lent");
    if (!run.phase) return run.step ? "" : t("phase_start");
    if (run.phase.name === "training") return run.step ? "" : t("phase_first_step");
    return phaseText(run.phase);
}

// Why it failed, without the lines of its log that follow: the page of the run shows them.
const reason = (message) => (message.includes("\n") ? message.split("\n")[0].replace(/\s*[^.\s][^.]*:$/, "") : message);

// What a waiting run waits for, where its turn is next.
function behind(run) {
    const first = run.queue_position === 1 && activeRun();
    return first && t(first.card?.paused ? "queue_after_paused" : "queue_after", { x: first.name });
}

// One line on how the run stands.
export function statusLine(run) {
    if (run.state === "queued") return [run.queue_position && t("queue_position", { x: run.queue_position }), run.message || behind(run)].filter(Boolean).join(" · ");
    if (run.state === "failed") return reason(run.message || "");
    const steps = run.total_steps ? `${formatNumber(run.step || 0)} / ${formatNumber(run.total_steps)}` : "";
    if (run.active) {
        return [doing(run), run.step ? steps : "", Number.isFinite(run.seconds_left) && `${t("time_left")} ${formatDuration(run.seconds_left)}`].filter(Boolean).join(" · ");
    }
    const took = run.ended && run.started ? `${t("time_taken")} ${formatDuration(secondsOf(run))}` : "";
    return [steps, Number.isFinite(run.smoothed_loss) && `${t("loss")} ${formatShort(run.smoothed_loss)}`, took].filter(Boolean).join(" · ");
}

export const phaseText = (phase) => {
    const name = String(phase.name).replaceAll("_", " ");
    return phase.total ? `${name} ${t("phase_of", { done: formatNumber(phase.done), total: formatNumber(phase.total) })}` : name;
};
