// The entries of network_args, read and written one by one. Entries that this file does not know stay as they are.
import { h } from "../../base/elements.js";
import { values } from "../values.js";

const FIELD = "network_args";
export const MODULE = "network_module";
export const RANK = "network_dim";
export const ALPHA = "network_alpha";
export const CONV = ["conv_dim", "conv_alpha", "conv_block_dims", "conv_block_alphas"];

const all = () => values.get(FIELD) || [];
const nameOf = (entry) => entry.split("=", 1)[0].trim();
// The text of an entry, or null where it is not given.
export function read(name) {
    const found = all().find((one) => one.includes("=") && nameOf(one) === name);
    return found === undefined ? null : found.slice(found.indexOf("=") + 1).trim();
}
// {name: text, or null to take the entry out}. An entry keeps its place, a new one comes last.
export function write(changes) {
    const left = new Map(Object.entries(changes));
    const entries = all().flatMap((one) => {
        const name = nameOf(one);
        if (!(name in changes)) return [one];
        const text = left.get(name) ?? null; // of an entry that stood there twice, the first remains
        left.delete(name);
        return text === null ? [] : [`${name}=${text}`];
    });
    for (const [name, text] of left) if (text !== null) entries.push(`${name}=${text}`);
    values.set(FIELD, entries.length ? entries : null);
}
// A text as a number from 0 on, or null; a number as a text without needless digits.
export const number = (text) => (/^\s*\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : null);
export const short = (value, digits = 4) => String(Number(value.toFixed(digits)));
// The parts of the editor that the chosen kind of network has, as the host says.
let kinds = {}; // name -> [parts]
export const useKinds = (table) => { kinds = table; };
export const has = (part) => (kinds[values.get(MODULE)] || []).includes(part);
export const isDyLoRA = () => has("unit");
export const isConv = () => CONV.some((name) => read(name) !== null);
export const labelled = (text, input) => h("div", { class: "lt-network-number" }, h("label", { for: input.id }, text), input);

// A DyLoRA has one rank for all, and `unit` is its own: the entries follow the fields they depend on.
export function networkFollow(name) {
    if (name === MODULE && !isDyLoRA() && read("unit") !== null) write({ unit: null });
    const rank = String(values.get(RANK));
    if (["", MODULE, RANK].includes(name) && isDyLoRA() && read("conv_dim") !== null && read("conv_dim") !== rank) write({ conv_dim: rank });
}
