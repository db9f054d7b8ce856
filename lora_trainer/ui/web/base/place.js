// Where one is: the address of a view, and of one thing in it, is in the URL's hash (#lora-runs, #lora-run=ID, #lora-data=ID;
// none: the first view).
import { listeners } from "./listeners.js";

const moves = listeners();
export const watchMoves = moves.watch;
export const redraw = () => moves.tell();

const ONES = { run: "runs", data: "data" }; // what the address calls one thing of a view -> that view

// {view, id}: names, "" where the address says nothing.
export function place() {
    const hash = decodeURIComponent(location.hash.slice(1));
    const [, one, id] = /^lora-(\w+)=(.*)$/s.exec(hash) || [];
    if (one in ONES) return { view: ONES[one], id };
    return { view: hash.startsWith("lora-") ? hash.slice("lora-".length) : "", id: "" };
}

export function go(view, id = "") {
    const one = Object.keys(ONES).find((name) => ONES[name] === view);
    const hash = id ? `#lora-${one}=${encodeURIComponent(id)}` : view === "train" ? "" : `#lora-${view}`;
    if (location.hash !== hash) history.pushState(null, "", location.pathname + location.search + hash);
    moves.tell();
}
