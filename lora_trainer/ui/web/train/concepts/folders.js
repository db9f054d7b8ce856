// The folders of data sets, and the concepts of the form that train from them: how both stay together. No drawing here.
import { F } from "../fields.js";
import { values } from "../values.js";
import { add, scopes } from "./scope.js";

const FOLDERS = [F.images, F.reg];

// A path as the host says it, of one as it was typed.
const plain = (typed) => String(typed || "").trim().replace(/^"(.*)"$/, "$1").replace(/(?<=[^\\/:])[\\/]+$/, "");

// Which of a data set's folders ({path, earlier: those that it is a copy of}) each of these concepts' has; -1: none.
const placesOf = (concepts, folders) => concepts.map((scope) => folders.findIndex(({ path, earlier = [] }) => [path, ...earlier].includes(plain(scope.get(F.images)))));

function take(scope, folder) {
    if (scope.get(F.images) !== folder) {
        scope.upload = ""; // the form finds out itself which upload it is
        scope.set(F.images, folder);
    }
    if (scope.get("is_off")) scope.set("is_off", false);
}

// The form trains from a data set. A concept that has one of its folders, or had it before it was copied, keeps all that it says.
// Another folder goes to a concept without pictures, else to the first one where its pictures are others, else it is a new concept.
// Nothing is taken away: a concept with pictures of no such data set is switched off. Gives how many were.
export function trainFrom(folders) {
    const before = scopes(), places = placesOf(before, folders);
    for (const [index, place] of places.entries()) if (place >= 0) take(before[index], folders[place].path);
    const news = folders.filter((_, place) => !places.includes(place));
    if (!news.length) return 0;
    const unused = before.filter((_, index) => places[index] < 0);
    const free = [...unused.filter((scope) => !scope.get(F.images)), ...unused.filter((scope) => !scope.index && scope.get(F.images))];
    for (const { path } of news) take(free.shift() || add(), path);
    const left = unused.filter((scope) => scope.get(F.images) && !scope.get("is_off") && !news.some(({ path }) => path === scope.get(F.images)));
    for (const scope of left) scope.set("is_off", true);
    return left.length;
}

// Uploads that runs train from were copied before they were changed ({folder: its copy's}): the form goes on with the copies.
export function followCopies(moved) {
    for (const scope of scopes()) {
        for (const name of FOLDERS) {
            const copy = moved?.[plain(scope.get(name))];
            if (!copy) continue;
            if (name === F.images) scope.upload = "";
            scope.set(name, copy);
        }
    }
}

// The files of the form's pictures were changed, by us or by others: whatever shows them or depends on them looks again.
export function picturesChanged() {
    for (const scope of scopes()) values.retell(scope.name(F.images));
}
