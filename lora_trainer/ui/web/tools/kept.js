// What was typed into the forms of tools: kept over a visit of other views and over a reload of the page ("Reload UI").
import { recall, remember } from "../base/memory.js";

const KEY = "tools.kept";
const forms = new Map(); // name -> form

const isAlike = (one, other) => other === null || other === undefined || (typeof one === typeof other && Array.isArray(one) === Array.isArray(other));

// The form {values, ...} called `name`, which begins as `start`; `keep(name)` is called when something in it was changed. Of an
// earlier page's (it may have been of another version) what fits is taken over.
export function keptForm(name, start) {
    if (!forms.has(name)) {
        const before = recall(KEY, {})[name] || {};
        const values = Object.fromEntries(Object.entries(start.values).map(([field, value]) => [field, isAlike(before.values?.[field] ?? null, value) ? before.values?.[field] ?? value : value]));
        forms.set(name, { ...start, ...("output" in start ? { output: before.output ?? start.output } : {}), values });
    }
    return forms.get(name);
}

export const keep = (name) => remember(KEY, { ...recall(KEY, {}), [name]: forms.get(name) });

// A result has been written. A name that the person typed stays theirs; that it may be overwritten was said for this once.
export function usedUp(name) {
    const form = forms.get(name);
    if (!form) return;
    form.overwrite = false;
    keep(name);
}
