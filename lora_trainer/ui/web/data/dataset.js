// The data set that is open: which pictures are shown in which order, what is known of them, what is chosen, and what is done
// to them. No drawing here.
//
// The host keeps the truth and numbers its versions (docs/api.md). A picture is a whole number; its row ({name, caption, tags, ...})
// is asked for when it comes into sight. After an edit the pictures shown stay, even where the filter would no longer have
// them: nothing vanishes under one's hands; `isStale` says that the filter may be asked again.
import { ApiError, Lost, get, post } from "../base/host.js";
import { listeners } from "../base/listeners.js";
import { refuse, report, retract, say } from "../base/messages.js";
import { go } from "../base/place.js";
import { poll } from "../base/poll.js";
import { debounce, sleep } from "../base/timing.js";
import { followCopies } from "../train/concepts/folders.js";
import { values } from "../train/values.js";
import { t } from "./texts.js";
import { holding, isMade, isWritten, keepHeld } from "./held.js";
import { selection } from "./selection.js";
import { forget, keepMasks, keepUnsaved, keptMasks, unsaved, unsavedMoved } from "./unsaved.js";

const MOST_ROWS = 500; // asked for at once
const NOT_YET = 423; // what a change is answered while files are being read
const SAFE = ["caption", "stars", "leave_out"]; // edits that are the same when they are done twice
const BUCKETS = ["resolution", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale"];
export const bucketSettings = () => Object.fromEntries(BUCKETS.map((name) => [name, values.get(name)]).filter(([, value]) => value !== null));

// Filters whose counts are told: what one looks for in a data set that is not finished.
export const LOOKS = ["untagged", "tokens>75", "duplicate", "broken", "left_out", "stars>=4"];

export const TRAINED = "-broken -left_out"; // what the training has, which counts nothing else

const MOST_LOOKED_AT = 3000; // pictures whose findings are asked for again after each change while nobody looks at their list

// `watch(signal, action)` hears of what has changed: "pictures" (which are shown), "rows", "counts", "tags", "findings", "selection", "saving",
// "held". `how`: {filter, sort, descending, held}, as one left it.
export function dataset(signal, opened, how) {
    const news = listeners(), uses = listeners();
    const url = (path) => `datasets/${encodeURIComponent(opened.id)}/${path}`;
    const stale = new Set(); // rows that are to be asked for anew
    let wanted = [], isAsking = false, question = 0, looks = 0, line = Promise.resolve();
    const data = {
        ...opened,
        filter: how.filter || "", sort: how.sort || "name", descending: Boolean(how.descending),
        ids: [],
        rows: new Map(),
        counts: {}, // of LOOKS and TRAINED
        found: null, // {findings: [Problem], waiting}, once they were asked for
        isFoundBefore: false, // before the last change: nobody has looked again since
        isFollowingFindings: () => false, // whether their list is seen
        movedTo: "", // the id of the copy, once there is one
        isStale: false,
        wrong: null, // what is wrong with the filter: {message, at}
        saving: "", // "waiting" (files are being read), "saving", "unsaved" (the host is not there), "saved", "undone", "redone" or ""
        lastTitle: "", // of the last step
        held: how.held || keptMasks(opened.id), // what could not be done as it was asked for, see held.js
        watch: news.watch,
        watchUse: uses.watch, // hears of tags that were given to a picture
        get: (path) => get(url(path)),
        post: (path, body) => post(url(path), body),
        imageOf: (row) => url(`image/${row.id}?v=${encodeURIComponent(row.thumb.split("v=")[1] || "")}`),
        maskOf: (id) => url(`mask/${id}`),
    };
    data.selection = selection(() => news.tell("selection"));
    const tell = (what) => signal.aborted || news.tell(what);

    // Asks which pictures the filter shows; the latest question wins.
    data.query = async (change = {}) => {
        Object.assign(data, change);
        const mine = ++question, { filter, sort, descending } = data;
        try {
            if (!data.found && (sort === "findings" || /(^|[\s(-])finding:/i.test(filter))) await data.post("findings", { values: values.send() }).then(lookSoon); // else none: nobody has looked
            const counts = data.scan ? [] : [...LOOKS, TRAINED]; // while files are being read the pictures come first
            const answer = await data.post("query", { filter, sort, descending, buckets: bucketSettings(), counts });
            if (mine !== question || signal.aborted) return;
            Object.assign(data, { ids: answer.ids, total: answer.total, wrong: null, isStale: false });
            tellCounts(counts.length ? answer.counts : []);
            data.selection.offer(answer.ids);
        } catch (error) {
            if (mine !== question || signal.aborted) return;
            if (!(error instanceof ApiError) || error.status >= 500 || error.status === 404) return void report(error);
            const at = Number(/\d+/.exec(error.message)?.[0]) - 1; // "… at character 7: …"
            data.wrong = { message: error.message, at: at >= 0 && at <= filter.length ? at : null };
        }
        tell("pictures");
    };

    // How many there are of what one looks for, after a change that leaves the pictures that are shown as they are.
    const countSoon = debounce(400, async () => {
        if (signal.aborted || data.scan) return;
        const mine = question, { counts } = await data.post("query", { filter: "untagged -untagged", counts: [...LOOKS, TRAINED], buckets: bucketSettings() }).catch(() => ({}));
        if (counts && mine === question) tellCounts(counts);
    });
    function tellCounts(counts) {
        data.counts = Object.fromEntries(counts.map((count, index) => [LOOKS[index] || TRAINED, count]));
        tell("counts");
    }
    // These pictures are in sight: what is not known of them is asked for, when scrolling rests.
    const lacks = (id) => !data.rows.has(id) || stale.has(id);
    data.want = (ids) => {
        wanted = ids;
        if (!isAsking && ids.some(lacks)) fetchSoon();
    };
    const fetchSoon = debounce(40, async () => {
        const ids = wanted.filter(lacks).slice(0, MOST_ROWS);
        if (!ids.length || isAsking || signal.aborted) return;
        isAsking = true;
        const isDone = await data.load(ids).then(() => true, report);
        isAsking = false;
        if (isDone) data.want(wanted);
    });
    // What is known of these pictures, asked for now.
    data.load = async (ids) => {
        for (let at = 0; at < ids.length; at += MOST_ROWS) {
            const some = ids.slice(at, at + MOST_ROWS);
            const { rows } = await data.post("rows", { ids: some, buckets: bucketSettings() });
            for (const id of some) stale.delete(id);
            for (const row of rows) data.rows.set(row.id, row);
            if (!data.found && rows.some((row) => row.findings.length)) lookSoon(); // found from elsewhere, some time ago
        }
        tell("rows");
    };

    // What has changed on the host since: by us, by others, on the disk.
    const sync = async ({ isLookedAt = false } = {}) => {
        const wasScanning = data.scan, answer = await data.get(`changes?since=${data.version}`);
        data.scan = answer.scan; // what waits for the reading waits for it when the view is gone, too
        if (signal.aborted) return;
        Object.assign(data, { version: answer.version, unread: answer.unread, undo: answer.undo, redo: answer.redo });
        const isOther = answer.all || answer.added.length > 0 || answer.gone.length > 0;
        for (const id of answer.all ? data.rows.keys() : answer.changed) stale.add(id);
        for (const id of answer.gone) data.rows.delete(id);
        if (answer.changed.length && (data.filter || data.sort !== "name")) data.isStale = true;
        if (isOther || (wasScanning && !data.scan)) await data.query();
        if (isOther || answer.changed.length) {
            tell("rows");
            tell("tags");
            if (data.found && !isLookedAt) lookSoon();
            if (!isOther) countSoon();
        }
        tell("saving");
    };
    // What was found about the picture of a row.
    data.findingsOf = (row) => (data.found?.findings || []).filter((one) => row.findings.includes(one.code) && one.ids.includes(row.id));
    // What would spoil a training with these pictures, as they are now and as the form trains them.
    data.look = async () => {
        const began = Date.now(), mine = ++looks, found = await data.post("findings", { values: values.send() });
        if (mine !== looks || signal.aborted) return;
        Object.assign(data, { found, isFoundBefore: false });
        tell("findings");
        await inTurn(() => sync({ isLookedAt: true }));
        if (found.waiting) setTimeout(() => mine === looks && data.isFollowingFindings() && lookSoon(), 2 * (Date.now() - began)); // the host looks at the rest meanwhile
    };
    const lookSoon = debounce(800, () => {
        if (signal.aborted) return null;
        if (data.total <= MOST_LOOKED_AT || data.isFollowingFindings()) return data.look().catch(() => {});
        data.isFoundBefore = true;
        return tell("findings");
    });
    // What asks or changes has its turn after what was begun before it, whatever became of that.
    const inTurn = (action) => {
        const done = line.then(() => action());
        line = done.catch(() => {});
        return done;
    };
    data.sync = () => inTurn(sync).catch(report);
    data.follow = () => poll(signal, 2, () => inTurn(sync).then(() => (data.scan ? 0.4 : 2)));

    // An upload that a run trains from was copied before it was changed: the copy is shown from here on.
    const goOn = (answer) => {
        followCopies(answer.moved);
        unsavedMoved(data.id, answer.dataset);
        keepMasks(data.id, []);
        keepMasks(answer.dataset, data.held);
        data.movedTo = answer.dataset;
        if (signal.aborted) return answer;
        say(t("copied_set"));
        go("data", answer.dataset);
        return answer;
    };

    const isNow = (saving) => { data.saving = saving; tell("saving"); };
    // Files are read or changed, one of both at a time: a change waits, and says so, until those that are new have been read.
    const readingIsDone = async () => {
        do {
            isNow("waiting");
            await sleep(300);
            await sync().catch((error) => { if (!(error instanceof Lost)) throw error; });
        } while (data.scan);
    };

    // What was written is sent until the host is there again; an edit that would count twice is not.
    const send = async (path, body) => {
        for (;;) {
            try {
                return await data.post(path, body);
            } catch (error) {
                if (!(error instanceof Lost) || !SAFE.includes(body.edit?.kind)) throw error;
            }
            isNow("unsaved");
            await sleep(1000);
        }
    };
    // A text that one wrote has arrived, or is not wanted any more.
    const settled = (body) => body.edit?.kind === "caption" && forget({ dataset: data.id, id: body.ids[0], text: body.edit.text });
    const holdOn = (one, from) => {
        data.held = holding(data.held, { name: data.rows.get(one.body.ids?.[0])?.name, ...one }, from);
        keepMasks(data.movedTo || data.id, data.held);
        if (signal.aborted) keepHeld(data.movedTo || data.id, data.held);
    };
    // An edit of one picture that nobody has asked to be saved, for when the view is there again.
    data.hold = (edit, id) => holdOn({ path: "edit", body: { edit, ids: [id], versions: versions([id]) }, done: "saved", conflicts: [], of: 1, isLeft: true });
    // Does what changes files, one after the other, and shows what has become of it. `bodyOf` gives the request when its turn comes;
    // `done` is what it is called then, `from` the caption that another is written in place of. Gives the answer, or null where
    // nothing was done: what was in the way, and what was written, is held then.
    const change = (path, bodyOf, { done = "saved", from, isKept = false } = {}) => inTurn(async () => {
        retract();
        let body = bodyOf();
        const hold = (told) => holdOn({ path, body, done, ...told }, from);
        const of = body.ids?.length ?? data[path]?.changed ?? Infinity;
        let answer = null;
        try {
            if (data.scan) await readingIsDone();
            while (!answer) {
                body = bodyOf(); // of what is known now
                isNow("saving");
                answer = await send(path, body).catch((error) => (error.status === NOT_YET ? readingIsDone() : Promise.reject(error)));
            }
        } catch (error) {
            isNow("");
            if (isWritten(body) || (isMade(body) && (signal.aborted || isKept))) hold({ problem: error.message, conflicts: [], of });
            else {
                settled(body);
                refuse(error);
            }
            tell("held");
            return null;
        }
        const isHeld = answer.conflicts?.length > 0 && !body.force && !body.skip;
        data.saving = isHeld ? "" : done;
        data.lastTitle = answer.step?.title || "";
        if (isHeld) hold({ conflicts: answer.conflicts, of });
        else settled(body);
        if (answer.dataset && answer.dataset !== data.id) return goOn(answer);
        await sync();
        const seen = [...new Set([...wanted, ...data.selection.ids.slice(0, MOST_ROWS)])].filter((id) => stale.has(id));
        if (seen.length) await data.load(seen); // the next edit starts from what this one has made
        tell("held");
        return isHeld ? null : answer;
    }).catch((error) => report(error) || null);

    const versions = (ids) => Object.fromEntries(ids.filter((id) => data.rows.has(id) && !stale.has(id)).map((id) => [id, data.rows.get(id).version]));
    // An edit of docs/api.md on these pictures, left out: on those that are chosen. One step of the history.
    data.edit = (edit, ids = data.selection.ids) => {
        if (!ids.length) return Promise.resolve(null);
        if (edit.kind === "add") data.used(edit.tags);
        return change("edit", () => ({ edit, ids, versions: versions(ids) }));
    };
    // Another caption of one picture, written where it read as in `base` (a row). What we have made of it ourselves meanwhile is no conflict.
    data.write = (base, text) => {
        keepUnsaved(data.id, base, text);
        return change("edit", () => {
            const now = data.rows.get(base.id), { version } = now?.caption === base.caption ? now : base;
            return { edit: { kind: "caption", text }, ids: [base.id], versions: { [base.id]: version } };
        }, { from: base.caption });
    };
    // What the page before this one had written and could not save.
    data.writeUnsaved = async () => {
        const kept = unsaved(data.id);
        if (kept.length) await data.load(kept.map((one) => one.id));
        for (const one of kept) {
            const row = data.rows.get(one.id);
            if (!row || row.caption === one.text) forget(one); // gone, or it arrived and only the answer did not
            else data.write(one, one.text);
        }
    };
    data.used = (tags) => uses.tell(tags);
    data.preview = (edit, ids) => data.post("preview", { edit, ids });
    data.mend = (body) => change("mend", () => body);
    data.back = () => change("undo", () => ({}), { done: "undone" });
    data.forth = () => change("redo", () => ({}), { done: "redone" });
    // What is held is done all the same ({force}), for the others alone ({skip}), or once more; or it is put away.
    const letGo = (one, instead = []) => {
        data.held = data.held.flatMap((other) => (other === one ? instead : [other]));
        if (!instead.length) settled(one.body);
        keepMasks(data.movedTo || data.id, data.held);
        tell("held");
    };
    data.again = (one, how = {}) => {
        letGo(one);
        return change(one.path, () => ({ ...one.body, ...how }), { ...one, isKept: true });
    };
    data.putAway = (one) => letGo(one);
    // What the file holds now is taken; what was written here stays at hand.
    data.takeTheirs = async (one) => {
        letGo(one, isWritten(one.body) ? [{ ...one, isAside: true }] : []);
        await data.load(one.conflicts.map((conflict) => conflict.id)).catch(report);
    };
    data.tags = async (body) => (await data.post("tags", body));
    data.suggest = async (text) => (await data.get(`suggest?q=${encodeURIComponent(text)}`)).suggestions;
    return data;
}
