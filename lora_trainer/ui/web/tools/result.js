// What a tool of the Tools page does and has made: progress, files, report.
import { canGenerate } from "../base/app.js";
import { busy } from "../base/dialogs.js";
import { h } from "../base/elements.js";
import { urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { copyButton, note } from "../base/messages.js";
import { formatBytes } from "../base/numbers.js";
import { tryPrompt } from "../generate/prompt.js";
import { t } from "./texts.js";
import { sendButton } from "../webui.js";

// The children of the result's card for a Job of docs/api.md; `undo()` brings captions back that it has changed.
export function toolResult(job, title, undo) {
    if (job.writes === "captions") return captionResult(job, title, undo);
    const isRunning = job.state === "running", isReport = !job.writes, told = job.report || [];
    const log = job.log && h("pre", { class: "lt-log", tabindex: "0", "aria-label": t(isReport ? "tool_report" : "log") }, job.log);
    const problems = isReport ? (job.log || "").split("\n").filter((line) => /^\s*PROBLEM:/.test(line)).length : 0;
    const pictures = job.files.filter((one) => one.name.endsWith(".png"));
    return [
        h("div", { class: "lt-row" }, h("h2", {}, title), h("span", { class: `lt-badge lt-badge-${job.state}` }, t("state_" + job.state))),
        isRunning && progress(job, title),
        job.state === "failed" && note({ level: "error", message: job.message }),
        job.state === "finished" && isReport && note({ level: problems ? "warning" : "info", message: t(problems ? "tool_problems" : "tool_sound") }),
        job.state === "stopped" && h("p", { class: "lt-subdued" }, t(job.writes === "removal" ? "tool_stopped_removal" : "tool_stopped")),
        told.map(note),
        job.files.filter((one) => !pictures.includes(one)).map((one) => file(job, one)),
        pictures.map((one) => h("figure", { class: "lt-norms" }, h("img", { src: urlOf(one.url), alt: t("norms"), width: "780", height: "320" }), h("figcaption", { class: "lt-help" }, t("norms_hint")))),
        log && (isReport ? log : h("details", { class: "lt-fold" }, h("summary", {}, t("log")), log)),
        again(job),
    ];
}

// What was written, kept and passed over, and the way back.
function captionResult(job, title, undo) {
    const back = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => busy(back, undo) }, t("captions_undo"));
    return [
        h("div", { class: "lt-row" }, h("h2", {}, title), h("span", { class: `lt-badge lt-badge-${job.state}` }, t("state_" + job.state))),
        job.state === "running" && progress(job, title),
        job.state === "failed" && note({ level: "error", message: job.message }),
        job.report.map(note),
        job.can_undo && h("div", { class: "lt-row" }, back),
        job.log && h("details", { class: "lt-fold" }, h("summary", {}, t("log")), h("pre", { class: "lt-log", tabindex: "0", "aria-label": t("log") }, job.log)),
        again(job),
    ];
}

const again = (job) => h("details", { class: "lt-fold" }, h("summary", {}, t("repeat")), h("p", { class: "lt-subdued" }, t("repeat_where")), h("div", { class: "lt-code" }, copyButton(job.command), h("pre", { tabindex: "0" }, job.command)));

// Before anything runs: what will come of it.
export const emptyResult = (tool) =>
    h("div", { class: "lt-empty lt-results-empty" }, icon(["", "removal"].includes(tool.writes) ? "search" : "box"), h("span", {}, t("tool_result_here")), h("small", {}, t(tool.writes ? `tool_here_${tool.writes}` : "tool_here_report")));

// Reading the files comes before the first count.
function progress(job, title) {
    const isCounted = job.total > 0, share = isCounted ? Math.round((100 * job.done) / job.total) : null;
    return h("div", { class: "lt-stack" },
        h("div", { class: `lt-bar${isCounted ? "" : " lt-bar-waiting"}`, role: "progressbar", "aria-valuenow": share, "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": title }, h("div", { class: "lt-bar-fill", style: isCounted ? `width:${share}%` : "" })),
        h("span", { class: "lt-subdued" }, isCounted ? t(job.writes === "captions" ? "tool_pictures" : "tool_layers", job) : t("starting")));
}

function file(job, one) {
    const isHere = canGenerate();
    return h("div", { class: "lt-tool-file" },
        h("div", { class: "lt-row" }, h("strong", { class: "lt-wrap" }, one.name), h("span", { class: "lt-subdued" }, formatBytes(one.bytes))),
        h("div", { class: "lt-row" },
            one.prompt && isHere && h("button", { type: "button", class: "lt-btn lt-btn-small lt-btn-primary", onclick: () => tryPrompt(one.prompt) }, t("try_it")),
            one.prompt && sendButton(one.prompt, "lt-btn-small"),
            h("a", { class: "lt-btn lt-btn-small", href: urlOf(one.url), download: one.name }, icon("download"), t("download")),
            one.prompt && copyButton(one.prompt, one.prompt)),
        h("p", { class: "lt-help" }, t(job.writes === "checkpoint" ? "tool_in_checkpoints" : isHere ? "tool_in_loras" : "tool_in_cards")));
}
