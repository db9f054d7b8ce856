// Where one is: the address of a view, and of one thing in it, is in the URL's hash (#lora-runs, #lora-run=ID; none: the first).
import { listeners } from "./listeners.js";

const moves = listeners();
export const watchMoves = moves.watch;
export const redraw = () => moves.tell();

// {view, id}: names, "" where the address says nothing.
export function place() {
    const hash = decodeURIComponent(location.hash.slice(1));
    if (hash.startsWith("lora-run=")) return { view: "runs", id: hash.slice("lora-run=".length) };
    return { view: hash.startsWith("lora-") ? hash.slice("lora-".length) : "", id: "" };
}

export function go(view, run = "") {
    const hash = run ? `#lora-run=${encodeURIComponent(run)}` : view === "train" ? "" : `#lora-${view}`;
    if (location.hash !== hash) history.pushState(null, "", location.pathname + location.search + hash);
    moves.tell();
}
