// What a tool of the Tools page does and has made: progress, files, report.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const h = (...values) => LT.h(...values);

    // The children of the result's card for a Job of docs/api.md.
    LT.toolResult = function (job, title) {
        const isRunning = job.state === "running", isReport = !job.writes;
        const log = job.log && h("pre", { class: "lt-log", tabindex: "0", "aria-label": LT.t(isReport ? "tool_report" : "log") }, job.log);
        const problems = isReport ? (job.log || "").split("\n").filter((line) => /^\s*PROBLEM:/.test(line)).length : 0;
        const pictures = job.files.filter((one) => one.name.endsWith(".png"));
        return [
            h("div", { class: "lt-row" }, h("h2", {}, title), h("span", { class: `lt-badge lt-badge-${job.state}` }, LT.t("state_" + job.state))),
            isRunning && progress(job, title),
            job.state === "failed" && LT.note({ level: "error", message: job.message }),
            job.state === "finished" && isReport && LT.note({ level: problems ? "warning" : "info", message: LT.t(problems ? "tool_problems" : "tool_sound") }),
            job.state === "stopped" && h("p", { class: "lt-subdued" }, LT.t("tool_stopped")),
            job.files.filter((one) => !pictures.includes(one)).map((one) => file(job, one)),
            pictures.map((one) => h("figure", { class: "lt-norms" }, h("img", { src: LT.url(one.url), alt: LT.t("norms"), width: "780", height: "320" }), h("figcaption", { class: "lt-help" }, LT.t("norms_hint")))),
            log && (isReport ? log : h("details", { class: "lt-fold" }, h("summary", {}, LT.t("log")), log)),
            h("details", { class: "lt-fold" }, h("summary", {}, LT.t("repeat")), h("div", { class: "lt-code" }, LT.copyButton(job.command), h("pre", { tabindex: "0" }, job.command))),
        ];
    };

    // Before anything runs: what will come of it.
    LT.toolResult.empty = (tool) =>
        h("div", { class: "lt-empty lt-results-empty" }, LT.icon(tool.writes ? "box" : "search"), h("span", {}, LT.t("tool_result_here")), h("small", {}, LT.t(tool.writes ? `tool_here_${tool.writes}` : "tool_here_report")));

    // Reading the files comes before the first count.
    function progress(job, title) {
        const isCounted = job.total > 0, share = isCounted ? Math.round((100 * job.done) / job.total) : null;
        return h("div", { class: "lt-stack" },
            h("div", { class: `lt-bar${isCounted ? "" : " lt-bar-waiting"}`, role: "progressbar", "aria-valuenow": share, "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": title }, h("div", { class: "lt-bar-fill", style: isCounted ? `width:${share}%` : "" })),
            h("span", { class: "lt-subdued" }, isCounted ? LT.t("tool_layers", job) : LT.t("starting")));
    }

    function file(job, one) {
        const isHere = LT.shell.canGenerate();
        return h("div", { class: "lt-tool-file" },
            h("div", { class: "lt-row" }, h("strong", { class: "lt-wrap" }, one.name), h("span", { class: "lt-subdued" }, LT.bytes(one.bytes))),
            h("div", { class: "lt-row" },
                one.prompt && isHere && h("button", { type: "button", class: "lt-btn lt-btn-small lt-btn-primary", onclick: () => LT.tryPrompt(one.prompt) }, LT.t("try_it")),
                one.prompt && LT.sendButton(one.prompt, "lt-btn-small"),
                h("a", { class: "lt-btn lt-btn-small", href: LT.url(one.url), download: one.name }, LT.icon("download"), LT.t("download")),
                one.prompt && LT.copyButton(one.prompt, one.prompt)),
            h("p", { class: "lt-help" }, LT.t(job.writes === "checkpoint" ? "tool_in_checkpoints" : isHere ? "tool_in_loras" : "tool_in_cards")));
    }
})();
