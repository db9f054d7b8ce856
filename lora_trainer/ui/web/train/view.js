// The train view: three decisions (images, words, name), settings that can stay as they are, advanced options with
// search, and beside them the plan with the button.
import { app } from "../base/app.js";
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { fileNews, renewFiles } from "../base/files.js";
import { icon } from "../base/icons.js";
import { recall } from "../base/memory.js";
import { say } from "../base/messages.js";
import { redraw } from "../base/place.js";
import { advancedOptions } from "./advanced.js";
import { card } from "./card.js";
import { picturesChanged } from "./concepts/folders.js";
import { offerReg, wordsOfFolder } from "./concepts/kohya.js";
import { IN_CARDS, OF_CAPTIONS, conceptCards } from "./concepts/list.js";
import { regMaker } from "./concepts/reg.js";
import { isSeveral, scopes } from "./concepts/scope.js";
import { makeField } from "./controls.js";
import { catchDrops } from "./drops.js";
import { F } from "./fields.js";
import { networkFollow } from "./network/args.js";
import { networkEditor } from "./network/editor.js";
import { planView } from "./plan.js";
import { presetChoice } from "./presets.js";
import { PROMPTS, promptEditor } from "./prompts.js";
import { recreatePanel } from "./recreate.js";
import { tabNotice } from "./tabs.js";
import { t } from "./texts.js";
import { trialPanel } from "./trial.js";
import { trains, values } from "./values.js";

// One to train on: neither the demo, which is for the trial, nor a file that is no model.
const isModel = (one) => !one.is_demo && !one.problem;

export default { name: "train", title: () => t("train"), choosesFiles: true, draw: trainView };

