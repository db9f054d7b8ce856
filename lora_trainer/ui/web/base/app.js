// What all of the page shares: its place in the document, and the host's last answers.
import { listeners } from "./listeners.js";

export const app = {
    mount: null, // the element that gradio drew
    form: null, // the answer of GET form
    state: { problems: [], runs: [], active: null }, // the answer of GET state
};

// Who hears of each new answer of GET state: whatever speaks of what trains, waits or has ended.
export const stateNews = listeners();

export const canGenerate = () => app.state.can_generate ?? app.state.host === "standalone";
export const isBusy = () => (app.state.runs || []).some((run) => run.active || run.state === "queued");
export const activeRun = () => (app.state.runs || []).find((run) => run.active) || null;
