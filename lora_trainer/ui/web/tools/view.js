// The LoRA tools: choose one, fill in its fields (drawn from the host's table), run it, see what it made
// (result.js).
import { app } from "../base/app.js";
import { ask } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { renewFiles } from "../base/files.js";
import { get, getPatiently, post } from "../base/host.js";
import { icon } from "../base/icons.js";
import { poll } from "../base/poll.js";
import { recall, remember } from "../base/memory.js";
import { note, refuse, report, retract, say } from "../base/messages.js";
import { numberText } from "../base/numbers.js";
import { language } from "../base/texts.js";
import { packageOffer } from "../train/packages.js";
import { labeled, plainControl, select } from "./fields.js";
import { keep, keptForm, usedUp } from "./kept.js";
import { lackingPackage } from "./lacking.js";
import { rankBelow } from "./rank.js";
import { emptyResult, toolResult } from "./result.js";
import { t } from "./texts.js";
import { refreshCards, refreshCheckpoints } from "../webui.js";

const SUFFIX = ".safetensors";

let jobs = new Map(); // tool -> the last answer about its job

const isOver = (job) => ["finished", "stopped", "failed"].includes(job.state);
const stem = (name) => String(name || "").split("/").at(-1).replace(/\.(safetensors|ckpt|pt)( \[.*\])?$/i, "");
// The parts of what a result is called until the person gives it a name; none while the first one is empty.
// The values with what is typed as a number as a program reads it: 0,5 is 0.5.
function withNumbers(tool, values) {
    const read = (field, value) => {
        if (field.kind === "loras") return value.map((row) => (row.ratio === undefined ? row : { ...row, ratio: numberText(row.ratio) }));
        return field.kind === "number" && typeof value === "string" ? numberText(value) : value;
    };
    return { ...values, ...Object.fromEntries(tool.fields.map((field) => [field.name, read(field, values[field.name])])) };
}

function suggestedParts(tool, values) {
    const files = new Map(tool.fields.map((one) => [one.name, ["lora", "checkpoint"].includes(one.kind)]));
    const filled = (part) => {
        const name = part.match(/\{(\w+)\}/)?.[1], value = values[name];
        if (name === undefined) return [part];
        if (Array.isArray(value)) return value.map((one) => stem(one.name));
        return [value ? part.replace(`{${name}}`, files.get(name) ? stem(value) : value) : ""];
    };
    const parts = tool.suggest.map(filled);
    return parts[0]?.some(Boolean) ? parts.flat() : [];
}

export default { name: "tools", title: () => t("tools"), draw: toolsView };

function toolsView(signal) {
    const view = h("div", { class: "lt-generate lt-tools" }, h("p", { class: "lt-loading", role: "status" }, t("loading")));
    getPatiently("tools").then((page) => signal.aborted || draw(signal, view, page)).catch(report);
    return view;
}

