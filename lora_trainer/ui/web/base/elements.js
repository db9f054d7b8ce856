// Building the page: elements, what is written into them, and the keyboard's focus while they are drawn anew.

// h("button", {class: "lt-btn", onclick: f, disabled: true, "aria-label": "x"}, child, [children], "text")
export function h(tag, properties, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(properties || {})) set(element, key, value);
    element.append(...shown(children));
    return element;
}

const shown = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

export function set(element, key, value) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else if (["value", "checked", "disabled", "hidden", "textContent", "indeterminate"].includes(key)) element[key] = value;
    else if (value === null || value === undefined || value === false) element.removeAttribute(key);
    else element.setAttribute(key, value === true ? "" : String(value));
}

export function fill(element, ...children) {
    keepFocus(element, () => element.replaceChildren(...shown(children)));
    return element;
}

// Drawing anew does not take the keyboard's focus away: it goes to what stands for the same thing now, else to the place.
export function keepFocus(element, draw) {
    const focused = document.activeElement, had = element !== focused && element.contains(focused);
    const [name, at] = had ? identity(element, focused) : [];
    draw();
    if (had && document.activeElement !== focused) focusOn(focused.isConnected ? focused : find(element, name, at) || element);
}

// Focus for what cannot be reached by the Tab key as well, without moving the page.
export function focusOn(element) {
    if (element.tabIndex < 0) {
        element.tabIndex = -1;
        element.classList.add("lt-held");
    }
    element.focus({ preventScroll: true });
}

// What an element is called across two drawings, and the how manieth of that name it is.
const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";
const nameOf = (element) => element.id || `${element.tagName} ${element.getAttribute("href") || element.getAttribute("aria-label") || element.textContent}`;
const called = (element, name) => [...element.querySelectorAll(FOCUSABLE)].filter((one) => nameOf(one) === name);
function identity(element, focused) {
    const name = nameOf(focused);
    return [name, called(element, name).indexOf(focused)];
}
const find = (element, name, at) => called(element, name).filter((one) => !one.disabled)[at];

// A file to choose from; one that is broken is marked, and says why.
export const fileOption = (value, label, problem) => h("option", { value, title: problem || null }, problem ? `\u26a0 ${label}` : label);
