// Beside the form: what would be trained, what is wrong, and the button. The host checks while one types.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const h = (...values) => LT.h(...values);

    // fields: name -> field of the form; upload: the images part; reveal(name) shows a field.
    LT.planView = function ({ signal, fields, upload, reveal }) {
        const values = LT.trainValues;
        const F = LT.trainFields;
        let result = null, question = 0, isChecking = false, isStarting = false, hasTried = false;

        const body = h("div", { class: "lt-plan-body" });
        const reasons = h("ul", { class: "lt-reasons", id: "lt-reasons", role: "status" });
        const button = h("button", { type: "submit", class: "lt-btn lt-btn-primary lt-btn-train", "aria-describedby": "lt-reasons", title: LT.t("shortcut") });
        const recipe = h("details", { class: "lt-fold" }, h("summary", {}, LT.t("show_toml")), h("p", { class: "lt-subdued" }, LT.t("show_toml_hint")), h("div"));
        const element = h("aside", { class: "lt-side", "aria-label": LT.t("plan") },
            h("section", { class: "lt-card lt-plan" }, h("h2", {}, LT.t("plan")), body, recipe),
            h("div", { class: "lt-train-bar" }, button, reasons));

        const isEmpty = (name) => !values.get(name);
        // What is missing is asked for in words of its own and shown as an error only after a try to start.
        function missing() {
            const found = [];
            if (upload.isBusy()) found.push(["why_uploading", F.images]);
            else if (isEmpty(F.images)) found.push(["why_images", F.images]);
            if (isEmpty(F.name)) found.push(["why_name", F.name]);
            if (isEmpty(F.model)) found.push(["why_model", F.model]);
            return found;
        }
        const errors = () => (result?.problems || []).filter((problem) => (problem.level || "error") === "error" && !(isAsked(problem) && isEmpty(problem.field)));
        const isAsked = (problem) => [F.images, F.name, F.model].includes(problem.field);

        const check = async () => {
            if (signal.aborted) return;
            const mine = ++question;
            isChecking = true;
            show();
            try {
                const answer = await LT.post("check", { values: values.send() });
                if (mine === question) result = answer;
            } catch (error) {
                if (mine === question && error instanceof LT.ApiError) result = { problems: error.problems.length ? error.problems : [{ field: "", level: "error", message: error.message }], plan: null };
                else if (mine === question) setTimeout(() => mine === question && check(), 2000);
            }
            if (mine !== question || signal.aborted) return;
            isChecking = false;
            tellFamily(result?.base_model?.family || "");
            values.fit(values.family);
            show();
        };
        const checkSoon = LT.debounce(350, check);

        // What depends on the kind of base model is drawn for it.
        function tellFamily(family) {
            if (family === values.family) return;
            values.family = family;
            for (const field of fields.values()) if (field.follows?.includes("family")) field.show();
        }

        function show() {
            const problems = result?.problems || [];
            for (const [name, field] of fields) {
                const own = problems.filter((problem) => problem.field === name);
                field.problems(isEmpty(name) && !field.isTouched() && !hasTried ? own.filter((problem) => problem.level !== "error") : own);
            }
            LT.fill(body, planOf(result), problems.filter((problem) => !fields.has(problem.field)).map(LT.note));
            showReasons(problems);
            body.classList.toggle("lt-stale", isChecking);
            LT.set(body, "aria-busy", String(isChecking));
            recipe.hidden = !result?.command;
            const text = JSON.stringify([result?.command, result?.config, result?.dataset]);
            if (recipe.dataset.text !== text) LT.fill(recipe.lastChild, LT.recipe(result || {}));
            recipe.dataset.text = text;
        }

        function showReasons() {
            const wrong = [...new Set([...Object.keys(values.wrong), ...errors().map((problem) => problem.field)])];
            const link = (text, name) => h("li", {}, name && (fields.has(name) || values.controls.has(name)) ? h("button", { type: "button", class: "lt-link", onclick: () => reveal(name) }, text) : text);
            const lines = missing().map(([text, name]) => link(LT.t(text), name));
            for (const name of wrong) lines.push(link(name ? `${values.controls.get(name)?.label || name}: ${messageOf(name)}` : messageOf(name), name));
            const isFine = !lines.length && Boolean(result?.ok ?? (result && result.plan));
            button.disabled = !isFine || isStarting || isChecking;
            button.textContent = LT.t(isStarting ? "starting" : LT.shell.activeRun() ? "train_queue" : "train_button");
            LT.fill(reasons, lines.length ? lines : isFine ? h("li", { class: "lt-fine" }, LT.icon("check"), LT.t("checked_fine")) : h("li", { class: "lt-subdued" }, LT.t("checking")));
        }
        function messageOf(name) {
            const unread = values.wrong[name];
            return unread ? LT.t(unread.error, unread) : LT.told(errors().find((problem) => problem.field === name) || {});
        }

        async function train() {
            hasTried = true;
            if (button.disabled) {
                show();
                const first = missing()[0]?.[1] || Object.keys(values.wrong)[0] || errors()[0]?.field;
                if (first) reveal(first);
                return;
            }
            if (result?.base_model?.is_demo && !(await LT.ask(LT.t("demo_ask"), LT.t("demo_train")))) return reveal(F.model);
            isStarting = true;
            show();
            try {
                const { id } = await LT.post("runs", { values: values.send(), overwrite: values.overwrite });
                values.overwrite = false;
                LT.shell.state = { ...LT.shell.state, active: LT.shell.state.active || id };
                LT.shell.go("run", id);
            } catch (error) {
                if (error.problems?.length) result = { ...result, ok: false, problems: error.problems };
                LT.report(error);
            } finally {
                isStarting = false;
                show();
            }
        }

        values.watch(signal, () => {
            showReasons();
            checkSoon();
        });
        check();
        return { element, train };
    };

    // The plan as numbers, subsets, buckets and examples.
    function planOf(result) {
        const plan = result?.plan;
        if (!plan) return h("p", { class: "lt-plan-empty" }, LT.t("plan_waiting"));
        const cells = [["plan_images", plan.images], plan.reg_images ? ["plan_reg", plan.reg_images] : null, ["plan_steps_epoch", plan.steps_per_epoch], ["plan_epochs", plan.epochs]].filter(Boolean);
        return [
            h("p", { class: "lt-plan-total" }, h("strong", {}, LT.number(plan.total_steps)), " ", LT.t("plan_total")),
            h("dl", { class: "lt-plan-cells" }, cells.map(([name, value]) => h("div", {}, h("dt", {}, LT.t(name)), h("dd", {}, LT.number(value))))),
            plan.subsets?.length ? subsets(plan.subsets) : null,
            plan.buckets?.length ? buckets(plan.buckets) : null,
            plan.examples?.length ? h("details", { class: "lt-fold" }, h("summary", {}, LT.t("plan_examples")),
                h("ul", { class: "lt-plan-examples" }, plan.examples.map((one) => h("li", {}, h("code", {}, one.image), h("span", {}, one.caption))))) : null,
            output(result),
        ];
    }

    const base = (path) => String(path).split(/[\\/]/).filter(Boolean).at(-1) || path;

    function subsets(list) {
        return h("table", { class: "lt-table" },
            h("thead", {}, h("tr", {}, ["plan_folder", "plan_count", "plan_repeats", "plan_captions"].map((name) => h("th", { scope: "col" }, LT.t(name))))),
            h("tbody", {}, list.map((one) => h("tr", {},
                h("th", { scope: "row", title: one.folder }, h("span", { class: "lt-cut" }, one.class_tokens || base(one.folder)), one.is_reg && h("span", { class: "lt-chip" }, LT.t("plan_is_reg"))),
                h("td", {}, LT.number(one.images)), h("td", {}, LT.number(one.repeats)), h("td", {}, Number.isFinite(one.captions) ? LT.number(one.captions) : "–")))));
    }

    // Each bucket as a little shape of its proportions, with its size and how many images fall into it.
    function buckets(list) {
        const largest = Math.max(...list.flatMap((bucket) => [bucket.width, bucket.height]));
        return h("div", { class: "lt-buckets" }, h("h3", {}, LT.t("plan_buckets")), h("ul", {}, list.map((bucket) => h("li", {},
            h("span", { class: "lt-bucket-shape", "aria-hidden": "true" }, h("i", { style: `width:${(22 * bucket.width) / largest}px;height:${(22 * bucket.height) / largest}px` })),
            h("span", {}, `${bucket.width}×${bucket.height}`), h("span", { class: "lt-subdued" }, `${LT.number(bucket.images)}`)))));
    }

    function output(result) {
        const { output, disk, base_model: model } = result;
        const lines = [];
        if (model?.message || model?.family) lines.push(h("p", { class: "lt-subdued" }, `${LT.t("plan_base")}: ${model.message || model.family}`));
        if (output?.saved_as) lines.push(h("p", { class: "lt-subdued lt-wrap" }, `${LT.t("plan_output")}: `, h("code", {}, base(output.saved_as))));
        if (output?.exists) {
            const box = h("input", { type: "checkbox", checked: LT.trainValues.overwrite, onchange: () => (LT.trainValues.overwrite = box.checked) });
            lines.push(h("div", { class: "lt-note lt-note-info" }, LT.icon("info"), h("div", {}, LT.t("output_exists"), h("label", { class: "lt-check" }, box, LT.t("overwrite")))));
        }
        if (disk && Number.isFinite(disk.needed) && disk.free < disk.needed) lines.push(LT.note({ level: "warning", message: LT.t("disk_low", { free: LT.bytes(disk.free), needed: LT.bytes(disk.needed) }) }));
        return lines;
    }
})();
