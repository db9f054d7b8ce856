// The data set's own tags with how often each is used: a click shows the pictures that have one, with Shift those that lack it.
import { h, fill } from "../base/elements.js";
import { keyed } from "../base/keyed.js";
import { formatNumber } from "../base/numbers.js";
import { debounce } from "../base/timing.js";
import { t } from "./texts.js";
import { termOf, terms, toggled } from "./words.js";

const HEIGHT = 26; // pixels of a line; of thousands, those in sight are drawn

export function tagTable(signal, data, filter) {
    let tags = [], sorted = "count", wanted = "";
    const search = h("input", { type: "search", class: "lt-input", placeholder: t("find_tag"), "aria-label": t("find_tag"), oninput: () => { wanted = search.value.trim().toLowerCase(); show(); } });
    const order = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => { sorted = sorted === "count" ? "name" : "count"; show(); } });
    const list = h("div", { class: "lt-data-tag-list" });
    const scroll = h("div", { class: "lt-data-tag-scroll", tabindex: "-1", onscroll: () => place() }, list);
    const element = h("div", { class: "lt-data-tag-table" }, h("div", { class: "lt-row" }, search, order), scroll);
    const draw = keyed(list, (item) => item.tag, line);
    let shown = [];

    function line({ tag, count, share, isOn, isNot, top }) {
        return h("button", { type: "button", class: "lt-data-tag", style: `--lt-share:${share}%;position:absolute;left:0;top:${top}px`, "aria-pressed": String(isOn), title: t("tag_hint"), onclick: (event) => choose(tag, event.shiftKey) }, h("span", {}, isNot ? `${t("not")} ${tag}` : tag), h("small", {}, formatNumber(count)));
    }
    function choose(tag, isNot) {
        const term = termOf(tag), own = isNot ? `-${term}` : term;
        filter.put(toggled(data.filter, own, isNot ? term : `-${term}`));
    }
    function show() {
        order.textContent = t(sorted === "count" ? "by_count" : "by_name");
        shown = tags.filter((one) => !wanted || one.tag.toLowerCase().includes(wanted));
        if (sorted === "name") shown = [...shown].sort((a, b) => a.tag.localeCompare(b.tag));
        list.style.height = `${shown.length * HEIGHT}px`;
        place();
    }
    function place() {
        const first = Math.max(0, Math.floor(scroll.scrollTop / HEIGHT) - 3), last = first + Math.ceil((scroll.clientHeight || 600) / HEIGHT) + 6;
        const most = Math.max(1, ...tags.slice(0, 1).map((one) => one.count)), on = new Set(terms(data.filter));
        draw(shown.slice(first, last).map((one, index) => {
            const term = termOf(one.tag), isNot = on.has(`-${term}`);
            return { ...one, top: (first + index) * HEIGHT, share: Math.round((100 * one.count) / most), isOn: isNot || on.has(term), isNot };
        }));
        if (!shown.length) fill(list, h("p", { class: "lt-subdued" }, t(tags.length ? "no_such_tag" : "no_tags")));
    }
    const ask = debounce(150, async () => {
        if (signal.aborted) return;
        const answer = await data.tags({ filter: "", order: "count" }).catch(() => null);
        if (!answer) return;
        tags = answer.tags;
        show();
    });
    data.watch(signal, (what) => {
        if (what === "tags") ask();
        if (what === "pictures") place();
    });
    ask();
    return { element, show };
}
