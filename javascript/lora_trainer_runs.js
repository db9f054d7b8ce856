// The list of runs: the one at work, those that wait in the order of the queue, the others with the newest first.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const h = (...values) => LT.h(...values); // the core may be loaded after this file

    LT.badge = (run) => h("span", { class: `lt-badge lt-badge-${run.state}` }, LT.t("state_" + run.state));

    // How far the steps are; before the first one, how far the preparation is, or that it goes on.
    LT.progress = function (run) {
        const isPreparing = run.active && !run.step;
        const isOpen = isPreparing && !run.phase?.total;
        const share = isOpen ? 0 : isPreparing ? run.phase.done / run.phase.total : run.total_steps ? Math.min(1, (run.step || 0) / run.total_steps) : 0;
        return h("div", { class: `lt-bar lt-bar-${run.state}${isPreparing ? " lt-bar-preparing" : ""}${isOpen ? " lt-bar-waiting" : ""}`, role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": isOpen ? null : Math.round(share * 100), "aria-label": run.name },
            h("div", { class: "lt-bar-fill", style: isOpen ? null : `width:${(share * 100).toFixed(2)}%` }));
    };

    // What a run does besides making its steps: "loading the model", "drawing samples 2 of 4"; "" while it makes them.
    LT.doing = function (run) {
        if (!run.active) return "";
        if (!run.phase) return run.step ? "" : LT.t("phase_start");
        if (run.phase.name === "training") return run.step ? "" : LT.t("phase_first_step");
        return LT.phase(run.phase);
    };

    // Why it failed, without the lines of its log that follow: the page of the run shows them.
    const reason = (message) => (message.includes("\n") ? message.split("\n")[0].replace(/\s*[^.\s][^.]*:$/, "") : message);

    // One line on how the run stands.
    LT.standing = function (run) {
        if (run.state === "queued") return [run.queue_position && LT.t("queue_position", { x: run.queue_position }), run.message].filter(Boolean).join(" · ");
        if (run.state === "failed") return reason(run.message || "");
        const steps = run.total_steps ? `${LT.number(run.step || 0)} / ${LT.number(run.total_steps)}` : "";
        if (run.active) {
            return [LT.doing(run), run.step ? steps : "", Number.isFinite(run.seconds_left) && `${LT.t("time_left")} ${LT.duration(run.seconds_left)}`].filter(Boolean).join(" · ");
        }
        const took = run.ended && run.started ? `${LT.t("time_taken")} ${LT.duration(run.ended - run.started)}` : "";
        return [steps, Number.isFinite(run.smoothed_loss) && `${LT.t("loss")} ${LT.short(run.smoothed_loss)}`, took].filter(Boolean).join(" · ");
    };

    LT.phase = (phase) => {
        const name = String(phase.name).replaceAll("_", " ");
        return phase.total ? `${name} ${LT.t("phase_of", { done: LT.number(phase.done), total: LT.number(phase.total) })}` : name;
    };

    const button = (icon, name, run, action, isAtEnd = false) =>
        h("button", { type: "button", class: "lt-btn lt-btn-small lt-btn-icon", "aria-label": LT.t(name, { x: run.name }), title: LT.t(name, { x: run.name }), "aria-disabled": isAtEnd ? "true" : null, onclick: (event) => isAtEnd || LT.busy(event.currentTarget, action) }, LT.icon(icon));

    // What can be done with a waiting run without opening it.
    function waiting(run, last, refresh) {
        const post = async (action, body) => {
            await LT.post(`runs/${encodeURIComponent(run.id)}/${action}`, body);
            await refresh();
        };
        const at = run.queue_position;
        return h("div", { class: "lt-run-queue" },
            button("up", "queue_up", run, () => post("move", { position: at - 1 }), at <= 1),
            button("down", "queue_down", run, () => post("move", { position: at + 1 }), at >= last),
            button("close", "queue_remove", run, async () => (await LT.ask(LT.t("queue_remove_ask", { x: run.name }), LT.t("remove"))) && post("delete")));
    }

    const order = (run) => (run.active ? 0 : run.state === "queued" ? run.queue_position || 1 : Infinity);

    function row(run, last, refresh) {
        return h("li", {}, h("a", { class: "lt-run", href: `#lora-run=${encodeURIComponent(run.id)}` },
            h("span", { class: "lt-run-picture" }, run.picture ? h("img", { src: LT.url(run.picture), alt: "", loading: "lazy" }) : LT.icon("box")),
            h("span", { class: "lt-run-text" },
                h("span", { class: "lt-run-title" }, h("strong", {}, run.name), LT.badge(run)),
                h("span", { class: "lt-run-line" }, LT.standing(run)),
                run.active && LT.progress(run)),
            h("time", { class: "lt-run-time" }, LT.when(run.created))),
            run.state === "queued" && waiting(run, last, refresh));
    }

    LT.runsView = function (signal) {
        const list = h("ul", { class: "lt-runs" });
        const view = h("section", { class: "lt-card" }, h("h2", {}, LT.t("runs")), list);
        let before = "", known = {};
        async function refresh() {
            known = await LT.newsOfRuns("runs", known);
            const { runs } = known;
            const text = JSON.stringify(runs) + LT.language;
            if (text === before) return;
            before = text;
            const last = Math.max(0, ...runs.map((run) => run.queue_position || 0));
            LT.fill(list, [...runs].sort((one, other) => (order(one) === order(other) ? 0 : order(one) - order(other))).map((run) => row(run, last, refresh)));
            if (!runs.length) LT.fill(list, h("li", { class: "lt-empty" }, LT.icon("box"), h("strong", {}, LT.t("no_runs")), h("p", {}, LT.t("no_runs_hint")),
                h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => LT.shell.go("train") }, LT.t("go_train"))));
        }
        LT.poll(signal, 2, refresh);
        return view;
    };
})();
