// A card of the form: a step, or a part of it.
import { h } from "../base/elements.js";

export const card = (number, title, hint, ...children) =>
    h("section", { class: "lt-card" }, h("header", { class: "lt-card-head" }, number && h("span", { class: "lt-number" }, number), h("div", {}, h("h2", {}, title), hint && h("p", {}, hint))), children);
