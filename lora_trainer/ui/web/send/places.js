// Where pictures may be put: the pictures or the regularisation pictures of a concept of the form, a new concept, a data set apart.
import { openFolders } from "../data/open.js";
import { add, isSeveral, scopeOf, scopes } from "../train/concepts/scope.js";
import { F } from "../train/fields.js";
import { go } from "../base/place.js";
import { values } from "../train/values.js";
import { t } from "./texts.js";

const ENDINGS = { txt: ".txt", caption: ".caption" };
const KNOWN = [".txt", ".caption", ".captions", ".cap", ".text", ".tags", ".prompt"]; // what the host writes

// [{label, hint, folder, extension, took(answer)}]: `took` hears what the host says of where they are now, and shows it.
export function places() {
    const named = (one, ofSeveral, scope) => (isSeveral() ? t(ofSeveral, { x: scope.words() || scope.index + 1 }) : t(one));
    const all = scopes();
    return [
        ...all.map((scope) => place(scope, F.images, named("into_images", "into_images_of", scope), scope.get("caption_source") === "words" && scope.get(F.images) ? t("words_hint") : "")),
        { label: t("into_concept"), hint: "", folder: "", extension: ".txt", took: asConcept },
        ...all.map((scope) => place(scope, F.reg, named("into_reg", "into_reg_of", scope), t("reg_hint"))),
        { label: t("into_dataset"), hint: "", folder: "", extension: ".txt", took: ({ folder }) => openFolders([folder]) },
    ];
}

function place({ id, ...scope }, field, label, hint) {
    const folder = scope.get(field) || "", source = scope.get("caption_source");
    const own = source === "other" ? scope.get("caption_extension") : ENDINGS[source];
    return { label, hint, folder, extension: KNOWN.includes(own) ? own : ".txt", took: (answer) => {
        const now = scopeOf(id); // concepts may have come and gone
        if (!now) return openFolders([answer.folder]);
        if (field === F.images) {
            if (!folder && source === "words") now.set("caption_source", "txt");
            now.upload = answer.id || "";
        }
        now.set(field, answer.folder);
        values.announce(now.name(field)); // the same folder holds more
        return go("train");
    } };
}

function asConcept({ id, folder }) {
    const empty = scopes().find((scope) => !scope.get(F.images));
    const scope = empty || add();
    scope.upload = id;
    scope.set(F.images, folder);
    go("train");
}
