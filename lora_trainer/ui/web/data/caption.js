// The caption of one picture: its tags as chips, or the text as it is, several lines too. It is saved by itself: a while after the last
// letter, when the line is left, and before another picture is shown.
import { fill, h, set } from "../base/elements.js";
import { recall, remember } from "../base/memory.js";
import { chipEditor } from "./chips.js";
import { segments } from "./parts.js";
import { t } from "./texts.js";
import { firstLine, isProse, pieces, withPieces } from "./words.js";

const REST = 900; // milliseconds without a letter until it is saved
const LIMIT = 75; // tokens that a text encoder reads at once

// `save(base, text)` keeps what was written in place of the caption of the row `base`, and gives a promise of its end. Returns {element, show(row), flush(), leave(), focus(kind)}.
export function captionEditor({ save, ask, used }) {
    let row = null, given = null, base = null, timer = 0, mode = recall("data.mode", "auto"), isDirty = false;
    const area = h("textarea", { class: "lt-input lt-data-text", spellcheck: "true", "aria-label": t("caption"), placeholder: t("caption_placeholder") });
    const chips = chipEditor({ ask, added: (tag) => used([tag]), isCut: (index) => isCutAt(index), change: (tags) => keep(withPieces(row.caption || "", tags)) });
    const choice = segments("lt-data-mode", t("caption"), [["tags", t("tags")], ["text", t("text")]], (name) => {
        flush();
        mode = name;
        remember("data.mode", mode);
        showMode();
    });
    const sending = new Map(); // what is on its way, by picture: rows of before it do not take it out of the hands again
    const more = h("p", { class: "lt-data-lines" });
    const count = h("span", { class: "lt-data-tokens" });
    const meter = h("i");
    const under = h("div", { class: "lt-data-under" }, count, h("span", { class: "lt-data-meter" }, meter));
    const lost = h("p", { class: "lt-data-lost", hidden: true });
    const element = h("div", { class: "lt-stack lt-data-caption" }, choice.element, area, chips.element, more, under, lost);

    const isText = () => mode === "text" || (mode === "auto" && isProse(row?.caption));
    // Whether the model reads no more of this chip: what is not read is the end of the first line.
    const isCutAt = (index) => {
        if (!row?.unread) return false;
        const squeezed = (text) => text.split(/\s+/).join(" ").trim();
        const end = squeezed(pieces(row.caption).slice(0, index + 1).join(", ")).length;
        return end > squeezed(firstLine(row.caption)).length - row.unread.length;
    };

    function showMode() {
        const text = isText();
        choice.show(text ? "text" : "tags");
        area.hidden = !text;
        chips.element.hidden = text;
        const rest = (row?.caption || "").trim().split("\n").slice(1).join("\n").trim();
        more.hidden = text || !rest;
        more.textContent = rest;
    }
    function flush() {
        clearTimeout(timer);
        if (!isDirty) return;
        isDirty = false;
        keep(area.value, base);
    }
    // Another picture comes next: a tag that was typed and not entered belongs to this one.
    function leave() {
        chips.leave();
        flush();
    }
    // What was written counts as the caption from here on, so that what is written next starts from it.
    function keep(text, from = row) {
        if (text === (from.caption ?? "")) return;
        const mine = { caption: text, version: from.version };
        row = { ...row, ...mine };
        sending.set(from.id, mine);
        save(from, text).finally(() => {
            if (sending.get(from.id) !== mine) return; // more was written meanwhile
            sending.delete(from.id);
            if (given.id === from.id) show(given);
        });
    }
    area.addEventListener("input", () => {
        if (!isDirty) base = row;
        isDirty = true;
        clearTimeout(timer);
        timer = setTimeout(flush, REST);
    });
    area.addEventListener("blur", flush);

    function showTokens() {
        const share = (row.tokens || 0) / LIMIT;
        set(under, "class", `lt-data-under${share > 1 ? " lt-data-over" : ""}`);
        count.textContent = t("tokens", { x: row.tokens ?? 0, limit: LIMIT });
        meter.style.width = `${Math.min(100, share * 100)}%`;
        lost.hidden = !row.unread;
        if (row.unread) fill(lost, t("cut_here"), " ", h("s", {}, row.unread));
    }

    let drawn = "";
    function show(next) {
        const isOther = next.id !== row?.id;
        if (isOther && row) leave();
        given = next;
        row = { ...next, ...sending.get(next.id) };
        area.disabled = Boolean(row.caption_problem);
        if (!isDirty && area.value !== (row.caption || "")) area.value = row.caption || "";
        const text = JSON.stringify([row.id, row.caption, row.unread]);
        if (text !== drawn) chips.show(pieces(row.caption || ""));
        drawn = text;
        if (isOther || document.activeElement !== area) showMode();
        showTokens();
    }
    return {
        element,
        flush,
        leave,
        show,
        focus(kind) {
            if (kind === "tag" && isText()) {
                mode = "tags";
                showMode();
            }
            if (isText()) {
                area.focus();
                area.setSelectionRange(area.value.length, area.value.length);
            } else chips.focus();
        },
    };
}
