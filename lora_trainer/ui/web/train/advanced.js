// The advanced options of the form.
import { app } from "../base/app.js";
import { ask } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { icon } from "../base/icons.js";
import { recall, remember } from "../base/memory.js";
import { OWN } from "./fields.js";
import { t } from "./texts.js";
import { isForIt, values } from "./values.js";

// Advanced options: sections that fold, and a search over names, labels and help texts.
// `elsewhere` are names of those that other parts of the form draw; `make(control)` is called when a section is opened or found for the first time: 100 fields cost nothing before.
export function advancedOptions(elsewhere, make) {
    const sections = values.sections.filter((section) => section.advanced).map((section) => ({ ...section, controls: section.controls.filter((control) => !elsewhere.includes(control.name)) }));
    const made = new Map();
    const names = { en: words("en"), ko: words("ko") };

    const field = (control) => {
        if (!made.has(control.name)) made.set(control.name, make(control));
        return made.get(control.name);
    };
    const folds = sections.map((section) => {
        const grid = h("div", { class: "lt-grid" });
        const changed = h("span", { class: "lt-chip lt-chip-changed", hidden: true }), many = h("span", { class: "lt-subdued" });
        const fold = h("details", { class: "lt-section", "data-section": section.id }, h("summary", {}, h("span", {}, section.title), many, changed), grid);
        fold.addEventListener("toggle", () => fold.open && !search.value && open());
        const open = () => grid.childElementCount === section.controls.length || fill(grid, section.controls.map((control) => field(control).element));
        return { section, fold, grid, changed, many, open };
    });
    folds[0].fold.open = true; // what is trained: all else depends on it
    folds[0].open();
    const found = h("p", { class: "lt-subdued lt-search-found", role: "status" });
    const search = h("input", { type: "search", class: "lt-input", id: "lt-search", placeholder: t("search_placeholder"), "aria-label": t("search_options"), oninput: () => filter(),
        onkeydown: (event) => { if (event.key === "Escape" && search.value) { event.preventDefault(); search.value = ""; filter(); } } });
    const manyAll = h("span", { class: "lt-subdued" });
    const changedAll = h("span", { class: "lt-chip lt-chip-changed", hidden: true });
    const resetAll = h("button", { type: "button", class: "lt-link", hidden: true, onclick: async () => (await ask(t("reset_all_ask"), t("reset_all"))) && values.resetAll(OWN) }, t("reset_all"));
    const outer = h("details", { class: "lt-advanced", open: recall("advanced", false) || null },
        h("summary", {}, h("span", { class: "lt-advanced-title" }, t("advanced")), manyAll, changedAll),
        h("div", { class: "lt-search" }, icon("search"), search, resetAll), found, folds.map(({ fold }) => fold));
    outer.addEventListener("toggle", () => remember("advanced", outer.open));

    function describing(control) {
        return (control.choices || []).map((choice) => choice.help && `${choice.label} ${choice.help}`).filter(Boolean).join(" ");
    }
    // Both languages are searched: a name may be known from an English guide.
    function words(language) {
        const own = app.form.spec[language]?.sections || [];
        return new Map(own.flatMap((section) => section.controls.map((control) => [control.name, `${control.name} ${control.name.replaceAll("_", " ")} ${control.label} ${control.help} ${describing(control)} ${section.title}`.toLowerCase()])));
    }
    const searched = () => search.value.toLowerCase().split(/\s+/).filter(Boolean);
    // Of what is trained now, and of what is looked for: the others are not shown, and not counted.
    function fitting(section) {
        const terms = searched();
        return section.controls.filter((control) => isForIt(control) && terms.every((term) => (names.en.get(control.name) || "").includes(term) || (names.ko.get(control.name) || "").includes(term)));
    }
    function tellMany() {
        const counts = folds.map(({ section, fold, many }) => {
            const { length } = fitting(section);
            fold.hidden = !length;
            many.textContent = String(length);
            return length;
        });
        const every = counts.reduce((sum, one) => sum + one, 0);
        if (!searched().length) manyAll.textContent = t("advanced_count", { x: every });
        return every;
    }
    function filter() {
        const terms = searched(), count = tellMany();
        for (const { section, fold, grid, open } of folds) {
            const shown = terms.length ? fitting(section) : section.controls;
            if (terms.length) {
                if (!("before" in fold.dataset)) fold.dataset.before = fold.open ? "open" : "";
                fill(grid, shown.map((control) => field(control).element));
                fold.open = true;
            } else if ("before" in fold.dataset) {
                fold.open = fold.dataset.before === "open";
                delete fold.dataset.before;
                if (fold.open) open();
            }
        }
        found.textContent = !terms.length ? "" : count ? t("search_found", { x: count }) : t("search_none", { x: search.value });
    }

    return {
        element: h("section", { class: "lt-card lt-card-advanced" }, outer),
        // How many options there are for what is trained, and differ, in each section and in all; a section of none is not shown.
        count() {
            let total = 0;
            tellMany();
            for (const { section, changed } of folds) {
                const differing = section.controls.filter((control) => values.isChanged(control.name)).length;
                total += differing;
                changed.hidden = !differing;
                changed.textContent = t("changed_count", { x: differing });
            }
            changedAll.hidden = resetAll.hidden = !total;
            changedAll.textContent = t("changed_count", { x: total });
        },
        open(name) {
            const home = folds.find(({ section }) => section.controls.some((control) => control.name === name));
            if (!home) return;
            search.value = "";
            filter();
            outer.open = home.fold.open = true;
            home.open();
        },
    };
}
