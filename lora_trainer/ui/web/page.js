// The page, once it has a place: start(mount) is called by the entry, javascript/lora_trainer.mjs.
import { app } from "./base/app.js";
import { fill, h } from "./base/elements.js";
import { ApiError } from "./base/host.js";
import { sleep } from "./base/timing.js";
import { startFrame } from "./frame.js";

export async function start(mount) {
    app.mount = mount;
    mount.closest("#lora_trainer_root").classList.add("lt-root");
    // "hidden" would keep the Train button from staying in view (position: sticky); "clip" looks the same
    const container = mount.closest(".gradio-container");
    if (container && getComputedStyle(container).overflowY === "hidden") container.style.overflow = "clip";
    for (;;) {
        try {
            return await startFrame(mount);
        } catch (error) { // said in the page's place, and tried again
            fill(mount, h("p", { class: "lt-loading", role: "alert" }, error.message));
            if (!(error instanceof ApiError)) console.error("LoRA Trainer:", error);
            await sleep(5000);
        }
    }
}
