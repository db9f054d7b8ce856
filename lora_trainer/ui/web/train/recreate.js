// A LoRA, a configuration of another program or a preset fills the form. Dropped anywhere on the view, or chosen; what was taken
// over, renamed and left out is told below, and can be taken back.
import { app } from "../base/app.js";
import { busy } from "../base/dialogs.js";
import { fill, focusOn, h } from "../base/elements.js";
import { post, sendForm } from "../base/host.js";
import { icon } from "../base/icons.js";
import { note, refuse, say } from "../base/messages.js";
import { redraw } from "../base/place.js";
import { recipeOf } from "../runs/recipe.js";
import { labelOf } from "./concepts/scope.js";
import { F } from "./fields.js";
import { inWords } from "../base/texts.js";
import { t } from "./texts.js";
import { transfer } from "./transfer.js";
import { values } from "./values.js";

const MODELS = [".safetensors", ".ckpt", ".pt", ".pth", ".bin"], TEXTS = [".toml", ".json"];
const MAX_HEADER = 100_000_000;
const KINDS = ["lora", "gui", "config", "dataset", "preset"];

const ends = (name, endings) => endings.some((ending) => name.toLowerCase().endsWith(ending));
export const isSettings = (name) => ends(name, [...MODELS, ...TEXTS]);

