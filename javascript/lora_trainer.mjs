// All that the Web UI loads of us by itself. This waits for the place that gradio draws for the page, and imports the page from
// our own route. Its modules lie there under the version that the place names, so that a tab never has modules of two versions.
const PLACE = "#lora_trainer_root .lt-mount";
const STUCK = navigator.language?.toLowerCase().startsWith("ko")
    ? "LoRA Trainer가 업데이트되었거나 불러오지 못했습니다. 페이지를 새로고침하세요."
    : "LoRA Trainer was updated, or could not be loaded. Reload the page.";
let loaded = ""; // the version of the modules in this tab

async function begin(mount) {
    const { version } = mount.dataset;
    loaded ||= version;
    if (version !== loaded) throw new Error(`the page is of version ${version}, its modules of ${loaded}`);
    const address = new URL(`lora-trainer/assets/${version}/page.js`, document.baseURI).href;
    if (!(await isServed(address, mount))) return;
    const page = await import(address);
    await page.start(mount);
}

// Just after a start our routes may be missing for a moment: gradio serves before the host adds them. Asked beforehand,
// because browsers remember that a module could not be had. What our routes answer instead is said in the page's place.
async function isServed(address, mount) {
    for (let wait = 300; ; wait = Math.min(wait * 1.6, 4000)) {
        const answer = await fetch(address, { credentials: "same-origin" }).catch(() => null);
        if (answer?.ok) return true;
        if (answer?.headers.has("X-Lora-Trainer")) {
            const { error } = await answer.json();
            say(mount, `${error.message} ${error.advice || ""}`);
            if (answer.status === 404) return false; // of another version, which does not come back
        }
        await new Promise((resolve) => setTimeout(resolve, wait));
    }
}

function say(mount, text) {
    const line = Object.assign(document.createElement("p"), { className: "lt-loading", textContent: text });
    line.setAttribute("role", "alert");
    mount.replaceChildren(line);
}

// A host whose login does not guard our routes writes a key into its page; modules and pictures cannot send headers, so a
// cookie does.
function showKey(key) {
    if (!key) return;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `lora-trainer-key=${key}; path=${location.pathname}; SameSite=Strict${secure}`;
}

// The place appears when gradio has drawn the tab, and again whenever it draws it anew: one watch for good.
function watch() {
    const mount = document.querySelector(PLACE);
    if (!mount || mount.dataset.started) return;
    mount.dataset.started = "yes";
    showKey(mount.dataset.key);
    begin(mount).catch((error) => {
        console.error("LoRA Trainer:", error);
        say(mount, STUCK);
    });
}
setInterval(watch, 250);
watch();
