// Talk with the host: JSON routes below lora-trainer/api/, relative to the page, so that it may be served below any path.
import { listeners } from "./listeners.js";
import { sentence } from "./problems.js";
import { language, t } from "./texts.js";
import { sleep } from "./timing.js";

const API = "./lora-trainer/api/";

// What a route answers with an error status becomes an ApiError; a host that cannot be reached becomes a Lost.
export class ApiError extends Error {
    constructor(status, body) {
        const detail = body.error || body.detail || body;
        super([sentence(detail.message) || (typeof detail === "string" ? detail : `HTTP ${status}`), detail.advice].filter(Boolean).join(" "));
        this.status = status;
        this.problems = body.problems || detail.problems || [];
    }
}
export class Lost extends Error {}

export const urlOf = (path) => API + path;

// Told after each request: what keeps the host from answering, "" when it answers.
const connection = listeners();
export const watchConnection = connection.watch;
let losses = 0;
function lose(why) {
    losses += 1;
    if (losses > 1) connection.tell(t(why)); // one failed request can be a hiccup of the network
    return new Lost(t(why));
}
function found() {
    losses = 0;
    connection.tell("");
}

const ask = (path, how) =>
    fetch(API + path, { cache: "no-store", credentials: "same-origin", ...how }).catch(() => {
        throw lose("connection_lost");
    });

async function request(method, path, body) {
    const isForm = body instanceof FormData;
    const response = await ask(path, {
        method,
        headers: { "Accept-Language": language, ...(body && !isForm ? { "Content-Type": "application/json" } : {}) },
        body: body && !isForm ? JSON.stringify(body) : body,
    });
    const isJson = (response.headers.get("content-type") || "").includes("json");
    // Just after a start the routes may be missing for a moment: gradio serves before the host adds them.
    const isOurs = response.headers.has("X-Lora-Trainer"); // not a proxy's that has lost the host
    if ((!isOurs && [502, 503, 504].includes(response.status)) || (response.status === 404 && !isJson)) throw lose("connection_lost");
    if (response.status === 401) throw lose("signed_out"); // the host was started anew, or the login has run out
    found();
    const answer = isJson ? await response.json() : { message: await response.text() };
    if (!response.ok) throw new ApiError(response.status, answer);
    return answer;
}
// A picture of ours to paint on, or null where there is none.
export async function getPicture(path) {
    const response = await ask(path);
    return response.status === 200 ? createImageBitmap(await response.blob()) : null;
}
export const get = (path) => request("GET", path);
export const post = (path, body) => request("POST", path, body || {});
export async function getPatiently(path) {
    for (let wait = 300; ; wait = Math.min(wait * 1.6, 4000)) {
        try {
            return await get(path);
        } catch (error) {
            if (!(error instanceof Lost)) throw error;
            await sleep(wait);
        }
    }
}

// A list of runs as it stands, after the part of it that the host sent: runs (and uploads) that have changed, and the order of all.
// `known` is the answer before ({} for none); asks again when a run has come in that was sent before our time.
export async function newsOfRuns(path, known) {
    const answer = await get(known.token ? `${path}?since=${encodeURIComponent(known.token)}` : path);
    if (!answer.order) return answer;
    const byId = new Map([...(known.runs || []), ...answer.runs].map((run) => [run.id, run]));
    const runs = answer.order.map((id) => byId.get(id));
    return runs.includes(undefined) ? newsOfRuns(path, {}) : { ...answer, runs, uploads: answer.uploads || known.uploads };
}

// XMLHttpRequest, because fetch does not tell how much has been sent.
export const sendForm = (path, form, onProgress) =>
    new Promise((resolve, reject) => {
        const sender = new XMLHttpRequest();
        sender.open("POST", API + path);
        sender.responseType = "json";
        sender.setRequestHeader("X-Lora-Trainer", "1"); // what a form on a foreign page cannot send
        sender.setRequestHeader("Accept-Language", language);
        sender.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded, event.total);
        sender.onload = () => (sender.status < 300 ? resolve(sender.response) : reject(new ApiError(sender.status, sender.response || {})));
        sender.onerror = () => reject(new Lost(t("connection_lost")));
        sender.send(form);
    });
