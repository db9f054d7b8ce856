// Beside the pictures: the chosen one large with its caption, or what several of them have in common.
import { busy } from "../base/dialogs.js";
import { fill, h, set } from "../base/elements.js";
import { urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { report } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { showPicture } from "../base/pictures.js";
import { sentence } from "../base/problems.js";
import { debounce } from "../base/timing.js";
import { captionEditor } from "./caption.js";
import { chipEditor } from "./chips.js";
import { starButtons } from "./parts.js";
import { t } from "./texts.js";

const MOST_LOOKED_AT = 1000; // pictures whose tags are compared with each other

// `openTool(name, id)` opens what is done to one picture ("crop", "mask").
export function captionPanel(signal, data, openTool) {
    const one = onePicture(data, openTool), many = severalPictures(data);
    const none = h("div", { class: "lt-empty" }, icon("person"), h("strong", {}, t("nothing_chosen")), h("p", {}, t("nothing_chosen_hint")));
    const element = h("div", { class: "lt-data-caption-panel" });
    let shown = null;

    function show() {
        const { size, cursor } = data.selection;
        if (size !== 1 || data.selection.ids[0] !== one.id) one.leave();
        if (shown === many && many.isOfOthers()) many.leave();
        const next = size === 0 ? none : size === 1 ? one : many;
        if (next !== none) next.show(size === 1 ? data.selection.ids[0] : cursor);
        if (shown === next) return;
        shown = next;
        fill(element, next.element || next);
    }
    data.watch(signal, (what) => ["selection", "rows", "pictures", "findings"].includes(what) && show());
    signal.addEventListener("abort", () => (shown === many ? many : one).leave());
    document.addEventListener("visibilitychange", () => document.hidden && one.flush(), { signal }); // the page may be closed next
    show();
    return { element, show, flush: one.flush, focus: (kind) => (shown === one ? one : shown === many ? many : null)?.focus(kind) };
}

function onePicture(data, openTool) {
    let id = null;
    const image = h("img", { alt: "" });
    const showSoon = debounce(70, (row) => { if (row.id === id) set(image, "src", urlOf(data.imageOf(row))); });
    const large = h("button", { type: "button", class: "lt-data-large", onclick: () => {
        const rows = data.ids.map((one) => data.rows.get(one)).filter((row) => row?.thumb); // those that are known: around where one is
        showPicture(rows.map((row) => ({ url: urlOf(data.imageOf(row)), name: row.name, caption: row.caption || "" })), rows.findIndex((row) => row.id === id));
    } }, image);
    const name = h("strong"), facts = h("span"), loss = h("span");
    const stars = starButtons(t("stars"), (count) => data.edit({ kind: "stars", count }));
    const out = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => data.edit({ kind: "leave_out", on: !data.rows.get(id).left_out }) });
    const crop = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => openTool("crop", id) }, t("crop"));
    const mask = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => openTool("mask", id) }, t("mask"));
    const findings = h("ul", { class: "lt-stack" });
    const again = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => busy(again, data.look) }, icon("reset"), t("look_again"));
    const caption = captionEditor({ save: data.write, ask: data.suggest, used: data.used });
    const element = h("div", { class: "lt-data-one" }, large,
        h("div", { class: "lt-data-facts" }, name, facts, loss), h("div", { class: "lt-row" }, stars.element, out, crop, mask), caption.element, findings);

    function show(next) {
        const isOther = id !== next;
        id = next;
        const row = data.rows.get(id);
        if (!row) return void data.load([id]).catch(() => {});
        if (isOther || image.dataset.of !== row.thumb) {
            image.dataset.of = row.thumb;
            set(image, "src", urlOf(row.thumb)); // there at once; the large one follows when the keys rest
            showSoon(row);
        }
        set(image, "alt", row.name);
        set(large, "aria-label", t("show_large", { x: row.name }));
        name.textContent = row.name;
        facts.textContent = row.width ? `${row.width} × ${row.height}${row.bucket ? ` → ${row.bucket.join(" × ")}` : ""}` : "";
        facts.title = row.bucket ? t("bucket_title") : "";
        loss.textContent = Number.isFinite(row.loss) ? t("loss_times", { x: row.loss.toFixed(2) }) : "";
        loss.title = Number.isFinite(row.loss) ? t("loss_title", { x: row.loss.toFixed(2) }) : "";
        stars.show(row.stars);
        out.textContent = t(row.left_out ? "take_in" : "leave_out");
        set(out, "aria-pressed", String(Boolean(row.left_out)));
        fill(findings, data.findingsOf(row).map((one) => h("li", { class: "lt-data-about", title: one.message }, icon("warning"), h("span", {}, sentence(one.message)))),
            data.isFoundBefore && row.findings.length > 0 && h("li", { class: "lt-row" }, h("span", { class: "lt-subdued" }, t("found_before")), again));
        caption.show(row);
        return undefined;
    }
    return { element, show, flush: caption.flush, leave: () => id !== null && caption.leave(), focus: caption.focus, get id() { return id; } };
}

