// Standing alone: prompt -> pictures, with <lora:name:weight> from the list of files.
import { app, canGenerate } from "../base/app.js";
import { busy } from "../base/dialogs.js";
import { fileOption, fill, h, set } from "../base/elements.js";
import { fileName, fileNews, titleOf } from "../base/files.js";
import { ApiError, get, getPatiently, post, urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { poll } from "../base/poll.js";
import { recallHere, rememberHere } from "../base/memory.js";
import { copyButton, logged, note, report } from "../base/messages.js";
import { readNumber } from "../base/numbers.js";
import { gallery } from "../base/pictures.js";
import { language } from "../base/texts.js";
import { sendPictures } from "../send/dialog.js";
import { LIMITS, readSetting } from "./limits.js";
import { policyChoice } from "./policy.js";
import { START } from "./prompt.js";
import { t } from "./texts.js";

// {id, answer}: stays when the view is left and opened again, and its id when the page is loaded anew. What others asked for is theirs.
let shown = recallHere("generate.shown") && { id: recallHere("generate.shown"), answer: null };

const GONE = { state: "stopped", done: 0, total: 0, images: [] };

export default { name: "generate", title: () => t("generate"), isOffered: canGenerate, choosesFiles: true, draw: generateView };

function generateView(signal) {
    const isNew = !recallHere("generate");
    const request = { ...START, ...recallHere("generate", {}) };
    const inputs = {};
    const keep = (name, value) => { request[name] = value; rememberHere("generate", request); };
    const labeled = (name, label, control, ...after) => h("div", { class: "lt-field" }, h("div", { class: "lt-field-head" }, h("label", { for: `lt-g-${name}` }, t(label)), after), control, h("p", { class: "lt-wrong", id: `lt-g-${name}-wrong`, role: "alert", hidden: true }));

    function area(name, rows, placeholder) {
        inputs[name] = h("textarea", { class: "lt-input", id: `lt-g-${name}`, rows, value: request[name], placeholder, oninput: () => keep(name, inputs[name].value) });
        return labeled(name, name, inputs[name]);
    }
    function number(name, label, ...beside) {
        const read = () => {
            const found = readSetting(name, inputs[name].value);
            wrong(name, found.wrong);
            if (!found.wrong) keep(name, found.value);
            return !found.wrong;
        };
        inputs[name] = h("input", { class: "lt-input", type: "text", inputmode: "decimal", autocomplete: "off", id: `lt-g-${name}`, value: String(request[name]), oninput: read });
        inputs[name].check = read;
        return labeled(name, label, beside.length ? h("div", { class: "lt-beside" }, inputs[name], beside) : inputs[name]);
    }
    function choice(name, label, options) {
        inputs[name] = h("select", { class: "lt-input", id: `lt-g-${name}`, onchange: () => { const before = request[name]; keep(name, inputs[name].value); if (name === "checkpoint") fitSize(before); wrong(name, ""); } }, options.map(([value, text]) => h("option", { value }, text)));
        inputs[name].value = request[name];
        if (inputs[name].selectedIndex < 0) inputs[name].selectedIndex = 0;
        request[name] = inputs[name].value;
        return labeled(name, label, inputs[name]);
    }
    function wrong(name, text) {
        const place = view.querySelector(`#lt-g-${name}-wrong`);
        if (!place) return;
        place.textContent = text;
        place.hidden = !text;
        set(inputs[name], "aria-invalid", text ? "true" : null);
    }
    const put = (name, value) => { inputs[name].value = String(value); keep(name, value); wrong(name, ""); };
    const tool = (name, label, action) => h("button", { type: "button", class: "lt-btn lt-btn-icon", title: t(label), "aria-label": t(label), onclick: action }, icon(name));

    const button = h("button", { type: "submit", class: "lt-btn lt-btn-primary lt-btn-train", title: t("shortcut") }, t("generate"));
    const stop = h("button", { type: "button", class: "lt-btn lt-btn-danger", hidden: true, onclick: () => shown && post(`generate/${encodeURIComponent(shown.id)}/stop`).catch(report) }, t("interrupt"));
    const status = h("div", { class: "lt-generate-status", role: "status" });
    const results = h("div", { class: "lt-results" });
    const models = () => app.form.checkpoints || [];
    const none = note({ level: "warning", message: t("no_checkpoint", { x: app.state.user_dir || "models" }) });
    if (!request.checkpoint) request.checkpoint = (models().find((one) => one.is_current) || models()[0])?.path || "";
    // Another model is never chosen in place of the wanted one: that stays, and is told of once the list is a new one.
    function showModels() {
        const { checkpoint } = request, isListed = !checkpoint || models().some((one) => one.path === checkpoint);
        fill(inputs.checkpoint, models().map((one) => fileOption(one.path, titleOf(one), one.problem)), !isListed && fileOption(checkpoint, fileName(checkpoint), t("not_listed")));
        inputs.checkpoint.value = checkpoint;
        none.hidden = models().length > 0;
        return isListed;
    }
    fileNews.watch(signal, () => wrong("checkpoint", showModels() ? "" : t("not_listed")));
    // A model whose pictures have a size of their own brings it along.
    const sideOf = (path) => models().find((one) => one.path === path)?.side || 0;
    function fitSize(before) {
        const side = sideOf(request.checkpoint) || START.width;
        if (side !== (sideOf(before) || START.width)) for (const name of ["width", "height"]) put(name, side);
    }
    if (isNew && sideOf(request.checkpoint)) request.width = request.height = sideOf(request.checkpoint);

    const view = h("form", { class: "lt-generate", novalidate: true, onsubmit: (event) => { event.preventDefault(); start(); } });
    fill(view,
        h("div", { class: "lt-main" },
            h("section", { class: "lt-card" }, area("prompt", "3", t("prompt_placeholder")), loraPicker(), area("negative_prompt", "2", "")),
            h("section", { class: "lt-card" }, h("div", { class: "lt-grid" }, choice("checkpoint", "base_model", [[request.checkpoint, ""]]), choice("sampler", "sampler", app.form.spec[language].samplers.map((one) => [one.name, one.label]))),
                h("div", { class: "lt-grid lt-grid-4" }, number("steps", "steps"), number("cfg_scale", "cfg"),
                    number("width", "width"), number("height", "height", tool("swap", "swap_size", () => { const [width, height] = [request.width, request.height]; put("width", height); put("height", width); })),
                    number("seed", "seed", tool("dice", "seed_random", () => put("seed", -1)), tool("reuse", "seed_reuse", () => { const seed = shown?.answer?.images?.at(-1)?.seed; if (Number.isFinite(seed)) put("seed", seed); })),
                    number("batch_size", "batch_size"), number("batch_count", "batch_count"), number("clip_skip", "clip_skip"))),
            policyChoice()),
        h("aside", { class: "lt-side lt-generate-side" }, h("div", { class: "lt-train-bar" }, button, stop), h("section", { class: "lt-card lt-results-card" }, status, results)));
    results.before(none);
    showModels();
    view.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.target.tagName === "BUTTON" || event.target.tagName === "SUMMARY") return;
        if (event.ctrlKey || event.metaKey) { event.preventDefault(); start(); } else if (event.target.tagName === "INPUT") event.preventDefault();
    });

    // The list of LoRA files is asked for anew each time the view opens, too.
    function loraPicker() {
        const list = h("select", { class: "lt-input", "aria-label": t("add_lora") }, h("option", { value: "" }, t("no_loras")));
        const weight = h("input", { class: "lt-input lt-weight", type: "text", inputmode: "decimal", value: "0.8", "aria-label": t("weight") });
        const insert = h("button", { type: "button", class: "lt-btn", disabled: true, onclick: () => add() }, t("insert"));
        let known = [], isPicked = false, isTyped = false; // a weight that was typed before the list came
        weight.addEventListener("input", () => { isTyped = true; });
        const look = () => getPatiently("loras").then(({ loras }) => {
            const before = list.value;
            known = loras;
            if (!loras.length) return;
            fill(list, loras.map((one) => fileOption(one.name, one.name, one.problem)));
            const newest = loras.reduce((a, b) => (b.modified > a.modified ? b : a));
            const isChosen = isPicked && loras.some((one) => one.name === before);
            list.value = isChosen ? before : newest.name;
            if (!isTyped && !isChosen) weight.value = String(newest.weight || 0.8);
            insert.disabled = false;
        }).catch(report);
        look();
        fileNews.watch(signal, look); // a training, perhaps of another window, has ended
        list.addEventListener("change", () => { isPicked = true; });
        list.addEventListener("change", () => (weight.value = String(known.find((one) => one.name === list.value)?.weight || 0.8)));
        const weightText = () => { const number = readNumber(weight.value); return Number.isNaN(number) ? weight.value.trim() || "1" : String(number); };
        function add() {
            const one = known.find((lora) => lora.name === list.value);
            const text = inputs.prompt.value.replace(/\s+$/, "");
            const words = one?.activation && !text.includes(one.activation) ? `${one.activation} ` : "";
            inputs.prompt.value = `${text}${text ? " " : ""}${words}<lora:${list.value}:${weightText()}>`;
            keep("prompt", inputs.prompt.value);
            inputs.prompt.focus();
        }
        return h("div", { class: "lt-lora-picker", role: "group", "aria-label": t("add_lora") }, h("span", { class: "lt-subdued" }, t("add_lora")), list, weight, insert);
    }

    async function start() {
        const checks = Object.keys(LIMITS).map((name) => [name, inputs[name].check()]);
        const bad = checks.find(([, isRight]) => !isRight);
        if (bad) return inputs[bad[0]].focus();
        if (button.disabled) return null;
        button.disabled = true;
        fill(status);
        try {
            const { id } = await post("generate", { request });
            shown = { id, answer: null };
            rememberHere("generate.shown", id);
            isAwaited = true;
            follow();
        } catch (error) {
            fill(status, note({ level: "error", message: logged(error) })); // it stays until the next attempt
            button.disabled = false;
        }
        return null;
    }

    function follow() {
        const { id } = shown;
        const halt = poll(signal, 0.4, async () => {
            const answer = await get(`generate/${encodeURIComponent(id)}`).catch((error) => {
                if (!(error instanceof ApiError)) throw error; // it is not known any more: only the newest are kept
            });
            if (shown?.id !== id) return halt();
            shown.answer = answer || GONE;
            if (!answer) rememberHere("generate.shown", null);
            draw(shown.answer);
            return ["finished", "stopped", "failed"].includes(shown.answer.state) ? halt() && 0 : 0.4;
        });
    }

    let before = "", isAwaited = false; // the pictures of a request that was made here: they are brought into sight when they come
    function draw(answer) {
        const isOver = ["finished", "stopped", "failed"].includes(answer.state);
        button.disabled = !isOver;
        stop.hidden = isOver;
        const share = answer.total ? answer.done / answer.total : 0;
        button.textContent = isOver ? t("generate") : answer.total ? `${t("generating")} ${Math.round(share * 100)} %` : t("generating");
        fill(status, !isOver && h("div", { class: "lt-bar", role: "progressbar", "aria-valuenow": Math.round(share * 100), "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": t("generating") }, h("div", { class: "lt-bar-fill", style: `width:${share * 100}%` })),
            !isOver && answer.message && h("p", { class: "lt-subdued" }, answer.message),
            answer.state === "failed" && note({ level: "error", message: answer.message, advice: answer.advice }));
        const text = JSON.stringify(answer.images);
        if (before === text) return;
        before = text;
        fill(results, pictures(answer.images || []));
        const first = isAwaited && results.querySelector("img");
        if (!first) return;
        isAwaited = false;
        first.decode().catch(() => {}).then(() => results.scrollIntoView({ block: "nearest" }));
    }
    function pictures(images) {
        if (!images.length) return h("div", { class: "lt-empty lt-results-empty" }, icon("brush"), h("span", {}, t("pictures_here")), h("small", {}, t("pictures_hint")));
        const list = images.map((image) => ({ url: urlOf(image.url), name: image.name, caption: image.infotext || `${image.prompt || ""}\n${t("seed")}: ${image.seed}` }));
        const newest = list.at(-1);
        const send = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => busy(send, () => sendPictures("generate", list.map((one) => ({ ...one, infotext: one.caption })))) }, t("train_with", { x: list.length }));
        return [gallery(list), h("div", { class: "lt-infotext" }, h("pre", { tabindex: "0" }, newest.caption), h("div", { class: "lt-row" }, copyButton(newest.caption), h("a", { class: "lt-btn lt-btn-small", href: newest.url, download: newest.name }, icon("download"), t("download")), send))];
    }

    fill(results, pictures([]));
    if (shown?.answer) draw(shown.answer);
    if (shown && !["finished", "stopped", "failed"].includes(shown.answer?.state)) follow();
    return view;
}
