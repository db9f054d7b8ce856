// Pictures that were made here or in the Web UI brought into an upload of their own, one after the other, with the captions that their prompts make.
import { app } from "../base/app.js";
import { post, sendForm } from "../base/host.js";
import { t } from "./texts.js";

const ENDINGS = { "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/bmp": ".bmp", "image/avif": ".avif" };

// The upload grows by `take(pictures, told)`, which gives [{name: in the upload, caption, thumb}]; told(done) hears how far it is.
export function staging() {
    let id = "";
    const stage = {
        refused: [], // [{name, message}]
        async take(pictures, told) {
            const taken = new Map();
            for (const [done, one] of pictures.entries()) {
                told(done);
                const name = await carry(one);
                if (name) taken.set(name, one);
            }
            if (!taken.size) return [];
            const infotexts = Object.fromEntries([...taken].filter(([, one]) => one.infotext).map(([name, one]) => [name, one.infotext]));
            const { captions } = await post(stage.url("prompts"), { infotexts });
            return [...taken].map(([name, one]) => ({ ...one, name, caption: captions[name] || "", thumb: one.url }));
        },
        url: (path) => `uploads/${encodeURIComponent(id)}/${path}`,
        drop: async () => { if (id) await post(stage.url("delete"), {}); },
    };

    async function carry(picture) {
        const answer = await fetch(picture.url, { credentials: "same-origin" }).catch(() => null);
        if (!answer?.ok) {
            stage.refused.push({ name: picture.name, message: t("not_fetched") });
            return null;
        }
        const file = await answer.blob(), form = new FormData();
        form.append("files", file, nameFor(picture.name, file.type));
        const told = await sendForm(id ? `uploads?folder=${encodeURIComponent(id)}` : "uploads", form, () => {});
        id = told.id;
        stage.refused.push(...told.refused);
        return told.saved[0];
    }
    return stage;
}

// Its name in the Web UI's folder; pictures that are not saved have none, or one that does not say of which kind they are.
function nameFor(name, type) {
    const plain = name.replace(/[<>:"|?*\u0000-\u001f]/g, "_").replace(/^[.\s]+/, "");
    const isPicture = app.form.uploads.images.some((ending) => plain.toLowerCase().endsWith(ending));
    return isPicture ? plain : `${plain || "picture"}${ENDINGS[type] || ".png"}`;
}
