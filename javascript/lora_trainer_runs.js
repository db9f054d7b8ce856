// The list of runs, the newest first.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const h = (...values) => LT.h(...values); // the core may be loaded after this file

    LT.badge = (run) => h("span", { class: `lt-badge lt-badge-${run.state}` }, LT.t("state_" + run.state));

    LT.progress = function (run) {
        const share = run.total_steps ? Math.min(1, (run.step || 0) / run.total_steps) : run.phase && run.phase.total ? run.phase.done / run.phase.total : 0;
        return h("div", { class: `lt-bar lt-bar-${run.state}`, role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": Math.round(share * 100), "aria-label": run.name },
            h("div", { class: "lt-bar-fill", style: `width:${(share * 100).toFixed(2)}%` }));
    };

    // One line on how the run stands.
    LT.standing = function (run) {
        if (run.state === "queued") return [run.queue_position && LT.t("queue_position", { x: run.queue_position }), run.message].filter(Boolean).join(" · ");
        if (run.state === "failed") return run.message;
        const steps = run.total_steps ? `${LT.number(run.step || 0)} / ${LT.number(run.total_steps)}` : "";
        if (run.active) {
            const phase = run.phase && run.phase.name !== "train" ? LT.phase(run.phase) : "";
            return [phase, steps, Number.isFinite(run.seconds_left) && `${LT.t("time_left")} ${LT.duration(run.seconds_left)}`].filter(Boolean).join(" · ");
        }
        const took = run.ended && run.started ? `${LT.t("time_taken")} ${LT.duration(run.ended - run.started)}` : "";
        return [steps, Number.isFinite(run.smoothed_loss) && `${LT.t("loss")} ${LT.short(run.smoothed_loss)}`, took].filter(Boolean).join(" · ");
    };

    LT.phase = (phase) => {
        const name = String(phase.name).replaceAll("_", " ");
        return phase.total ? `${name} ${LT.t("phase_of", { done: LT.number(phase.done), total: LT.number(phase.total) })}` : name;
    };

    function row(run) {
        return h("li", {}, h("a", { class: "lt-run", href: `#lora-run=${encodeURIComponent(run.id)}` },
            h("span", { class: "lt-run-picture" }, run.picture ? h("img", { src: LT.url(run.picture), alt: "", loading: "lazy" }) : LT.icon("box")),
            h("span", { class: "lt-run-text" },
                h("span", { class: "lt-run-title" }, h("strong", {}, run.name), LT.badge(run)),
                h("span", { class: "lt-run-line" }, LT.standing(run)),
                run.active && LT.progress(run)),
            h("time", { class: "lt-run-time" }, LT.when(run.created))));
    }

    LT.runsView = function (signal) {
        const list = h("ul", { class: "lt-runs" });
        const view = h("section", { class: "lt-card" }, h("h2", {}, LT.t("runs")), list);
        let before = "", known = {};
        LT.poll(signal, 2, async () => {
            known = await LT.newsOfRuns("runs", known);
            const { runs } = known;
            const text = JSON.stringify(runs) + LT.language;
            if (text === before) return;
            before = text;
            const focused = document.activeElement && list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : "";
            LT.fill(list, runs.map(row));
            if (focused) list.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
            if (!runs.length) LT.fill(list, h("li", { class: "lt-empty" }, LT.icon("box"), h("strong", {}, LT.t("no_runs")), h("p", {}, LT.t("no_runs_hint")),
                h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => LT.shell.go("train") }, LT.t("go_train"))));
        });
        return view;
    };
})();
