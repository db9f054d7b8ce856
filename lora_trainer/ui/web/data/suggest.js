// A line that offers what is known as one types: a tag by any part of its name, with how often it is used.
import { h, fill, set } from "../base/elements.js";
import { report } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { debounce } from "../base/timing.js";

let made = 0; // so that ids are nobody else's

// `ask(text)` gives a promise of [{tag, count, alias}], `take(tag)` gets what was chosen or typed: also a word that stands there when
// the line is left. Returns {element, input, leave()}: `leave` is called before the line is about something else.
export function suggestInput({ label, placeholder, ask, take, onkeydown }) {
    const id = `lt-data-suggest-${++made}`;
    let offered = [], at = -1, question = 0;
    const list = h("ul", { class: "lt-data-suggestions", role: "listbox", id, "aria-label": label, hidden: true });
    const input = h("input", { type: "text", class: "lt-input", role: "combobox", autocomplete: "off", spellcheck: "false", "aria-label": label, placeholder, "aria-controls": id, "aria-expanded": "false", "aria-autocomplete": "list" });

    function show() {
        list.hidden = !offered.length;
        set(input, "aria-expanded", String(!list.hidden));
        set(input, "aria-activedescendant", at < 0 ? null : `${id}-${at}`);
        fill(list, offered.map((one, index) => h("li", { role: "option", id: `${id}-${index}`, "aria-selected": String(index === at), onmousedown: (event) => { event.preventDefault(); choose(one.tag); } },
            h("span", {}, one.tag, one.alias && h("small", {}, ` ← ${one.alias}`)), one.count > 0 && h("small", {}, formatNumber(one.count)))));
        list.children[at]?.scrollIntoView({ block: "nearest" });
    }
    function close() {
        question += 1;
        [offered, at] = [[], -1];
        show();
    }
    function choose(tag) {
        input.value = "";
        close();
        take(tag);
    }
    function leave() {
        const tag = input.value.trim();
        if (tag) choose(tag);
        else close();
    }
    const askSoon = debounce(120, async () => {
        const text = input.value.trim(), mine = ++question;
        if (!text) return close();
        try {
            const answer = await ask(text);
            if (mine !== question || document.activeElement !== input) return null;
            [offered, at] = [answer, -1];
            show();
        } catch (error) {
            report(error);
        }
        return null;
    });
    input.addEventListener("input", () => {
        const parts = input.value.split(/[,\uff0c]/);
        input.value = parts.pop().trimStart();
        for (const part of parts) if (part.trim()) take(part.trim());
        askSoon();
    });
    input.addEventListener("keydown", (event) => {
        if (event.isComposing) return; // Korean is still being put together
        if (["ArrowDown", "ArrowUp"].includes(event.key) && offered.length) {
            event.preventDefault();
            at = event.key === "ArrowDown" ? (at + 1) % offered.length : (at <= 0 ? offered.length : at) - 1;
            show();
        } else if (event.key === "Enter" || (event.key === "Tab" && at >= 0)) {
            const tag = offered[at]?.tag || input.value.trim();
            if (!tag) return;
            event.preventDefault();
            event.stopPropagation();
            choose(tag);
        } else if (event.key === "Escape" && !list.hidden) {
            event.preventDefault();
            event.stopPropagation();
            close();
        } else onkeydown?.(event);
    });
    // Another window only looks the same: the line has the focus again when one comes back.
    input.addEventListener("blur", () => (document.activeElement === input ? close() : leave()));
    return { element: h("div", { class: "lt-data-suggest" }, input, list), input, leave };
}
