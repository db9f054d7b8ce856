// What the form holds: the controls that the host describes, their values, the preset they start from. No drawing here.
//
// A control's baseline is what the chosen preset says (for the kind of training, where it does), else its default. Only presets and changes are sent; the host
// knows the defaults. A draft survives a reload of its window; a new one starts from the last.
import { listeners } from "../base/listeners.js";
import { recallHere, rememberHere } from "../base/memory.js";
import { say } from "../base/messages.js";
import { isUnclear, readNumber } from "../base/numbers.js";
import { language } from "../base/texts.js";
import { isDotted, read, written } from "./concepts/names.js";
import { t } from "./texts.js";

const NUMBERS = ["integer", "number"];
const TAKEN = "taken"; // in place of a family: the settings are another run's, and fit its model as they are

const OF_CONCEPTS = ["concepts", "settings", "is_off"]; // what only the parts of concepts draw

const isSame = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null);
const changes = listeners();

// Text as typed -> {value} or {error: text's name, x}. An empty text is "not given", or "" where that is the default.
function parse(control, text) {
    if (control.kind === "toggle") return { value: Boolean(text) };
    const typed = String(text ?? "").trim();
    if (control.kind === "choice") return { value: control.choices.find((choice) => String(choice.value) === typed)?.value ?? null };
    if (typed === "") return { value: control.default === "" ? "" : null };
    if (control.kind === "list") return { value: typed.split("\n").map((line) => line.trim()).filter(Boolean) };
    if (!NUMBERS.includes(control.kind)) return { value: typed };
    const isWhole = control.kind === "integer", number = readNumber(typed, isWhole);
    if (isUnclear(typed, isWhole)) return { error: "want_unclear", x: typed };
    if (Number.isNaN(number)) return { error: isWhole ? "want_integer" : "want_number" };
    if (isWhole && !Number.isInteger(number)) return { error: "want_integer" };
    if (control.minimum != null && number < control.minimum) return { error: "want_minimum", x: control.minimum };
    if (control.maximum != null && number > control.maximum) return { error: "want_maximum", x: control.maximum };
    if (control.above != null && number <= control.above) return { error: "want_above", x: control.above };
    return { value: number };
}

// Value -> text of the control; small numbers as people write them (1e-4, not 0.0001).
function show(value) {
    if (value === null || value === undefined) return "";
    if (Array.isArray(value)) return value.map(show).join("\n");
    if (typeof value === "number" && value !== 0 && Math.abs(value) < 0.001) return value.toExponential().replace("e-0", "e-");
    return String(value);
}

// The kind of training that is chosen: what is shown of the form depends on it.
export const trains = () => values.get("trains") || "network";
export const isForIt = (control) => !control.only?.length || control.only.includes(trains());

