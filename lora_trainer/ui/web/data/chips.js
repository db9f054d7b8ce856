// A caption's tags as chips in their order: dragged or moved with Alt and the arrows, taken away with Delete, written anew with Enter.
import { fill, h } from "../base/elements.js";
import { icon } from "../base/icons.js";
import { suggestInput } from "./suggest.js";
import { t } from "./texts.js";
import { typedTags } from "./words.js";

// `change(tags)` hears of another list, `ask(text)` gives suggestions, `isCut(index)` says which the model does not read.
// Returns {element, show(tags), focus(), leave()}.
export function chipEditor({ change, ask, isCut = () => false, isOrdered = true, added = () => {} }) {
    let tags = [], dragged = null, isWriting = false, news = null; // news: tags that came while a chip was being written anew
    const list = h("ul", { class: "lt-data-chips", "aria-label": t("tags") });
    const adder = suggestInput({
        label: t("add_tag"), placeholder: t("add_tag"), ask,
        take: (tag) => { put([...tags.filter((one) => one !== tag), tag]); added(tag); },
        onkeydown: (event) => {
            if (adder.input.value || !["Backspace", "ArrowLeft"].includes(event.key) || !tags.length) return;
            event.preventDefault();
            hold(tags.length - 1);
        },
    });
    const element = h("div", { class: "lt-data-chip-editor" }, list, adder.element);

    function put(next) {
        tags = next;
        show();
        change([...next]);
    }
    const hold = (index) => list.children[Math.min(index, tags.length - 1)]?.querySelector("button")?.focus();
    function move(from, to) {
        if (to < 0 || to >= tags.length || from === to) return;
        const next = [...tags];
        next.splice(to, 0, ...next.splice(from, 1));
        put(next);
        hold(to);
    }
    function remove(index) {
        put(tags.filter((_, at) => at !== index));
        if (tags.length) hold(index);
        else adder.input.focus();
    }
    function rename(index) {
        const input = h("input", { type: "text", class: "lt-input lt-data-chip-input", value: tags[index], "aria-label": t("rename_tag", { x: tags[index] }), size: Math.max(6, tags[index].length) });
        const was = tags[index];
        isWriting = true;
        const end = (isTaken) => {
            if (!isWriting) return;
            isWriting = false;
            [tags, news] = [news || tags, null];
            const at = tags[index] === was ? index : tags.indexOf(was), value = typedTags(input.value);
            if (isTaken && at >= 0 && value.join() !== was) put(tags.toSpliced(at, 1, ...value));
            else show();
            hold(Math.max(0, at));
        };
        input.addEventListener("keydown", (event) => {
            event.stopPropagation();
            if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
            event.preventDefault();
            end(event.key === "Enter");
        });
        input.addEventListener("blur", () => end(true));
        fill(list.children[index], input);
        input.focus();
        input.select();
    }
    function walk(event, index) {
        const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
        if (by && event.altKey && isOrdered) move(index, index + by);
        else if (by && !event.ctrlKey && !event.metaKey && !event.shiftKey) index + by >= tags.length ? adder.input.focus() : hold(Math.max(0, index + by));
        else if (["Delete", "Backspace"].includes(event.key)) remove(index);
        else if (event.key === "Enter" && isOrdered) rename(index);
        else return;
        event.preventDefault();
        event.stopPropagation();
    }

    function chip(tag, index) {
        const item = h("li", { class: `lt-data-chip${isCut(index) ? " lt-data-cut" : ""}`, draggable: isOrdered ? "true" : null, title: isCut(index) ? t("cut_tag") : null },
            h("button", { type: "button", "data-at": index, onkeydown: (event) => walk(event, index), ondblclick: () => isOrdered && rename(index) }, tag),
            h("button", { type: "button", class: "lt-data-chip-remove", tabindex: "-1", "aria-label": t("remove_tag", { x: tag }), onclick: () => remove(index) }, icon("close")));
        item.addEventListener("dragstart", (event) => {
            dragged = index;
            event.dataTransfer.effectAllowed = "move";
            event.dataTransfer.setData("text/plain", tag);
            item.classList.add("lt-data-dragged");
        });
        item.addEventListener("dragend", () => { dragged = null; show(); });
        item.addEventListener("dragover", (event) => {
            if (dragged === null) return;
            event.preventDefault();
            const box = item.getBoundingClientRect(), isAfter = event.clientX > box.left + box.width / 2;
            for (const one of list.children) one.classList.remove("lt-data-before-it", "lt-data-after-it");
            item.classList.add(isAfter ? "lt-data-after-it" : "lt-data-before-it");
        });
        item.addEventListener("drop", (event) => {
            if (dragged === null) return;
            event.preventDefault();
            event.stopPropagation();
            const place = index + (item.classList.contains("lt-data-after-it") ? 1 : 0), from = dragged;
            dragged = null;
            move(from, place > from ? place - 1 : place);
            show();
        });
        return item;
    }
    function show() {
        fill(list, tags.map(chip));
    }
    return { element, show(next) {
            if (isWriting) news = [...next];
            else {
                tags = [...next];
                show();
            }
        }, focus: () => adder.input.focus(), leave: adder.leave };
}
