// The LoRA tools: choose one, fill in its fields (drawn from the host's table), run it, see what it made.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const h = (...values) => LT.h(...values);
    const OVER = ["finished", "stopped", "failed"];

    let kept = {}; // tool -> {values, output, overwrite}: stays when the view is left and opened again
    let job = null; // the last answer about the job that is shown

    LT.toolsView = function () {
        const view = h("div", { class: "lt-generate lt-tools" }, h("p", { class: "lt-loading", role: "status" }, LT.t("loading")));
        LT.getPatiently("tools").then((page) => view.isConnected && draw(view, page)).catch(LT.report);
        return view;
    };

    function draw(view, page) {
        const tools = page.spec[LT.language] || page.spec.en;
        const known = tools.map((one) => one.name);
        let tool = tools[Math.max(0, known.indexOf(LT.recall("tool")))];
        const list = h("select", { class: "lt-input", id: "lt-tool", onchange: () => choose(list.value) }, tools.map((one) => h("option", { value: one.name }, one.title)));
        const help = h("p", { class: "lt-help" });
        const fields = h("div", { class: "lt-stack lt-tool-fields" });
        const run = h("button", { type: "button", class: "lt-btn lt-btn-primary lt-btn-train", onclick: start }, LT.t("tool_run"));
        const cancel = h("button", { type: "button", class: "lt-btn lt-btn-danger", hidden: true, onclick: () => job && LT.post(`tools/${job.id}/stop`).then(show).catch(LT.report) }, LT.t("cancel"));
        const result = h("section", { class: "lt-card lt-results-card", "aria-live": "polite" });
        let wrong = {};

        const settings = () => (kept[tool.name] ||= { values: Object.fromEntries(tool.fields.map((one) => [one.name, one.kind === "loras" ? [{}, {}] : one.value])), output: "", overwrite: false });

        function choose(name) {
            tool = tools.find((one) => one.name === name);
            list.value = tool.name;
            LT.remember("tool", tool.name);
            help.textContent = tool.help;
            wrong = {};
            const drawn = tool.fields.map((field) => labeled(field, control(field, settings().values)));
            LT.fill(fields, drawn, tool.writes && output());
        }

        // --- one field: label, control, help, what is wrong with it
        function labeled(field, made) {
            const id = `lt-tool-${field.name}`;
            const place = h("p", { class: "lt-wrong", id: `${id}-wrong`, role: "alert", hidden: true });
            const isToggle = field.kind === "toggle";
            LT.set(made.element, "aria-describedby", `${id}-help ${place.id}`);
            wrong[field.name] = (text) => {
                place.textContent = text;
                place.hidden = !text;
                LT.set(made.element, "aria-invalid", text ? "true" : null);
            };
            const label = isToggle || made.element.id ? h("label", { for: id }, field.label) : h("strong", { id: `${id}-label` }, field.label);
            const head = h("div", { class: "lt-field-head" }, isToggle && made.element, label, field.help && field.kind && h("code", { class: "lt-name" }, field.name), !field.required && !isToggle && field.value === null && h("small", { class: "lt-subdued" }, LT.t("optional")));
            return h("div", { class: `lt-field${isToggle ? " lt-field-toggle" : ""}`, "data-name": field.name }, head, !isToggle && (made.around || made.element), field.help && h("p", { class: "lt-help", id: `${id}-help` }, field.help), place);
        }

        function control(field, values) {
            const id = `lt-tool-${field.name}`;
            const put = (value) => { values[field.name] = value; wrong[field.name](""); };
            if (field.kind === "loras") return ratios(field, values, put);
            if (field.kind === "toggle") return { element: h("input", { type: "checkbox", role: "switch", id, class: "lt-switch", checked: Boolean(values[field.name]), onchange: (event) => put(event.target.checked) }) };
            if (field.kind === "number") return { element: h("input", { type: "text", inputmode: "decimal", autocomplete: "off", id, class: "lt-input", value: values[field.name] ?? "", oninput: (event) => put(event.target.value) }) };
            if (field.kind === "choice") return { element: select(id, field.choices, values[field.name], put, field.value === null ? LT.t("tool_default") : "") };
            const names = field.kind === "lora" ? page.loras : page.checkpoints;
            return { element: select(id, names, values[field.name], put, chooseOne(field.kind, !field.required)) };
        }

        const chooseOne = (kind, isOptional) => LT.t(isOptional ? "none_chosen" : kind === "checkpoint" ? "choose_model" : page.loras.length ? "choose_lora" : "no_loras");

        function select(id, names, value, put, empty, more = {}) {
            const element = h("select", { id, class: "lt-input", onchange: () => put(element.value), ...more }, empty && h("option", { value: "" }, empty), names.map((name) => h("option", { value: name }, name)));
            element.value = value ?? "";
            return element;
        }

        // Rows of a LoRA and its ratio; there are always two or more, unless they go into a checkpoint.
        function ratios(field, values, put) {
            const rows = values[field.name];
            const element = h("div", { class: "lt-stack", role: "group", "aria-labelledby": `lt-tool-${field.name}-label` });
            const again = () => {
                const least = tool.writes === "checkpoint" ? 1 : 2;
                LT.fill(element, rows.map((row, index) => h("div", { class: "lt-ratio" },
                    select(null, page.loras, row.name, (name) => { row.name = name; put(rows); }, chooseOne("lora"), { "aria-label": `LoRA ${index + 1}` }),
                    h("input", { type: "text", inputmode: "decimal", class: "lt-input", value: row.ratio ?? (row.ratio = "1"), "aria-label": `${LT.t("ratio")} ${index + 1}`, oninput: (event) => { row.ratio = event.target.value; put(rows); } }),
                    h("button", { type: "button", class: "lt-btn lt-btn-icon", disabled: rows.length <= least, title: LT.t("remove_image", { x: `LoRA ${index + 1}` }), "aria-label": LT.t("remove_image", { x: `LoRA ${index + 1}` }), onclick: () => { rows.splice(index, 1); again(); } }, LT.icon("close")))),
                h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => { rows.push({}); again(); } }, LT.t("add_lora")));
            };
            if (tool.writes === "checkpoint" && rows.length === 2 && !rows[1].name) rows.pop();
            again();
            return { element };
        }

        function output() {
            const chosen = settings();
            const clear = () => wrong.output("");
            const name = h("input", { type: "text", id: "lt-tool-output", class: "lt-input", autocomplete: "off", spellcheck: "false", value: chosen.output, oninput: () => { chosen.output = name.value; clear(); } });
            const overwrite = h("input", { type: "checkbox", role: "switch", id: "lt-tool-overwrite", class: "lt-switch", checked: chosen.overwrite, onchange: () => { chosen.overwrite = overwrite.checked; clear(); } });
            const asked = { name: "output", label: LT.t("tool_output"), help: LT.t(tool.writes === "lora" ? "tool_output_lora" : "tool_output_checkpoint"), required: true };
            return [labeled(asked, { element: name }), labeled({ name: "overwrite", kind: "toggle", label: LT.t("tool_overwrite") }, { element: overwrite })];
        }

        // --- running
        async function start() {
            const { values, output: name, overwrite } = settings();
            for (const say of Object.values(wrong)) say("");
            run.disabled = true;
            try {
                show(await LT.post("tools", { tool: tool.name, values, output: name, overwrite }));
                follow();
            } catch (error) {
                run.disabled = false;
                const problems = error.problems || [];
                for (const problem of problems) wrong[problem.field]?.([problem.message, problem.advice].filter(Boolean).join(" "));
                if (!problems.length || problems.some((problem) => !wrong[problem.field])) LT.report(error);
                fields.querySelector('[aria-invalid="true"]')?.focus();
            }
        }

        function follow() {
            const { id } = job;
            const halt = LT.poll(view, 0.5, async () => {
                const answer = await LT.get(`tools/${id}`);
                if (job.id !== id) return halt();
                const isOver = OVER.includes(answer.state);
                if (isOver && answer.files.length) await taken(answer);
                show(answer);
                return isOver ? halt() && 0 : 0.5;
            });
        }

        // The new files can be chosen here, and in the Web UI's own lists, at once.
        async function taken(answer) {
            if (answer.writes === "lora") LT.refreshCards();
            const news = await LT.get("tools");
            page.loras = news.loras;
            page.checkpoints = news.checkpoints;
            choose(tool.name);
        }

        function show(answer) {
            job = answer;
            const text = JSON.stringify(answer);
            if (result.dataset.text === text) return; // the keyboard's focus stays
            result.dataset.text = text;
            const isOver = OVER.includes(answer.state);
            run.disabled = !isOver;
            cancel.hidden = isOver;
            const share = answer.total ? answer.done / answer.total : isOver ? 1 : 0;
            const title = tools.find((one) => one.name === answer.tool)?.title || answer.tool;
            LT.fill(result,
                h("div", { class: "lt-row" }, h("h2", {}, title), h("span", { class: `lt-badge lt-badge-${answer.state}` }, LT.t("state_" + answer.state)), !isOver && answer.total > 0 && h("span", { class: "lt-subdued" }, LT.t("phase_of", answer))),
                !isOver && h("div", { class: "lt-bar", role: "progressbar", "aria-valuenow": Math.round(share * 100), "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": title }, h("div", { class: "lt-bar-fill", style: `width:${share * 100}%` })),
                answer.state === "failed" && LT.note({ level: "error", message: answer.message }),
                answer.files.map(file),
                answer.log && h("pre", { class: "lt-log", tabindex: "0", "aria-label": LT.t("log") }, answer.log),
                h("details", {}, h("summary", {}, LT.t("repeat")), h("div", { class: "lt-code" }, LT.copyButton(answer.command), h("pre", { tabindex: "0" }, answer.command))));
        }

        function file(one) {
            const url = LT.url(one.url);
            if (one.name.endsWith(".png")) return h("img", { class: "lt-norms", src: url, alt: LT.t("norms") });
            return h("div", { class: "lt-tool-file" }, h("code", {}, one.name), h("span", { class: "lt-subdued" }, LT.bytes(one.bytes)),
                h("a", { class: "lt-btn lt-btn-small", href: url, download: one.name }, LT.icon("download"), LT.t("download")),
                one.prompt && LT.copyButton(one.prompt, one.prompt),
                one.prompt && LT.shell.canGenerate() && h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => LT.tryPrompt(one.prompt) }, LT.t("try_it")));
        }

        LT.fill(view,
            h("div", { class: "lt-main" }, h("section", { class: "lt-card lt-stack" }, h("div", { class: "lt-field" }, h("div", { class: "lt-field-head" }, h("label", { for: "lt-tool" }, LT.t("tool"))), list, help)), h("section", { class: "lt-card" }, fields)),
            h("aside", { class: "lt-side lt-generate-side" }, h("div", { class: "lt-train-bar" }, run, cancel), result));
        choose(tool.name);
        if (job) show(job);
        else LT.fill(result, h("p", { class: "lt-results-empty" }, LT.t("tool_result_here")));
        if (page.active && job?.id !== page.active) LT.get(`tools/${page.active}`).then((answer) => { show(answer); follow(); }).catch(LT.report);
        else if (job && !OVER.includes(job.state)) follow();
    }
})();