function trainView(signal) {
    const fields = new Map(); // name -> what makeField returned
    let output = null; // what the host's last answer says of the file
    const make = (name, style) => {
        const field = makeField(values.controls.get(name), style);
        fields.set(name, field);
        return field.element;
    };
    const isBare = !(app.form.checkpoints || []).some(isModel);
    const isTrialFirst = isBare || !(app.state.runs?.length || recall("tried"));
    firstModel();

    const concepts = conceptCards(signal, fields, (scope, folder) => readFolderName(scope, folder));
    const example = h("p", { class: "lt-example", "aria-live": "polite" });
    const inCards = isSeveral() ? IN_CARDS : [], ofCaptions = isSeveral() ? [] : Object.keys(OF_CAPTIONS);
    const advanced = advancedOptions([...inCards, ...ofCaptions], (control) => {
        const made = makeField(control, { inline: true });
        const field = control.blocks ? networkEditor(made) : control.name === PROMPTS ? promptEditor(made) : made;
        if (control.only?.length) field.element.dataset.only = control.only.join(" "); // what stands round a field, too
        fields.set(control.name, field);
        return field;
    });
    const recreate = recreatePanel(signal, (name) => reveal(name));
    const presets = presetChoice();
    const basic = values.sections[0].controls.map((control) => control.name).filter((name) => ![F.images, F.identifier, F.kind, F.name, ...inCards].includes(name))
        .flatMap((name) => (name === F.captions ? [name, ...ofCaptions] : [name]));
    const main = h("div", { class: "lt-main" },
        tabNotice(signal), isBare && noModel(), isTrialFirst && trialPanel(true),
        concepts.elements,
        card(isSeveral() ? "" : "3", t("step_name"), t("step_name_hint"), make(F.name, { plain: true }), example),
        card("", t("settings"), t("settings_hint"), recreate.element, presets.element, h("div", { class: "lt-grid lt-grid-3" }, basic.map((name) => make(name, { plain: [F.model, F.reg].includes(name) })))),
        advanced.element, !isTrialFirst && trialPanel(false));
    const side = planView({ signal, fields, reveal, checked: (answer) => { output = answer?.output; showExample(); } });
    const element = h("form", { class: "lt-train", novalidate: true, onsubmit: (event) => { event.preventDefault(); side.train(); } }, main, side.element);
    // Enter in a line of text does not start an hour of training; Ctrl+Enter does.
    element.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
        event.preventDefault();
        if (event.ctrlKey || event.metaKey) side.train();
    });

    for (const scope of scopes()) {
        offerReg(signal, scope, fields.get(scope.name(F.reg)));
        regMaker(signal, scope, fields.get(scope.name(F.reg)));
    }
    catchDrops(signal, concepts.uploads, recreate);
    document.addEventListener("visibilitychange", () => document.hidden || picturesChanged(), { signal }); // another tab or program may have changed them

    // The model the host generates with, or the first, is chosen already; the demo model is for the trial alone.
    function firstModel() {
        if (values.get(F.model)) return;
        const known = app.form.checkpoints || [];
        const first = known.find((one) => one.is_current && !one.problem) || known.find(isModel);
        if (first) values.set(F.model, first.path);
    }

    // A model whose pictures have a size of their own is trained at it, unless the person chose another.
    function fitSize() {
        const model = values.get(F.model) || "";
        values.fitSize(model, (app.form.checkpoints || []).find((one) => one.path === model)?.side);
    }

    // "20_sls frog" says repeats, identifier and class (the folder form of kohya-ss).
    function readFolderName(scope, folder) {
        const told = wordsOfFolder(folder);
        if (!told) return;
        scope.set("num_repeats", told.num_repeats);
        for (const field of ["identifier", "class_name"]) if (!scope.get(field) && told[field]) scope.set(field, told[field]);
    }

    // Until the person writes a name of their own, it follows the identifier and class.
    let given = suggestion() === (values.get(F.name) || "") ? values.get(F.name) || "" : null;
    function suggestion() {
        return [values.get(F.identifier), values.get(F.kind)].filter(Boolean).join("_").replace(/[^\p{L}\p{N}_-]+/gu, "_").slice(0, 60);
    }
    function follow(name) {
        if (["", F.model].includes(name)) fitSize();
        networkFollow(name);
        if (name === F.name && document.activeElement === document.getElementById(`lt-${F.name}`)) given = values.get(F.name) ? null : "";
        if (![F.identifier, F.kind].includes(name) || given === null || (values.get(F.name) || "") !== given) return;
        given = suggestion();
        values.set(F.name, given || null);
    }

    function show(name) {
        element.dataset.trains = trains();
        for (const field of fields.values()) if (["", "trains", field.name].includes(name) || field.follows?.includes(name)) field.show();
        for (const field of ofCaptions) fields.get(field).element.hidden = values.get(F.captions) !== OF_CAPTIONS[field];
        showExample();
        presets.show();
        concepts.show();
        advanced.count();
    }
    // The file's name in a prompt: where the name is taken, the one that it will have.
    function showExample() {
        const words = scopes().map((scope) => !scope.get("is_off") && scope.words()).filter(Boolean).join(", "), name = values.get(F.name);
        const file = name && output?.name === name ? output.saved_as || name : name;
        fill(example, t("prompt_will_be"), " ", h("code", {}, trains() === "embedding" ? file || "…" : trains() === "model" ? words || "…" : `${words ? words + " " : ""}<lora:${file || "…"}:0.8>`));
    }
    values.watch(signal, (name) => { follow(name); show(name); });
    fileNews.watch(signal, () => {
        for (const field of fields.values()) field.offer();
        fitSize();
    });

    // Brings a field into view, wherever it hides, and gives it the focus.
    function reveal(name) {
        advanced.open(name);
        concepts.open(name);
        const field = fields.get(name);
        if (!field) return;
        field.element.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
        const upload = concepts.uploads.find((one) => one.field === field);
        if (upload && !upload.isPath()) upload.element.querySelector(".lt-drop button").focus({ preventScroll: true });
        else setTimeout(() => field.focus());
    }
    fitSize();
    show("");
    return element;
}

// Without a base model nothing can be trained: where to get one, and where to put it.
function noModel() {
    const again = h("button", { type: "button", class: "lt-btn", onclick: () => busy(again, async () => {
        await renewFiles();
        if ((app.form.checkpoints || []).some(isModel)) redraw();
        else say(t("no_model_yet"), "error");
    }) }, icon("search"), t("look_again"));
    return h("section", { class: "lt-card lt-no-model", "aria-labelledby": "lt-no-model-title" },
        h("h2", { id: "lt-no-model-title" }, t("no_model_title")), h("p", {}, t("no_model_text")),
        h("p", { class: "lt-wrap" }, (app.form.checkpoint_dirs || []).map((folder) => h("code", {}, folder))),
        h("p", {}, t("no_model_get"), " ", (app.form.base_models || []).map((one) => [h("a", { href: one.url, target: "_blank", rel: "noopener noreferrer" }, one.title), " "])),
        h("div", { class: "lt-row" }, again));
}
