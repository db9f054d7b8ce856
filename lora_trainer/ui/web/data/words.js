// A caption as text and as pieces: tags between commas, and the marker that keeps those before it in their place.
export const MARKER = "|||";

// What is typed as several tags: the full-width comma of Korean, Chinese and Japanese keyboards divides them, too.
export const typedTags = (text) => text.split(/[,\uff0c]/).map((tag) => tag.trim()).filter(Boolean);

// The line that is trained: the first that holds anything.
export const firstLine = (text) => (text || "").split("\n").find((line) => line.trim()) || "";

// A caption for a place with room for one line: of several, any of which is trained, the first.
export const oneLine = (text) => ((text || "").trim().includes("\n") ? `${firstLine(text)} …` : text || "");

// Whether a caption reads as sentences, whose chips would be pieces of them.
export const isProse = (text) => /[.!?]["”)]?\s+\S/.test(firstLine(text)) || (!firstLine(text).includes(",") && firstLine(text).split(/\s+/).length > 6);

// The pieces of the first line, in order; the marker is one of its own.
export const pieces = (text) => firstLine(text).split(MARKER).flatMap((part, index) => [...(index ? [MARKER] : []), ...part.split(",").map((piece) => piece.trim()).filter(Boolean)]);

// The same pieces or others as a line: commas between tags, none beside a marker.
export const joined = (tags) => tags.reduce((line, tag) => (!line ? tag : tag === MARKER || line.endsWith(MARKER) ? `${line} ${tag}` : `${line}, ${tag}`), "");

// The caption with other pieces in its first line; its other lines stay as they are.
export function withPieces(text, tags) {
    const lines = (text || "").split("\n"), at = lines.findIndex((line) => line.trim());
    if (at < 0) return joined(tags) + (text ? text : "");
    const ending = lines[at].endsWith("\r") ? "\r" : "";
    lines[at] = joined(tags) + ending;
    return lines.join("\n");
}

// A condition of the filter for this tag.
export const termOf = (tag) => (/^[\p{L}\p{N}_-]+$/u.test(tag) ? `tag:${tag}` : `tag:"${tag.replace(/["\\]/g, "\\$&")}"`);

// The filter's conditions as they stand side by side (what is in brackets or quotation marks is one).
export const terms = (filter) => filter.match(/(?:"(?:\\.|[^"\\])*"|\((?:[^()]|\([^()]*\))*\)|[^\s"(])+/g) || [];

// The filter with this condition, without it where it has it, and never with the opposite.
export function toggled(filter, term, opposite) {
    const own = terms(filter), kept = own.filter((one) => one !== term && one !== opposite);
    if (own.includes(term)) return kept.join(" ");
    return [...(own.includes("OR") ? [`(${filter.trim()})`] : kept), term].join(" ");
}
