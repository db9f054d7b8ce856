// What our page does with the pages of the Web UI around it. Where these are missing (standing alone), nothing happens.
import { h } from "./base/elements.js";
import { texts } from "./base/texts.js";

const t = texts({
    send_to_txt2img: ["Send to txt2img", "txt2img로 보내기"],
    choose_checkpoint: ["Draw with it in the Web UI", "Web UI에서 이 체크포인트 쓰기"],
});

const TABS = ["txt2img", "img2img"];
const OPEN = "lora-trainer.open";

// Let its Lora page list a new file; its pages and lists of checkpoints a new model.
export const refreshCards = () => press(...TABS.map((tab) => `${tab}_lora_extra_refresh_internal`));
export const refreshCheckpoints = () => press(...TABS.map((tab) => `${tab}_checkpoints_extra_refresh_internal`), "refresh_sd_model_checkpoint", "forge_refresh_checkpoint");
export const refreshListsOf = (result) => (result?.is_model ? refreshCheckpoints() : refreshCards());

function press(...ids) {
    for (const id of ids) document.getElementById(id)?.dispatchEvent(new Event("click"));
}

// A button that makes the file at `path` the checkpoint of the Web UI, as a click on its card does; else nothing.
export function checkpointButton(path, style = "") {
    if (!window.selectCheckpoint) return null;
    return h("button", { type: "button", class: `lt-btn ${style}`, onclick: () => window.selectCheckpoint(path.split(/[\\/]/).at(-1)) }, t("choose_checkpoint"));
}

const promptOfTxt2img = () => document.querySelector("#txt2img_prompt textarea");

// A button that puts the prompt into txt2img, as the Web UI's own "Send to" buttons do, and goes there; else nothing.
export function sendButton(prompt, style = "") {
    if (!promptOfTxt2img()) return null;
    return h("button", { type: "button", class: `lt-btn ${style} lt-send`, onclick: () => send(prompt) }, t("send_to_txt2img"));
}

function send(prompt) {
    const field = promptOfTxt2img();
    field.value = prompt;
    field.dispatchEvent(new Event("input", { bubbles: true })); // gradio takes a value only from an event
    tabOf("txt2img", "txt2img")?.click();
    field.focus();
}

// The tabs' order can be changed, their names can be translated, and Forge writes them with a capital: gradio gives a
// tab's button its panel's id, or leaves the buttons in the order of the panels.
export function tabOf(name, title) {
    const all = document.querySelector("#tabs");
    const buttons = [...(all?.querySelectorAll("button") || [])].filter((button) => !button.closest(".tabitem"));
    const panels = [...(all?.querySelectorAll(":scope > .tabitem") || [])];
    const place = panels.findIndex((panel) => panel.id === `tab_${name}`);
    return buttons.find((button) => button.getAttribute("aria-controls") === `tab_${name}`)
        || (panels.length === buttons.length && buttons[place])
        || buttons.find((button) => button.textContent.trim().toLowerCase() === title.toLowerCase());
}

// Whether our tab was the open one when this page was loaded anew (the Web UI's "Reload UI" does that); null: it was not. To be
// asked once; from then on it is noted whenever the tab is opened or left, as Reload UI takes the page away before it loads.
export function wasOpen(mount) {
    const isReloaded = performance.getEntriesByType("navigation")[0]?.type === "reload";
    const before = isReloaded ? sessionStorage.getItem(OPEN) : null;
    new IntersectionObserver(() => mount.isConnected && sessionStorage.setItem(OPEN, mount.offsetParent ? "yes" : "no")).observe(mount);
    return before && before === "yes";
}