// Of a .safetensors file its header alone: 8 bytes of length, and what they count. The tensors stay where they are.
async function headOf(file) {
    if (!ends(file.name, [".safetensors"]) || file.size < 8) return file;
    const length = Number(new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
    return file.slice(0, length <= MAX_HEADER ? Math.min(file.size, 8 + length) : 8);
}

let last = null; // {recipe, before, images}: stays while the language changes

// Which pictures the form holds, and how many drops have come so far: whether others were taken since.
const imagesNow = () => ({ folder: values.get(F.images) || "", arrived: transfer.arrived });

// Returns {element, take(files)}; reveal(name) shows a field.
export function recreatePanel(signal, reveal) {
    const picker = h("input", { type: "file", multiple: true, class: "lt-offscreen", tabindex: "-1", "aria-hidden": "true", accept: [...MODELS, ...TEXTS, ".txt"].join(","), onchange: () => {
        const files = [...picker.files];
        picker.value = "";
        take(files);
    } });
    const choose = h("button", { type: "button", class: "lt-btn lt-btn-small", id: "lt-from-file", onclick: () => picker.click() }, icon("upload"), t("from_file"));
    const loras = (app.form.loras || []).filter((one) => !one.problem);
    const select = h("select", { class: "lt-input", "aria-label": t("from_folder"), onchange: () => {
        const name = select.value;
        select.value = "";
        if (name) read(() => post("recipes/lora", { name }));
    } }, h("option", { value: "" }, t("from_folder")), loras.map((one) => h("option", { value: one.path }, one.name)));
    const panel = h("section", { class: "lt-recreated", "aria-labelledby": "lt-recreated-title", hidden: true });
    const element = h("div", { class: "lt-recreate" }, h("p", { class: "lt-subdued" }, t("from_hint")), h("div", { class: "lt-row" }, choose, loras.length ? select : null, picker), panel);

    async function read(ask) {
        choose.ariaBusy = "true";
        try {
            const recipe = await ask();
            if (recipe.kind === "preset") await keepPreset(recipe);
            last = { recipe, before: values.snapshot() };
            document.activeElement?.blur(); // what is being typed in is not overwritten, and this is meant
            if (recipe.kind === "dataset") values.merge(recipe.values);
            else if (recipe.kind !== "preset") values.take(recipe.values);
            last.images = imagesNow();
            if (signal.aborted) return;
            redraw(); // all of the view: the place of the images, too
            const title = document.getElementById("lt-recreated-title");
            focusOn(title);
            title.scrollIntoView({ block: "nearest" });
        } catch (error) {
            refuse(error);
        } finally {
            choose.ariaBusy = null;
        }
    }
    async function take(files) {
        await read(async () => {
            const form = new FormData();
            for (const file of files) form.append("files", await headOf(file), file.name);
            return sendForm("recipes", form, () => {});
        });
    }
    // An exported preset is kept under its name (or the next free one), and chosen.
    async function keepPreset(recipe) {
        const has = (name) => values.presets.some((one) => one.id.toLowerCase() === `own:${name}`.toLowerCase());
        const plain = recipe.name.replace(/\.json$/i, "");
        let name = plain;
        for (let number = 2; has(name); number++) name = `${plain} ${number}`;
        app.form.presets = await post("presets", { name, values: recipe.values });
        values.offer(app.form.presets);
        values.choosePreset(`own:${name}`);
        recipe.name = name;
    }

    function show() {
        panel.hidden = !last;
        if (!last) return fill(panel);
        const { recipe } = last;
        return fill(panel,
            h("header", { class: "lt-recreated-head" },
                h("h3", { id: "lt-recreated-title" }, t(`from_${KINDS.includes(recipe.kind) ? recipe.kind : "config"}`, { x: recipe.name }), recipe.maker && h("small", {}, ` ${recipe.maker}`)),
                h("div", { class: "lt-row" },
                    recipe.kind !== "preset" && h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: undo }, icon("reset"), t("from_undo")),
                    h("button", { type: "button", class: "lt-btn lt-btn-small lt-btn-icon", "aria-label": t("close"), onclick: () => { last = null; show(); choose.focus(); } }, icon("close")))),
            recipe.missing.map((one) => problem(one, "warning")), recipe.notes.map((one) => problem(one, "info")),
            fold("from_taken", recipe.taken, ["from_setting", "from_value"], (line) => [labelOf(line.option), inWords(line.value)]),
            fold("from_renamed", recipe.renamed, ["from_key", "from_setting", "from_value"], (line) => [line.key, labelOf(line.option), inWords(line.value)]),
            fold("from_dropped", recipe.dropped, ["from_key", "from_value", "from_why"], (line) => [line.key, line.value, line.message]),
            recipe.kind !== "preset" && h("details", { class: "lt-fold" }, h("summary", {}, t("from_files")), recipeOf({ config: recipe.config, dataset: recipe.dataset, prompts: recipe.prompts })),
            recipe.origin && sameness(recipe.origin));
    }
    // The settings go back; pictures that were chosen since stay.
    function undo() {
        const { upload } = values, { folder, arrived } = imagesNow();
        const isOther = folder && (folder !== last.images.folder || arrived !== last.images.arrived);
        values.restore(last.before);
        if (isOther) {
            values.upload = upload;
            values.set(F.images, folder);
        }
        last = null;
        redraw();
        say(t("from_undone"));
        document.getElementById("lt-from-file").focus();
    }
    function problem(one, level) {
        const element = note({ ...one, level });
        if (values.control(one.field)) element.lastChild.append(h("button", { type: "button", class: "lt-link", onclick: () => reveal(one.field) }, t("from_go", { x: labelOf(one.field) })));
        return element;
    }
    function fold(title, lines, heads, cells) {
        if (!lines.length) return null;
        return h("details", { class: "lt-fold" }, h("summary", {}, t(title, { x: lines.length })),
            h("div", { class: "lt-scroll", tabindex: "0", role: "group", "aria-label": t(title, { x: lines.length }) }, h("table", { class: "lt-table lt-lines" },
                h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col" }, t(name))))),
                h("tbody", {}, lines.map((line) => h("tr", {}, cells(line).map((text, index) => (index ? h("td", {}, text) : h("th", { scope: "row" }, text)))))))));
    }

    // Whether what the form holds now is that run again: asked for, as every picture is read.
    function sameness(origin) {
        const result = h("div", { role: "status" });
        const button = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => busy(button, async () => {
            try {
                fill(result, verdict(await post("recipes/same", { values: values.send(), origin })));
            } catch (error) {
                if (!error.problems?.length) throw error;
                fill(result, note({ level: "warning", message: error.message }));
            }
        }) }, icon("check"), t("same_ask"));
        return h("div", { class: "lt-sameness" }, button, h("small", {}, t("same_hint")), result);
    }
    function verdict(answer) {
        const differing = (title, list) => list.length > 0 && h("div", {}, h("strong", {}, t(title)), h("ul", {}, list.map((one) => h("li", {}, `${labelOf(one.name)}: ${one.texts.map((text) => inWords(text) || t("nothing")).join(" → ")}`, !one.counts && h("small", {}, ` ${t("same_no_effect")}`)))));
        return [
            note({ level: answer.same ? "info" : "warning", message: t(answer.same ? "same_yes" : "same_no") }),
            h("p", {}, t(answer.data === null ? "same_data_unknown" : answer.data ? "same_data" : "same_data_not")),
            differing("same_settings", answer.settings), differing("same_versions", answer.versions),
        ];
    }

    show();
    return { element, take };
}
