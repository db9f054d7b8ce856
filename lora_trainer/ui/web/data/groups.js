// Tags at hand: those used last, the most frequent ones, and the person's own groups. A press gives one to the chosen pictures, another
// takes it away; in a group whose tags exclude each other the others go. Groups are kept by this browser, for each data set.
import { fill, h } from "../base/elements.js";
import { recall, remember } from "../base/memory.js";
import { t } from "./texts.js";
import { typedTags } from "./words.js";

const RECENT = 14, FREQUENT = 24;

// "smile, hat": any of them. "front | side | back": one of them. A name may stand in front: "view: front | side".
export function parseGroups(text) {
    return text.split("\n").map((line) => {
        const [, name, rest] = /^(?:([^:,|]+):)?(.*)$/.exec(line);
        const isOneOf = rest.includes("|");
        return { name: (name || "").trim(), isOneOf, tags: isOneOf ? rest.split("|").map((tag) => tag.trim()).filter(Boolean) : typedTags(rest) };
    }).filter((group) => group.tags.length);
}

export function groupsPanel(signal, data) {
    const key = `data.groups.${data.id}`;
    let text = recall(key, ""), recent = recall("data.recent", []), frequent = [];
    const body = h("div", { class: "lt-stack" });
    const area = h("textarea", { class: "lt-input lt-data-code", id: "lt-data-groups", rows: "5", spellcheck: "false", placeholder: t("groups_placeholder"), value: text, oninput: () => { text = area.value; remember(key, text); show(); } });
    const element = h("div", { class: "lt-stack" }, body,
        h("details", { class: "lt-fold" }, h("summary", {}, t("groups_edit")), h("div", { class: "lt-stack" }, h("label", { for: area.id, class: "lt-help" }, t("groups_hint")), area)));

    // Of the chosen pictures that are known: whether all have the tag.
    const chosen = () => data.selection.ids.map((id) => data.rows.get(id)).filter(Boolean);
    const haveAll = (tag) => data.selection.size > 0 && chosen().length === data.selection.size && chosen().every((row) => row.tags?.includes(tag));

    async function press(tag, group) {
        if (!data.selection.size) return;
        if (haveAll(tag)) return void data.edit({ kind: "remove", tags: [tag] });
        const others = group?.isOneOf ? group.tags.filter((one) => one !== tag && chosen().some((row) => row.tags?.includes(one))) : [];
        if (others.length === 1 && chosen().every((row) => row.tags?.includes(others[0]))) return void data.edit({ kind: "rename", tag: others[0], to: tag }); // in its place, one step
        if (others.length && !(await data.edit({ kind: "remove", tags: others }))) return undefined;
        return void data.edit({ kind: "add", tags: [tag], at: "end" });
    }
    const section = (title, tags, group) => tags.length > 0 && h("section", {}, h("h3", {}, title), h("div", { class: "lt-data-chips" }, tags.map((tag) =>
        h("button", { type: "button", class: "lt-chip lt-data-quick", "aria-pressed": String(haveAll(tag)), onclick: () => press(tag, group) }, tag))));

    function show() {
        if (!element.isConnected) return;
        const groups = parseGroups(text);
        fill(body, !data.selection.size && h("p", { class: "lt-subdued" }, t("groups_none_chosen")),
            groups.map((group) => section(group.name || t(group.isOneOf ? "group_one" : "group_any"), group.tags, group)),
            section(t("recent_tags"), recent), section(t("frequent_tags"), frequent));
    }
    async function ask() {
        const answer = await data.tags({ filter: "", order: "count", limit: FREQUENT }).catch(() => null);
        if (!answer || signal.aborted) return;
        frequent = answer.tags.map((one) => one.tag);
        show();
    }
    data.watchUse(signal, (tags) => {
        recent = [...tags, ...recent.filter((tag) => !tags.includes(tag))].slice(0, RECENT);
        remember("data.recent", recent);
        show();
    });
    data.watch(signal, (what) => {
        if (what === "tags" && element.isConnected) ask();
        else if (["selection", "rows"].includes(what)) show();
    });
    return { element, show: () => { show(); ask(); } };
}
