// What belongs to a concept has a dotted name, as the host says it: "concepts.0.image_dir", "settings.keep_tokens". No drawing here.
export const isDotted = (name) => name.includes(".");
export const plainOf = (name) => name.split(".").at(-1);

// The value at a path of keys, undefined where there is none.
export const read = (inside, path) => path.reduce((held, key) => held?.[key], inside);

// A copy with `value` at the path; undefined takes it away, and a table of settings that is empty then.
export function written(inside, [key, ...path], value) {
    const copy = Array.isArray(inside) ? [...inside] : { ...inside };
    const next = path.length ? written(copy[key], path, value) : value;
    if (next === undefined || (key === "settings" && !Object.keys(next).length)) delete copy[key];
    else copy[key] = next;
    return copy;
}
