// Dropped files on their way to the host: told apart, sent in parts, and what became of each. It goes on while another view is
// shown, and a second drop waits for the first. What is dropped is kept by the host, or refused by name.
import { app } from "../base/app.js";
import { sendForm } from "../base/host.js";
import { listeners } from "../base/listeners.js";
import { report, say } from "../base/messages.js";
import { t } from "./texts.js";

const PART_FILES = 20, PART_BYTES = 24 << 20;
const LITTER = [".DS_Store", "Thumbs.db", "desktop.ini"]; // what systems write into folders by themselves
const NONE = { share: 0, done: 0, total: 0 };

let waiting = 0, folder = "", line = Promise.resolve();
const news = listeners();
export const transfer = { ...NONE, refused: [], noted: [], arrived: 0, owner: "first" }; // arrived: how many drops have been; owner: the concept of the last

const endings = () => [...app.form.uploads.images, ...app.form.uploads.captions];
const isWanted = (name) => endings().some((ending) => name.toLowerCase().endsWith(ending) && name.length > ending.length);
const refuse = (name, message) => transfer.refused.push({ name, message });

// What was dropped -> {files: [{file, name}], unread: [names], folder}; folders are walked and are part of the names.
transfer.filesOf = async function (data) {
    const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.length) return { files: [...data.files].map((file) => ({ file, name: file.name })), unread: [], folder: "" };
    const files = [], unread = [];
    const walk = async (entry, folder) => {
        const name = folder + entry.name;
        try {
            if (entry.isFile) return files.push({ name, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
            const reader = entry.createReader();
            for (;;) { // readEntries gives at most 100 at a time
                const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
                if (!some.length) return null;
                for (const one of some) await walk(one, `${name}/`);
            }
        } catch {
            return unread.push(name);
        }
    };
    for (const entry of entries) await walk(entry, "");
    return { files, unread, folder: entries.length === 1 && entries[0].isDirectory ? entries[0].name : "" };
};
// The same of a file input, which may have chosen a folder.
transfer.chosen = function (input) {
    const files = [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
    const folder = (input.files[0]?.webkitRelativePath || "").split("/").slice(0, -1)[0] || "";
    return { files, unread: [], folder };
};

// Sends what is wanted of a drop into the upload folder that `idNow()` names when its turn comes ("": a new one).
// `arrived(answer, drop)` hears of the host's last answer, when there was one.
transfer.take = function (drop, idNow, arrived, owner = "first") {
    if (!waiting) transfer.forget();
    waiting += 1;
    news.tell();
    line = line.then(async () => {
        folder = idNow();
        transfer.owner = owner;
        const answer = await carry(drop);
        if (!answer) return;
        transfer.arrived += 1;
        arrived(answer, drop);
    }).catch(report).finally(() => {
        waiting -= 1;
        Object.assign(transfer, NONE);
        news.tell();
    });
    return line;
};

async function carry({ files, unread }) {
    for (const name of unread) refuse(name, t("not_readable"));
    const people = files.filter(({ name }) => !LITTER.includes(name.split("/").at(-1)));
    for (const { name } of people) if (!isWanted(name)) refuse(name, t("not_wanted", { x: endings().join(" ") }));
    const wanted = people.filter(({ name }) => isWanted(name));
    if (!wanted.length) {
        if (!people.length && !unread.length) say(t("nothing_dropped"), "error");
        return null;
    }
    return send(wanted);
}

// A picture and its captions travel together, as the host names them together.
const stemOf = (name) => name.normalize().toLowerCase().replace(/(\.[^./]*)+$/, "");
function partsOf(files) {
    const parts = [];
    let size = 0, before = null;
    for (const one of [...files].sort((a, b) => (stemOf(a.name) < stemOf(b.name) ? -1 : stemOf(a.name) > stemOf(b.name) ? 1 : 0))) {
        const isPair = before === stemOf(one.name);
        if (!parts.length || (!isPair && (parts.at(-1).length >= PART_FILES || size + one.file.size > PART_BYTES))) {
            parts.push([]);
            size = 0;
        }
        parts.at(-1).push(one);
        size += one.file.size;
        before = stemOf(one.name);
    }
    return parts;
}

// The last answer, or null when none came. Files that could not be sent are refused by name.
async function send(files) {
    const parts = partsOf(files), bytes = files.reduce((sum, { file }) => sum + file.size, 0) || 1;
    let answer = null, sent = 0, done = 0;
    for (const [index, part] of parts.entries()) {
        const form = new FormData(), size = part.reduce((sum, { file }) => sum + file.size, 0);
        for (const { file, name } of part) form.append("files", file, name);
        done += part.length;
        try {
            answer = await sendForm(folder ? `uploads?folder=${encodeURIComponent(folder)}` : "uploads", form, (loaded, all) => {
                Object.assign(transfer, { share: (sent + (loaded / all) * size) / bytes, done, total: files.length });
                news.tell();
            });
        } catch (error) {
            report(error);
            for (const { name } of parts.slice(index).flat()) refuse(name, error.message);
            return answer;
        }
        folder = answer.id;
        sent += size;
        transfer.refused.push(...answer.refused);
        transfer.noted.push(...answer.noted);
    }
    return answer;
}

// Another change of the upload waits for the drops before it, and those after it wait for it: each may bring another folder.
transfer.inTurn = (action) => (line = line.then(action).catch(report));
transfer.isBusy = () => waiting > 0;
transfer.forget = () => { [transfer.refused, transfer.noted] = [[], []]; };
transfer.watch = news.watch;
