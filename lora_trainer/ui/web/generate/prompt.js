// What the Generate view starts with, and how others bring a prompt to it.
import { recallHere, rememberHere } from "../base/memory.js";
import { go } from "../base/place.js";

// What is asked for until the person changes it.
export const START = { prompt: "", negative_prompt: "", sampler: "euler_a", steps: 20, cfg_scale: 7, width: 512, height: 512, seed: -1, batch_size: 1, batch_count: 1, clip_skip: 1, checkpoint: "" };

// Fills the view with a prompt and what else goes with it (base model, size), and shows it.
export function tryPrompt(prompt, others = {}) {
    rememberHere("generate", { ...START, ...recallHere("generate", {}), ...others, prompt });
    go("generate");
}
