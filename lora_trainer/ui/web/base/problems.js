// What the host says is wrong, as sentences: {field, level, message, advice, where}.
import { withUploads } from "./folders.js";

// Words that a sentence behind a place begins with; a file may be called `a.png` or `a b.png`, and is not renamed.
const BEGINS = /^(a|an|all|at|each|every|images|in|it|its|no|none|not|nothing|one|some|the|there|these|this|what) (?![^:]*\.\w{1,11}: )/;
export const sentence = (text) => withUploads(BEGINS.test(text || "") ? text[0].toUpperCase() + text.slice(1) : text || "");

// A problem's message at a field or in a list: the file it is about by its name, where it is about one (the folder is the
// field's), so that one of thirty captions can be found.
export const bare = (problem) => (problem.where && problem.message?.startsWith(`${problem.where}: `) ? problem.message.slice(problem.where.length + 2) : problem.message || "");
export function told(problem) {
    const file = /[^\\/]+\.\w{2,11}(:\d+)?$/.exec(problem.where || "")?.[0];
    return file ? `${file}: ${bare(problem)}` : sentence(problem.message);
}
