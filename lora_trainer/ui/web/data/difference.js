// Two texts as one, with what is taken away struck through and what is new marked.
import { h } from "../base/elements.js";

const MOST = 400; // pieces of a text that are compared with each other: longer ones are shown as a whole

// Tags with their commas, or words: what a reader compares.
const piecesOf = (text) => text.match(/\n|[^\s,]+|,|[^\S\n]+/g) || [];

export function differing(before, after) {
    const [old, now] = [piecesOf(before), piecesOf(after)];
    if (old.length > MOST || now.length > MOST) return h("p", {}, h("del", {}, before), h("ins", {}, after));
    // The longest common subsequence (Wagner and Fischer, 1974), from the ends.
    const common = Array.from({ length: old.length + 1 }, () => new Uint16Array(now.length + 1));
    for (let i = old.length - 1; i >= 0; i--)
        for (let j = now.length - 1; j >= 0; j--) common[i][j] = old[i] === now[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    const parts = []; // [kind, text]
    const add = (kind, text) => (parts.at(-1)?.[0] === kind ? (parts.at(-1)[1] += text) : parts.push([kind, text]));
    let i = 0, j = 0;
    while (i < old.length || j < now.length) {
        if (i < old.length && j < now.length && old[i] === now[j]) { add("span", old[i]); i += 1; j += 1; }
        else if (i < old.length && (j >= now.length || common[i + 1][j] >= common[i][j + 1])) add("del", old[i++]);
        else add("ins", now[j++]);
    }
    return h("p", {}, parts.map(([kind, text]) => h(kind, {}, text)));
}
