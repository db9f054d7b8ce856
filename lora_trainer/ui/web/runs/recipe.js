// How a training is repeated from a terminal.
import { h } from "../base/elements.js";
import { copyButton } from "../base/messages.js";
import { t } from "./texts.js";

// The command line and the TOML files that repeat a training; each can be copied.
export function recipeOf(texts) {
    const blocks = [[t("command_line"), texts.command], ["config.toml", texts.config], ["dataset.toml", texts.dataset], ["prompts.txt", texts.prompts]];
    return h("div", { class: "lt-recipe" }, blocks.filter(([, text]) => text).map(([name, text], index) =>
        h("details", { open: index === 0 }, h("summary", {}, name), h("div", { class: "lt-code" }, copyButton(text), h("pre", { tabindex: "0" }, text)))));
}
