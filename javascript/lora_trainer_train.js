// The train view: three decisions (images, words, name), settings that can stay as they are, advanced options with
// search, and beside them the plan with the button.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const h = (...values) => LT.h(...values);

    // The fields of the main path, by their names in the form's description.
    const F = { model: "pretrained_model_name_or_path", images: "image_dir", identifier: "identifier", kind: "class_name", captions: "caption_source", reg: "reg_dir", name: "output_name", repeats: "num_repeats" };
    const OWN = [F.images, F.identifier, F.kind, F.name, F.model, F.reg]; // what no "reset" and no preset takes away
    const PRESET_ICONS = { character: "person", character_sdxl: "person", style: "brush", concept: "box", low_memory: "chip" };
    LT.trainFields = F;

    const card = (number, title, hint, ...children) =>
        h("section", { class: "lt-card" }, h("header", { class: "lt-card-head" }, number && h("span", { class: "lt-number" }, number), h("div", {}, h("h2", {}, title), hint && h("p", {}, hint))), children);

    LT.trainView = function (signal) {
        const values = LT.trainValues;
        const fields = new Map(); // name -> what LT.controls returned
        const make = (name, style) => {
            const field = LT.controls(values.controls.get(name), style);
            fields.set(name, field);
            return field.element;
        };
        const isBare = !(LT.form.checkpoints || []).some((one) => !one.is_demo);
        const isTrialFirst = isBare || !(LT.shell.state.runs?.length || LT.recall("tried"));
        firstModel();

        const upload = LT.upload(signal, F.images, (folder) => readFolderName(folder));
        fields.set(F.images, upload.field);
        const example = h("p", { class: "lt-example", "aria-live": "polite" });
        const advanced = LT.advanced((control) => {
            const made = LT.controls(control, { inline: true });
            const field = control.blocks ? LT.networkEditor(made) : made;
            fields.set(control.name, field);
            return field;
        });
        const basic = values.sections[0].controls.map((control) => control.name).filter((name) => ![F.images, F.identifier, F.kind, F.name].includes(name));
        const main = h("div", { class: "lt-main" },
            isBare && noModel(), isTrialFirst && LT.trialPanel(true),
            card("1", LT.t("step_images"), LT.t("step_images_hint"), upload.element),
            card("2", LT.t("step_words"), LT.t("step_words_hint"), h("div", { class: "lt-grid" }, make(F.identifier, { plain: true }), make(F.kind, { plain: true }))),
            card("3", LT.t("step_name"), LT.t("step_name_hint"), make(F.name, { plain: true }), example),
            card("", LT.t("settings"), LT.t("settings_hint"), presetCards(), h("div", { class: "lt-grid lt-grid-3" }, basic.map((name) => make(name, { plain: [F.model, F.reg].includes(name) })))),
            advanced.element, !isTrialFirst && LT.trialPanel(false));
        const side = LT.planView({ signal, fields, upload, reveal });
        const element = h("form", { class: "lt-train", novalidate: true, onsubmit: (event) => { event.preventDefault(); side.train(); } }, main, side.element);
        // Enter in a line of text does not start an hour of training; Ctrl+Enter does.
        element.addEventListener("keydown", (event) => {
            if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
            event.preventDefault();
            if (event.ctrlKey || event.metaKey) side.train();
        });

        // The model the host generates with, or the first, is chosen already; the demo model is for the trial alone.
        function firstModel() {
            if (values.get(F.model)) return;
            const known = LT.form.checkpoints || [];
            const first = known.find((one) => one.is_current) || known.find((one) => !one.is_demo);
            if (first) values.set(F.model, first.path);
        }

        // A model whose pictures have a size of their own is trained at it, unless the person chose another.
        function fitSize() {
            const model = values.get(F.model) || "";
            values.fitSize(model, (LT.form.checkpoints || []).find((one) => one.path === model)?.side);
        }

        // "20_sls frog" says repeats, identifier and class (the folder form of kohya-ss).
        function readFolderName(folder) {
            const parts = /^(\d+)_(\S+)(?:\s+(.+))?$/.exec(folder);
            if (!parts) return;
            values.set(F.repeats, Number(parts[1]));
            if (!values.get(F.identifier)) values.set(F.identifier, parts[2]);
            if (!values.get(F.kind) && parts[3]) values.set(F.kind, parts[3]);
        }

        // Until the person writes a name of their own, it follows the identifier and class.
        let given = suggestion() === (values.get(F.name) || "") ? values.get(F.name) || "" : null;
        function suggestion() {
            return [values.get(F.identifier), values.get(F.kind)].filter(Boolean).join("_").replace(/[^\p{L}\p{N}_-]+/gu, "_").slice(0, 60);
        }
        function follow(name) {
            if (["", F.model].includes(name)) fitSize();
            LT.networkFollow(name);
            if (name === F.name && document.activeElement === document.getElementById(`lt-${F.name}`)) given = values.get(F.name) ? null : "";
            if (![F.identifier, F.kind].includes(name) || given === null || (values.get(F.name) || "") !== given) return;
            given = suggestion();
            values.set(F.name, given || null);
        }

        function show(name) {
            for (const field of fields.values()) if (!name || field.name === name || field.follows?.includes(name)) field.show();
            const words = [values.get(F.identifier), values.get(F.kind)].filter(Boolean).join(" ");
            LT.fill(example, LT.t("prompt_will_be"), " ", h("code", {}, `${words ? words + " " : ""}<lora:${values.get(F.name) || "…"}:0.8>`));
            for (const radio of element.querySelectorAll(".lt-preset input")) radio.checked = radio.value === values.preset;
            advanced.count();
        }
        values.watch(signal, (name) => { follow(name); show(name); });

        // Brings a field into view, wherever it hides, and gives it the focus.
        function reveal(name) {
            advanced.open(name);
            const field = fields.get(name);
            if (!field) return;
            field.element.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
            if (name === F.images && !upload.isPath()) upload.element.querySelector(".lt-drop button").focus({ preventScroll: true });
            else setTimeout(() => field.focus());
        }
        fitSize();
        show("");
        return element;
    };

    // Without a base model nothing can be trained: where to get one, and where to put it.
    function noModel() {
        const again = h("button", { type: "button", class: "lt-btn", onclick: () => LT.busy(again, async () => {
            LT.form = await LT.get("form");
            if ((LT.form.checkpoints || []).some((one) => !one.is_demo)) LT.shell.show();
            else LT.say(LT.t("no_model_yet"), "error");
        }) }, LT.icon("search"), LT.t("look_again"));
        return h("section", { class: "lt-card lt-no-model", "aria-labelledby": "lt-no-model-title" },
            h("h2", { id: "lt-no-model-title" }, LT.t("no_model_title")), h("p", {}, LT.t("no_model_text")),
            h("p", { class: "lt-wrap" }, (LT.form.checkpoint_dirs || []).map((folder) => h("code", {}, folder))),
            h("p", {}, LT.t("no_model_get"), " ", (LT.form.base_models || []).map((one) => [h("a", { href: one.url, target: "_blank", rel: "noopener noreferrer" }, one.title), " "])),
            h("div", { class: "lt-row" }, again));
    }

    function presetCards() {
        const values = LT.trainValues;
        return h("fieldset", { class: "lt-presets" }, h("legend", {}, LT.t("start_from")),
            values.presets.map((preset) => h("label", { class: "lt-preset" },
                h("input", { type: "radio", name: "lt-preset", value: preset.id, checked: preset.id === values.preset, onchange: () => values.choosePreset(preset.id) }),
                LT.icon(PRESET_ICONS[preset.id] || "box"), h("span", {}, h("strong", {}, preset.title), h("small", {}, preset.note)))));
    }

    // Advanced options: sections that fold, and a search over names, labels and help texts.
    // `make(control)` is called when a section is opened or found for the first time: 100 fields cost nothing before.
    LT.advanced = function (make) {
        const values = LT.trainValues;
        const sections = values.sections.filter((section) => section.advanced);
        const all = sections.flatMap((section) => section.controls);
        const made = new Map();
        const names = { en: words("en"), ko: words("ko") };

        const field = (control) => {
            if (!made.has(control.name)) made.set(control.name, make(control));
            return made.get(control.name);
        };
        const folds = sections.map((section) => {
            const grid = h("div", { class: "lt-grid" });
            const changed = h("span", { class: "lt-chip lt-chip-changed", hidden: true });
            const fold = h("details", { class: "lt-section", "data-section": section.id }, h("summary", {}, h("span", {}, section.title), h("span", { class: "lt-subdued" }, String(section.controls.length)), changed), grid);
            fold.addEventListener("toggle", () => fold.open && !search.value && fill());
            const fill = () => grid.childElementCount === section.controls.length || LT.fill(grid, section.controls.map((control) => field(control).element));
            return { section, fold, grid, changed, fill };
        });
        const found = h("p", { class: "lt-subdued lt-search-found", role: "status" });
        const search = h("input", { type: "search", class: "lt-input", id: "lt-search", placeholder: LT.t("search_placeholder"), "aria-label": LT.t("search_options"), oninput: () => filter(),
            onkeydown: (event) => { if (event.key === "Escape" && search.value) { event.preventDefault(); search.value = ""; filter(); } } });
        const changedAll = h("span", { class: "lt-chip lt-chip-changed", hidden: true });
        const resetAll = h("button", { type: "button", class: "lt-link", hidden: true, onclick: async () => (await LT.ask(LT.t("reset_all_ask"), LT.t("reset_all"))) && values.resetAll(OWN) }, LT.t("reset_all"));
        const outer = h("details", { class: "lt-advanced", open: LT.recall("advanced", false) || null },
            h("summary", {}, h("span", { class: "lt-advanced-title" }, LT.t("advanced")), h("span", { class: "lt-subdued" }, LT.t("advanced_count", { x: all.length })), changedAll),
            h("div", { class: "lt-search" }, LT.icon("search"), search, resetAll), found, folds.map(({ fold }) => fold));
        outer.addEventListener("toggle", () => LT.remember("advanced", outer.open));

        // Both languages are searched: a name may be known from an English guide.
        function words(language) {
            const own = LT.form.spec[language]?.sections || [];
            return new Map(own.flatMap((section) => section.controls.map((control) => [control.name, `${control.name} ${control.name.replaceAll("_", " ")} ${control.label} ${control.help} ${section.title}`.toLowerCase()])));
        }
        function filter() {
            const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
            const fits = (control) => terms.every((term) => (names.en.get(control.name) || "").includes(term) || (names.ko.get(control.name) || "").includes(term));
            let count = 0;
            for (const { section, fold, grid, fill } of folds) {
                const shown = terms.length ? section.controls.filter(fits) : section.controls;
                count += shown.length;
                fold.hidden = !shown.length;
                if (terms.length) {
                    if (!("before" in fold.dataset)) fold.dataset.before = fold.open ? "open" : "";
                    LT.fill(grid, shown.map((control) => field(control).element));
                    fold.open = true;
                } else if ("before" in fold.dataset) {
                    fold.open = fold.dataset.before === "open";
                    delete fold.dataset.before;
                    if (fold.open) fill();
                }
            }
            found.textContent = !terms.length ? "" : count ? LT.t("search_found", { x: count }) : LT.t("search_none", { x: search.value });
        }

        return {
            element: h("section", { class: "lt-card lt-card-advanced" }, outer),
            // How many options differ, in each section and in all.
            count() {
                let total = 0;
                for (const { section, changed } of folds) {
                    const differing = section.controls.filter((control) => values.isChanged(control.name)).length;
                    total += differing;
                    changed.hidden = !differing;
                    changed.textContent = LT.t("changed_count", { x: differing });
                }
                changedAll.hidden = resetAll.hidden = !total;
                changedAll.textContent = LT.t("changed_count", { x: total });
            },
            open(name) {
                const home = folds.find(({ section }) => section.controls.some((control) => control.name === name));
                if (!home) return;
                search.value = "";
                filter();
                outer.open = home.fold.open = true;
                home.fill();
            },
        };
    };
})();
