// One change of many captions: chosen, looked at before and after, then done as one step that can be undone.
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { formatNumber } from "../base/numbers.js";
import { debounce } from "../base/timing.js";
import { differing } from "./difference.js";
import { segments } from "./parts.js";
import { t } from "./texts.js";
import { typedTags } from "./words.js";

// What each kind of edit asks for: fields as [name, kind of control, value at first]. The host describes their meaning (docs/api.md).
const KINDS = {
    add: [["tags", "tags", ""], ["at", "place", "end"]],
    remove: [["tags", "tags", ""]],
    rename: [["tag", "text", ""], ["to", "text", ""]],
    replace: [["find", "text", ""], ["with", "text", ""], ["ignore_case", "toggle", false]],
    regex: [["pattern", "code", ""], ["replacement", "code", ""], ["ignore_case", "toggle", false]],
    prefix: [["text", "text", ""]],
    suffix: [["text", "text", ""]],
    sort: [["keep_tokens", "number", 0], ["descending", "toggle", false]],
    deduplicate: [],
    keep_tokens: [["count", "number", 1]],
    case: [["to", ["lower", "upper"], "lower"]],
    underscores: [["to", ["spaces", "underscores"], "spaces"]],
    tidy: [],
    encoding: [],
};
const NEEDED = ["tags", "tag", "find", "pattern", "text"]; // nothing is asked while one of these is empty

export function bulkPanel(signal, data) {
    let kind = "add", scope = "chosen", question = 0, given = {};
    const kinds = h("select", { class: "lt-input", id: "lt-data-kind", onchange: () => choose(kinds.value) }, Object.keys(KINDS).map((name) => h("option", { value: name }, t("edit_" + name))));
    const fields = h("div", { class: "lt-stack" });
    const result = h("div", { class: "lt-stack", "aria-live": "polite" });
    const button = h("button", { type: "submit", class: "lt-btn lt-btn-primary", disabled: true }, t("apply"));
    const scopes = segments("lt-data-scope", t("scope"), [["chosen", t("scope_chosen")], ["shown", t("scope_shown")]], (name) => { scope = name; look(); });
    const element = h("form", { class: "lt-data-one lt-data-bulk", novalidate: true, onsubmit: (event) => { event.preventDefault(); apply(); } },
        h("div", { class: "lt-field" }, h("div", { class: "lt-field-head" }, h("label", { for: kinds.id }, t("edit_kind"))), kinds), fields,
        h("div", { class: "lt-row" }, scopes.element), h("div", { class: "lt-row" }, button), result);

    const ids = () => (scope === "chosen" ? data.selection.ids : data.ids);
    const edit = () => ({ kind, ...Object.fromEntries(KINDS[kind].map(([name, control]) => [name, read(control, given[name])])) });
    const read = (control, value) => (control === "tags" ? typedTags(value) : control === "number" ? Number(value) : control === "place" && /^\d+$/.test(value) ? Number(value) : value);
    // The field that is to hold a whole number and does not.
    const wrongNumber = () => KINDS[kind].find(([name, control]) => (control === "number" && !/^\d{1,6}$/.test(String(given[name]).trim())) || (control === "place" && given[name] === ""));
    const isReady = () => KINDS[kind].every(([name]) => !NEEDED.includes(name) || String(given[name]).trim());

    function choose(name) {
        kind = name;
        kinds.value = name;
        given = Object.fromEntries(KINDS[kind].map(([field, , value]) => [field, value]));
        fill(fields, KINDS[kind].map(control), h("p", { class: "lt-help" }, t(`about_${kind}`)));
        look();
    }
    function control([name, type]) {
        const id = `lt-data-edit-${name}`, put = (value) => { given[name] = value; button.disabled = true; lookSoon(); }; // nothing is done that was not looked at
        if (type === "toggle") return h("label", { class: "lt-check" }, h("input", { type: "checkbox", id, onchange: (event) => put(event.target.checked) }), t(`field_${name}`));
        if (Array.isArray(type)) return labeled(id, `field_${kind}`, h("select", { class: "lt-input", id, onchange: (event) => put(event.target.value) }, type.map((value) => h("option", { value }, t(`choice_${value}`)))));
        if (type === "place") return labeled(id, "field_at", place(id, put));
        return labeled(id, `field_${name}`, h("input", { type: "text", id, class: `lt-input${type === "code" ? " lt-data-code" : ""}`, autocomplete: "off", spellcheck: "false", inputmode: type === "number" ? "numeric" : null, value: given[name], oninput: (event) => put(event.target.value) }));
    }
    // Where tags are added: at an end, at a number, behind another tag.
    function place(id, put) {
        const more = h("input", { type: "text", class: "lt-input", autocomplete: "off", hidden: true, "aria-label": t("field_at_more"), oninput: () => send() });
        const choice = h("select", { class: "lt-input", id, onchange: () => send() }, ["end", "start", "index", "after"].map((value) => h("option", { value }, t(`place_${value}`))));
        const send = () => {
            more.hidden = !["index", "after"].includes(choice.value);
            put(choice.value === "after" ? `after:${more.value.trim()}` : choice.value === "index" ? (/^[1-9]\d{0,5}$/.test(more.value.trim()) ? String(more.value - 1) : "") : choice.value);
        };
        return h("div", { class: "lt-beside" }, choice, more);
    }
    const labeled = (id, text, input) => h("div", { class: "lt-field" }, h("div", { class: "lt-field-head" }, h("label", { for: id }, t(text))), input);

    const lookSoon = debounce(250, () => look());
    async function look() {
        const mine = ++question, those = ids();
        scopes.element.title = t("scope_counts", { chosen: formatNumber(data.selection.size), shown: formatNumber(data.ids.length) });
        button.disabled = true;
        button.textContent = t("apply");
        const wrong = wrongNumber();
        if (wrong) return void fill(result, h("p", { class: "lt-wrong", role: "alert" }, t("number_wanted", { x: t(`field_${wrong[0]}`) })));
        if (!element.isConnected || !isReady() || !those.length) return void fill(result, h("p", { class: "lt-subdued" }, t(those.length ? "preview_waits" : "preview_none_chosen")));
        try {
            const answer = await data.preview(edit(), those);
            if (mine === question && !signal.aborted) tellPreview(answer);
        } catch (error) {
            if (mine === question) fill(result, h("p", { class: "lt-wrong", role: "alert" }, error.message));
        }
        return undefined;
    }
    function tellPreview({ changed, of, examples }) {
        button.disabled = !changed;
        button.textContent = changed ? t("apply_to", { x: formatNumber(changed) }) : t("apply");
        fill(result, h("h3", {}, t("preview_count", { x: formatNumber(changed), of: formatNumber(of) })), examples.map((one) => h("div", { class: "lt-data-preview" }, h("small", {}, data.rows.get(one.id)?.name || ""), differing(one.before ?? "", one.after ?? ""))));
    }
    const apply = () => busy(button, async () => {
        if (button.disabled) return;
        await data.edit(edit(), ids());
        await look();
    });
    data.watch(signal, (what) => ["selection", "pictures"].includes(what) && element.isConnected && lookSoon());
    scopes.show(scope);
    choose(kind);
    return { element, show: look, focus: () => kinds.focus() };
}