export const values = {
    controls: new Map(), // name -> control
    sections: [],
    supplied: [], // the presets that come with the program
    presets: [], // those, and the ones that were kept here
    standard: "", // id of the preset that a new form starts from; "": the first
    changes: {}, // name -> value that differs from the baseline
    wrong: {}, // name -> {error, x} of a text that is no value
    preset: "", // id
    upload: "", // id of the upload folder, "" when a folder of this machine is used
    overwrite: false,
    family: "", // of the base model, as the host found it; "" while it is not known
    fitted: "", // the family that the preset was last chosen for
    before: "", // the preset that was chosen before a family brought its own
    sized: { model: "", side: "" }, // the base model that the resolution was last fitted to, and the size of its pictures

    // Takes the host's description in the page's language, the presets kept there, and once the draft of the last visit.
    load(spec, keptThere) {
        const own = spec[language] || spec.en;
        values.sections = own.sections.map((section) => ({ ...section, controls: section.controls.filter((control) => !OF_CONCEPTS.includes(control.name)) }));
        values.supplied = own.presets;
        values.offer(keptThere);
        values.controls = new Map(own.sections.flatMap((section) => section.controls).map((control) => [control.name, control]));
        if (values.isLoaded) return;
        values.isLoaded = true;
        const kept = recallHere("draft", {});
        values.preset = [kept.preset, values.standard].find((id) => values.presets.some((preset) => preset.id === id)) || values.presets[0]?.id || "";
        values.upload = kept.upload || "";
        values.fitted = kept.fitted || "";
        values.before = kept.before || "";
        values.sized = kept.sized || values.sized;
        for (const [name, value] of Object.entries(kept.changes || {})) if (values.controls.has(name)) values.changes[name] = value;
    },

    // The presets that are kept, as GET presets tells them.
    offer(kept) {
        const own = (kept?.own || []).filter((one) => !one.problem);
        values.presets = [...values.supplied, ...own.map((one) => ({ id: one.id, title: one.name, note: t("own_preset"), values: one.values, url: one.url, isOwn: true }))];
        values.standard = kept?.default || "";
    },
    // Another preset beneath what the form holds: no value changes, only what counts as changed.
    rebase(id, kept) {
        const held = [...values.controls.keys()].map((name) => [name, values.get(name)]);
        values.offer(kept);
        values.preset = id;
        values.changes = Object.fromEntries(held.filter(([name, value]) => !isSame(value, values.baseline(name))));
        values.announce("");
    },

    // A control by its name; those of concepts and of their settings have dotted ones.
    control(name) {
        if (!isDotted(name)) return values.controls.get(name);
        const path = name.split("."), table = path.at(-2) === "settings" ? "settings" : "concepts";
        const found = values.controls.get(table)?.fields.find((one) => one.name === path.at(-1));
        return found && { ...found, name };
    },
    baseline(name, presetId = values.preset, kind = name === "trains" ? "" : trains()) {
        if (isDotted(name)) { // what a concept has no value of its own for is the training's
            const own = values.control(name);
            return values.controls.has(own?.inherits) ? values.get(own.inherits) : (own?.default ?? null);
        }
        const preset = values.presets.find((one) => one.id === presetId);
        const said = preset && valuesOf(preset, kind);
        if (said && name in said) return said[name];
        const control = values.controls.get(name);
        return control ? (control.value ?? control.default ?? null) : null;
    },
    get(name) {
        if (isDotted(name)) return inner(name) ?? values.baseline(name);
        return name in values.changes ? values.changes[name] : values.baseline(name);
    },
    isChanged: (name) => (isDotted(name) ? (inner(name) ?? null) !== null : name in values.changes),

    set(name, value) {
        delete values.wrong[name];
        if (isDotted(name)) {
            const [head, ...path] = name.split(".");
            const inside = written(values.get(head), path, isSame(value, values.baseline(name)) ? undefined : value);
            put(head, Object.keys(inside).length ? inside : null);
        } else put(name, value);
        if (name === "trains") for (const [one, own] of Object.entries(values.changes)) put(one, own); // another baseline
        values.announce(name);
    },
    // What was typed; a text that is no value is kept out of the values and reported at the field.
    type(name, text) {
        const { value, error, x } = parse(values.control(name), text);
        if (!error) return values.set(name, value);
        values.wrong[name] = { error, x };
        return values.announce(name);
    },
    reset: (name) => values.set(name, values.baseline(name)),
    resetAll(keep) {
        for (const name of Object.keys(values.changes)) if (!keep.includes(name)) delete values.changes[name];
        values.wrong = {};
        values.sized = { model: "", side: "" };
        values.announce("");
    },
    // A base model of another family brings the preset made for it along, once; what the person set stays.
    fit(family) {
        if (!family || family === values.fitted) return null;
        const isTaken = values.fitted === TAKEN;
        values.fitted = family;
        if (isTaken) return rememberHere("draft", draft());
        const suits = (preset) => preset && (preset.isOwn || (preset.family || "") === (values.presets.some((one) => one.family === family) ? family : ""));
        const now = values.presets.find((one) => one.id === values.preset);
        const next = suits(now) ? null : [values.presets.find((one) => one.id === values.before), ...values.presets].find(suits);
        if (!next) return rememberHere("draft", draft());
        const own = Object.entries(values.changes);
        [values.before, values.preset, values.changes] = [values.preset, next.id, {}];
        for (const [name, value] of own) if (!isSame(value, values.baseline(name))) values.changes[name] = value;
        values.announce("");
        return say(t("preset_fitted", { x: next.title }));
    },
    // A base model brings the size of its pictures along, once, when it is chosen (`side`; none: the preset's); a size that
    // is not the last model's was set by the person, whatever other models have it too.
    fitSize(model, side) {
        if (model === values.sized.model) return;
        const now = String(values.get("resolution") ?? "");
        const isOwn = values.sized.side ? now !== values.sized.side : values.isChanged("resolution");
        values.sized = { model, side: side ? String(side) : "" };
        if (isOwn) rememberHere("draft", draft());
        else if (side) values.set("resolution", String(side));
        else values.reset("resolution");
    },
    // What the presets speak about is taken from the new one; everything else stays as the person set it.
    choosePreset(id) {
        const spoken = new Set(values.presets.flatMap((preset) => Object.keys(preset.values)));
        values.preset = id;
        values.sized = { model: "", side: "" };
        for (const name of Object.keys(values.changes)) if (spoken.has(name) || isSame(values.changes[name], values.baseline(name))) delete values.changes[name];
        values.wrong = {};
        values.announce("");
    },
    // Another run's settings, as they were sent: the preset that is nearest, and what differs from it.
    take(sent) {
        const kind = sent.trains || "network";
        const differences = (id) => {
            const names = [...values.controls.keys()].filter((name) => !isSame(name in sent ? sent[name] : values.controls.get(name).default, values.baseline(name, id, kind)));
            return Object.fromEntries(names.map((name) => [name, (name in sent ? sent[name] : values.controls.get(name).default) ?? null]));
        };
        const nearest = values.presets.map((preset) => [preset.id, differences(preset.id)]).sort((a, b) => Object.keys(a[1]).length - Object.keys(b[1]).length)[0];
        [values.preset, values.changes] = nearest || ["", differences("")];
        values.wrong = {};
        values.upload = "";
        values.fitted = TAKEN;
        values.sized = { model: values.get("pretrained_model_name_or_path") || "", side: "" };
        values.announce("");
    },

    // Some values at once, by name.
    merge(sent) {
        for (const [name, value] of Object.entries(sent)) if (values.controls.has(name)) put(name, value);
        values.wrong = {};
        values.announce("");
    },
    // The form as it is, to be put back.
    snapshot: () => structuredClone({ ...draft(), changes: values.changes }),
    restore(snapshot) {
        Object.assign(values, snapshot);
        values.wrong = {};
        values.announce("");
    },

    // Everything the host has to know, by name.
    send() {
        const preset = values.presets.find((one) => one.id === values.preset);
        const sent = Object.fromEntries(Object.entries({ ...(preset && valuesOf(preset, trains())), ...values.changes }).filter(([name]) => values.controls.has(name)));
        if (sent.concepts) sent.concepts = sent.concepts.map(({ id, upload, ...told }) => told); // those two are the page's alone
        return sent;
    },

    announce(name) {
        rememberHere("draft", draft());
        changes.tell(name);
    },
    // What a value names was changed, and the value was not.
    retell: changes.tell,
    // Calls `action(name)` at each change ("" = any) until the signal ends it.
    watch: changes.watch,
    parse,
    show,
};
const valuesOf = (preset, kind) => ({ ...preset.values, ...preset.kinds?.[kind] });
const inner = (name) => read({ [name.split(".")[0]]: values.get(name.split(".")[0]) }, name.split("."));
function put(name, value) {
    delete values.changes[name];
    if (!isSame(value, values.baseline(name))) values.changes[name] = value;
}
const isKept = ([name]) => values.controls.get(name)?.kind !== "secret";
const draft = () => ({
    ...Object.fromEntries(["preset", "upload", "fitted", "before", "sized"].map((name) => [name, values[name]])),
    changes: Object.fromEntries(Object.entries(values.changes).filter(isKept)),
});
