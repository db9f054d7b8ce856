// Saved files of a run side by side, at several strengths, and without: drawn one by one, seen as they come.
import { app } from "../base/app.js";
import { fill, h } from "../base/elements.js";
import { get, post, urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { note } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { pictureButton, showPicture } from "../base/pictures.js";
import { poll } from "../base/poll.js";
import { language } from "../base/texts.js";
import { button } from "./actions.js";
import { gridForm } from "./grid_form.js";
import { t } from "./texts.js";

// {element, refresh(run)}: a fold of the run's page; nothing is asked of the host before it is opened.
export function gridCard(signal, id, detail, used) {
    const begins = button("", begin, "lt-btn-primary"), results = h("div");
    const form = gridForm(detail, detail.prompts, (count, isRight) => {
        begins.textContent = t("grid_draw", { x: formatNumber(count) });
        begins.disabled = !isRight;
    });
    form.tell();
    const fold = h("details", {}, h("summary", {}, h("h2", {}, t("grid"))), h("p", { class: "lt-subdued" }, t("grid_help")), form.element, h("div", { class: "lt-row" }, begins), results);
    const element = h("section", { class: "lt-card lt-compare-files", hidden: true }, fold);
    let shown = "", grids = [], again = null;

    const draw = () => fill(results, grids.map((grid) => gridView(grid, used, again)));
    used.watch(signal, draw);

    async function begin() {
        await post(`runs/${encodeURIComponent(id)}/grids`, form.asked());
        again();
    }
    async function look() {
        grids = (await get(`runs/${encodeURIComponent(id)}/grids`)).grids;
        const text = JSON.stringify(grids);
        if (text !== shown) draw();
        shown = text;
        return grids.some((one) => ["waiting", "drawing"].includes(one.state)) ? 1 : 30;
    }
    fold.addEventListener("toggle", () => {
        if (!fold.open || again) return;
        let halt = poll(signal, 1, look);
        again = () => { halt(); halt = poll(signal, 1, look); };
    });
    let known = "";
    return { element, refresh(run) {
        const names = JSON.stringify([run.files, run.state]);
        if (names !== known) form.refresh(run);
        known = names;
        element.hidden = !run.files?.length || ["embedding", "model"].includes(detail.trains);
    } };
}

function gridView(grid, used, again) {
    const act = async (action) => { await post(`grids/${encodeURIComponent(grid.id)}/${action}`); again(); };
    const isAtWork = ["waiting", "drawing"].includes(grid.state);
    const cells = Object.fromEntries(grid.cells.map((cell) => [cell.key, cell]));
    const pictures = grid.cells.filter((cell) => cell.url).map((cell) => ({ url: urlOf(cell.url), name: `${cell.key}.png`, caption: cell.text, key: cell.key }));
    const picture = (key) => {
        const at = pictures.findIndex((one) => one.key === key);
        return at < 0 ? h("span", { class: "lt-cell-empty", "aria-label": t("grid_not_yet") }) : pictureButton({ ...pictures[at], name: cells[key].text }, () => showPicture(pictures, at));
    };
    // A file of the run that is in use says so, the others can be put in use; one that is not there any more cannot.
    const choice = (lora, label) => lora.file && (lora.file === used.now?.file
        ? h("span", { class: "lt-badge lt-badge-running", title: t("in_use_as", { x: used.now.name }) }, t("in_use"))
        : button(t("use_file"), () => used.put(lora.file, label), "lt-btn-small"));
    const row = (prompt) => (lora, index) => {
        const label = lora.step ? t("samples_at", { x: formatNumber(lora.step) }) : lora.name;
        return h("tr", {}, h("th", { scope: "row" }, h("span", { title: lora.name }, label), choice(lora, label)),
            grid.strengths.map((_, strength) => h("td", {}, picture(`p${prompt}-l${index}-s${strength}`))));
    };
    return h("section", { class: "lt-grid-shown" },
        h("div", { class: "lt-row" }, h("span", {}, t(`grid_${grid.state}`, { done: formatNumber(grid.done), total: formatNumber(grid.total) })), h("span", { class: "lt-subdued" }, drawnWith(grid)),
            h("span", { class: "lt-row lt-end" },
                isAtWork && button(t("stop"), () => act("stop"), "lt-btn-small"),
                !isAtWork && grid.done < grid.total && button(t("go_on"), () => act("go_on"), "lt-btn-small"),
                h("a", { class: "lt-btn lt-btn-small", href: urlOf(grid.sheet), download: "comparison.png" }, icon("download"), t("grid_save")),
                !isAtWork && button(t("grid_delete"), () => act("delete"), "lt-btn-small"))),
        grid.message && note({ level: "error", message: grid.message, advice: grid.advice }),
        grid.prompts.map((text, prompt) => h("div", { class: "lt-table-scroll" }, h("table", { class: "lt-compare-table", style: `--lt-sides: ${grid.settings.width || 1} / ${grid.settings.height || 1}` }, h("caption", {}, text),
            h("thead", {}, h("tr", {}, h("td"), grid.strengths.map((strength) => h("th", { scope: "col" }, String(strength))))),
            h("tbody", {}, h("tr", {}, h("th", { scope: "row" }, t("grid_without")), h("td", {}, picture(`p${prompt}-without`))), grid.loras.map(row(prompt)))))));
}

// What all pictures of it share, in a line.
function drawnWith({ base_model: model, settings }) {
    const sides = settings.width && settings.height ? `${settings.width}×${settings.height}` : "";
    const label = app.form.spec[language].samplers.find((one) => one.name === settings.sampler)?.label;
    const sampler = [label || settings.sampler, settings.steps && `${t("grid_steps")} ${settings.steps}`, settings.cfg_scale !== undefined && `CFG ${settings.cfg_scale}`];
    return [t("grid_seed_at", { x: settings.seed }), model, sides, ...sampler].filter(Boolean).join(" · ");
}
