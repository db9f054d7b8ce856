// Saved files of a run side by side, at several strengths, and without: drawn one by one, seen as they come.
import { ask } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { get, post, urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { note, report, say } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { pictureButton, showPicture } from "../base/pictures.js";
import { poll } from "../base/poll.js";
import { refreshCards } from "../webui.js";
import { button } from "./actions.js";
import { gridForm } from "./grid_form.js";
import { t } from "./texts.js";

// {element, refresh(run)}: a fold of the run's page; nothing is asked of the host before it is opened.
export function gridCard(signal, id, detail) {
    const draw = button("", begin, "lt-btn-primary"), results = h("div");
    const form = gridForm(detail, detail.prompts, (count, isRight) => {
        draw.textContent = t("grid_draw", { x: formatNumber(count) });
        draw.disabled = !isRight;
    });
    form.tell();
    const fold = h("details", {}, h("summary", {}, h("h2", {}, t("grid"))), h("p", { class: "lt-subdued" }, t("grid_help")), form.element, h("div", { class: "lt-row" }, draw), results);
    const element = h("section", { class: "lt-card lt-compare-files", hidden: true }, fold);
    let shown = "", again = null;

    async function begin() {
        await post(`runs/${encodeURIComponent(id)}/grids`, form.asked());
        again();
    }
    async function look() {
        const { grids } = await get(`runs/${encodeURIComponent(id)}/grids`);
        const text = JSON.stringify(grids);
        if (text !== shown) fill(results, grids.map((grid) => gridView(grid, id, again)));
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
        const names = JSON.stringify(run.files);
        if (names !== known) form.refresh(run);
        known = names;
        element.hidden = !run.files?.length;
    } };
}

function gridView(grid, runId, again) {
    const act = async (action) => { await post(`grids/${encodeURIComponent(grid.id)}/${action}`); again(); };
    const isAtWork = ["waiting", "drawing"].includes(grid.state);
    const cells = Object.fromEntries(grid.cells.map((cell) => [cell.key, cell]));
    const pictures = grid.cells.filter((cell) => cell.url).map((cell) => ({ url: urlOf(cell.url), name: `${cell.key}.png`, caption: cell.text, key: cell.key }));
    const picture = (key) => {
        const at = pictures.findIndex((one) => one.key === key);
        return at < 0 ? h("span", { class: "lt-cell-empty", "aria-label": t("grid_not_yet") }) : pictureButton({ ...pictures[at], name: cells[key].text }, () => showPicture(pictures, at));
    };
    const use = async (file, label) => {
        if (!(await ask(t("grid_use_ask", { x: label }), t("use_file"), { isHarmless: true }))) return;
        const { lora } = await post(`runs/${encodeURIComponent(runId)}/use`, { file, overwrite: true, as_result: true });
        refreshCards();
        say(t("used_file", { x: lora.name }));
    };
    const row = (prompt) => (lora, index) => {
        const label = lora.step ? t("samples_at", { x: formatNumber(lora.step) }) : lora.name;
        return h("tr", {}, h("th", { scope: "row" }, h("span", { title: lora.name }, label), lora.step !== null && button(t("use_file"), () => use(lora.file, label).catch(report), "lt-btn-small")),
            grid.strengths.map((_, strength) => h("td", {}, picture(`p${prompt}-l${index}-s${strength}`))));
    };
    return h("section", { class: "lt-grid-shown" },
        h("div", { class: "lt-row" }, h("span", {}, t(`grid_${grid.state}`, { done: formatNumber(grid.done), total: formatNumber(grid.total) })), h("span", { class: "lt-subdued" }, t("grid_seed_at", { x: grid.settings.seed })),
            h("span", { class: "lt-row lt-end" },
                isAtWork && button(t("stop"), () => act("stop"), "lt-btn-small"),
                !isAtWork && grid.done < grid.total && button(t("go_on"), () => act("go_on"), "lt-btn-small"),
                h("a", { class: "lt-btn lt-btn-small", href: urlOf(grid.sheet), download: "comparison.png" }, icon("download"), t("grid_save")),
                !isAtWork && button(t("grid_delete"), () => act("delete"), "lt-btn-small"))),
        grid.message && note({ level: "error", message: grid.message, advice: grid.advice }),
        grid.prompts.map((text, prompt) => h("div", { class: "lt-table-scroll" }, h("table", { class: "lt-compare-table" }, h("caption", {}, text),
            h("thead", {}, h("tr", {}, h("td"), grid.strengths.map((strength) => h("th", { scope: "col" }, String(strength))))),
            h("tbody", {}, h("tr", {}, h("th", { scope: "row" }, t("grid_without")), h("td", {}, picture(`p${prompt}-without`))), grid.loras.map(row(prompt)))))));
}
