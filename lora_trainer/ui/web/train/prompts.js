// The sample prompts one by one: words, negative words, size, seed, steps, CFG and sampler, beneath the field that holds them as lines.
// The field is the one truth: what is written here goes into its lines, and what a line says besides stays.
import { app } from "../base/app.js";
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { get } from "../base/host.js";
import { icon } from "../base/icons.js";
import { say } from "../base/messages.js";
import { numberText } from "../base/numbers.js";
import { language } from "../base/texts.js";
import { scopes } from "./concepts/scope.js";
import { t } from "./texts.js";
import { values } from "./values.js";

export const PROMPTS = "prompts"; // the field's name
const FROM_CAPTIONS = 4;
const NUMBERS = [["w", "width"], ["h", "height"], ["d", "seed"], ["s", "steps"], ["l", "cfg"]];
const KNOWN = ["n", "ss", ...NUMBERS.map(([letters]) => letters)];

// "a frog --n blurry --w 512 --cn x" -> {prompt, options: {n, w, ...}, rest: ["cn x"]}
export function readLine(line) {
    const [prompt, ...parts] = line.split(" --"), options = {}, rest = [];
    for (const part of parts) {
        const [letters, ...text] = part.split(" ");
        if (KNOWN.includes(letters.toLowerCase())) options[letters.toLowerCase()] = text.join(" ").trim();
        else rest.push(part);
    }
    return { prompt: prompt.trim(), options, rest };
}
export const writeLine = ({ prompt, options, rest }) => [prompt, ...KNOWN.filter((letters) => options[letters]).map((letters) => `${letters} ${options[letters]}`), ...rest].join(" --");
const isPrompt = (line) => line.trim() && !line.startsWith("#");

// Puts the list beneath the field of the prompts; the field stays what it is.
export function promptEditor(field) {
    let drawn = null;
    const list = h("ol", { class: "lt-prompts" });
    const summary = h("summary", {}, t("prompts_one_by_one"));
    const captions = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => busy(captions, fromCaptions) }, t("prompts_from_captions"));
    const fold = h("details", { class: "lt-fold" }, summary, list, h("div", { class: "lt-row" }, h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => { put([...lines(), "prompt"]); list.lastElementChild.querySelector("input").select(); } }, t("prompts_add")), captions));

    const lines = () => String(values.get(PROMPTS) || "").split("\n").filter((line) => line.trim());
    function put(next) {
        drawn = null;
        values.set(PROMPTS, next.join("\n") || null);
        show();
    }
    function row(line, index) {
        const told = readLine(line);
        const keep = () => { // the list stays as it is while one types
            const next = lines();
            next[index] = writeLine({ ...told, prompt: told.prompt.replace(/\s+/g, " ") || "prompt" });
            drawn = next.join("\n");
            values.set(PROMPTS, drawn);
        };
        const name = (text) => `${t(text)} ${index + 1}`;
        const input = (text, value, change, more = {}) => h("input", { type: "text", class: "lt-input", autocomplete: "off", "aria-label": name(text), placeholder: t(text), value: value || "", oninput: (event) => { change(event.target.value); keep(); }, ...more });
        const sampler = h("select", { class: "lt-input", "aria-label": name("prompts_sampler"), onchange: () => { told.options.ss = sampler.value; keep(); } },
            h("option", { value: "" }, t("prompts_sampler")), (app.form.spec[language].samplers || []).map((one) => h("option", { value: one.name }, one.label)));
        sampler.value = told.options.ss || "";
        return h("li", {},
            h("div", { class: "lt-beside" }, input("prompts_prompt", told.prompt, (text) => (told.prompt = text)), h("button", { type: "button", class: "lt-btn lt-btn-icon", "aria-label": t("remove_image", { x: name("prompts_prompt") }), onclick: () => put(lines().filter((_, at) => at !== index)) }, icon("close"))),
            input("prompts_negative", told.options.n, (text) => (told.options.n = text.trim())),
            h("div", { class: "lt-prompt-numbers" }, NUMBERS.map(([letters, text]) => input(`prompts_${text}`, told.options[letters], (value) => (told.options[letters] = numberText(value.trim())), { inputmode: "decimal" })), sampler));
    }

    // The words that call the subjects up, and some captions of the images, spread over all of them, as far as they differ.
    async function fromCaptions() {
        const trained = scopes().filter((scope) => scope.get("image_dir") && !scope.get("is_off")), isNew = (text) => text && !lines().some((line) => readLine(line).prompt === text);
        const words = [...new Set(trained.map((scope) => scope.words()))].filter(isNew);
        const found = (await Promise.all(trained.filter((scope) => scope.get("caption_source") !== "words").map((scope) =>
            get(scope.upload ? `uploads/${encodeURIComponent(scope.upload)}` : `images?folder=${encodeURIComponent(scope.get("image_dir"))}`)))).flatMap((answer) => answer.images);
        const texts = [...new Set(found.map((one) => (one.caption || "").split("\n")[0].replaceAll(" --", " ").trim()).filter((text) => !text.startsWith("#")))].filter((text) => isNew(text) && !words.includes(text));
        if (!texts.length && !words.length) return say(t("prompts_no_captions"), "error");
        const step = Math.max(1, texts.length / FROM_CAPTIONS);
        put([...lines(), ...words, ...Array.from({ length: Math.min(FROM_CAPTIONS, texts.length) }, (_, index) => texts[Math.floor(index * step)])]);
        fold.open = true;
        return undefined;
    }

    function show() {
        const now = lines(), text = now.join("\n");
        if (text === drawn) return;
        drawn = text;
        fill(list, now.map((line, index) => isPrompt(line) && row(line, index)));
    }
    show();
    return { ...field, element: h("div", { class: "lt-stack lt-prompts-field" }, field.element, fold), show() { field.show(); show(); } };
}
