// A list whose members come, go and change: what is drawn for an item stays in the page while the item stays the same.
import { keepFocus } from "./elements.js";

// draw(items) for the children of `element`. `keyOf(item)` names an item, `make(item)` gives its element from what JSON tells
// of it; functions and what they close over must not change meanwhile.
export function keyed(element, keyOf, make) {
    let drawn = new Map(); // key -> {text, child}
    return (items) => {
        const next = new Map();
        for (const item of items) {
            const key = keyOf(item), text = JSON.stringify(item), before = drawn.get(key);
            next.set(key, before?.text === text ? before : { text, child: make(item) });
        }
        drawn = next;
        keepFocus(element, () => place(element, [...next.values()].map(({ child }) => child)));
    };
}

// Puts the children in their order; those that stand right already are not touched.
function place(element, children) {
    const wanted = new Set(children);
    for (const child of [...element.childNodes]) if (!wanted.has(child)) child.remove();
    let at = element.firstChild;
    for (const child of children) {
        if (child === at) at = at.nextSibling;
        else element.insertBefore(child, at);
    }
}
