// What the host says is wrong, as sentences: {field, level, message, advice, where}.
import { withUploads } from "./folders.js";

export const sentence = (text) => withUploads(/^(a|an|all|at|each|every|it|no|one|the|there|this)\b/.test(text || "") ? text[0].toUpperCase() + text.slice(1) : text || "");

// A problem's message at a field or in a list: the file it is about by its name, where it is about one (the folder is the
// field's), so that one of thirty captions can be found.
export const bare = (problem) => (problem.where && problem.message?.startsWith(`${problem.where}: `) ? problem.message.slice(problem.where.length + 2) : problem.message || "");
export function told(problem) {
    const file = /[^\\/]+\.\w{2,11}(:\d+)?$/.exec(problem.where || "")?.[0];
    return file ? `${file}: ${bare(problem)}` : sentence(problem.message);
}
