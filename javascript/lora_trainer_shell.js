// The frame of the page: header, tabs (the address of a run is in the URL's hash), messages of the host.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const h = (...values) => LT.h(...values); // the core may be loaded after this file

    // #lora-run=ID, #lora-runs, #lora-generate, #lora-tools; anything else is the train view
    function place() {
        const hash = decodeURIComponent(location.hash.slice(1));
        if (hash.startsWith("lora-run=")) return { view: "runs", run: hash.slice("lora-run=".length) };
        const view = hash.startsWith("lora-") ? hash.slice("lora-".length) : "";
        return { view: LT.shell.views().includes(view) ? view : "train", run: "" };
    }

    // In the Web UI the tab itself has to be opened when the address names something of ours.
    function openTab(mount) {
        if (!location.hash.startsWith("#lora-") || mount.offsetParent) return;
        LT.tabOf("lora_trainer", "LoRA Trainer")?.click();
    }

    // What is drawn lives until it is drawn anew: all that it started ends with its signal.
    const lives = { page: new AbortController(), view: new AbortController() };
    function begin(name) {
        lives[name].abort();
        lives[name] = new AbortController();
        return lives[name].signal;
    }

    LT.shell = {
        state: { problems: [], runs: [], active: null },
        views: () => (LT.shell.canGenerate() ? ["train", "runs", "generate", "tools"] : ["train", "runs", "tools"]),
        canGenerate: () => LT.shell.state.can_generate ?? LT.shell.state.host === "standalone",
        isBusy: () => (LT.shell.state.runs || []).some((run) => run.active || run.state === "queued"),
        activeRun: () => (LT.shell.state.runs || []).find((run) => run.active) || null,

        async start(mount) {
            LT.fill(mount, h("p", { class: "lt-loading", role: "status" }, LT.t("loading")));
            const [state, form] = await Promise.all([LT.getPatiently("state"), LT.getPatiently("form")]);
            LT.shell.state = state;
            LT.form = form;
            openTab(mount);
            LT.shell.draw();
            if (!LT.shell.listening) window.addEventListener("hashchange", () => LT.mount.isConnected && LT.shell.show());
            LT.shell.listening = true;
        },

        draw() {
            LT.trainValues.load(LT.form.spec);
            if (LT.mount.dataset.host === "standalone") document.documentElement.lang = LT.language; // else the page is the Web UI's
            const language = h("select", { class: "lt-language", id: "lt-language", "aria-label": LT.t("language"), onchange: () => { LT.setLanguage(language.value); LT.shell.state = { ...LT.shell.state, token: "" }; LT.shell.draw(); } },
                h("option", { value: "en" }, "English"), h("option", { value: "ko" }, "한국어"));
            language.value = LT.language;
            LT.banner = h("div", { class: "lt-banner", role: "alert", hidden: true }, h("span", { class: "lt-spinner" }), h("span", {}, LT.t("connection_lost")));
            LT.toasts = h("div", { class: "lt-toasts", role: "status", "aria-live": "polite" });
            const tabs = h("div", { class: "lt-tabs", role: "tablist", "aria-label": "LoRA Trainer", onkeydown: LT.shell.walk },
                LT.shell.views().map((view) =>
                    h("button", { type: "button", role: "tab", id: `lt-tab-${view}`, "aria-controls": "lt-panel", onclick: () => LT.shell.go(view) },
                        LT.t(view), view === "runs" && h("span", { class: "lt-dot", hidden: true }))));
            LT.shell.panel = h("div", { class: "lt-panel", role: "tabpanel", id: "lt-panel" });
            LT.shell.problems = h("div", { class: "lt-problems" });
            LT.fill(LT.mount, h("div", { class: "lt-app", lang: LT.language },
                h("header", { class: "lt-header" }, h("div", { class: "lt-brand" }, mark(), h("span", {}, "LoRA Trainer")), tabs, h("div", { class: "lt-header-end" }, language)),
                LT.banner, LT.shell.problems, LT.shell.panel, LT.toasts));
            LT.shell.show();
            LT.shell.refresh();
            LT.poll(begin("page"), 3, async () => {
                const before = LT.shell.state;
                LT.shell.state = await LT.newsOfRuns("state", before);
                LT.shell.refresh();
                LT.shell.noticeEnd(before);
            }, () => LT.shell.isBusy()); // the end of a run is told, and its LoRA shown, wherever one is
        },

        // Arrow keys walk along the tabs, as in every tab list.
        walk(event) {
            const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (!by) return;
            event.preventDefault();
            const views = LT.shell.views();
            const next = views[(views.indexOf(place().view) + by + views.length) % views.length];
            LT.shell.go(next);
            LT.mount.querySelector(`#lt-tab-${next}`).focus();
        },

        go(view, run = "") {
            const hash = run ? `#lora-run=${encodeURIComponent(run)}` : view === "train" ? "" : `#lora-${view}`;
            if (location.hash !== hash) history.pushState(null, "", location.pathname + location.search + hash);
            LT.shell.show();
        },

        show() {
            const { view, run } = place();
            for (const tab of LT.mount.querySelectorAll(".lt-tabs [role=tab]")) {
                const isIt = tab.id === `lt-tab-${view}`;
                LT.set(tab, "aria-selected", String(isIt));
                LT.set(tab, "tabindex", isIt ? "0" : "-1");
            }
            LT.set(LT.shell.panel, "aria-labelledby", `lt-tab-${view}`);
            const draw = run ? (signal) => LT.runView(signal, run) : { train: LT.trainView, runs: LT.runsView, generate: LT.generateView, tools: LT.toolsView }[view];
            const panel = LT.shell.panel, focused = document.activeElement;
            const isLost = panel.contains(focused) || (focused === document.body && panel.childElementCount > 0);
            panel.replaceChildren(draw(begin("view")));
            if (isLost) LT.focus(panel); // who came here by the keyboard goes on from here
        },

        // A run that has ended since `before`: said wherever one is on the page, and its file is shown on the Web UI's cards.
        noticeEnd(before) {
            for (const run of LT.shell.state.runs || []) {
                const earlier = (before.runs || []).find((one) => one.id === run.id);
                const hasEnded = !run.active && (earlier?.active || (run.started && run.ended > (before.time ?? Infinity)));
                if (!hasEnded) continue;
                if (run.lora) LT.refreshCards();
                LT.say(`${run.name}: ${LT.t("state_" + run.state)}`, run.state === "failed" ? "error" : "info");
            }
        },

        // What the host says about itself, on top: missing packages and how to mend that.
        refresh() {
            const dot = LT.mount.querySelector("#lt-tab-runs .lt-dot");
            if (dot) dot.hidden = !LT.shell.state.active;
            const problems = [...(LT.shell.state.problems || []), ...(LT.form.problems || [])];
            if (LT.shell.state.read_only) problems.push({ level: "warning", message: LT.shell.state.read_only });
            const text = JSON.stringify(problems);
            if (LT.shell.problems.dataset.text === text) return;
            LT.shell.problems.dataset.text = text;
            LT.fill(LT.shell.problems, problems.map(LT.note));
        },
    };

    // A message with its level and what to do about it.
    LT.note = (problem) =>
        h("div", { class: `lt-note lt-note-${problem.level || "error"}`, role: problem.level === "info" ? null : "alert" },
            LT.icon(problem.level === "info" ? "info" : "warning"),
            h("div", {}, problem.where && h("code", {}, problem.where), h("span", {}, LT.sentence(LT.bare(problem))), problem.advice && h("p", {}, problem.advice)));

    // The mark: a large matrix as the product of a tall and a wide one.
    function mark() {
        const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        svg.setAttribute("viewBox", "0 0 24 24");
        svg.setAttribute("class", "lt-mark");
        svg.setAttribute("aria-hidden", "true");
        for (const [x, y, width, height] of [[2, 2, 6, 20], [10, 2, 12, 6], [10, 10, 12, 12]]) {
            const part = document.createElementNS("http://www.w3.org/2000/svg", "rect");
            for (const [key, value] of Object.entries({ x, y, width, height, rx: 1.6, opacity: width === height ? 0.35 : 1 })) part.setAttribute(key, value);
            svg.append(part);
        }
        return svg;
    }
})();
