// One run, live: state, numbers, loss chart, samples, files, log, how to repeat it. Reads the whole run once, then only
// what is new, so that a reload or a second window shows the same.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const h = (...values) => LT.h(...values);
    LT.runView = function (signal, id) {
        const body = h("div", { class: "lt-run-view" }, h("p", { class: "lt-loading", role: "status" }, LT.t("loading")));
        let offset = 0, have = "", page = null; // `have`: which samples, files, warnings and log lines are here
        LT.poll(signal, 1, async () => {
            try {
                if (!page) {
                    const answer = await LT.get(`runs/${encodeURIComponent(id)}`);
                    offset = answer.offset;
                    page = runPage(signal, answer.run, id);
                    LT.fill(body, page.element);
                    return answer.run.active ? 1 : 4;
                }
                const answer = await LT.get(`runs/${encodeURIComponent(id)}?after=${offset}&have=${have}`);
                offset = answer.offset;
                have = answer.have || "";
                page.update(answer.run, answer.events, answer.log);
                return answer.more ? 0.05 : answer.run.active ? 1 : 4;
            } catch (error) {
                if (!(error instanceof LT.ApiError) || error.status !== 404) throw error;
                LT.fill(body, h("div", { class: "lt-card lt-empty" }, h("strong", {}, LT.t("run_gone")),
                    h("button", { type: "button", class: "lt-btn", onclick: () => LT.shell.go("runs") }, LT.t("back_to_runs"))));
                return 30;
            }
        });
        return body;
    };

    function runPage(signal, detail, id) {
        let run = detail;
        const curve = { steps: [...(detail.curve?.steps || [])], loss: [...(detail.curve?.loss || [])], lr: [...(detail.curve?.lr || [])], total: detail.total_steps, isOver: isOver(detail) };
        const chart = LT.chart(signal);
        const parts = Object.fromEntries(["head", "standing", "numbers", "notes", "lora", "files"].map((name) => [name, h("div", { class: `lt-run-${name}` })]));
        const samples = LT.samples(() => LT.t(isOver(run) ? "samples_never" : "samples_none"));
        const live = h("p", { class: "lt-offscreen", "aria-live": "polite" });
        const log = h("pre", { class: "lt-log", tabindex: "0", "aria-label": LT.t("log") });
        const element = h("div", { class: "lt-run-page" },
            h("button", { type: "button", class: "lt-link lt-back", onclick: () => LT.shell.go("runs") }, LT.icon("back"), LT.t("back_to_runs")),
            h("section", { class: "lt-card" }, parts.head, parts.notes, parts.standing, parts.numbers, live),
            parts.lora,
            h("div", { class: "lt-run-columns" },
                h("section", { class: "lt-card lt-run-chart" }, h("h2", {}, LT.t("loss")), chart.element),
                h("section", { class: "lt-card lt-run-samples" }, samples.element)),
            h("section", { class: "lt-card" }, h("h2", {}, LT.t("files")), parts.files),
            h("section", { class: "lt-card" }, h("h2", {}, LT.t("log")), log),
            h("section", { class: "lt-card" }, h("h2", {}, LT.t("repeat")), LT.recipe(detail)));

        // Draws a part only when what it shows has changed: nothing jumps and the keyboard's focus stays.
        const shown = {};
        function isNew(name, value) {
            const text = JSON.stringify(value), before = shown[name];
            shown[name] = text;
            return before !== text;
        }
        const part = (name, value, draw) => isNew(name, value) && LT.fill(parts[name], draw());

        function show(logText) {
            part("head", [run.name, run.state, run.active], () => head(run, id, detail));
            part("notes", [run.state, run.message, run.advice, run.warnings, Math.floor(((LT.shell.state.time || 0) - (run.last_sign_of_life || 0)) / 30)], () => notes(run));
            part("standing", [run.step, run.total_steps, run.phase, run.state, run.queue_position, Math.round(run.seconds_left || 0)], () => standing(run));
            part("numbers", [run.epoch, run.smoothed_loss, run.lrs, run.lr, run.samples_per_second, run.peak_memory, run.seconds_left, run.ended], () => numbers(run));
            part("lora", [run.lora, run.state], () => lora(run));
            if (isNew("samples", [run.samples, isOver(run)])) samples.show(run.samples);
            part("files", run.files, () => files(run, id));
            const tenth = run.total_steps ? Math.floor((10 * (run.step || 0)) / run.total_steps) * 10 : 0;
            const how = !run.active ? "" : run.step ? ` ${tenth} %` : `, ${run.phase?.name || LT.doing(run)}`;
            const said = `${run.name}: ${LT.t("state_" + run.state)}${how}`;
            if (live.textContent !== said) live.textContent = said;
            if (logText === null) return; // as it was
            const text = (Array.isArray(logText) ? logText.join("\n") : logText) || LT.t("log_none");
            if (log.textContent !== text) {
                const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 20;
                log.textContent = text;
                if (atEnd) log.scrollTop = log.scrollHeight;
            }
        }

        function update(next, events, logText) {
            const wasActive = run.active;
            run = { ...run, ...next };
            for (const event of events || []) {
                if (event.type !== "step") continue;
                const at = curve.steps.length;
                if (at && event.step <= curve.steps[at - 1]) continue;
                curve.steps.push(event.step);
                curve.loss.push(event.loss ?? NaN);
                curve.lr.push(typeof event.lr === "object" ? Object.values(event.lr || {})[0] : event.lr);
            }
            Object.assign(curve, { total: run.total_steps, isOver: isOver(run) });
            if ((events || []).some((event) => event.type === "step") || wasActive !== run.active) chart.update(curve);
            show(logText);
        }
        chart.update(curve);
        show(detail.log);
        setTimeout(() => (log.scrollTop = log.scrollHeight));
        return { element, update };
    }

    const button = (text, action, style = "", icon = null) =>
        h("button", { type: "button", class: `lt-btn ${style}`, onclick: (event) => LT.busy(event.currentTarget, action) }, icon && LT.icon(icon), text);

    function head(run, id, detail) {
        const post = (action, body) => LT.post(`runs/${encodeURIComponent(id)}/${action}`, body);
        const buttons = [];
        if (run.state === "running") {
            buttons.push(button(LT.t("save_now"), async () => { await post("save"); LT.say(LT.t("save_asked")); }));
            buttons.push(button(LT.t("sample_now"), async () => { await post("sample"); LT.say(LT.t("sample_asked")); }));
        }
        if (["running", "queued"].includes(run.state)) {
            const question = run.state === "queued" ? "cancel_ask" : "stop_ask";
            buttons.push(button(LT.t("stop"), async () => (await LT.ask(LT.t(question), LT.t("stop"))) && post("stop"), "lt-btn-danger"));
        }
        if (run.state === "stopping") buttons.push(button(LT.t("end_now"), async () => (await LT.ask(LT.t("end_now_ask"), LT.t("end_now"))) && post("stop", { force: true }), "lt-btn-danger"));
        if (detail.values) buttons.push(button(LT.t("use_again"), () => {
            LT.trainValues.take(detail.values);
            LT.say(LT.t("settings_taken"));
            LT.shell.go("train");
        }, "", "reuse"));
        if (!run.active) buttons.push(button(LT.t("delete_run"), async () => {
            if (!(await LT.ask(LT.t("delete_ask"), LT.t("delete_run")))) return;
            await post("delete");
            LT.say(LT.t("deleted"));
            LT.shell.go("runs");
        }));
        return [h("div", { class: "lt-run-title" }, h("h1", {}, run.name), LT.badge(run)), h("div", { class: "lt-row" }, buttons)];
    }

    function notes(run) {
        const found = (run.warnings || []).map((message) => ({ level: "warning", message }));
        if (run.message) found.unshift({ level: run.state === "failed" ? "error" : "info", message: run.message, advice: run.advice });
        const silence = (LT.shell.state.time || 0) - (run.last_sign_of_life || Infinity);
        if (run.active && silence > 90) found.push({ level: "warning", message: LT.t("silent", { x: LT.duration(silence) }) });
        return found.map(LT.note);
    }

    function standing(run) {
        const steps = run.step && run.total_steps ? h("span", {}, LT.t("step"), " ", h("strong", {}, LT.number(run.step)), ` / ${LT.number(run.total_steps)}`) : "";
        const right = run.active && Number.isFinite(run.seconds_left) ? `${LT.t("time_left")} ${LT.duration(run.seconds_left)}` : run.state === "queued" ? LT.standing(run) : "";
        return [LT.progress(run), h("div", { class: "lt-run-under" }, steps, h("span", { class: "lt-run-doing" }, LT.doing(run).replace(/^./, (first) => first.toUpperCase())), h("span", {}, right))];
    }

    function numbers(run) {
        const rates = Object.entries(run.lrs || {});
        const rate = rates.length > 1 && new Set(rates.map(([, value]) => value)).size > 1
            ? h("span", { class: "lt-rates" }, rates.map(([name, value]) => h("span", {}, `${LT.short(value)} `, h("small", {}, name.replaceAll("_", " "))))) : LT.short(run.lr);
        const cells = [
            ["epoch", run.epoch ? `${run.epoch}${run.epochs ? ` / ${run.epochs}` : ""}` : "–"],
            ["loss", LT.short(run.smoothed_loss ?? run.loss)],
            ["learning_rate", rate],
            ["speed", Number.isFinite(run.samples_per_second) ? LT.t("per_second", { x: LT.short(run.samples_per_second) }) : "–"],
            run.ended && run.started ? ["time_taken", LT.duration(run.ended - run.started)] : ["time_left", LT.duration(run.seconds_left ?? NaN)],
            ["memory", run.peak_memory ? LT.bytes(run.peak_memory) : "–"],
            ["device", run.device || "–"],
        ];
        return h("dl", { class: "lt-numbers" }, cells.map(([name, value]) => h("div", {}, h("dt", {}, LT.t(name)), h("dd", {}, value))));
    }

    function lora(run) {
        if (!run.lora || !["finished", "stopped"].includes(run.state)) return [];
        const final = (run.files || []).find((file) => file.final) || (run.files || []).at(-1);
        return h("section", { class: "lt-card lt-use" }, h("h2", {}, LT.t("use_it")),
            h("div", { class: "lt-prompt-line" }, h("code", {}, run.lora.prompt), LT.copyButton(run.lora.prompt)),
            h("div", { class: "lt-row" },
                LT.shell.canGenerate() && h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => LT.tryPrompt(run.lora.prompt, run.lora.generate) }, LT.t("try_it")),
                LT.sendButton(run.lora.prompt, "lt-btn-primary"),
                final && h("a", { class: "lt-btn", href: LT.url(final.url), download: final.name }, LT.icon("download"), `${LT.t("download")} ${final.name} (${LT.bytes(final.bytes)})`)));
    }

    const isOver = (run) => ["finished", "stopped", "failed"].includes(run.state);
    function files(run, id) {
        if (!run.files?.length) return h("p", { class: "lt-subdued" }, LT.t(isOver(run) ? "files_never" : "files_none"));
        const use = async (file) => {
            const { lora: placed } = await LT.post(`runs/${encodeURIComponent(id)}/use`, { file: file.name, overwrite: false });
            LT.refreshCards();
            LT.say(LT.t("used_file", { x: placed?.name || file.name }));
        };
        return h("ul", { class: "lt-files" }, [...run.files].reverse().map((file) => h("li", {},
            h("code", {}, file.name), file.final && h("span", { class: "lt-badge lt-badge-finished" }, LT.t("final")),
            h("span", { class: "lt-subdued" }, [file.step && LT.t("samples_at", { x: LT.number(file.step) }), LT.bytes(file.bytes)].filter(Boolean).join(" · ")),
            h("span", { class: "lt-row lt-end" }, !file.final && button(LT.t("use_file"), () => use(file), "lt-btn-small"),
                h("a", { class: "lt-btn lt-btn-small", href: LT.url(file.url), download: file.name, "aria-label": `${LT.t("download")} ${file.name}` }, LT.icon("download"))))));
    }

    // The command line and the TOML files that repeat a training; each can be copied.
    LT.recipe = function (texts) {
        const blocks = [[LT.t("command_line"), texts.command], ["config.toml", texts.config], ["dataset.toml", texts.dataset], ["prompts.txt", texts.prompts]];
        return h("div", { class: "lt-recipe" }, blocks.filter(([, text]) => text).map(([name, text], index) =>
            h("details", { open: index === 0 }, h("summary", {}, name), h("div", { class: "lt-code" }, LT.copyButton(text), h("pre", { tabindex: "0" }, text)))));
    };

    // A button cannot be pressed twice while what it started goes on; an error is shown.
    LT.busy = async function (element, action) {
        if (element.ariaBusy) return;
        element.ariaBusy = "true"; // not disabled, which would take the focus away
        try {
            await action();
        } catch (error) {
            LT.report(error);
        } finally {
            element.ariaBusy = null;
        }
    };
})();