// Several: how many, and the tags that all of them have. What is added or taken away is so for each of them, in one step.
function severalPictures(data) {
    let question = 0, common = [], of = []; // the pictures that are shown: a word typed for them is not for those that are chosen next
    const title = h("h2"), strip = h("div", { class: "lt-data-strip" });
    const all = chipEditor({ isOrdered: false, ask: data.suggest, change: (tags) => {
        const added = tags.filter((tag) => !common.includes(tag)), removed = common.filter((tag) => !tags.includes(tag));
        question += 1; // what was asked before this does not know of it
        common = tags;
        if (added.length) data.edit({ kind: "add", tags: added, at: "end" }, of);
        if (removed.length) data.edit({ kind: "remove", tags: removed }, of);
    } });
    const some = h("div", { class: "lt-data-chips" }), someHead = h("h3", {}, t("some_tags"));
    const stars = starButtons(t("stars"), (count) => data.edit({ kind: "stars", count }));
    const element = h("div", { class: "lt-data-one" }, title, strip,
        h("div", { class: "lt-row" }, stars.element,
            h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => data.edit({ kind: "leave_out", on: true }) }, t("leave_out")),
            h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => data.edit({ kind: "leave_out", on: false }) }, t("take_in"))),
        h("h3", {}, t("common_tags")), all.element, someHead, some);

    const ask = debounce(120, async () => {
        const mine = ++question, ids = data.selection.ids, isAll = ids.length === data.ids.length;
        const tags = await (isAll && !data.isStale ? data.tags({ filter: data.filter, order: "count" }).then((answer) => answer.tags) : counted(ids.slice(0, MOST_LOOKED_AT))).catch(report);
        if (!tags || mine !== question) return;
        const most = isAll ? ids.length : Math.min(ids.length, MOST_LOOKED_AT);
        common = tags.filter((one) => one.count === most).map((one) => one.tag);
        const others = tags.filter((one) => one.count < most).slice(0, 40);
        all.show(common);
        someHead.hidden = !others.length;
        fill(some, others.map((one) => h("span", { class: "lt-data-chip" },
            h("button", { type: "button", title: t("add_to_all", { x: one.tag }), onclick: () => data.edit({ kind: "add", tags: [one.tag], at: "end" }) }, one.tag, h("small", {}, formatNumber(one.count))))));
    });
    async function counted(ids) {
        await data.load(ids.filter((id) => !data.rows.has(id)));
        const counts = new Map();
        for (const id of ids) for (const tag of data.rows.get(id)?.tags || []) counts.set(tag, (counts.get(tag) || 0) + 1);
        return [...counts].map(([tag, count]) => ({ tag, count })).sort((a, b) => b.count - a.count);
    }
    let before = "";
    function show() {
        const ids = data.selection.ids;
        of = ids;
        title.textContent = t("chosen_count", { x: formatNumber(ids.length) });
        const text = `${ids.length} ${ids.slice(0, 8)} ${data.version}`;
        if (text === before) return;
        before = text;
        fill(strip, ids.slice(0, 8).map((id) => data.rows.get(id)).filter((row) => row?.thumb).map((row) => h("img", { src: urlOf(row.thumb), alt: row.name })));
        ask();
    }
    const isOfOthers = () => of.join() !== data.selection.ids.join();
    return { element, show, leave: all.leave, isOfOthers, focus: all.focus };
}
