// Which of a run's saved files lies in the host's folder under the run's name, and putting another one there.
import { get, post } from "../base/host.js";
import { listeners } from "../base/listeners.js";
import { say } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { poll } from "../base/poll.js";
import { refreshListsOf } from "../webui.js";
import { t } from "./texts.js";

const EVERY = 15; // seconds: a person may change the folder by hand

// What a saved file of `run` is called where people read it.
export const labelOf = (file, run) => (file.final ? t(run.state === "stopped" ? "grid_stopped_at" : "grid_final", { x: file.name }) : file.step ? t("samples_at", { x: formatNumber(file.step) }) : file.name);

// {now: as GET runs/ID/use tells, or null before, watch(signal, action), look(), put(file, label)}
export function inUse(signal, id) {
    const path = `runs/${encodeURIComponent(id)}/use`, changes = listeners();
    const self = { now: null, watch: changes.watch, look, put };
    async function look() {
        const { used } = await get(path);
        if (JSON.stringify(used) === JSON.stringify(self.now)) return;
        self.now = used;
        changes.tell();
    }
    async function put(name, label) {
        const { lora } = await post(path, { file: name, as_result: true });
        refreshListsOf(lora);
        await look();
        say(t("used_as", { x: label, name: lora.is_embedding || lora.is_model ? lora.name : `<lora:${lora.name}>` }));
    }
    poll(signal, EVERY, look);
    return self;
}
