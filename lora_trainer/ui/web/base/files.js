// The files of the host that one chooses among: base models, VAEs, LoRAs. A training or a tool may have made one since the page was
// loaded, so they are asked for anew when a run has ended and where one of them is chosen.
import { app } from "./app.js";
import { get } from "./host.js";
import { listeners } from "./listeners.js";
import { language } from "./texts.js";

const LISTS = ["checkpoints", "vaes", "loras", "problems"];

// Told when the lists of `app.form` were renewed.
export const fileNews = listeners();

export async function renewFiles() {
    const answer = await get("form");
    for (const name of LISTS) app.form[name] = answer[name];
    fileNews.tell();
}

// What a model is called in the page's language: the one that comes with the program has a name of its own in each.
export const titleOf = (one) => (language === "ko" && one.title_ko) || one.title;

// The last part of a path of this or another system.
export const fileName = (path) => path.split(/[\\/]/).filter(Boolean).at(-1) || path;
