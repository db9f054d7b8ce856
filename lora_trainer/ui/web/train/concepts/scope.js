// The concepts that the form holds: the first one's values stand among the form's own, those of others in the list `concepts`.
// A scope is one of them: it knows the names of its values. No drawing here.
import { values } from "../values.js";
import { t } from "../texts.js";

const further = () => values.get("concepts") || [];
const newId = () => Math.random().toString(36).slice(2, 10);
export const FIELDS = () => values.controls.get("concepts").fields.map((control) => control.name);

// The first has index 0 and no prefix; `id` stays the same when others are taken away.
function scopeAt(index) {
    const prefix = index ? `concepts.${index - 1}.` : "";
    return {
        index, prefix, id: index ? further()[index - 1].id || "" : "first",
        name: (field) => prefix + field,
        get: (field) => values.get(prefix + field),
        set: (field, value) => values.set(prefix + field, value),
        get upload() { return prefix ? values.get(`${prefix}upload`) || "" : values.upload; },
        set upload(id) {
            if (!prefix) values.upload = id;
            else if (id !== this.upload) values.set(`${prefix}upload`, id || null);
        },
        words: () => ["identifier", "class_name"].map((field) => values.get(prefix + field)).filter(Boolean).join(" "),
    };
}

export const scopes = () => [0, ...further().map((_, index) => index + 1)].map(scopeAt);
export const isSeveral = () => further().length > 0;
export const scopeOf = (id) => scopes().find((scope) => scope.id === id) || null;
// Whose value has this name, and what it is called: "Concept 2 · Class" where there are several.
export const scopeOfName = (name) => scopes().findLast((scope) => name.startsWith(scope.prefix));
export function labelOf(name) {
    const label = values.control(name)?.label || name, scope = scopeOfName(name);
    const isOne = isSeveral() && (scope.prefix || name.startsWith("settings.") || FIELDS().includes(name));
    return isOne ? `${t("concept", { x: scope.index + 1 })} · ${label}` : label;
}

// Each further concept gets an id that stays; those of drafts and other runs have none yet.
export function nameAll() {
    if (further().some((one) => !one.id)) values.merge({ concepts: further().map((one) => ({ id: newId(), ...one })) });
}

// Adds a concept with these values; returns its scope.
export function add(told = {}) {
    values.set("concepts", [...further(), { id: newId(), ...told }]);
    return scopes().at(-1);
}

// Takes one away; when it is the first, the next one becomes it.
export function remove(index) {
    const list = further();
    values.wrong = {};
    if (index) return values.merge({ concepts: list.filter((_, at) => at !== index - 1) });
    const [next, ...rest] = list;
    const fields = values.controls.get("concepts").fields;
    values.upload = next.upload || "";
    return values.merge({ ...Object.fromEntries(fields.map((field) => [field.name, next[field.name] ?? field.default])), concepts: rest });
}

// The one that it is for takes what is told where it has no pictures, else the first without pictures, else a new one.
export function fillOrAdd(told, chosen = null) {
    const isEmpty = (scope) => !scope.get("image_dir") && !scope.upload;
    const empty = chosen && isEmpty(chosen) ? chosen : scopes().find(isEmpty);
    if (!empty) return add(told);
    for (const [field, value] of Object.entries(told)) if (field !== "id") empty.set(field, value);
    return empty;
}

// Pictures have arrived for a concept: in which upload, and where their captions are.
export function took(id, answer, files) {
    const scope = scopeOf(id); // concepts may come and go meanwhile
    if (!scope) return;
    const hasEnding = (ending) => files.some((one) => one.name.toLowerCase().endsWith(ending));
    if (hasEnding(".caption") && !hasEnding(".txt")) scope.set("caption_source", "caption");
    scope.upload = answer.id;
    scope.set("image_dir", answer.folder);
}
