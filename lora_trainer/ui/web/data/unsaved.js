// Captions that were written and are not saved yet, and masks that could not be. This browser keeps them: the page may be loaded
// anew before the host has them ("Reload UI"), or before one has chosen between them and what changed on the disk.
import { recall, remember } from "../base/memory.js";

const KEY = "data.unsaved", MASKS = "data.masks";
const known = new Set(); // what this very page has in hand: on its way, or held
const nameOf = ({ dataset, id, text }) => JSON.stringify([dataset, id, text]);
const all = () => recall(KEY, []);

// Keeps what was written in place of the caption of the row `base`, instead of what was written there before.
export function keepUnsaved(dataset, base, text) {
    const mine = { dataset, id: base.id, caption: base.caption, version: base.version, text };
    known.add(nameOf(mine));
    remember(KEY, [...all().filter((one) => one.dataset !== dataset || one.id !== base.id), mine]);
}

// It is saved, or put away: {dataset, id, text}.
export function forget(one) {
    known.delete(nameOf(one));
    const kept = all(), others = kept.filter((other) => nameOf(other) !== nameOf(one));
    if (others.length < kept.length) remember(KEY, others);
}

// What an earlier page could not save of this data set: [{dataset, id, caption, version, text}].
export const unsaved = (dataset) => all().filter((one) => one.dataset === dataset && !known.has(nameOf(one)));

// The data set is shown as its copy from here on: what was written in it belongs to the copy.
export function unsavedMoved(from, to) {
    const kept = all();
    if (!kept.some((one) => one.dataset === from)) return;
    const moved = kept.map((one) => (one.dataset === from ? { ...one, dataset: to } : one));
    for (const one of moved) if (one.dataset === to) known.add(nameOf(one));
    remember(KEY, moved);
}

// The masks among what is held of a data set (see held.js), kept as they are held; and those that an earlier page left.
export function keepMasks(dataset, held) {
    const { [dataset]: _, ...others } = recall(MASKS, {}), masks = held.filter((one) => one.body.edit?.kind === "mask");
    remember(MASKS, masks.length ? { ...others, [dataset]: masks } : others);
}
export const keptMasks = (dataset) => recall(MASKS, {})[dataset] || [];