function draw(signal, view, page) {
    const tools = page.spec[language] || page.spec.en;
    let tool = tools[Math.max(0, tools.findIndex((one) => one.name === recall("tool")))];
    let ranks = []; // what looks whether a rank is still below that of the file
    let lists = []; // what draws the choices of files anew
    let wrong = {}, follows = null; // name of a field -> shows what is wrong with it; the name of the result
    const list = h("fieldset", { class: "lt-tool-list" }, h("legend", { class: "lt-offscreen" }, t("tool")), tools.map((one) => h("label", { class: "lt-tool-choice" },
        h("input", { type: "radio", name: "lt-tool", value: one.name, onchange: () => choose(one.name) }), h("span", {}, h("strong", {}, one.title), h("small", {}, one.help)))));
    const title = h("h2"), help = h("p", { class: "lt-tool-help" });
    const fields = h("div", { class: "lt-stack lt-tool-fields" });
    const offer = packageOffer(signal, () => lookAtPackage().catch(report));
    let lacking = null; // the package that the tool needs
    const run = h("button", { type: "button", class: "lt-btn lt-btn-primary lt-btn-train", onclick: () => start(), title: t("shortcut") }, t("tool_run"));
    const cancel = h("button", { type: "button", class: "lt-btn lt-btn-danger", hidden: true, onclick: () => post(`tools/${running().id}/stop`).then(show).catch(report) }, t("cancel"));
    const said = h("p", { class: "lt-reasons", role: "status" });
    const result = h("section", { class: "lt-card lt-results-card", "aria-live": "polite" });

    const running = () => [...jobs.values()].find((job) => !isOver(job));
    // {values, output: a name of the person's own or null, overwrite}
    const settings = () => keptForm(tool.name, { values: Object.fromEntries(tool.fields.map((one) => [one.name, one.kind === "loras" ? (tool.writes === "checkpoint" ? [{}] : [{}, {}]) : one.value])), output: null, overwrite: false });

    function choose(name) {
        tool = tools.find((one) => one.name === name);
        remember("tool", tool.name);
        for (const radio of list.querySelectorAll("input")) radio.checked = radio.value === tool.name;
        title.textContent = tool.title;
        help.textContent = tool.help;
        said.textContent = "";
        drawFields();
        showJob(running() || jobs.get(tool.name));
        lookAtPackage().catch(report);
    }

    async function lookAtPackage() {
        const asked = tool, found = await lackingPackage(tool);
        if (signal.aborted || asked !== tool) return;
        lacking = found;
        offer.show(lacking);
        fill(said, lacking && h("button", { type: "button", class: "lt-link", onclick: () => offer.element.scrollIntoView({ block: "center" }) }, t("why_package", { x: lacking.name })));
        run.disabled = Boolean(running() || lacking);
    }

    function drawFields() {
        wrong = {};
        follows = null;
        lists = [];
        ranks = [];
        const made = (more) => tool.fields.filter((field) => field.more === more).map((field) => drawn(field, control(field, settings().values)));
        const more = made(true), isOpen = fields.querySelector(".lt-tool-more")?.open;
        const isLacking = !page.loras.length && tool.fields.some((field) => ["lora", "loras"].includes(field.kind));
        fill(fields, isLacking && note({ level: "info", message: t("tool_no_loras", { x: app.form.lora_dir }) }), made(false), ["lora", "checkpoint"].includes(tool.writes) && output(), more.length > 0 && h("details", { class: "lt-fold lt-tool-more", open: isOpen }, h("summary", {}, t("tool_more")), h("div", { class: "lt-stack lt-tool-fields" }, more)));
    }

    // --- one field: label, control, help, what is wrong with it
    function drawn(field, made) {
        const whole = labeled(`lt-tool-${field.name}`, field, made);
        wrong[field.name] = (text) => {
            whole.say(text);
            if (text && field.more) fields.querySelector(".lt-tool-more").open = true;
        };
        return whole.element;
    }

    function control(field, values) {
        const id = `lt-tool-${field.name}`;
        const put = (value) => {
            values[field.name] = value;
            for (const look of ranks) look();
            keep(tool.name);
            wrong[field.name]("");
            follows?.();
        };
        if (field.kind === "loras") return ratios(field, values, put);
        const plain = plainControl(id, field, values[field.name], put);
        const rank = field.below && rankBelow(plain, field, values, (file) => page.ranks?.[file]);
        if (rank) ranks.push(rank.look);
        if (plain) return { element: plain, below: rank?.element };
        return { element: fileChoice(field.kind, id, values[field.name], put, chooseOne(field.kind, !field.required)) };
    }

    // A choice of files, which may become more while it stands here.
    function fileChoice(kind, id, value, put, empty, more) {
        const choices = () => named(kind === "lora" ? page.loras : page.checkpoints), element = select(id, choices(), value, put, empty, more);
        lists.push(() => {
            const { value: now } = element;
            element.replaceChildren(...select(null, choices(), now, put, empty).children);
            element.value = now;
        });
        return element;
    }

    const named = (names) => names.map((name) => ({ value: name, label: name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : name, problem: page.problems?.[name] }));
    const chooseOne = (kind, isOptional) => t(isOptional ? "none_chosen" : kind === "checkpoint" ? "choose_model" : page.loras.length ? "choose_lora" : "no_loras");

    // Rows of a LoRA and its ratio; there are always two or more, unless they go into a checkpoint.
    function ratios(field, values, put) {
        const rows = values[field.name];
        const element = h("div", { class: "lt-stack", role: "group", tabindex: "-1", "aria-labelledby": `lt-tool-${field.name}-label` });
        const again = () => {
            const least = tool.writes === "checkpoint" ? 1 : 2;
            const remove = (index) => t("remove_image", { x: rows[index].name || `LoRA ${index + 1}` });
            fill(element, rows.map((row, index) => h("div", { class: "lt-ratio" },
                fileChoice("lora", null, row.name, (name) => { row.name = name; put(rows); }, chooseOne("lora"), { "aria-label": `LoRA ${index + 1}` }),
                h("input", { type: "text", inputmode: "decimal", class: "lt-input", value: row.ratio ?? (row.ratio = "1"), "aria-label": `${t("ratio")} ${index + 1}`, title: t("ratio"), oninput: (event) => { row.ratio = event.target.value; put(rows); } }),
                h("button", { type: "button", class: "lt-btn lt-btn-icon", disabled: rows.length <= least, title: remove(index), "aria-label": remove(index), onclick: () => { rows.splice(index, 1); put(rows); again(); } }, icon("close")))),
            h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => { rows.push({}); again(); } }, t("add_lora")));
        };
        again();
        return { element };
    }

    // The name of the result: what is chosen suggests one, until the person writes their own. A taken name asks back.
    function output() {
        const chosen = settings();
        const there = () => new Set((tool.writes === "lora" ? page.loras : page.checkpoints).map((one) => one.toLowerCase().replace(/ \[.*\]$/, "")));
        let names = there();
        const isTaken = (one) => names.has(`${one.toLowerCase()}${SUFFIX}`) || (tool.writes === "checkpoint" && names.has(one.toLowerCase()));
        const suggested = () => {
            const base = suggestedParts(tool, chosen.values).filter(Boolean).map((one) => one.slice(0, 32).replace(/[_-]+$/, "")).join("_").replace(/[^\p{L}\p{N}_-]+/gu, "_").slice(0, 80).replace(/[_-]+$/, "");
            if (!base || !isTaken(base)) return base;
            for (let count = 2; ; count++) if (!isTaken(`${base}_${count}`)) return `${base}_${count}`;
        };
        const name = h("input", { type: "text", id: "lt-tool-output", class: "lt-input", autocomplete: "off", spellcheck: "false", oninput: () => { chosen.output = name.value || null; keep(tool.name); chosen.overwrite = overwrite.checked = false; wrong.output(""); askBack(); } });
        const overwrite = h("input", { type: "checkbox", role: "switch", id: "lt-tool-overwrite", class: "lt-switch", checked: chosen.overwrite, onchange: () => { chosen.overwrite = overwrite.checked; wrong.output(""); } });
        const asked = h("div", { class: "lt-field-toggle" }, h("div", { class: "lt-field-head" }, overwrite, h("label", { for: overwrite.id }, t("tool_overwrite"))));
        const askBack = () => (asked.hidden = !isTaken(name.value));
        follows = () => {
            names = there();
            if (chosen.output === null) name.value = suggested();
            overwrite.checked = chosen.overwrite;
            askBack();
        };
        name.value = chosen.output ?? suggested();
        askBack();
        const about = { name: "output", label: t("tool_output"), help: t(tool.writes === "lora" ? "tool_output_lora" : "tool_output_checkpoint"), required: true };
        return drawn(about, { element: name, below: asked });
    }

    // --- running
    async function start() {
        if (run.disabled) return;
        const { values, overwrite } = settings(), { confirm } = tool;
        if (confirm && !values[confirm.unless] && !(await ask(confirm.question, confirm.button))) return;
        const body = { tool: tool.name, values: withNumbers(tool, values), output: fields.querySelector("#lt-tool-output")?.value ?? "", overwrite };
        for (const say of Object.values(wrong)) say("");
        said.textContent = "";
        run.disabled = true;
        retract();
        try {
            show(await post("tools", body));
            follow();
            result.scrollIntoView({ block: "nearest" }); // on a phone it is below the form
        } catch (error) {
            run.disabled = false;
            const problems = error.problems || [];
            for (const problem of problems) wrong[problem.field]?.([problem.message, problem.advice].filter(Boolean).join(" "));
            if (!problems.length || problems.some((problem) => !wrong[problem.field])) refuse(error);
            else said.textContent = t(problems.length === 1 ? "why_problem" : "why_problems", { x: problems.length });
            fields.querySelector('[aria-invalid="true"]')?.focus();
        }
    }

    function follow() {
        const id = running()?.id;
        if (!id) return; // it has ended already
        const halt = poll(signal, 0.5, async () => {
            const job = await get(`tools/${id}`);
            if (isOver(job) && job.files.length) await taken(job);
            show(job);
            return isOver(job) ? halt() && 0 : 0.5;
        });
    }

    // The new files can be chosen here, and in the Web UI's own lists, at once.
    async function taken(job) {
        if (job.writes === "lora") refreshCards();
        if (job.writes === "checkpoint") refreshCheckpoints();
        const news = await get("tools"), isFirst = !page.loras.length;
        page.loras = news.loras;
        page.ranks = news.ranks;
        page.checkpoints = news.checkpoints;
        page.problems = news.problems;
        renewFiles().catch(() => {}); // for the other views
        usedUp(job.tool);
        if (isFirst) return drawFields(); // with no file at all there was nothing to choose
        for (const draw of lists) draw();
        return follows?.();
    }

    async function undo(job) {
        const answer = await post(`tools/${job.id}/undo`);
        say(t("captions_undone", { x: answer.restored + answer.removed }));
        if (answer.kept.length) say(t("captions_kept", { x: answer.kept.join(", ") }), "error");
        show(answer.job);
    }

    function show(job) {
        jobs.set(job.tool, job);
        showJob(running() || (job.tool === tool.name ? job : jobs.get(tool.name)));
    }

    function showJob(job) {
        run.disabled = Boolean(running() || lacking);
        cancel.hidden = !running();
        const text = JSON.stringify([job || tool.name, language]);
        if (result.dataset.text === text) return; // the keyboard's focus stays
        result.dataset.text = text;
        fill(result, job ? toolResult(job, tools.find((one) => one.name === job.tool)?.title || job.tool, () => undo(job)) : emptyResult(tool));
    }

    view.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && start());
    fill(view,
        h("div", { class: "lt-main" }, h("section", { class: "lt-card" }, list), h("section", { class: "lt-card" }, h("header", { class: "lt-card-head" }, h("div", {}, title, help)), fields, offer.element)),
        h("aside", { class: "lt-side lt-generate-side" }, h("div", { class: "lt-train-bar" }, run, cancel), said, result));
    choose(tool.name);
    if (running()) follow();
    else if (page.active) get(`tools/${page.active}`).then((job) => { show(job); follow(); }).catch(report);
}
